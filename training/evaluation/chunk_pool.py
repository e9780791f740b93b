"""A set's documents cut, embedded and searched exactly: chunks and vectors are measured, not an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from prep.document import Chunk, Document, Floats, Span
from prep.errors import DataError
from prep.store.bm25 import CANDIDATES, LexicalIndex, header_of
from prep.store.ranking import Headed, Ranker, Ranking
from training.data.dataset import LabelledSet, Question

__all__ = ["ChunkPool", "ChunkingSystem"]

_BLOCK_QUESTIONS = 32


class ChunkingSystem(Protocol):
    """A system whose chunks and vectors can be measured: a prep model, or a splitter with a frozen encoder."""

    @property
    def version(self) -> str: ...

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]: ...

    def encode_queries(self, queries: Sequence[str], /) -> Floats: ...


class ChunkPool:
    """All indexed chunks of a set's documents with their vectors, for exact search.

    spans, n_tokens: of each chunk, in the order of the set's documents.
    """

    def __init__(
        self,
        dataset: LabelledSet,
        prep: ChunkingSystem,
        words: bool,
        progress: bool,
        ranking: Ranking | None = None,
    ) -> None:
        """words: rank by vectors and words together. Raises DataError where there is no document or no chunk."""
        if not dataset.documents:
            raise DataError(f"the set {dataset.name!r} has no documents")
        prepared: dict[str, list[Chunk]] = {}
        documents = dataset.documents.values()
        with tqdm(total=len(documents), desc="prepare", unit="doc", disable=not progress) as bar:
            for document, chunks in prep.prepare_many(documents):
                prepared[document.id] = [chunk for chunk in chunks if chunk.role != "boilerplate"]
                bar.update()
        # In the order of the set, whatever order they came in, so that ties always fall the same way.
        self.spans: list[Span] = []
        self.n_tokens: list[int] = []
        vectors: list[Floats] = []
        headed: list[Headed] = []
        document_numbers: list[int] = []
        self.document_ids = list(dataset.documents)
        for number, document_id in enumerate(self.document_ids):
            title = dataset.documents[document_id].title
            for chunk in prepared.get(document_id, ()):
                headed.append((header_of(title, chunk.headings), chunk.text))
                self.spans.append(Span(document_id, chunk.start, chunk.end))
                self.n_tokens.append(chunk.n_tokens)
                vectors.append(chunk.vector)
                document_numbers.append(number)
        if not vectors:
            raise DataError(f"no document of {dataset.name!r} gave a chunk to search")
        self._vectors = np.stack(vectors)
        self._document_numbers = np.array(document_numbers, dtype=np.int64)
        self._encode = prep.encode_queries
        self._lexical = LexicalIndex.build([" ".join(parts) for parts in headed]) if words else None
        self._headed = headed
        self._ranking = ranking

    @property
    def mean_tokens(self) -> float:
        """Tokens of a chunk, on average."""
        return float(np.mean(self.n_tokens))

    def search(
        self, questions: Sequence[Question], k: int | None, what: str, progress: bool
    ) -> Iterator[tuple[Question, list[int], Floats]]:
        """Yield each question with the rows of its k best chunks (None: all), best first, and all scores."""
        with tqdm(total=len(questions), desc=what, unit="question", disable=not progress) as bar:
            for start in range(0, len(questions), _BLOCK_QUESTIONS):
                block = questions[start : start + _BLOCK_QUESTIONS]
                cosines = self._encode([question.question for question in block]) @ self._vectors.T
                for question, scores in zip(block, cosines, strict=True):
                    of_question = self._with_words(question.question, scores)
                    yield question, _best(of_question, k), of_question
                    bar.update()

    def _with_words(self, query: str, cosines: Floats) -> Floats:
        if self._lexical is None:
            return cosines
        ranker = Ranker(self._lexical, lambda rows: [self._headed[row] for row in rows], self._ranking)
        words = self._lexical.search(query, CANDIDATES)
        return ranker.scores(query, np.arange(len(cosines)), cosines, words)

    def best_of_documents(self, scores: Floats) -> dict[str, float]:
        """Return the best score of each document that has chunks."""
        best = np.full(len(self.document_ids), -np.inf, dtype=np.float32)
        np.maximum.at(best, self._document_numbers, scores)
        return {self.document_ids[i]: float(best[i]) for i in np.flatnonzero(best > -np.inf)}


def _best(scores: npt.NDArray[np.float32], k: int | None) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    return [int(row) for row in order[:k]]
