"""What trl's `GRPOTrainer` needs to train on episodes: the policy, how episodes are written, scored and paid.

Made cheap, with the same numbers: a question's prompt is read once for all its episodes, and on a CPU a sheet's
passages once for all its questions, when they are written (`retrieve.decoding.decoder`; those of a few questions
together, on CUDA all of a step) and when they are scored (`training.traces.packed_logprobs`), both times under the
grammar; the low-rank pairs are merged while episodes are written; episodes worth as much as the others of their
question are not scored. trl's engines know neither our grammar nor a search in the middle of an episode, so episodes
come by `rollout_func`, also where vLLM writes them (`training.rl.vllm_rollouts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import pstdev
from typing import Any, Protocol, cast

import torch
from peft.tuners.lora import LoraLayer
from torch.utils.checkpoint import checkpoint
from trl.trainer.grpo_trainer import GRPOTrainer

from retrieve.decoding.decoder import Decoder
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.grammar import ActionLimits, GrammarState
from retrieve.lm.adapter import apply_rows, read_adapter, save_adapter
from retrieve.lm.base import compute_dtype, load_base
from retrieve.model import ADAPTER, RetrieveModel, ServingConfig, read_retrieve_manifest
from training.metrics.results import AnswerRow
from training.retrieve_model.peft_lora import decoder_of, freeze_layers, start_values, updates_of, wrap
from training.rewards import Prices, reward
from training.rl.vllm_rollouts import EngineDecoder
from training.traces.packed_logprobs import score_completions

__all__ = ["EpisodeTrainer", "Policy", "Practised", "Rewarded", "Rollouts"]


_TOGETHER = 6  # questions or sheets whose episodes are written together on a CPU


class Policy:
    """A version's model with its low-rank pairs apart, so that they can be trained."""

    def __init__(
        self,
        start: Path,
        *,
        rank: int,
        alpha: int,
        frozen_layers: int = 0,
        base: str | Path | None = None,
        device: str = "cpu",
    ) -> None:
        """start: a version's folder. base: its base, where it is not where the version says.

        Raises ConfigError for another rank, WeightsError, BaseModelError.
        """
        manifest = read_retrieve_manifest(start)
        # The reward is of what the policy itself writes: nothing is reranked.
        self.serving = replace(ServingConfig.from_json(manifest["serving"]), reranking=RerankingConfig())
        adapter = read_adapter(start / ADAPTER)
        source = base if base is not None else manifest["base"].get("source")
        # On CUDA too in float32: episodes are few and short, and what is scored must be what has written them.
        dtype = torch.float32 if torch.device(device).type == "cuda" else compute_dtype(device)
        model, tokenizer = load_base(source, dtype=dtype, device=device)
        apply_rows(model, tokenizer, adapter)
        self.tokens, self.rows = list(adapter.rows), torch.stack(list(adapter.rows.values()))
        self.scale = alpha / rank
        self.wrapped = wrap(model, rank=rank, alpha=alpha, full_precision=True)
        self.pairs = {name: pair for name, pair in self.wrapped.named_parameters() if pair.requires_grad}
        shapes = {name: pair.shape for name, pair in self.pairs.items()}
        self.load(start_values(adapter, shapes, scale=self.scale, path=start / ADAPTER))
        freeze_layers(decoder_of(self.wrapped), frozen_layers)
        self.model = RetrieveModel("in training", self.wrapped.get_base_model(), tokenizer, self.serving)

    @torch.no_grad()
    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set pairs by name."""
        for name, value in values.items():
            self.pairs[name].copy_(value)

    def save(self, path: Path) -> None:
        """Write the adapter."""
        save_adapter(path, updates_of(self.pairs.items()), self.tokens, self.rows, scale=self.scale)

    def save_base(self, folder: Path) -> None:
        """Write what the pairs belong to, rows applied, with its tokenizer, for an engine to start from."""
        model = self.wrapped.get_base_model()
        weights = {
            name.replace(".base_layer.", "."): value
            for name, value in model.state_dict().items()
            if ".lora_" not in name
        }
        model.save_pretrained(folder, state_dict=weights)
        self.model.tokenizer.save_pretrained(folder)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Merge the pairs while episodes are written; every weight is put back to the bit."""
        training = self.wrapped.training
        with self.weights_put_back():
            self.wrapped.eval()
            self.wrapped.merge_adapter(["default"])
            try:
                yield
            finally:
                self.wrapped.unmerge_adapter()
                self.wrapped.train(training)

    @contextmanager
    def weights_put_back(self) -> Iterator[None]:
        """Put weights that pairs are merged into meanwhile back to the bit: peft takes them off again inexactly."""
        layers: list[Any] = [one for one in self.wrapped.modules() if isinstance(one, LoraLayer)]
        weights = [layer.base_layer.weight for layer in layers]
        kept = [weight.detach().clone() for weight in weights]
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, one in zip(weights, kept, strict=True):
                    weight.copy_(one)


class EpisodeTrainer(GRPOTrainer):
    """trl's trainer, scoring each prompt once for all its completions, and only where rewards differ.

    written: (prompt, completion) → how it was written, of the step at hand; set by `Rollouts`.
    """

    written: dict[tuple[tuple[int, ...], tuple[int, ...]], _Completion]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Leave the pairs as they are: `Policy.load` has set them, and peft's way would thaw the frozen ones."""

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        n_rows = len(inputs["advantages"])
        kept = inputs["advantages"].abs() > 1e-6
        if not kept.any():
            return sum(
                (pair.sum() * 0.0 for pair in model.parameters() if pair.requires_grad), torch.zeros(())
            )
        rows = {
            name: value[kept] if torch.is_tensor(value) and value.shape[:1] == (n_rows,) else value
            for name, value in inputs.items()
        }
        loss: torch.Tensor = cast(Any, super())._compute_loss(model, rows)
        return loss * (int(kept.sum()) / n_rows)  # the mean is over all episodes of the step

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Return (rows, logits_to_keep) log-probabilities, entropies likewise, and no auxiliary loss."""
        n_prompt = input_ids.shape[1] - logits_to_keep
        groups: dict[tuple[int, ...], list[int]] = {}
        completions = []
        for row, (ids, mask) in enumerate(zip(input_ids, attention_mask.bool(), strict=True)):
            groups.setdefault(tuple(ids[:n_prompt][mask[:n_prompt]].tolist()), []).append(row)
            completions.append(ids[n_prompt:][mask[n_prompt:]].tolist())
        policy = self.accelerator.unwrap_model(model).get_base_model()
        scored: list[Any] = [None] * len(completions)
        for prompt, rows in groups.items():
            how = [self.written[prompt, tuple(completions[row])] for row in rows]
            # All prompts of a step are scored before the first gradient: of each only the scores are kept till then.
            found = checkpoint(
                score_completions,
                policy,
                prompt,
                [completions[row][one.n_stem :] for row, one in zip(rows, how, strict=True)],
                stems=[completions[row][: one.n_stem] for row, one in zip(rows, how, strict=True)],
                biases=[one.biases for one in how],
                temperature=self.temperature,
                use_reentrant=False,
            )
            for row, one in zip(rows, found, strict=True):
                scored[row] = one

        stems = [
            len(completion) - len(one.logprobs) for completion, one in zip(completions, scored, strict=True)
        ]

        def padded(parts: Sequence[torch.Tensor]) -> torch.Tensor:
            """Put zeros where the model did not write: in front, what it was asked; behind, padding."""
            return torch.stack(
                [
                    torch.nn.functional.pad(part, (n, logits_to_keep - n - len(part)))
                    for part, n in zip(parts, stems, strict=True)
                ]
            )

        entropies = padded([one.entropies for one in scored]).detach() if compute_entropy else None
        return padded([one.logprobs for one in scored]), entropies, None


class Practised(Protocol):
    """What episodes are of: questions, or sheets of them."""

    @property
    def decoder(self) -> Decoder:
        """What writes."""

    @property
    def digest(self) -> str:
        """Says what is practised."""

    def __len__(self) -> int: ...

    def episodes(
        self,
        numbers: Sequence[int],
        n: int,
        *,
        searches: int,
        temperature: float,
        generator: torch.Generator,
    ) -> list[tuple[Any, AnswerRow]]:
        """Run n episodes of each; those of one behind one another."""


@dataclass(frozen=True, slots=True)
class _Completion:
    """How a completion was written. n_stem: tokens in front that the model did not write, shared by others.

    biases: gives what was added to the logits at each of the other places, (n_tokens, vocabulary).
    """

    n_stem: int
    biases: Callable[[], torch.Tensor]


class Rollouts:
    """Writes the episodes of a step; trl calls it with the rows' prompts, which are numbers of what is practised."""

    def __init__(
        self,
        policy: Policy,
        practice: Practised,
        *,
        searches: int,
        temperature: float,
        seed: int,
    ) -> None:
        """searches: most in an episode."""
        self.policy, self.practice = policy, practice
        self.searches, self.temperature, self.seed = searches, temperature, seed

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + trainer.state.global_step)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("prompt_ids", "completion_ids", "env_mask", "judged", "logprobs")
        }
        trainer.written = {}
        serving, decoder = self.policy.serving, self.practice.decoder
        with self.policy.writing():
            for numbers in self._together(prompts):
                for run, row in self.practice.episodes(
                    numbers,
                    prompts.count(str(numbers[0])),
                    searches=self.searches,
                    temperature=self.temperature,
                    generator=generator,
                ):
                    segments = run.episode.segments
                    first = next(i for i, (_, trained) in enumerate(segments) if trained)
                    prompt = decoder.generator.encode(segments[0][0])
                    stem = decoder.grammar.encode("".join(text for text, _ in segments[1:first]))
                    ids, mask = _tokens_written(run, decoder)
                    biases = partial(_biases, run, decoder, mask, serving.action)
                    trainer.written[tuple(prompt), (*stem, *ids)] = _Completion(len(stem), biases)
                    columns["prompt_ids"].append(prompt)
                    columns["completion_ids"].append([*stem, *ids])
                    columns["env_mask"].append([0] * len(stem) + mask)
                    columns["judged"].append(row)
                    columns["logprobs"].append([0.0] * len(stem) + _logprobs_told(run, mask))
        return {**columns, "logprobs": columns["logprobs"] if isinstance(decoder, EngineDecoder) else None}

    def _together(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return what is written together: on a CPU a few, whose weights are then read once, on CUDA everything."""
        numbers = [int(number) for number in dict.fromkeys(prompts)]
        on_cuda = self.policy.model.model.device.type == "cuda"
        size = len(numbers) if on_cuda else _TOGETHER
        return [numbers[at : at + size] for at in range(0, len(numbers), size)]


class Rewarded:
    """The reward as trl calls it, less the mean of its question's on its prompt; it logs what the episodes were like.

    trl takes off the mean of a group, which is then nothing; on a sheet its group has several questions.
    """

    __name__ = "reward"

    def __init__(self, prices: Prices) -> None:
        self.prices = prices

    def __call__(
        self, prompts: Sequence[Any], judged: Sequence[AnswerRow], log_metric: Any, **_: Any
    ) -> list[float | None]:
        expecting = [row for row in judged if row.expects_answer] or judged
        for name in ("f1", "citation_precision", "citation_recall"):
            log_metric(name, sum(getattr(row, name) for row in expecting) / len(expecting))
        right = [row.abstained != row.expects_answer for row in judged]
        log_metric("abstention_right", sum(right) / len(right))
        log_metric("searches", sum(row.n_searches for row in judged) / len(judged))
        log_metric("tokens", sum(row.completion_tokens for row in judged) / len(judged))
        of = [(str(prompt), row.question_id) for prompt, row in zip(prompts, judged, strict=True)]
        rewards = [reward(row, self.prices) for row in judged]
        worth: dict[tuple[str, str], list[float]] = {}
        for key, one in zip(of, rewards, strict=True):
            worth.setdefault(key, []).append(one)
        log_metric("mean_reward", sum(rewards) / len(rewards))
        log_metric("spread", sum(map(pstdev, worth.values())) / len(worth))
        log_metric("without_spread", sum(max(some) == min(some) for some in worth.values()) / len(worth))
        return [one - sum(worth[key]) / len(worth[key]) for key, one in zip(of, rewards, strict=True)]


def _biases(run: Any, decoder: Decoder, mask: Sequence[int], limits: ActionLimits) -> torch.Tensor:
    """Return what was added to the logits at each place, (tokens, vocabulary); zeros where it was not the model."""
    grammar = decoder.grammar
    rows = iter(
        row
        for action, start in zip(run.actions, run.starts, strict=True)
        for row in _places(start.state(grammar, limits), action.token_ids, decoder)
    )
    nothing = torch.zeros(grammar.size, dtype=torch.float16)
    return torch.stack([next(rows) if trained else nothing for trained in mask])


def _places(state: GrammarState, tokens: Sequence[int], decoder: Decoder) -> Iterator[torch.Tensor]:
    for token in tokens:
        bias = torch.zeros(decoder.grammar.size, dtype=torch.float16)
        bias.masked_fill_(~state.allowed(), float("-inf"))
        if state.decides is not None:
            bias[decoder.grammar.deciding(state.decides)] += decoder.generator.bias(state.decides, state)
        yield bias
        state.advance(token)


def _logprobs_told(run: Any, mask: Sequence[int]) -> list[float]:
    """Return what an engine says of each place (`training.rl.vllm_rollouts`); 0 where it was not the model."""
    told = iter([one for action in run.actions for one in getattr(action, "logprobs", ())])
    return [next(told, 0.0) if trained else 0.0 for trained in mask]


def _tokens_written(run: Any, decoder: Any) -> tuple[list[int], list[int]]:
    """Return what follows the first results: token ids, and 1 where the model wrote the token."""
    ids: list[int] = []
    mask: list[int] = []
    actions = iter(run.actions)
    for text, trained in run.episode.segments:
        if trained:
            part = list(next(actions).token_ids)
        elif ids:  # results of a search the model asked for
            part = decoder.grammar.encode(text)
        else:
            continue
        ids += part
        mask += [int(trained)] * len(part)
    return ids, mask
