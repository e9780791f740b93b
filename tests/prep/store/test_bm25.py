"""Words beside vectors: BM25 against an independent computation, and where words stand."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.store.bm25 import LexicalIndex, is_unspaced, searchable_words

TEXTS = [
    "alpha beta gamma",
    "alpha alpha delta, and more of it",
    "epsilon",
    "zeta eta theta iota kappa lambda mu",
    "",
    *(f"filler{n} words here" for n in range(9)),
]


def okapi(query: str, texts: list[str]) -> dict[int, float]:
    """BM25 with k1 = 1.2, b = 0.75, as FTS5 documents it, for words that stemming leaves alone."""
    bags = [Counter("".join(c if c.isalnum() else " " for c in text.lower()).split()) for text in texts]
    mean = sum(bag.total() for bag in bags) / len(bags)
    scores: dict[int, float] = {}
    for word in query.split():
        n = sum(word in bag for bag in bags)
        if not n:
            continue
        idf = max(1e-6, math.log((len(bags) - n + 0.5) / (n + 0.5)))
        for row, bag in enumerate(bags):
            if tf := bag[word]:
                length = 1.2 * (1 - 0.75 + 0.75 * bag.total() / mean)
                scores[row] = scores.get(row, 0.0) + idf * tf * 2.2 / (tf + length)
    return scores


@pytest.mark.parametrize("query", ["alpha", "alpha delta", "epsilon gamma", "kappa filler3", "nowhere"])
def test_scores_are_bm25(query: str) -> None:
    found = LexicalIndex.build(TEXTS).search(query, 20)
    expected = okapi(query, TEXTS)
    assert found == pytest.approx(expected)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_only_the_best_are_returned_and_ties_go_by_row() -> None:
    index = LexicalIndex.build(TEXTS)
    assert list(index.search("words", 3)) == [5, 6, 7]
    assert list(index.search("alpha", 1)) == [1]


def test_words_are_stemmed_case_and_accents_do_not_matter() -> None:
    index = LexicalIndex.build(["The café kept RUNNING.", "Glass is sand."])
    assert list(index.search("Cafe runs", 5)) == [0]


def test_words_that_nearly_every_text_has_count_only_where_there_is_no_other() -> None:
    index = LexicalIndex.build([f"the cat {n}" for n in range(40)] + ["the ibex"])
    assert list(index.search("the ibex", 5)) == [40]
    assert len(index.search("the", 5)) == 5


@pytest.mark.parametrize(
    ("text", "query"),
    [("中文的檢索系統很好", "檢索"), ("東京タワーの高さ", "タワー"), ("서울은 크다", "서울은")],
)
def test_scripts_without_blanks_are_found_by_their_parts(text: str, query: str) -> None:
    index = LexicalIndex.build(["something else", text, "中 央"])
    assert list(index.search(query, 5)) == [1]


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_no_query_is_an_error(query: str) -> None:
    scores = LexicalIndex.build(TEXTS).search(query, 4)
    assert len(scores) <= 4
    assert all(score >= 0 for score in scores.values())


@given(st.text(alphabet="ab 中文字テ1", max_size=30))
def test_cutting_into_bigrams_loses_no_character(text: str) -> None:
    assert set(searchable_words(text)) - {" "} == set(text.lower()) - {" "}


def test_threads_may_share_an_index() -> None:
    index = LexicalIndex.build(TEXTS)
    expected = index.search("alpha delta", 5)
    found: list[dict[int, float]] = []
    threads = [
        threading.Thread(target=lambda: found.append(index.search("alpha delta", 5))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_closed_index_is_closed() -> None:
    index = LexicalIndex.build(TEXTS)
    index.close()
    with pytest.raises(sqlite3.ProgrammingError):
        index.search("alpha", 1)


def test_a_query_is_known_by_its_stems_and_their_idf() -> None:
    terms = LexicalIndex.build(TEXTS).query_terms("Alphas, words: ALPHA nowhere")
    assert terms.stems == ("alpha", "word", "alpha", "nowher")
    n = len(TEXTS)
    assert terms.idf == pytest.approx(
        {"alpha": math.log(1 + (n - 2 + 0.5) / 2.5), "word": math.log(1 + (n - 9 + 0.5) / 9.5)}
    )
    assert LexicalIndex.build(TEXTS).query_terms("").stems == ()


def test_positions_are_the_numbers_of_the_words() -> None:
    index = LexicalIndex.build(TEXTS)
    texts = ["An alpha, a beta; alphas!", "", "nothing of it", "beta"]
    assert index.positions(texts, ["alpha", "beta"]) == [
        {1: "alpha", 3: "beta", 4: "alpha"},
        {},
        {},
        {0: "beta"},
    ]
    assert index.positions(["中文檢索"], index.query_terms("檢索").stems) == [{2: "檢索"}]


@pytest.mark.parametrize(
    ("text", "unspaced"), [("檢索 of it", True), ("서울", True), ("Käse 12", False), ("", False)]
)
def test_scripts_that_are_cut_into_bigrams_are_known(text: str, unspaced: bool) -> None:
    assert is_unspaced(text) is unspaced
