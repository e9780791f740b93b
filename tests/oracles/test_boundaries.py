"""Pk and WindowDiff against their definitions, spelled out pair by pair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.errors import DataError
from training.metrics.boundary_metrics import boundary_scores, nearest_items


def by_hand(true: set[int], found: set[int], n: int) -> tuple[float, float]:
    """Label every item with its segment; compare all pairs that are a window apart."""
    window = min(max(1, round(n / (len(true) + 1) / 2)), n - 1)
    segment = {
        name: [sum(b < i for b in breaks) for i in range(n)] for name, breaks in (("t", true), ("f", found))
    }
    pairs = [(i, i + window) for i in range(n - window)]
    wrong = [(segment["t"][i] == segment["t"][j]) != (segment["f"][i] == segment["f"][j]) for i, j in pairs]
    differ = [segment["t"][j] - segment["t"][i] != segment["f"][j] - segment["f"][i] for i, j in pairs]
    return sum(wrong) / len(pairs), sum(differ) / len(pairs)


@given(st.data())
def test_errors_are_those_of_the_definition(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 40))
    breaks = st.sets(st.integers(0, n - 2))
    true, found = data.draw(breaks), data.draw(breaks)
    scores = boundary_scores(true, found, n)
    assert (scores.pk, scores.window_diff) == pytest.approx(by_hand(true, found, n))
    assert boundary_scores(true, true, n).f1 == 1
    assert boundary_scores(true, true, n).pk == 0
    assert 0 <= scores.f1 <= 1


def test_a_worked_example() -> None:
    # Twelve items in three segments of four; the second break is one late, and there is one too many.
    scores = boundary_scores({3, 7}, {3, 8, 10}, 12)
    assert (scores.precision, scores.recall) == (pytest.approx(1 / 3), 0.5)
    assert scores.f1 == pytest.approx(0.4)
    # Windows of two: of ten pairs, (6, 8) and (7, 9) differ about the late break, (9, 11) about the one too many.
    assert scores.pk == pytest.approx(by_hand({3, 7}, {3, 8, 10}, 12)[0])
    with pytest.raises(DataError, match="breaks must lie"):
        boundary_scores({11}, set(), 12)


def test_a_cut_counts_for_the_nearest_item() -> None:
    ends = [10, 20, 30]
    assert nearest_items([], ends) == set()
    assert nearest_items([9, 11], ends) == {0}
    assert nearest_items([0, 15, 16, 29, 30, 40], ends) == {0, 1}
