"""Worked examples of chunking metrics; an independent implementation is in tests/oracles."""

import pytest

from prep.document import Span
from training.metrics.chunking_metrics import (
    Coverage,
    cover,
    evidence_recall,
    first_tokens,
    merge,
    precision_omega,
)


def test_a_chunk_that_is_the_excerpt_scores_one() -> None:
    assert cover([Span("d", 3, 9)], [Span("d", 3, 9)]) == Coverage(1.0, 1.0, 1.0)


def test_text_of_other_documents_costs_precision_but_not_recall() -> None:
    assert cover([Span("d", 0, 10)], [Span("d", 0, 10), Span("e", 0, 30)]) == Coverage(1.0, 0.25, 0.25)


def test_overlapping_chunks_pay_for_what_they_repeat() -> None:
    assert cover([Span("d", 0, 10)], [Span("d", 0, 10), Span("d", 0, 10)]) == Coverage(1.0, 0.5, 0.5)


def test_missed_excerpts_cost_recall_and_iou() -> None:
    found = cover([Span("d", 0, 10), Span("d", 50, 60)], [Span("d", 0, 20)])
    assert found == Coverage(0.5, 0.5, 10 / 30)


def test_nothing_retrieved_or_wanted_scores_zero() -> None:
    zero = Coverage(0.0, 0.0, 0.0)
    assert cover([Span("d", 0, 10)], []) == zero
    assert cover([], [Span("d", 0, 10)]) == zero
    assert cover([Span("d", 0, 10)], [Span("d", 10, 20)]) == zero
    assert precision_omega([Span("d", 0, 10)], []) == 0.0


def test_precision_omega_sees_every_chunk_that_holds_a_part() -> None:
    chunks = [Span("d", 0, 10), Span("d", 10, 30), Span("d", 30, 60), Span("e", 0, 99)]
    assert precision_omega([Span("d", 5, 15)], chunks) == 10 / 30


def test_precision_omega_counts_excerpt_text_that_no_chunk_holds() -> None:
    assert precision_omega([Span("d", 0, 10)], [Span("d", 5, 15)]) == 5 / 15


def test_a_touching_chunk_counts_only_when_asked() -> None:
    excerpt, chunks = [Span("d", 10, 20)], [Span("d", 0, 10), Span("d", 10, 20), Span("d", 20, 30)]
    assert precision_omega(excerpt, chunks) == 1.0
    assert precision_omega(excerpt, chunks, touching=True) == 10 / 30


def test_merging_joins_overlapping_and_touching_spans_and_drops_empty_ones() -> None:
    spans = [Span("d", 5, 9), Span("d", 0, 3), Span("d", 3, 6), Span("d", 20, 20), Span("e", 1, 2)]
    assert merge(spans) == {"d": [(0, 9)], "e": [(1, 2)]}


@pytest.mark.parametrize(("budget", "recall"), [(0, 0.0), (5, 0.25), (10, 0.5), (15, 0.75), (99, 1.0)])
def test_recall_within_a_token_budget_grows_evenly_through_a_chunk(budget: int, recall: float) -> None:
    ranked = [Span("d", 0, 100), Span("d", 100, 200)]
    seen = first_tokens(ranked, [10, 10], budget)
    assert evidence_recall([Span("d", 0, 200)], seen, alternatives=False) == recall


def test_the_best_passage_counts_where_evidence_spans_are_alternatives() -> None:
    evidence = [Span("d", 0, 10), Span("d", 5, 20), Span("d", 50, 60)]
    assert evidence_recall(evidence, [Span("d", 50, 60)], alternatives=False) == 10 / 30
    assert evidence_recall(evidence, [Span("d", 50, 60)], alternatives=True) == 1.0
    assert evidence_recall(evidence, [Span("e", 50, 60)], alternatives=True) == 0.0
    assert evidence_recall([], [Span("d", 50, 60)], alternatives=True) == 0.0
