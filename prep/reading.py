"""A document on its way through the prep model: what is known of its units, its windows and its cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prep.document import Document, Floats, Role
from prep.markup import Markup
from prep.segment import ChunkLimits
from prep.units import Unit

__all__ = ["CutPlan", "PageReading", "PageWindow", "pool_pieces", "pool_units", "sum_units"]


@dataclass(slots=True)
class PageReading:
    """A document on its way through the model: units and their tokens, markup, and what the passes found.

    states: (n_units, 2 * d) mean and first lower-layer state of each unit. sums: (n_units, d) summed
    last-layer states, only where vectors are pooled late.
    """

    document: Document
    units: list[Unit]
    tokens: list[list[int]]
    marks: Markup
    surface: Floats
    states: Floats | None = None
    sums: Floats | None = None


@dataclass(frozen=True, slots=True)
class PageWindow:
    """Tokens read together: of which page, and which of its units [first, last) take their states from here.

    edges: (last - first + 1,) where those units begin and end among the tokens.
    """

    page: int
    first: int
    last: int
    tokens: list[int]
    edges: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class CutPlan:
    """What `prep.segment` chooses the cuts by, and what the pieces are then called.

    For every unit: its tokens, those of the header of a piece that starts there, what a break after it is worth, its
    role, and the headings that enclose it. headers: headings → token ids.
    """

    counts: list[int]
    header_tokens: list[int]
    scores: list[float]
    limits: ChunkLimits
    roles: list[Role]
    paths: list[tuple[str, ...]]
    headers: dict[tuple[str, ...], list[int]]


def sum_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Sum states (tokens, d) between neighbouring edges; zeros where a unit has no token."""
    cumulated = np.concatenate(
        [np.zeros((1, states.shape[1])), np.cumsum(states[edges[0] : edges[-1]], axis=0, dtype=np.float64)]
    )
    relative = edges - edges[0]
    sums: Floats = (cumulated[relative[1:]] - cumulated[relative[:-1]]).astype(np.float32)
    return sums


def pool_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Mean and first state of every unit, side by side; zeros where a unit has no token."""
    counts = np.diff(edges)[:, None]
    means = sum_units(states, edges) / np.maximum(counts, 1)
    firsts = np.zeros_like(means)
    told = counts[:, 0] > 0
    firsts[told] = states[edges[:-1][told]]
    pooled: Floats = np.concatenate([means, firsts], axis=1).astype(np.float32)
    return pooled


def pool_pieces(sums: Floats, pieces: Sequence[tuple[int, int]]) -> Floats:
    """Return the vectors of pieces [first, last) of units, (n_pieces, d), normalised; sums: (n_units, d) of states."""
    edges = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0, dtype=np.float64)])
    pooled = np.stack([edges[last] - edges[first] for first, last in pieces])
    vectors: Floats = (pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)).astype(
        np.float32
    )
    return vectors
