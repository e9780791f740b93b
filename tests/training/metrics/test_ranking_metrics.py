"""Worked examples of ranking metrics; ir-measures is asked in tests/oracles."""

import math

from training.metrics.ranking_metrics import best_first, ndcg, recall, reciprocal_rank

RANKED = ["a", "b", "c", "d"]


def test_the_ideal_ranking_scores_one_and_a_missed_one_zero() -> None:
    assert ndcg(RANKED, {"a": 1, "b": 1}, 10) == 1.0
    assert ndcg(RANKED, {"x": 1}, 10) == 0.0
    assert ndcg(RANKED, {}, 10) == 0.0


def test_gain_is_discounted_by_the_logarithm_of_the_rank() -> None:
    assert ndcg(RANKED, {"c": 1}, 10) == 1 / math.log2(4)
    assert ndcg(RANKED, {"c": 1}, 2) == 0.0


def test_higher_relevance_first_is_better() -> None:
    assert ndcg(RANKED, {"a": 2, "b": 1}, 10) == 1.0
    assert ndcg(RANKED, {"a": 1, "b": 2}, 10) < 1.0


def test_documents_judged_irrelevant_gain_nothing() -> None:
    assert recall(RANKED, {"a": 0, "b": 1}, 1) == 0.0
    assert reciprocal_rank(RANKED, {"a": 0, "b": 1}) == 0.5


def test_recall_is_a_share_of_all_relevant_documents() -> None:
    assert recall(RANKED, {"b": 1, "x": 1}, 2) == 0.5
    assert recall(RANKED, {}, 2) == 0.0


def test_reciprocal_rank_can_be_cut() -> None:
    assert reciprocal_rank(RANKED, {"c": 1}) == 1 / 3
    assert reciprocal_rank(RANKED, {"c": 1}, 2) == 0.0


def test_ties_are_broken_by_falling_id() -> None:
    assert best_first({"a": 1.0, "c": 0.5, "b": 1.0}) == ["b", "a", "c"]
