"""Ranks the chunks that a search found: similarity of the vectors and coverage of the query, in learned weights.

A chunk's score is a weighted mean of five features (`FEATURES`), each at most 1:

- cosine: of its vector and the query's;
- bm25: its BM25 score, as a share of the best one;
- coverage: the share of the query's terms that it contains, weighted by idf;
- sentence_coverage: the same for its best sentence, read with its title and headings;
- bigram_coverage: the share of the query's word bigrams that it contains, without those of two common words.

The last three need the chunk's text, so only the best by vector and the best by BM25 are read. The weights are trained
on people's questions (`training.prep_model.ranking_weights`), once for queries in words with blanks between them and
once for those in Chinese, Japanese or Korean, which the embedded encoder hardly reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from prep.document import Floats, Ints
from prep.errors import ConfigError
from prep.store.bm25 import LexicalIndex, QueryTerms, is_unspaced
from prep.text import split_sentences

__all__ = ["FEATURES", "Headed", "Ranker", "Ranking", "RankingWeights"]

FEATURES = ("cosine", "bm25", "coverage", "sentence_coverage", "bigram_coverage")
#: The names of the features in files written before 2026-12.
_OLD_NAMES = dict(zip(("cosine", "words", "said", "said_together", "pairs"), FEATURES, strict=True))
_READ = 24  # chunks: the best by vector, and as many by BM25
_COMMON_BIGRAM = 2.0  # bigrams of words whose idf adds up to less are left out
_SHIPPED = Path(__file__).parents[1] / "weights" / "ranking.json"

K = TypeVar("K")
Headed = tuple[str, str]
"""A chunk as the ranking reads it: its header (title and headings), and its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingWeights:
    """The weight of each feature, 0 or more; they add up to 1, so that a score lies in [-1, 1]."""

    cosine: float
    bm25: float
    coverage: float = 0.0
    sentence_coverage: float = 0.0
    bigram_coverage: float = 0.0

    def __post_init__(self) -> None:
        values = self.values()
        if values.min() < 0 or abs(float(values.sum()) - 1) > 1e-3:
            raise ConfigError(f"ranking weights must be 0 or more and add up to 1: {asdict(self)}")

    def values(self) -> Floats:
        """Return the weights in the order of FEATURES, (5,) float32."""
        return np.array([getattr(self, name) for name in FEATURES], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The weights for queries in words with blanks between them, and for those that are cut into bigrams."""

    spaced: RankingWeights
    unspaced: RankingWeights

    def of(self, query: str) -> RankingWeights:
        """Return the weights for this query."""
        return self.unspaced if is_unspaced(query) else self.spaced

    @staticmethod
    @cache
    def shipped() -> Ranking:
        """Return the weights that come with the package."""
        return Ranking.from_json(json.loads(_SHIPPED.read_text(encoding="utf-8")))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Ranking:
        """Read what `training.prep_model.ranking_weights` wrote, old names of features included. Raises ConfigError."""
        try:
            return cls(_weights(content["spaced"]), _weights(content["unspaced"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"these are not the weights of a ranking: {error}") from error


def _weights(content: Mapping[str, float]) -> RankingWeights:
    return RankingWeights(**{_OLD_NAMES.get(name, name): weight for name, weight in content.items()})


class Ranker:
    """Ranks the chunks of one index, for any number of threads."""

    def __init__(
        self,
        lexical: LexicalIndex,
        read: Callable[[Sequence[int]], Sequence[Headed]],
        ranking: Ranking | None = None,
    ) -> None:
        """read: returns the chunks at rows of the index, in the order given. ranking: by default the shipped one."""
        self._lexical = lexical
        self._read = read
        self._ranking = ranking or Ranking.shipped()

    def scores(self, query: str, rows: Ints, cosines: Floats, bm25: Mapping[int, float]) -> Floats:
        """Return a score in [-1, 1] for each row.

        rows: (n,), ascending. cosines: of their vectors and the query's, (n,) float32. bm25: scores of the best rows,
        best first (`LexicalIndex.search`). Rows whose text is not read rank behind the others, by cosine and BM25.
        Returns (n,) float32.
        """
        weights = self._ranking.of(query).values()
        scores: Floats = _similarity(rows, cosines, bm25) @ weights[:2]
        best = self._candidates(rows, cosines, bm25)
        scores[best] += self._coverage(query, rows[best]) @ weights[2:]
        rest = np.setdiff1d(np.arange(len(rows)), best)
        if rest.size:
            scores[rest] += min(0.0, float(scores[best].min() - scores[rest].max()))
        return scores.clip(-1, 1)

    def features(
        self, query: str, rows: Ints, cosines: Floats, bm25: Mapping[int, float]
    ) -> tuple[Ints, Floats]:
        """Return the rows whose text is read, (m,), and their features, (m, 5) float32: the input of training."""
        best = self._candidates(rows, cosines, bm25)
        similarity = _similarity(rows, cosines, bm25)[best]
        return rows[best], np.concatenate([similarity, self._coverage(query, rows[best])], axis=1)

    def _candidates(self, rows: Ints, cosines: Floats, bm25: Mapping[int, float]) -> Ints:
        """Return the indices into `rows` of the chunks to read, ascending."""
        nearest = np.argsort(-cosines, kind="stable")[:_READ]
        matching = np.searchsorted(rows, np.array(list(bm25)[:_READ], dtype=np.int64))
        return np.union1d(nearest, matching)

    def _coverage(self, query: str, rows: Ints) -> Floats:
        """Return the coverage of the query by each chunk, its best sentence and its bigrams, (n, 3) float32."""
        terms = self._lexical.query_terms(query)
        texts: list[str] = []
        edges = [0]
        for header, text in self._read(rows.tolist()):
            texts += [header, *(text[start:end] for start, end in split_sentences(text))]
            edges.append(len(texts))
        positions = self._lexical.positions(texts, terms.idf)
        bigrams = _selective_bigrams(terms)
        found = [_chunk_coverage(terms.idf, bigrams, positions[start:end]) for start, end in pairwise(edges)]
        return np.array(found, dtype=np.float32).reshape(-1, 3)


def _similarity(rows: Ints, cosines: Floats, bm25: Mapping[int, float]) -> Floats:
    """Return the features that need no text, (n, 2): cosine, and BM25 as a share of the best."""
    shares = np.zeros(len(rows), dtype=np.float32)
    if bm25:
        found = np.fromiter(bm25.values(), np.float32, len(bm25))
        shares[np.searchsorted(rows, np.array(list(bm25), dtype=np.int64))] = found / found.max()
    return np.stack([cosines, shares], axis=1)


def _selective_bigrams(terms: QueryTerms) -> dict[tuple[str, str], float]:
    """Return the query's bigrams of terms in the index, without those of two common terms, and their weights."""
    idf = terms.idf
    pairs = [pair for pair in pairwise(terms.stems) if pair[0] in idf and pair[1] in idf]
    weights = {(first, second): idf[first] + idf[second] for first, second in pairs}
    return {pair: weight for pair, weight in weights.items() if weight > _COMMON_BIGRAM}


def _chunk_coverage(
    idf: Mapping[str, float],
    bigrams: Mapping[tuple[str, str], float],
    positions: Sequence[Mapping[int, str]],
) -> tuple[float, float, float]:
    """Return the coverage of the terms by a chunk and by its best sentence, and that of the bigrams.

    positions: of the terms, in the chunk's header first, then in each of its sentences.
    """
    if not idf:
        return 0.0, 0.0, 0.0
    header = set(positions[0].values())
    sentences = [header | set(one.values()) for one in positions]
    found_bigrams = {
        (stem, one[position + 1])
        for one in positions
        for position, stem in one.items()
        if position + 1 in one
    }
    total = sum(idf.values())
    return (
        _covered(idf, set().union(*sentences)) / total,
        max(_covered(idf, stems) for stems in sentences) / total,
        _covered(bigrams, found_bigrams) / (sum(bigrams.values()) or 1.0),
    )


def _covered(weights: Mapping[K, float], found: AbstractSet[K]) -> float:
    """Return the sum of the weights of what was found, always in the same order."""
    return sum(weight for key, weight in weights.items() if key in found)
