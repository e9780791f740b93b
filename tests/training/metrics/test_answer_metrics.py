"""Worked examples of answer metrics; independent implementations are asked in tests/oracles."""

import pytest

from prep.document import Span
from training.metrics.answer_metrics import (
    AbstentionScores,
    abstention_scores,
    citation_precision,
    citation_recall,
    exact_match,
    f1,
    normalise_answer,
)


def test_case_punctuation_articles_and_blanks_do_not_matter() -> None:
    assert normalise_answer("  The   U.S. -- an ANSWER! ") == "us answer"
    assert exact_match("the Broncos.", ["Denver Broncos", "broncos"]) == 1.0
    assert exact_match("Denver", ["Denver Broncos"]) == 0.0


def test_the_best_accepted_answer_counts() -> None:
    assert f1("Denver Broncos", ["Broncos", "the Denver Broncos"]) == 1.0
    assert f1("Denver", ["Denver Broncos"]) == pytest.approx(2 / 3)


def test_repeated_words_count_as_often_as_both_have_them() -> None:
    assert f1("yes yes yes", ["yes"]) == 0.5


def test_an_answer_of_nothing_matches_only_nothing() -> None:
    assert f1("", ["x"]) == 0.0
    assert f1("the", ["a"]) == 1.0
    assert f1("x", []) == 0.0
    assert exact_match("x", []) == 0.0


def test_chinese_is_compared_by_character_and_longest_run() -> None:
    assert exact_match("《踢爆》。", ["踢爆"]) == 1.0
    assert f1("四分钟", ["4分钟"]) == pytest.approx(2 / 3)
    assert f1("钟分", ["分钟"]) == 0.5  # the same characters, but a run of one
    assert f1("136次", ["136 次"]) == 1.0


def test_chinese_rules_can_be_asked_for_when_the_answer_is_a_number() -> None:
    assert f1("308分", ["308"]) == 0.0
    assert f1("308分", ["308"], by_character=True) == pytest.approx(2 / 3)


EVIDENCE = [Span("d", 10, 20), Span("d", 15, 25), Span("e", 0, 5)]


def test_citation_precision_is_the_share_of_quotes_on_evidence() -> None:
    assert citation_precision([Span("d", 0, 11), Span("d", 30, 40)], EVIDENCE) == 0.5
    assert citation_precision([Span("d", 0, 10)], EVIDENCE) == 0.0
    assert citation_precision([], EVIDENCE) == 0.0


def test_citation_recall_counts_passages_not_overlapping_spans() -> None:
    assert citation_recall([Span("d", 24, 30)], EVIDENCE, alternatives=False) == 0.5
    assert citation_recall([Span("d", 0, 30), Span("e", 4, 9)], EVIDENCE, alternatives=False) == 1.0
    assert citation_recall([], EVIDENCE, alternatives=False) == 0.0
    assert citation_recall([Span("d", 0, 30)], [], alternatives=False) == 0.0


def test_one_passage_is_enough_where_spans_are_alternatives() -> None:
    assert citation_recall([Span("e", 4, 9)], EVIDENCE, alternatives=True) == 1.0
    assert citation_recall([Span("e", 5, 9)], EVIDENCE, alternatives=True) == 0.0


def test_abstaining_is_right_on_unanswerable_questions_only() -> None:
    scores = abstention_scores([True, True, False, False], [True, False, True, False])
    assert scores == AbstentionScores(0.5, 0.5, 0.5)
    assert abstention_scores([False], [True]) == AbstentionScores(0.0, 0.0, 0.0)
    assert abstention_scores([], []) == AbstentionScores(0.0, 0.0, 0.0)
