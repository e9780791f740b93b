"""A document on its way through the prep model: its units, its windows, and the states that these gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from prep.document import Document, Floats
from prep.errors import ConfigError
from prep.model.encoder import Encoder
from prep.model.markup import Markup
from prep.model.units import Unit

__all__ = ["PageReading", "PageWindow", "PiecePlace", "join_states", "pool_units"]


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


def pool_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Mean and first of the states (tokens, d) between neighbouring edges; zeros where a unit has no token."""
    counts = np.diff(edges)
    told = counts > 0
    pooled = np.zeros((len(counts), 2 * states.shape[1]), dtype=np.float32)
    if told.any():
        starts = edges[:-1][told]
        sums = np.add.reduceat(states[: edges[-1]], starts, axis=0)
        pooled[told] = np.concatenate([sums / counts[told, None], states[starts]], axis=1)
    return pooled


def join_states(pieces: Sequence[PiecePlace], encoder: Encoder, layers: int) -> list[Floats]:
    """Return the states (tokens, d) of pieces after the lower layers: header, text, and special tokens around both.

    The text's are those of its window; the header is read by itself. Raises ConfigError for pages without token states.
    """
    headers = list(dict.fromkeys(tuple(header) for _, _, _, header in pieces))
    told: dict[tuple[int, ...], Floats] = {}
    for batch in encoder.states(headers, layers=layers, specials=True):
        for at, row in enumerate(batch.rows):
            told[headers[row]] = batch.states[at, : batch.lengths[at]].float().numpy()
    edges = {id(page): page.token_edges() for page, _, _, _ in pieces}
    found = []
    for page, first, last, header in pieces:
        if page.token_states is None:
            raise ConfigError("the page has no token states: it takes shared vectors and add_states")
        around, ends = told[tuple(header)], edges[id(page)]
        before = len(around) - len(encoder.suffix)
        body = page.token_states[ends[first] : ends[last]]
        found.append(np.concatenate([around[:before], body, around[before:]]))
    return found
