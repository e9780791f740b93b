"""Segmentation by dynamic programming: where to cut, given a score for every candidate break.

Chooses, among all segmentations whose pieces fit, the one that maximises the break scores less a price for
pieces far from the wanted length. Exact and deterministic; where the scores come from is left to
`prep.model.heads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prep.errors import ConfigError

__all__ = ["ChunkLimits", "LengthPrior", "length_prices", "segment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """How large a chunk may be, in tokens of the prep model's tokenizer, header included."""

    target_tokens: int = 128
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.target_tokens <= self.max_tokens:
            raise ConfigError(
                f"target_tokens={self.target_tokens!r} must lie in 1..{self.max_tokens} (max_tokens)"
            )
        if self.max_tokens < 16:
            raise ConfigError(f"max_tokens={self.max_tokens!r} must be at least 16")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPrior:
    """The price of a piece's length: weight * (log(length / target))**2, lighter above the target or below.

    short, long: weights below and above the target.
    """

    short: float = 1.0
    long: float = 1.0

    def __post_init__(self) -> None:
        if self.short < 0 or self.long < 0:
            raise ConfigError(f"length weights short={self.short!r}, long={self.long!r} must not be negative")


def segment(
    unit_tokens: Sequence[int],
    header_tokens: Sequence[int],
    break_scores: Sequence[float],
    limits: ChunkLimits,
    prior: LengthPrior | None = None,
) -> list[tuple[int, int]]:
    """Return pieces as unit ranges [first, last), in order, tiling all units.

    unit_tokens: tokens of each unit. header_tokens: tokens of the header of a piece starting at that unit.
    break_scores: what a break after that unit is worth (the last one's is ignored). A piece costs its header
    and its units, and never more than limits.max_tokens unless a single unit does. Ties go to the longer last
    piece. Time grows with units times the units that fit one piece.
    """
    n_units = len(unit_tokens)
    if n_units == 0:
        return []
    weights = prior or LengthPrior()
    tokens = np.asarray(unit_tokens, dtype=np.int64)
    headers = np.asarray(header_tokens, dtype=np.int64)
    scores = np.asarray(break_scores, dtype=np.float64)
    if not len(tokens) == len(headers) == len(scores):
        raise ConfigError(
            f"units, headers and scores differ in number: {len(tokens)}, {len(headers)}, {len(scores)}"
        )
    ends = np.concatenate([[0], np.cumsum(np.maximum(tokens, 1))])
    price = length_prices(limits, weights)
    best = np.full(n_units + 1, -np.inf)
    best[0] = 0.0
    previous = np.zeros(n_units + 1, dtype=np.int64)
    low = 0
    for end in range(1, n_units + 1):
        while ends[end] - ends[low] > limits.max_tokens and low < end - 1:
            low += 1
        lengths = headers[low:end] + ends[end] - ends[low:end]
        values = np.where(
            lengths <= limits.max_tokens,
            best[low:end] - price[np.minimum(lengths, limits.max_tokens)],
            -np.inf,
        )
        at = int(np.argmax(values))
        if values[at] == -np.inf:
            at = end - 1 - low  # a single unit above the limit stands alone
            values[at] = best[end - 1] - price[limits.max_tokens]
        best[end] = values[at] + (scores[end - 1] if end < n_units else 0.0)
        previous[end] = low + at
    pieces: list[tuple[int, int]] = []
    end = n_units
    while end > 0:
        pieces.append((int(previous[end]), end))
        end = int(previous[end])
    return pieces[::-1]


def length_prices(limits: ChunkLimits, prior: LengthPrior) -> npt.NDArray[np.float64]:
    """Return the price of a piece of 0, 1, … limits.max_tokens tokens."""
    lengths = np.arange(limits.max_tokens + 1, dtype=np.float64)
    ratio = np.log(np.maximum(lengths, 1.0) / limits.target_tokens)
    prices: npt.NDArray[np.float64] = np.where(ratio < 0, prior.short, prior.long) * ratio**2
    return prices
