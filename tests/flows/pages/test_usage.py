"""The usage in a log: counts by day, and failed questions in their order."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta

from fixture_pages import START, PageMarkup, report, trace

from flows.pages.overview import read_overview
from flows.pages.usage import CORRECTED, UNHELPFUL, WRONG_QUOTE, read_usage
from flows.pages.workspace_page import (
    render_workspace,
)
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from retrieve.experience.record import ASKED_AGAIN


def test_usage_is_counted_by_day_with_the_days_without_questions(
    log: ExperienceLog, place: Workspace
) -> None:
    for number, (days, seconds, answer) in enumerate(
        [(0, 1.0, "x"), (0, 2.0, None), (0, 3.0, "x"), (3, 9.0, "x"), (3, 4.0, None)]
    ):
        log.record(
            report(number, f"Q{number}", at=START + timedelta(days=days), answer=answer, seconds=seconds)
        )
    log.feedback("r0", helpful=True)
    log.feedback("r3", answer="another")
    usage = read_usage(place)
    assert (usage.n_asked, usage.n_abstained, usage.n_rated, usage.n_helpful) == (5, 2, 2, 1)
    assert (usage.seconds_p50, usage.seconds_p95) == (3.0, 9.0)
    assert [(day.day.day, day.n_asked, day.n_abstained) for day in usage.days] == [
        (2, 3, 1),
        (3, 0, 0),
        (4, 0, 0),
        (5, 2, 1),
    ]
    assert [day.seconds_p50 for day in usage.days] == [2.0, None, None, 4.0]
    assert usage.days[0].day == date(2026, 3, 2)


def test_failed_questions_come_by_weight_and_mended_ones_last(log: ExperienceLog, place: Workspace) -> None:
    asked = [
        ("The Vault?", 0, {"helpful": False}),
        ("the vault", 10, {"answer": "with ten turns"}),
        ("Only repeated?", 100, {}),
        ("only repeated", 110, {}),
        ("Mended?", 200, {"helpful": False}),
        ("Mended?", 600, {"helpful": True}),
        ("Liked?", 700, {"helpful": True}),
        ("Asked a day later?", 800, {}),
        ("Asked a day later?", 800 + 24 * 60, {}),
        ("A wrong quote?", 900, {"quote": 1, "quote_right": False}),
    ]
    for number, (question, minutes, said) in enumerate(asked):
        log.record(report(number, question, at=START + timedelta(minutes=minutes)), trace(f"answer {number}"))
        if said:
            log.feedback(f"r{number}", **said)
    failures = read_usage(place).failures
    assert [(one.question, one.n_asked, one.is_mended) for one in failures] == [
        ("the vault", 2, False),
        ("A wrong quote?", 1, False),
        ("Only repeated?", 2, False),
        ("Mended?", 2, True),
    ]
    assert failures[0].signs == {UNHELPFUL: 1, CORRECTED: 1, ASKED_AGAIN: 1}
    assert failures[1].signs == {WRONG_QUOTE: 1}
    assert [one.last.report.id for one in failures] == ["r1", "r9", "r2", "r4"]
    page = render_workspace(read_overview(place))
    assert page.index("the vault") < page.index("Only repeated?") < page.index("Mended?")
    assert "with ten turns" in page
    assert "<b>&lt;report&gt; answer 1&lt;/report&gt;</b>" in page
    assert "4 questions of 10 asked failed, 3 without a good answer since" in page


def test_a_marked_episode_is_shown_rather_than_a_later_repeat(log: ExperienceLog, place: Workspace) -> None:
    for number, minutes in enumerate((0, 10, 20)):
        log.record(report(number, at=START + timedelta(minutes=minutes)))
    log.feedback("r1", helpful=False)
    (failure,) = read_usage(place).failures
    assert failure.last.report.id == "r1"


def test_rows_before_a_damaged_one_count_and_the_damage_is_named(
    log: ExperienceLog, place: Workspace
) -> None:
    for number in range(3):
        log.record(report(number, at=START + timedelta(days=number)))
    with sqlite3.connect(log.path) as database:
        database.execute("UPDATE reports SET report = '{}' WHERE report_id = 'r2'")
    database.close()
    usage = read_usage(place)
    assert usage.n_asked == 2
    assert "'r2'" in usage.problem
    assert "cannot be read" in PageMarkup(render_workspace(read_overview(place))).words
    log.path.write_bytes(b"no database" * 100)
    assert "2026-03-02" not in render_workspace(read_overview(place))
