"""Prefill prompts and generate actions under the grammar: the language model, its tokenizer and the decision biases.

Equal text is prefilled once: equal prompts, equal results (on a CPU each by themselves, elsewhere padded on the left
and together), and what all prompts begin with. `retrieve.decoding.decoder` puts second retrieval and reranking on top.
Log-probabilities are those of the constrained distribution, in nats.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from retrieve.decoding.kv_cache import KVCacheBatch, copy_cache
from retrieve.episode.episode import PromptParts
from retrieve.episode.grammar import Constraint, Decision, Grammar
from retrieve.lm.attention_mask import sliding_window

__all__ = ["GeneratedTokens", "Generator", "Prefill", "PrefixCache", "is_late"]

_MIN_SHARED_TOKENS = 32  # fewer are not worth a pass of their own


def is_late(deadline: float | None) -> bool:
    """Whether the deadline, a `time.monotonic()` value, has passed."""
    return deadline is not None and time.monotonic() > deadline


@dataclass(slots=True)
class GeneratedTokens:
    """The tokens of one action, their log-probability together, and the margins of its decisions."""

    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    margins: dict[Decision, float] = field(default_factory=dict)


@dataclass(slots=True)
class PrefixCache:
    """The prompt of one episode as far as the model has read it, so that its next action starts from there.

    ids: of the prompt and the action after it; the cache holds all but the last. text: of the same.
    """

    ids: list[int] = field(default_factory=list)
    text: str = ""
    cache: Any = None

    def n_cached_characters(self, prompt: str) -> int:
        """Return how many characters of a prompt are cached: all of `text`, or 0 where the prompt begins otherwise."""
        return len(self.text) if prompt.startswith(self.text) else 0


@dataclass(frozen=True, slots=True)
class Prefill:
    """Prefilled prompts. encoded: token ids of each. results: caches of their results alone, None where not kept."""

    encoded: list[list[int]]
    batch: KVCacheBatch
    results: list[Any]


class Generator:
    """A causal LM with its tokenizer and grammar."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        abstention_bias: float = 0.0,
        abstention_bias_after_search: float | None = None,
        search_bias: float = 0.0,
    ) -> None:
        """Biases are added to the logits of abstaining and of searching once more.

        abstention_bias_after_search: replaces abstention_bias after a second search.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.biases: dict[Decision, float] = {"abstain": abstention_bias, "search": search_bias}
        self.abstention_bias_after_search = abstention_bias_after_search
        self.grammar = Grammar(tokenizer, model.get_input_embeddings().weight.shape[0])

    def bias(self, decision: Decision, state: Constraint) -> float:
        """Return the number that is added to the logit of the token that decides."""
        if decision == "abstain" and state.n_searches > 1 and self.abstention_bias_after_search is not None:
            return self.abstention_bias_after_search
        return self.biases[decision]

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of a prompt, the beginning-of-text token in front.

        The text of the base's own control tokens is text in a prompt.
        """
        ids = self.grammar.encode(prompt)
        return ids if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id, *ids]

    def prefill(
        self,
        prompts: Sequence[str],
        prefix: PrefixCache | None = None,
        parts: Sequence[PromptParts | None] = (),
        *,
        keep_results: bool = False,
    ) -> Prefill:
        """Prefill distinct prompts.

        prefix: of a single prompt; its cache is used up. parts: the two parts of each prompt, None after a second
        search. keep_results: return caches of the results alone, where all parts are known.
        """
        if prefix is not None and (n_cached := prefix.n_cached_characters(prompts[0])):
            encoded = [[*prefix.ids, *self.grammar.encode(prompts[0][n_cached:])]]
            return Prefill(encoded, self._extend(encoded, prefix.cache, len(prefix.ids) - 1), [None])
        # On a CPU rows gain nothing from each other and lose much to padding.
        one_by_one = self.model.device.type == "cpu" and len(prompts) > 1
        known = [part for part in parts if part is not None]
        if (one_by_one or keep_results) and len(known) == len(prompts):
            return self._prefill_by_results(prompts, known)
        encoded = [self.encode(prompt) for prompt in prompts]
        n_cached, cache = self._prefill_shared(encoded)
        return Prefill(encoded, self._extend(encoded, cache, n_cached), [None] * len(prompts))

    def prefill_text(self, ids: Sequence[int]) -> Any:
        """Return the cache of one text."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        self.model(
            input_ids=torch.tensor([ids], device=self.model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return cache

    def _prefill_by_results(self, prompts: Sequence[str], parts: Sequence[PromptParts]) -> Prefill:
        """Prefill distinct results once each, and on a copy of their cache the rest of each prompt."""
        known: dict[str, tuple[int, Any]] = {}
        for part in parts:
            if part.results not in known:
                ids = self.encode(part.results)
                known[part.results] = len(ids), self.prefill_text(ids)
        encoded = [self.encode(prompt) for prompt in prompts]
        batches = [
            self._extend([ids], copy_cache(cache), n_cached)
            for ids, (n_cached, cache) in zip(encoded, (known[part.results] for part in parts), strict=True)
        ]
        batch = batches[0] if len(batches) == 1 else KVCacheBatch.concat(batches)
        return Prefill(encoded, batch, [known[part.results][1] for part in parts])

    def _extend(self, encoded: Sequence[Sequence[int]], cache: Any, n_cached: int) -> KVCacheBatch:
        """Prefill what follows place n_cached of the prompts' ids, padded to the longest."""
        device, pad = self.model.device, self.tokenizer.pad_token_id
        width = max(map(len, encoded))
        ids = torch.tensor([[*[pad] * (width - len(row)), *row] for row in encoded], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in encoded], device=device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        padded = width != min(map(len, encoded))
        logits = self.forward(cache, ids[:, n_cached:], mask if padded else None, positions[:, n_cached:])
        return KVCacheBatch(cache, mask, positions[:, -1:], padded, logits)

    def _prefill_shared(self, prompts: Sequence[list[int]]) -> tuple[int, Any]:
        """Prefill what all prompts begin with, once, as if each were padded on the left to the longest.

        Returns how many places of each are cached, and the cache; 0 and an empty one where too little is shared. Places
        that a sliding window would drop are not shared: a shorter prompt still sees them.
        """
        from transformers import DynamicCache

        first, last = min(prompts), max(prompts)
        shorter = min(map(len, prompts)) - 1  # each prompt keeps a token of its own
        n_shared = next((n for n in range(shorter) if first[n] != last[n]), shorter)
        if (window := sliding_window(self.model)) is not None:
            n_shared = min(n_shared, window - 1)
        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        if len(prompts) < 2 or n_shared - max(padding) < _MIN_SHARED_TOKENS:
            return 0, DynamicCache(config=self.model.config)
        cache = self.prefill_text(first[:n_shared])
        for layer in cache.layers:
            layer.keys, layer.values = (
                torch.cat([nn.functional.pad(read, (0, 0, n, 0))[:, :, :n_shared] for n in padding])
                for read in (layer.keys, layer.values)
            )
        return n_shared, cache

    def generate(
        self,
        batch: KVCacheBatch,
        states: Sequence[Constraint],
        temperature: float = 0.0,
        rng: torch.Generator | None = None,
        deadline: float | None = None,
    ) -> list[GeneratedTokens]:
        """Generate after a batch, each row under its state, until all are done or the deadline has come.

        The batch is used up and the states advance. deadline: `time.monotonic()` value.
        """
        device = self.model.device
        generations = [GeneratedTokens(margins=dict.fromkeys(self.biases, float("nan"))) for _ in states]
        active = list(range(len(states)))
        while True:
            chosen = self._choose(batch.logits, [states[row] for row in active], temperature, rng)
            step: list[int] = []
            for row, token, logprob, margin in zip(active, *chosen, strict=True):
                if (decision := states[row].decides) is not None:
                    generations[row].margins[decision] = margin
                states[row].advance(token)
                generations[row].tokens.append(token)
                generations[row].logprob += logprob
                step.append(token)
            left = [at for at, row in enumerate(active) if not states[row].done]
            if not left or is_late(deadline):
                return generations
            if len(left) < len(active):  # finished rows leave the batch
                batch, active = batch.select(left), [active[at] for at in left]
            mask = torch.cat(
                [batch.mask, torch.ones((len(left), 1), dtype=batch.mask.dtype, device=device)], dim=1
            )
            positions = batch.positions + 1
            ids = torch.tensor([step[at] for at in left], device=device).unsqueeze(1)
            logits = self.forward(batch.cache, ids, mask if batch.padded else None, positions)
            batch = replace(batch, mask=mask, positions=positions, logits=logits)

    def forward(self, cache: Any, ids: torch.Tensor, mask: Any, positions: torch.Tensor) -> torch.Tensor:
        """Run ids, (rows, n), after a cache; return the logits (rows, vocabulary) of the next token."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _choose(
        self,
        logits: torch.Tensor,
        states: Sequence[Constraint],
        temperature: float,
        rng: torch.Generator | None,
    ) -> tuple[list[int], list[float], list[float]]:
        """Return each row's token, its log-probability, and the margin of the decision, nan where there is none.

        logits: (rows, vocabulary). Random numbers are drawn on the CPU, one a row, so that a seed means the same on
        every device.
        """
        scores, margins = self.score(logits, states)
        if temperature > 0:
            up_to = torch.softmax(scores.double() / temperature, dim=-1).cumsum(dim=-1)
            drawn = torch.rand(len(states), 1, generator=rng, dtype=torch.float64).to(logits.device)
            tokens = torch.searchsorted(up_to, drawn * up_to[:, -1:], right=True).clamp(
                max=scores.shape[1] - 1
            )
        else:
            tokens = scores.argmax(dim=-1, keepdim=True)
        return tokens[:, 0].tolist(), scores.gather(1, tokens)[:, 0].tolist(), margins

    def score(self, logits: torch.Tensor, states: Sequence[Constraint]) -> tuple[torch.Tensor, list[float]]:
        """Return the log-probabilities (rows, vocabulary) under the grammar and the biases, and the margins.

        A margin is the logit of the deciding token less the best other one, without the bias.
        """
        allowed = torch.stack([state.allowed() for state in states]).to(logits.device)
        scores = logits.masked_fill(~allowed, float("-inf"))
        margins = [float("nan")] * len(states)
        for decision in self.biases:
            rows = [row for row, state in enumerate(states) if state.decides == decision]
            if not rows:
                continue
            token = self.grammar.deciding(decision)
            others = scores[rows]
            others[:, token] = float("-inf")
            for row, margin in zip(
                rows, (logits[rows, token] - others.max(dim=-1).values).tolist(), strict=True
            ):
                margins[row] = margin
            scores[rows, token] += torch.tensor(
                [self.bias(decision, states[row]) for row in rows], device=scores.device
            )
        return torch.log_softmax(scores, dim=-1), margins
