"""Passages in memory, prepared and ranked as the store does it: what traces are built over before a store exists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from prep.document import Document, Floats
from prep.errors import ConfigError
from prep.ingest import Preparer
from prep.lexical import LexicalIndex, hybrid_scores
from retrieve.episode import Passage

__all__ = ["PassagePool"]


class _QueryEncoder(Protocol):
    def encode_queries(self, queries: Sequence[str], /) -> Floats: ...


class _PrepModel(Preparer, _QueryEncoder, Protocol):
    pass


@dataclass(frozen=True, slots=True)
class PassagePool:
    """Passages with their vectors (n, d) and words, searched exactly. encoder: gives questions vectors like theirs."""

    passages: list[Passage]
    vectors: Floats
    encoder: _QueryEncoder
    lexical: LexicalIndex = field(init=False, repr=False)
    _by_document: dict[str, list[Passage]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        texts = [" ".join((passage.title, *passage.headings, passage.text)) for passage in self.passages]
        object.__setattr__(self, "lexical", LexicalIndex.build(texts))
        for passage in self.passages:
            self._by_document.setdefault(passage.document_id, []).append(passage)

    @classmethod
    def build(cls, documents: Iterable[Document], models: Sequence[_PrepModel]) -> PassagePool:
        """Prepare `documents`, dealt out to `models` in turn; boilerplate is left out.

        models: one prep version at one target size or several, for the retrieve model must read whatever sizes a
        prep model cuts. Raises ConfigError where there is none.
        """
        if not models:
            raise ConfigError("a pool needs a prep model")
        order = list(documents)
        passages: list[Passage] = []
        vectors: list[Floats] = []
        for turn, model in enumerate(models):
            for document, chunks in model.prepare_many(order[turn :: len(models)]):
                kept = [chunk for chunk in chunks if chunk.role != "boilerplate"]
                passages += [Passage.of(chunk, document.title, 0.0) for chunk in kept]
                vectors += [chunk.vector for chunk in kept]
        found = np.stack(vectors) if vectors else np.zeros((0, models[0].dimension), dtype=np.float32)
        return cls(passages, found, models[0])

    def passages_of(self, document_id: str) -> list[Passage]:
        """Return the passages of one document, in order."""
        return self._by_document.get(document_id, [])

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """Return the k best passages for each query, best first, ties by position."""
        if not queries:
            return []
        cosines = self.encoder.encode_queries(queries) @ self.vectors.T
        found = []
        for query, of_query in zip(queries, cosines, strict=True):
            scores = hybrid_scores(query, of_query, self.lexical)
            found.append([self.passages[row] for row in np.argsort(-scores, kind="stable")[:k]])
        return found
