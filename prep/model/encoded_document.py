"""A document on its way through the prep model: its units, its windows, and the encoder states of both."""

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
from prep.model.windows import plan_windows

__all__ = ["ChunkUnits", "EncodedDocument", "TokenWindow", "chunk_states", "pool_units", "token_windows"]


@dataclass(slots=True)
class EncodedDocument:
    """A document, or a part of one: its units with their tokens, its markup and line features, its encoder states.

    states: (n_units, 2 * d) float32, mean and first lower-layer state of each unit; None before `PrepModel.add_states`.
    token_states: (n_tokens, d) float32, lower-layer states of the units' tokens in order, only where vectors are made
    from them. open_headings: level and name of the headings that enclose the beginning, for a part of a document.
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
        """Return (n_units + 1,) int64: unit i has the tokens [edges[i], edges[i + 1])."""
        return np.cumsum([0, *(len(ids) for ids in self.tokens)], dtype=np.int64)


#: A chunk before it has a vector: its document, its units [first, last), and the token ids of its header.
ChunkUnits: TypeAlias = tuple[EncodedDocument, int, int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """Tokens that the encoder reads together. Units [first, last) of a document take their states from this window.

    page: the document's place among those read together. edges: (last - first + 1,) int64, where those units begin and
    end among the tokens.
    """

    page: int
    first: int
    last: int
    tokens: list[int]
    edges: np.ndarray[Any, np.dtype[np.int64]]


def token_windows(
    pages: Sequence[EncodedDocument], titles: Sequence[Sequence[int]], max_tokens: int, overlap_tokens: int
) -> list[TokenWindow]:
    """Return the windows of documents, of at most `max_tokens`, each beginning with the document's title.

    titles: token ids, one title a document; an eighth of a window is their limit. The units that windows own tile the
    units of every document.
    """
    windows: list[TokenWindow] = []
    for number, (page, title) in enumerate(zip(pages, titles, strict=True)):
        prefix = title[: max_tokens // 8]
        budget = max_tokens - len(prefix)
        for ids in page.tokens:
            del ids[budget:]  # only where a tokenizer counts the pieces of a cut word differently
        counts = [len(ids) for ids in page.tokens]
        for window in plan_windows(counts, budget, min(overlap_tokens, budget // 2)):
            if window.own_end == window.own_start:
                continue
            tokens = list(prefix)
            for unit in range(window.start, window.end):
                tokens.extend(page.tokens[unit])
            before = len(prefix) + sum(counts[window.start : window.own_start])
            edges = np.cumsum([before, *counts[window.own_start : window.own_end]])
            windows.append(TokenWindow(number, window.own_start, window.own_end, tokens, edges))
    return windows


def pool_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Return mean and first state of every unit, (n_units, 2 * d) float32; zeros for a unit without tokens.

    states: (tokens, d). edges: (n_units + 1,), ascending.
    """
    counts = np.diff(edges)
    filled = counts > 0
    pooled = np.zeros((len(counts), 2 * states.shape[1]), dtype=np.float32)
    if filled.any():
        starts = edges[:-1][filled]
        sums = np.add.reduceat(states[: edges[-1]], starts, axis=0)
        pooled[filled] = np.concatenate([sums / counts[filled, None], states[starts]], axis=1)
    return pooled


def chunk_states(chunks: Sequence[ChunkUnits], encoder: Encoder, layers: int) -> list[Floats]:
    """Return the states of chunks after the lower layers, (tokens, d) each: header, text, special tokens around both.

    The text has the states of its windows; headers are encoded alone. Raises ConfigError for documents without token
    states.
    """
    headers = list(dict.fromkeys(tuple(header) for _, _, _, header in chunks))
    header_states: dict[tuple[int, ...], Floats] = {}
    for batch in encoder.states(headers, layers=layers, specials=True):
        for at, row in enumerate(batch.rows):
            header_states[headers[row]] = batch.states[at, : batch.lengths[at]].float().numpy()
    edges = {id(page): page.token_edges() for page, _, _, _ in chunks}
    found = []
    for page, first, last, header in chunks:
        if page.token_states is None:
            raise ConfigError('the document has no token states: they need vectors="shared" and add_states')
        around, ends = header_states[tuple(header)], edges[id(page)]
        before = len(around) - len(encoder.suffix)
        body = page.token_states[ends[first] : ends[last]]
        found.append(np.concatenate([around[:before], body, around[before:]]))
    return found
