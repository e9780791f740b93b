"""The verdict on a workspace: better, worse, the same or unknown, and trends only where they are sure."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from fixture_pages import decide, serve

from flows.models.registry import find_version
from flows.pages.overview import GateHistory, helpful_trend, read_overview
from flows.pages.usage import DayUsage, measure_usage
from prep.store.workspace import Workspace


def test_the_gains_up_to_the_serving_version_are_added_up(place: Workspace) -> None:
    shipped = find_version(place, "retrieve").version
    decide(place, 1, "retrieve", "c1", shipped, (0.40, 0.50), promoted=True)
    decide(place, 2, "retrieve", "c2", "c1", (0.50, 0.49), promoted=False)
    # Harder questions were added: the figures fall, and the gain counts all the same.
    decide(place, 3, "retrieve", "c3", "c1", (0.30, 0.35), promoted=True, questions="set-2")
    for version in ("c1", "c3"):
        serve(place, "retrieve", version)
    verdict = read_overview(place).verdict
    assert (verdict.word, verdict.sentence) == ("better", "It is getting better.")
    assert verdict.details == ("retrieve: reward +0.150, 2 of 3 candidates promoted since 2026-03-09",)
    place.rollback("retrieve")
    verdict = read_overview(place).verdict
    assert verdict.word == "better"
    assert verdict.details[0].startswith("retrieve: reward +0.100,")
    assert verdict.details[0].endswith("the last promoted version is not serving")
    place.swap(retrieve=None)
    verdict = read_overview(place).verdict
    assert (verdict.word, "rolled back" in verdict.sentence) == ("same", True)
    serve(place, "retrieve", "by-hand")
    verdict = read_overview(place).verdict
    assert (verdict.word, verdict.sentence) == (
        "unknown",
        "Not known: the gate never measured the serving model.",
    )


def test_refused_candidates_change_no_verdict_and_a_promoted_loss_is_called_worse(place: Workspace) -> None:
    shipped = find_version(place, "prep").version
    decide(place, 1, "prep", "p2", shipped, (0.7, 0.6), promoted=False)
    assert read_overview(place).verdict.word == "same"
    serve(place, "prep", "p3")
    decide(place, 2, "prep", "p3", shipped, (0.7, 0.65), promoted=True)
    assert read_overview(place).verdict.word == "worse"


def day(number: int, n_helpful: int, n_rated: int) -> DayUsage:
    return DayUsage(date(2026, 1, 1) + timedelta(days=number), n_rated, 0, n_helpful, n_rated, 1.0, 1.0)


@pytest.mark.parametrize(
    ("before", "recent", "expected"),
    [
        ((50, 100), (80, 100), (0.5, 0.8, True)),
        ((50, 100), (55, 100), (0.5, 0.55, False)),
        ((5, 10), (80, 100), None),
    ],
)
def test_marks_count_as_a_change_only_where_it_is_sure(before, recent, expected):
    trend = helpful_trend([day(0, *before), day(30, *recent)])
    assert trend == (None if expected is None else pytest.approx(expected))


def test_there_is_no_trend_without_days() -> None:
    assert helpful_trend([]) is None
    assert measure_usage([]).days == ()
    assert GateHistory("prep", (), None).gained is None
