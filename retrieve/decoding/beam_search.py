"""Beam search under the grammar, for several prompts at once, with what beams share in the cache once.

A plain beam search copies the cache of a prompt for every beam, at every token. Here the beams of a prompt form a tree
after it: a prompt is a row, every token of a beam a column, and a token sees the prompt, its own beam and itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from retrieve.decoding.generator import GeneratedTokens, Generator, is_late
from retrieve.decoding.kv_cache import KVCacheBatch
from retrieve.episode.grammar import Constraint
from retrieve.lm.attention_mask import added_masks, sliding_window

__all__ = ["NBest", "beam_search"]


@dataclass(frozen=True, slots=True)
class NBest:
    """The likeliest reports on one prompt, best first, and how many tokens the model read to find them."""

    generations: list[GeneratedTokens]
    n_tokens: int


@dataclass(slots=True)
class _Beam:
    """What follows a prompt, its log-probability in nats, and its place in the grammar.

    columns: of its tokens in the tree, but for the last one.
    """

    tokens: tuple[int, ...]
    logprob: float
    state: Constraint
    columns: tuple[int, ...] = ()


def beam_search(
    generator: Generator,
    batch: KVCacheBatch,
    states: Sequence[Constraint],
    min_logprobs: Sequence[float],
    *,
    n: int,
    max_tokens: int,
    deadline: float | None = None,
) -> list[NBest]:
    """Return for each prompt its n likeliest reports that do not abstain, searches aside.

    The batch is used up, the states stay. min_logprobs: for each prompt the log-probability below which no report is
    looked for, in nats. max_tokens: of a report. deadline: `time.monotonic()` value at which the search stops.
    """
    searches = [
        _Search(n, max_tokens, low, [_Beam((), 0.0, state)])
        for state, low in zip(states, min_logprobs, strict=True)
    ]
    active, logits, tree = searches, batch.logits.unsqueeze(1), _BeamTree(generator.model, batch)
    while True:
        for search, of_beams in zip(active, logits, strict=True):
            search.step(generator, of_beams)
        left = [row for row, search in enumerate(active) if search.beams]
        if not left or is_late(deadline):
            return [search.result() for search in searches]
        if len(left) < len(active):
            active = [active[row] for row in left]
            tree.select(left)
        logits = tree.extend([search.beams for search in active])
        for search in active:
            search.n_tokens += len(search.beams)


@dataclass(slots=True)
class _Search:
    """The search on one prompt. beams: those that are extended. n_tokens: read so far."""

    n: int
    max_tokens: int
    min_logprob: float
    beams: list[_Beam]
    finished: list[_Beam] = field(default_factory=list)
    n_tokens: int = 0

    def step(self, generator: Generator, logits: torch.Tensor) -> None:
        """Replace the beams by the likeliest ones with a token more. logits: (at least one a beam, vocabulary)."""
        beams = []
        for beam in self._extended(generator, logits[: len(self.beams)]):
            if beam.state.done:
                self.finished.append(beam)
            elif len(beam.tokens) < self.max_tokens:
                beams.append(beam)
        self.finished = sorted(self.finished, key=lambda beam: -beam.logprob)[: self.n]
        settled = len(self.finished) == self.n and all(
            beam.logprob <= self.finished[-1].logprob for beam in beams
        )
        self.beams = [] if settled else beams

    def result(self) -> NBest:
        """Return the finished reports."""
        return NBest(
            [GeneratedTokens(list(beam.tokens), beam.logprob) for beam in self.finished], self.n_tokens
        )

    def _extended(self, generator: Generator, logits: torch.Tensor) -> list[_Beam]:
        """Return the n likeliest beams with a token more."""
        scores, _ = generator.score(logits, [beam.state for beam in self.beams])
        for at, beam in enumerate(self.beams):
            if beam.state.decides is not None:  # neither a search nor an abstention is a candidate
                scores[at, generator.grammar.deciding(beam.state.decides)] = float("-inf")
        totals = scores + torch.tensor([[beam.logprob] for beam in self.beams], device=scores.device)
        best = totals.flatten().topk(self.n)
        extended = []
        for total, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if total < self.min_logprob or total == float("-inf"):
                break
            at, token = divmod(index, scores.shape[1])
            state = self.beams[at].state.fork()
            state.advance(token)
            extended.append(_Beam((*self.beams[at].tokens, token), total, state, self.beams[at].columns))
        return extended


class _BeamTree:
    """Prompts, one a row, with the beams after them."""

    def __init__(self, model: Any, batch: KVCacheBatch) -> None:
        """The batch is used up."""
        self.model, self.cache = model, batch.cache
        # A sliding layer would drop a prompt's places as if all beams stood one after another.
        self.cache.layers = [_without_window(layer) for layer in batch.cache.layers]
        self.prompts = batch.mask > 0  # (rows, places)
        self.positions = (batch.mask.cumsum(dim=1) - 1).clamp(min=0)  # (rows, columns)
        window = sliding_window(model)
        self.n_gone = 0 if window is None else max(0, batch.mask.shape[1] - (window - 1))

    def select(self, rows: Sequence[int]) -> None:
        """Keep the prompts of these numbers only."""
        kept = torch.tensor(rows, device=self.prompts.device)
        self.cache.reorder_cache(kept)
        self.prompts, self.positions = self.prompts[kept], self.positions[kept]

    def extend(self, beams: Sequence[Sequence[_Beam]]) -> torch.Tensor:
        """Run the last token of each row's beams, which are all of one length, and give each token its column.

        Returns the logits of the next token, (rows, most beams of a row, vocabulary).
        """
        device, n_rows, n_new = self.prompts.device, len(beams), max(map(len, beams))
        n_prompt, n_columns = self.prompts.shape[1], self.positions.shape[1]
        ids = torch.zeros((n_rows, n_new), dtype=torch.long, device=device)
        allowed = torch.zeros((n_rows, n_new, n_columns + n_new), dtype=torch.bool, device=device)
        allowed[:, :, :n_prompt] = self.prompts.unsqueeze(1)
        # A place without a beam sees itself, too: attention over nothing is not a number.
        allowed[:, range(n_new), range(n_columns, n_columns + n_new)] = True
        for row, of_row in enumerate(beams):
            for at, beam in enumerate(of_row):
                ids[row, at] = beam.tokens[-1]
                allowed[row, at, list(beam.columns)] = True
                beam.columns = (*beam.columns, n_columns + at)
        depth = next(len(beam.tokens) for of_row in beams for beam in of_row)
        new = (self.positions[:, n_prompt - 1 : n_prompt] + depth).expand(-1, n_new)
        self.positions = torch.cat([self.positions, new], dim=1)
        masks = added_masks(self.model, allowed, self.positions, n_read=n_columns, n_gone=self.n_gone)
        output = self.model(
            input_ids=ids,
            attention_mask=masks,
            position_ids=new,
            past_key_values=self.cache,
            use_cache=True,
        )
        logits: torch.Tensor = output.logits.float()
        return logits


def _without_window(layer: Any) -> Any:
    """Return a cache layer with the same tensors that drops nothing from here on."""
    from transformers.cache_utils import DynamicLayer

    if not layer.is_sliding:
        return copy.copy(layer)
    whole: Any = DynamicLayer()  # type: ignore[no-untyped-call]
    whole.lazy_initialization(layer.keys, layer.values)
    whole.keys, whole.values = layer.keys, layer.values
    return whole
