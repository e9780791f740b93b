"""Passages cut at sentences and ranked as the store ranks, in memory: what traces are built over before one exists.

Sizes vary on purpose: the retrieve model must read whatever a prep model cuts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from prep.document import Document, Floats
from prep.encoder import Encoder
from prep.lexical import LexicalIndex, hybrid_scores
from prep.text import split_sentences, strip_span
from retrieve.episode import Passage

__all__ = ["PassagePool", "cut_at_sentences"]


def cut_at_sentences(document: Document, *, smallest: int, largest: int, rng: random.Random) -> list[Passage]:
    """Return passages of whole sentences, each of a size drawn from smallest..largest characters."""
    passages: list[Passage] = []
    start: int | None = None
    target = rng.randint(smallest, largest)
    spans = split_sentences(document.text)
    for number, (left, right) in enumerate(spans):
        start = left if start is None else start
        following = spans[number + 1][1] if number + 1 < len(spans) else None
        if following is None or following - start > target:
            first, last = strip_span(document.text, start, right)
            if first < last:
                passages.append(
                    Passage(document.id, document.title, (), first, last, document.text[first:last])
                )
            start = None
            target = rng.randint(smallest, largest)
    return passages


@dataclass(frozen=True, slots=True)
class PassagePool:
    """Passages with their vectors (n, d) and words, searched exactly."""

    passages: list[Passage]
    vectors: Floats
    encoder: Encoder
    lexical: LexicalIndex = field(init=False, repr=False)
    _by_document: dict[str, list[Passage]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        texts = [" ".join((passage.title, *passage.headings, passage.text)) for passage in self.passages]
        object.__setattr__(self, "lexical", LexicalIndex.build(texts))
        for passage in self.passages:
            self._by_document.setdefault(passage.document_id, []).append(passage)

    @classmethod
    def build(
        cls,
        documents: Iterable[Document],
        encoder: Encoder,
        *,
        smallest: int = 250,
        largest: int = 800,
        seed: int = 0,
    ) -> PassagePool:
        """Cut and encode `documents`; each passage is encoded with its document's title in front."""
        rng = random.Random(seed)
        passages = [
            passage
            for document in documents
            for passage in cut_at_sentences(document, smallest=smallest, largest=largest, rng=rng)
        ]
        texts = [f"{passage.title}: {passage.text}" for passage in passages]
        return cls(passages, encoder.encode(texts), encoder)

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
