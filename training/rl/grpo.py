"""Episodes in trl's `GRPOTrainer`: how they are generated, rewarded and scored.

Made cheap, with the same numbers. A prompt is read once for all its episodes, and on a CPU the passages of a packed
example once for all its questions: in generation (`retrieve.decoding.decoder`; a few questions together on a CPU, all
of a step on CUDA) and in scoring (`training.traces.packed_logprobs`), both under the grammar. The low-rank pairs are
merged while episodes are generated. Episodes with the mean reward of their question are not scored. trl's engines know
neither our grammar nor a search in the middle of an episode, so episodes come by `rollout_func`, also where vLLM
generates them (`training.rl.vllm_rollouts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import pstdev
from typing import Any, cast

import torch
from torch.utils.checkpoint import checkpoint
from trl.trainer.grpo_trainer import GRPOTrainer

from retrieve.decoding.decoder import Decoder
from retrieve.episode.grammar import ActionLimits, GrammarState
from training.evaluation.environment import Environment
from training.metrics.results import AnswerRow
from training.rewards import Prices, reward
from training.rl.policy import Policy
from training.rl.vllm_rollouts import EngineDecoder
from training.traces.packed_logprobs import score_completions

__all__ = ["EpisodeTrainer", "RewardFunction", "Rollouts"]

_CPU_BATCH = 6  # questions or packed examples whose episodes are generated together on a CPU


class EpisodeTrainer(GRPOTrainer):
    """trl's trainer, scoring each prompt once for all its completions, and only where rewards differ.

    generated: (prompt, completion) → how it was generated, of the step at hand; set by `Rollouts`.
    """

    generated: dict[tuple[tuple[int, ...], tuple[int, ...]], _Completion]

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
            how = [self.generated[prompt, tuple(completions[row])] for row in rows]
            # All prompts of a step are scored before the first gradient: only their scores are kept in memory.
            found = checkpoint(
                score_completions,
                policy,
                prompt,
                [completions[row][one.n_prefix :] for row, one in zip(rows, how, strict=True)],
                prefixes=[completions[row][: one.n_prefix] for row, one in zip(rows, how, strict=True)],
                biases=[one.biases for one in how],
                temperature=self.temperature,
                use_reentrant=False,
            )
            for row, one in zip(rows, found, strict=True):
                scored[row] = one

        prefixes = [
            len(completion) - len(one.logprobs) for completion, one in zip(completions, scored, strict=True)
        ]

        def padded(parts: Sequence[torch.Tensor]) -> torch.Tensor:
            """Put zeros where the model did not write: the shared prefix in front, padding behind."""
            return torch.stack(
                [
                    torch.nn.functional.pad(part, (n, logits_to_keep - n - len(part)))
                    for part, n in zip(parts, prefixes, strict=True)
                ]
            )

        entropies = padded([one.entropies for one in scored]).detach() if compute_entropy else None
        return padded([one.logprobs for one in scored]), entropies, None


@dataclass(frozen=True, slots=True)
class _Completion:
    """How a completion was generated. n_prefix: tokens in front that the model did not write, shared with
    others.

    biases: returns the biases of the logits at each of the other tokens, (n_tokens, vocabulary).
    """

    n_prefix: int
    biases: Callable[[], torch.Tensor]


class Rollouts:
    """Generates the episodes of a step; trl calls it with the rows' prompts, which are numbers of the environment."""

    def __init__(
        self,
        policy: Policy,
        environment: Environment,
        *,
        searches: int,
        temperature: float,
        seed: int,
    ) -> None:
        """searches: most in an episode."""
        self.policy, self.environment = policy, environment
        self.searches, self.temperature, self.seed = searches, temperature, seed

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + trainer.state.global_step)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("prompt_ids", "completion_ids", "env_mask", "judged", "logprobs")
        }
        trainer.generated = {}
        serving, decoder = self.policy.serving, self.environment.decoder
        with self.policy.generating():
            for numbers in self._batches(prompts):
                for run, row in self.environment.episodes(
                    numbers,
                    prompts.count(str(numbers[0])),
                    searches=self.searches,
                    temperature=self.temperature,
                    generator=generator,
                ):
                    segments = run.episode.segments
                    first = next(i for i, (_, trained) in enumerate(segments) if trained)
                    prompt = decoder.generator.encode(segments[0][0])
                    prefix = decoder.grammar.encode("".join(text for text, _ in segments[1:first]))
                    ids, mask = _generated_tokens(run, decoder)
                    biases = partial(_biases, run, decoder, mask, serving.action)
                    trainer.generated[tuple(prompt), (*prefix, *ids)] = _Completion(len(prefix), biases)
                    columns["prompt_ids"].append(prompt)
                    columns["completion_ids"].append([*prefix, *ids])
                    columns["env_mask"].append([0] * len(prefix) + mask)
                    columns["judged"].append(row)
                    columns["logprobs"].append([0.0] * len(prefix) + _engine_logprobs(run, mask))
        return {**columns, "logprobs": columns["logprobs"] if isinstance(decoder, EngineDecoder) else None}

    def _batches(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the numbers generated together: a few on a CPU, so that weights are read once for all, all on CUDA."""
        numbers = [int(number) for number in dict.fromkeys(prompts)]
        on_cuda = self.policy.model.model.device.type == "cuda"
        size = len(numbers) if on_cuda else _CPU_BATCH
        return [numbers[at : at + size] for at in range(0, len(numbers), size)]


class RewardFunction:
    """The advantage as trl's reward function: the reward less the mean of its question's; it logs figures of the step.

    trl subtracts the mean of a group, which is then 0; a group of a packed example has several questions.
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
        keys = [(str(prompt), row.question_id) for prompt, row in zip(prompts, judged, strict=True)]
        rewards = [reward(row, self.prices) for row in judged]
        by_question: dict[tuple[str, str], list[float]] = {}
        for key, one in zip(keys, rewards, strict=True):
            by_question.setdefault(key, []).append(one)
        log_metric("mean_reward", sum(rewards) / len(rewards))
        log_metric("spread", sum(map(pstdev, by_question.values())) / len(by_question))
        log_metric(
            "without_spread", sum(max(some) == min(some) for some in by_question.values()) / len(by_question)
        )
        return [
            one - sum(by_question[key]) / len(by_question[key])
            for key, one in zip(keys, rewards, strict=True)
        ]


def _biases(run: Any, decoder: Decoder, mask: Sequence[int], limits: ActionLimits) -> torch.Tensor:
    """Return the biases of the logits at each token, (tokens, vocabulary); zeros where the model did not write."""
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


def _engine_logprobs(run: Any, mask: Sequence[int]) -> list[float]:
    """Return the engine's log-probability of each token (`EngineAction`), 0 where the model did not write."""
    logprobs = iter([one for action in run.actions for one in getattr(action, "logprobs", ())])
    return [next(logprobs, 0.0) if trained else 0.0 for trained in mask]


def _generated_tokens(run: Any, decoder: Any) -> tuple[list[int], list[int]]:
    """Return the tokens after the first results and question: their ids, and 1 where the model wrote the token."""
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
