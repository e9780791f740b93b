"""Words beside vectors: BM25 against an independent computation, and where words stand."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
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


@pytest.mark.parametrize("query", ["10,000", "10000", "10 000", "10.000", "10'000", "10\u00a0000", "10_000"])
@pytest.mark.parametrize("text", ["10,000", "10000", "10 000", "10.000", "10’000", "10\u202f000"])
def test_numbers_are_found_with_and_without_separators(text: str, query: str) -> None:
    index = LexicalIndex.build(["some 10 boats", f"about {text} boats", "and 100 boats", *["filler"] * 9])
    assert next(iter(index.search(f"{query} pears", 5))) == 1
    terms = index.query_terms(f"{query} boats")
    assert terms.stems == ("10000", "boat")
    assert set(index.positions([f"about {text} boats"], terms.stems)[0].values()) == {"10000", "boat"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,234,567.80 and 1,00,000", "1234567.80 and 100000"),
        ("3.14, 2.500 or 0.125", "3.14, 2500 or 0.125"),
        ("12,34 and 1,2345", "12,34 and 1,2345"),
        ("in 2019 100 people", "in 2019 100 people"),
        ("100 200 300 400 500", "100 200 300 400 500"),
        ("1 234 567 boats", "1234567 boats"),
        ("pages 12, 345", "pages 12, 345"),
        ("a10,000 and 10,000km", "a10,000 and 10000km"),
        ("2031-03-04 10:00", "2031-03-04 10:00"),
    ],
)
def test_only_thousands_are_joined(text: str, words: str) -> None:
    assert searchable_words(text) == words


def test_what_only_looks_like_a_number_is_found_by_its_parts() -> None:
    index = LexicalIndex.build(["the address 192.168.100.7", *["filler"] * 9])
    assert list(index.search("192.168", 5)) == [0]


def test_identifiers_are_found_whole_and_by_their_parts() -> None:
    index = LexicalIndex.build(["set max_tokens here", "tokens at the most, max", *["filler"] * 9])
    assert list(index.search("max_tokens", 5)) == [0]
    assert set(index.search("tokens", 5)) == {0, 1}
    assert set(index.search("max", 5)) == {0, 1}
    assert index.query_terms("max_tokens").stems == ("max", "token")


def test_numbers_in_rows_take_linear_time() -> None:
    for unit in ("100 ", "1,000,", "1 ", "1.", "10,", "1,000 "):
        started = time.process_time()
        searchable_words(unit * 50_000)
        assert time.process_time() - started < 1


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


def test_rows_that_are_not_allowed_are_not_found_and_leave_room_for_others() -> None:
    texts = [f"alpha {'alpha ' * (number % 5)}word{number}" for number in range(200)]
    index = LexicalIndex.build([*texts, *(f"filler{number}" for number in range(600))])
    allowed = bytes(number % 40 == 3 for number in range(800))
    found = index.search("alpha", 100, allowed)
    assert sorted(found) == [3, 43, 83, 123, 163]
    everything = index.search("alpha", 800)
    assert found == {row: everything[row] for row in found}
    assert list(index.search("alpha", 2, allowed)) == list(found)[:2]
    assert index.search("alpha", 9, bytes(800)) == {}
