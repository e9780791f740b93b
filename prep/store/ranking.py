"""Ranks what a search found: how near its vector is, and how much of the question it says, weighed as trained.

A chunk's score is a weighted mean of five features (`FEATURES`), each at most 1:

- cosine: of its vector and the question's;
- words: its BM25 score, as a share of the best one;
- said: how much of the question's words it says, each word counted by how rare it is;
- said_together: how much of them its best sentence says, its title and headings read along;
- pairs: how many of the question's neighbouring words (those that are not both common) are neighbours in it, too.

The last three need the chunk's text, so only the best by vector and the best by words are read. The weights are
trained on people's questions (`training.prep_model.ranking_weights`), once for questions in words with blanks between
them and once for those in Chinese, Japanese or Korean, which the embedded encoder hardly reads.
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
from prep.store.bm25 import AskedWords, LexicalIndex, is_unspaced
from prep.text import split_sentences

__all__ = ["FEATURES", "Headed", "Ranker", "Ranking", "RankingWeights"]

FEATURES = ("cosine", "words", "said", "said_together", "pairs")
_READ = 24  # chunks, the best by vector and as many by words
_COMMON_PAIR = 2.0  # neighbouring words whose rarities (idf) add up to less say nothing together
_SHIPPED = Path(__file__).parents[1] / "weights" / "ranking.json"

K = TypeVar("K")
Headed = tuple[str, str]
"""A chunk as it is read: its document's title with its headings, and its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingWeights:
    """What each feature weighs, 0 or more; they add up to 1, so that a score lies in [-1, 1]."""

    cosine: float
    words: float
    said: float = 0.0
    said_together: float = 0.0
    pairs: float = 0.0

    def __post_init__(self) -> None:
        values = self.values()
        if values.min() < 0 or abs(float(values.sum()) - 1) > 1e-3:
            raise ConfigError(f"ranking weights must be 0 or more and add up to 1: {asdict(self)}")

    def values(self) -> Floats:
        """Return them in the order of FEATURES, (5,)."""
        return np.array([getattr(self, name) for name in FEATURES], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The weights for questions in words with blanks between them, and for those that are cut into bigrams."""

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
        """Read what `training.prep_model.ranking_weights` wrote. Raises ConfigError."""
        try:
            return cls(RankingWeights(**content["spaced"]), RankingWeights(**content["unspaced"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"these are not the weights of a ranking: {error}") from error


class Ranker:
    """Ranks the chunks of one index, for any number of threads."""

    def __init__(
        self,
        lexical: LexicalIndex,
        read: Callable[[Sequence[int]], Sequence[Headed]],
        ranking: Ranking | None = None,
    ) -> None:
        """read: gives the chunks at the index's rows, in the order asked. ranking: by default the shipped one."""
        self._lexical = lexical
        self._read = read
        self._ranking = ranking or Ranking.shipped()

    def scores(self, query: str, rows: Ints, cosines: Floats, words: Mapping[int, float]) -> Floats:
        """Return a score in [-1, 1] for each row.

        rows: (n,), ascending. cosines: theirs with the query, (n,). words: the BM25 scores of the best of them, best
        first (`LexicalIndex.search`). Rows that are not read rank behind those that are, by cosine and words.
        """
        weights = self._ranking.of(query).values()
        scores: Floats = _near(rows, cosines, words) @ weights[:2]
        best = self._candidates(rows, cosines, words)
        scores[best] += self._said(query, rows[best]) @ weights[2:]
        rest = np.setdiff1d(np.arange(len(rows)), best)
        if rest.size:
            scores[rest] += min(0.0, float(scores[best].min() - scores[rest].max()))
        return scores.clip(-1, 1)

    def features(
        self, query: str, rows: Ints, cosines: Floats, words: Mapping[int, float]
    ) -> tuple[Ints, Floats]:
        """Return the rows that are read, (m,), and their features, (m, 5): what the weights are trained on."""
        best = self._candidates(rows, cosines, words)
        near = _near(rows, cosines, words)[best]
        return rows[best], np.concatenate([near, self._said(query, rows[best])], axis=1)

    def _candidates(self, rows: Ints, cosines: Floats, words: Mapping[int, float]) -> Ints:
        """Return the places in `rows` of the chunks to read."""
        nearest = np.argsort(-cosines, kind="stable")[:_READ]
        matching = np.searchsorted(rows, np.array(list(words)[:_READ], dtype=np.int64))
        return np.union1d(nearest, matching)

    def _said(self, query: str, rows: Ints) -> Floats:
        """Return how much of the query each chunk says (n, 3): anywhere, in its best sentence, and in pairs."""
        asked = self._lexical.asked(query)
        texts: list[str] = []
        edges = [0]
        for header, text in self._read(rows.tolist()):
            texts += [header, *(text[start:end] for start, end in split_sentences(text))]
            edges.append(len(texts))
        places = self._lexical.places(texts, asked.rarity)
        pairs = _telling_pairs(asked)
        said = [_said_of(asked.rarity, pairs, places[start:end]) for start, end in pairwise(edges)]
        return np.array(said, dtype=np.float32).reshape(-1, 3)


def _near(rows: Ints, cosines: Floats, words: Mapping[int, float]) -> Floats:
    """Return the features that need no text, (n, 2): cosine, and BM25 as a share of the best."""
    shares = np.zeros(len(rows), dtype=np.float32)
    if words:
        found = np.fromiter(words.values(), np.float32, len(words))
        shares[np.searchsorted(rows, np.array(list(words), dtype=np.int64))] = found / found.max()
    return np.stack([cosines, shares], axis=1)


def _telling_pairs(asked: AskedWords) -> dict[tuple[str, str], float]:
    """Return the neighbours among what is asked that the index holds and that are not both common, and their weight."""
    rarity = asked.rarity
    pairs = [pair for pair in pairwise(asked.stems) if pair[0] in rarity and pair[1] in rarity]
    weights = {(first, second): rarity[first] + rarity[second] for first, second in pairs}
    return {pair: weight for pair, weight in weights.items() if weight > _COMMON_PAIR}


def _said_of(
    rarity: Mapping[str, float], pairs: Mapping[tuple[str, str], float], places: Sequence[Mapping[int, str]]
) -> tuple[float, float, float]:
    """Return how much of the words and the pairs stands at the places in a chunk's header, the first, and sentences."""
    if not rarity:
        return 0.0, 0.0, 0.0
    header = set(places[0].values())
    said = [header | set(of_one.values()) for of_one in places]
    standing = {
        (stem, of_one[place + 1])
        for of_one in places
        for place, stem in of_one.items()
        if place + 1 in of_one
    }
    whole = sum(rarity.values())
    return (
        _sum_of(rarity, set().union(*said)) / whole,
        max(_sum_of(rarity, stems) for stems in said) / whole,
        _sum_of(pairs, standing) / (sum(pairs.values()) or 1.0),
    )


def _sum_of(weights: Mapping[K, float], kept: AbstractSet[K]) -> float:
    """Return the sum of the weights of what is kept, always in the same order."""
    return sum(weight for key, weight in weights.items() if key in kept)
