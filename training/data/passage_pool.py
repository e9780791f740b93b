"""Passages in memory, prepared and ranked as in the store, for traces that are built without a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from tqdm import tqdm

from prep.document import Document, Floats
from prep.errors import ConfigError
from prep.ingest import Preparer
from prep.store.bm25 import CANDIDATES, LexicalIndex, header_of
from prep.store.ranking import Headed, Ranker
from retrieve.episode.episode import Passage

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
        texts = [" ".join(headed) for headed in self._headed(range(len(self.passages)))]
        object.__setattr__(self, "lexical", LexicalIndex.build(texts))
        for passage in self.passages:
            self._by_document.setdefault(passage.document_id, []).append(passage)

    @classmethod
    def build(
        cls, documents: Iterable[Document], models: Sequence[_PrepModel], *, progress: bool = False
    ) -> PassagePool:
        """Prepare `documents`, dealt out to `models` in turn; boilerplate is left out.

        models: one prep version at one target size or several, for the retrieve model must read whatever sizes a
        prep model cuts. Raises ConfigError where there is none.
        """
        if not models:
            raise ConfigError("a pool needs a prep model")
        order = list(documents)
        passages: list[Passage] = []
        vectors: list[Floats] = []
        with tqdm(total=len(order), desc="prepare", unit="doc", disable=not progress) as bar:
            for turn, model in enumerate(models):
                for document, chunks in model.prepare_many(order[turn :: len(models)]):
                    kept = [chunk for chunk in chunks if chunk.role != "boilerplate"]
                    passages += [Passage.of(chunk, document.title, 0.0) for chunk in kept]
                    vectors += [chunk.vector for chunk in kept]
                    bar.update()
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
        ranker, rows = self._ranker(), np.arange(len(self.passages))
        found = []
        for query, of_query in zip(queries, cosines, strict=True):
            scores = ranker.scores(query, rows, of_query, self.lexical.search(query, CANDIDATES))
            found.append([self.passages[row] for row in np.argsort(-scores, kind="stable")[:k]])
        return found

    def candidates(self, query: str) -> tuple[list[Passage], Floats]:
        """Return the passages (n) that the ranking reads for this query, and their features (n, 5)."""
        cosines = self.vectors @ self.encoder.encode_queries([query])[0]
        words = self.lexical.search(query, CANDIDATES)
        rows, features = self._ranker().features(query, np.arange(len(self.passages)), cosines, words)
        return [self.passages[row] for row in rows], features

    def _ranker(self) -> Ranker:
        return Ranker(self.lexical, self._headed)

    def _headed(self, rows: Sequence[int]) -> list[Headed]:
        passages = (self.passages[row] for row in rows)
        return [(header_of(passage.title, passage.headings), passage.text) for passage in passages]
