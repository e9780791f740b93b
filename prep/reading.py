"""A document on its way through the prep model: what is known of its units, its windows and its cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from prep.document import Document, Floats, Role
from prep.markup import Markup
from prep.segment import ChunkLimits, LengthPrior, segment
from prep.units import Unit

__all__ = ["CutPlan", "PageReading", "PageWindow", "PiecePlace", "pool_units"]


@dataclass(slots=True)
class PageReading:
    """A document on its way through the model: units and their tokens, markup, and what the passes found.

    states: (n_units, 2 * d) mean and first lower-layer state of each unit. token_states: (n_tokens, d) lower-layer
    states of the units' tokens, one unit after the other, only where vectors are made from them. open_headings:
    what encloses the beginning, where this is not a whole document.
    """

    document: Document
    units: list[Unit]
    tokens: list[list[int]]
    marks: Markup
    surface: Floats
    states: Floats | None = None
    token_states: Floats | None = None
    open_headings: list[tuple[float, str]] = field(default_factory=list)

    def token_edges(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return (n_units + 1,) where the units begin and end among the tokens."""
        return np.cumsum([0, *(len(ids) for ids in self.tokens)], dtype=np.int64)


#: A piece of a page: its units [first, last), and the token ids of its header.
PiecePlace: TypeAlias = tuple[PageReading, int, int, Sequence[int]]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """What `prep.segment` chooses the cuts by, and what the pieces are then called.

    For every unit: its tokens, those of the header of a piece that starts there, what a break after it is worth, its
    role, and the headings that enclose it. headers: headings → token ids. open_headings: what is still open at the end.
    """

    counts: list[int]
    header_tokens: list[int]
    scores: list[float]
    limits: ChunkLimits
    prior: LengthPrior
    roles: list[Role]
    paths: list[tuple[str, ...]]
    headers: dict[tuple[str, ...], list[int]]
    open_headings: list[tuple[float, str]]

    def cuts(self) -> list[tuple[int, int]]:
        """Return the best pieces, as unit ranges [first, last) that tile the page."""
        return segment(self.counts, self.header_tokens, self.scores, self.limits, self.prior)

    def header(self, unit: int) -> list[int]:
        """Return the token ids of the header of a piece that starts at this unit."""
        return self.headers[self.paths[unit]]


def pool_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Mean and first of the states (tokens, d) between neighbouring edges; zeros where a unit has no token."""
    cumulated = np.concatenate(
        [np.zeros((1, states.shape[1])), np.cumsum(states[edges[0] : edges[-1]], axis=0, dtype=np.float64)]
    )
    counts = np.diff(edges)[:, None]
    relative = edges - edges[0]
    means = (cumulated[relative[1:]] - cumulated[relative[:-1]]) / np.maximum(counts, 1)
    firsts = np.zeros_like(means)
    told = counts[:, 0] > 0
    firsts[told] = states[edges[:-1][told]]
    pooled: Floats = np.concatenate([means, firsts], axis=1).astype(np.float32)
    return pooled
