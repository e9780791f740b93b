"""The ranking of what was found: features against a computation by hand, scores against their definition."""

from __future__ import annotations

import math
import random
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.errors import ConfigError
from prep.store.bm25 import CANDIDATES, LexicalIndex
from prep.store.ranking import FEATURES, Headed, Ranker, Ranking, RankingWeights

COSINE = RankingWeights(cosine=1.0, bm25=0.0)
BIGRAMS = RankingWeights(cosine=0.0, bm25=0.0, bigram_coverage=1.0)
SENTENCE = RankingWeights(cosine=0.0, bm25=0.0, sentence_coverage=1.0)
COVERAGE = RankingWeights(cosine=0.0, bm25=0.0, coverage=1.0)
CHUNKS: list[Headed] = [
    ("Glass", "Sand melts into glass. The kiln is hot."),
    ("Glass", "The kiln melts nothing. Into it goes the red sand."),
    ("Bees", "Red bees like clover. Glass is not for them."),
    ("", "Nothing."),
    *(("Filler", f"The filler number {n}.") for n in range(12)),
]


def ranker(chunks: list[Headed], weights: RankingWeights, unspaced: RankingWeights = COSINE) -> Ranker:
    lexical = LexicalIndex.build([" ".join(parts) for parts in chunks])
    return Ranker(lexical, lambda rows: [chunks[row] for row in rows], Ranking(weights, unspaced))


def scores(of: Ranker, query: str, chunks: list[Headed], cosines: np.ndarray | None = None) -> list[float]:
    near = np.zeros(len(chunks), dtype=np.float32) if cosines is None else cosines
    words = LexicalIndex.build([" ".join(parts) for parts in chunks]).search(query, CANDIDATES)
    return of.scores(query, np.arange(len(chunks)), near, words).tolist()


def by_hand(query: str, chunks: list[Headed]) -> list[tuple[float, float, float]]:
    """The coverage of the query by each chunk, for words that stemming leaves alone and sentences that end in ". "."""

    def cut(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    bags = [set(cut(f"{header} {text}")) for header, text in chunks]
    asked = cut(query)
    count = {word: sum(word in bag for bag in bags) for word in asked}
    idf = {word: math.log(1 + (len(chunks) - n + 0.5) / (n + 0.5)) for word, n in count.items() if n}
    pairs = {
        pair
        for pair in pairwise(asked)
        if pair[0] in idf and pair[1] in idf and idf[pair[0]] + idf[pair[1]] > 2
    }
    weigh = {pair: idf[pair[0]] + idf[pair[1]] for pair in pairs}
    found = []
    for (header, text), bag in zip(chunks, bags, strict=True):
        parts = [cut(header), *(cut(sentence) for sentence in text.split(". "))]
        said = sum(weight for word, weight in idf.items() if word in bag)
        together = max(
            sum(weight for word, weight in idf.items() if word in [*parts[0], *part]) for part in parts
        )
        standing = {pair for part in parts for pair in pairwise(part)}
        neighbours = sum(weight for pair, weight in weigh.items() if pair in standing)
        whole = sum(idf.values()) or 1
        found.append((said / whole, together / whole, neighbours / (sum(weigh.values()) or 1)))
    return found


@pytest.mark.parametrize(
    "query", ["the red sand", "glass kiln", "red kiln sand glass", "sand sand glass", "elsewhere", "", "the"]
)
def test_features_are_those_computed_by_hand(query: str) -> None:
    few = CHUNKS[:8]
    expected = by_hand(query, few)
    for column, weights in enumerate((COVERAGE, SENTENCE, BIGRAMS)):
        assert scores(ranker(few, weights), query, few) == pytest.approx(
            [row[column] for row in expected], abs=1e-6
        )


def test_a_score_is_the_weighted_mean_of_the_features() -> None:
    weights = RankingWeights(cosine=0.3, bm25=0.25, coverage=0.1, sentence_coverage=0.2, bigram_coverage=0.15)
    cosines = np.random.default_rng(0).uniform(-1, 1, len(CHUNKS)).astype(np.float32)
    of = ranker(CHUNKS, weights)
    words = LexicalIndex.build([" ".join(parts) for parts in CHUNKS]).search("the red sand", CANDIDATES)
    rows, features = of.features("the red sand", np.arange(len(CHUNKS)), cosines, words)
    assert rows.tolist() == list(range(len(CHUNKS)))
    assert features.shape == (len(CHUNKS), len(FEATURES))
    assert np.array_equal(features[:, 0], cosines)
    best = max(words.values())
    assert features[:, 1] == pytest.approx([words.get(row, 0) / best for row in rows.tolist()])
    assert scores(of, "the red sand", CHUNKS, cosines) == pytest.approx(
        (features @ weights.values()).tolist(), abs=1e-6
    )


def test_rows_may_be_some_of_the_index() -> None:
    of = ranker(CHUNKS, SENTENCE)
    rows = np.array([1, 2, 9])
    words = LexicalIndex.build([" ".join(parts) for parts in CHUNKS]).search("red sand", 2)
    some = of.scores("red sand", rows, np.zeros(3, dtype=np.float32), words)
    assert some.tolist() == pytest.approx([scores(of, "red sand", CHUNKS)[row] for row in rows])


def test_chunks_that_are_not_read_rank_behind_those_that_are() -> None:
    """Only the best by vector and by words are read; the others keep their order."""
    chunks: list[Headed] = [("", f"word{n} and more") for n in range(200)]
    chunks[150] = ("", "the red sand")
    cosines = np.linspace(0.9, 0.1, 200).astype(np.float32)
    read: list[int] = []
    lexical = LexicalIndex.build([text for _, text in chunks])

    def text_of(rows: list[int]) -> list[Headed]:
        read.extend(rows)
        return [chunks[row] for row in rows]

    weights = RankingWeights(cosine=0.5, bm25=0.0, coverage=0.5)
    of = Ranker(lexical, text_of, Ranking(weights, weights))
    found = of.scores("red sand", np.arange(200), cosines, lexical.search("red sand", CANDIDATES))
    assert read == [*range(24), 150]
    assert found[150] == pytest.approx(0.5 * cosines[150] + 0.5)
    unread = [row for row in range(200) if row not in read]
    assert found[unread].max() <= found[read].min() + 1e-6
    assert (np.diff(found[unread]) < 0).all()


def test_questions_without_blanks_between_words_have_weights_of_their_own() -> None:
    chunks: list[Headed] = [("", "玻璃由沙子製成。"), ("", "蜜蜂喜歡三葉草。"), ("", "glass")]
    cosines = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    of = ranker(chunks, COSINE, unspaced=COVERAGE)
    assert int(np.argmax(scores(of, "沙子", chunks, cosines))) == 0
    assert int(np.argmax(scores(of, "sand", chunks, cosines))) == 2


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=40), st.integers(0, 2**32 - 1))
def test_scores_lie_within_one_and_do_not_depend_on_who_asked_before(query: str, seed: int) -> None:
    cosines = np.random.default_rng(seed).uniform(-1, 1, len(CHUNKS)).astype(np.float32)
    of = Ranker(
        LexicalIndex.build([" ".join(parts) for parts in CHUNKS]),
        lambda rows: [CHUNKS[row] for row in rows],
    )
    first = scores(of, query, CHUNKS, cosines)
    scores(of, "".join(random.Random(seed).sample("red sand glass", 9)), CHUNKS)
    assert scores(of, query, CHUNKS, cosines) == first
    assert all(-1 <= score <= 1 for score in first)


def test_the_shipped_weights_are_there() -> None:
    shipped = Ranking.shipped()
    assert shipped.of("what is glass") is shipped.spaced
    assert shipped.of("玻璃是什麼") is shipped.unspaced
    assert shipped.spaced != shipped.unspaced


@pytest.mark.parametrize(
    "weights", [{"cosine": 0.5, "bm25": 0.4}, {"cosine": 1.2, "bm25": -0.2}, {"cosine": 2, "bm25": 0}]
)
def test_weights_that_are_no_shares_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        RankingWeights(**weights)


def test_a_file_that_is_no_ranking_is_refused() -> None:
    with pytest.raises(ConfigError, match="unspaced"):
        Ranking.from_json({"spaced": {"cosine": 1, "bm25": 0}})
    with pytest.raises(ConfigError, match="melody"):
        Ranking.from_json({"spaced": {"melody": 1}, "unspaced": {"cosine": 1, "bm25": 0}})


def test_weights_under_the_old_names_of_the_features_are_read() -> None:
    old = {"cosine": 0.3, "words": 0.25, "said": 0.1, "said_together": 0.2, "pairs": 0.15}
    new = RankingWeights(cosine=0.3, bm25=0.25, coverage=0.1, sentence_coverage=0.2, bigram_coverage=0.15)
    assert Ranking.from_json({"spaced": old, "unspaced": old}) == Ranking(new, new)
