"""The usage of a workspace, from its experience log: questions, seconds per answer, and failed questions.

A question failed where a person says so: the answer was marked as not helpful or corrected, or a quote was marked as
wrong. The same question again soon after, as the log notes it, counts too, but less: the first answer may not have
helped. Questions that are equal apart from case, articles and punctuation are one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from prep.errors import StoreError
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from retrieve.experience.record import ASKED_AGAIN, Experience
from training.metrics.answer_metrics import normalise_answer

__all__ = [
    "CORRECTED",
    "UNHELPFUL",
    "WRONG_QUOTE",
    "DayUsage",
    "FailedQuestion",
    "UsageSummary",
    "measure_usage",
    "read_usage",
]

UNHELPFUL, CORRECTED, WRONG_QUOTE = "marked as not helpful", "corrected", "a quote marked as wrong"
#: What each sign of failure weighs.
WEIGHTS = {UNHELPFUL: 1.0, CORRECTED: 1.0, WRONG_QUOTE: 1.0, ASKED_AGAIN: 0.3}


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One day, in UTC. seconds_p50, seconds_p95: of an answer; None on a day without any."""

    day: date
    n_asked: int
    n_abstained: int
    n_helpful: int
    n_rated: int
    seconds_p50: float | None
    seconds_p95: float | None


@dataclass(frozen=True, slots=True)
class FailedQuestion:
    """A question that failed. signs: how often each; last: the newest marked episode, else the newest repeated one.

    is_mended: a later answer was marked as helpful, and the question did not fail since.
    """

    question: str
    n_asked: int
    signs: dict[str, int]
    last: Experience
    is_mended: bool

    @property
    def weight(self) -> float:
        """The sum of its signs, each with its weight."""
        return sum(WEIGHTS[sign] * count for sign, count in self.signs.items())


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """The content of a log. days: every day from the first to the last; failures: the largest weight first.

    problem: why the log could not be read to its end, else empty.
    """

    n_asked: int = 0
    n_abstained: int = 0
    n_rated: int = 0
    n_helpful: int = 0
    seconds_p50: float | None = None
    seconds_p95: float | None = None
    days: tuple[DayUsage, ...] = ()
    failures: tuple[FailedQuestion, ...] = ()
    problem: str = ""


def read_usage(workspace: Workspace) -> UsageSummary:
    """Return the usage in the workspace's log; up to a row that cannot be read, with the problem named."""
    return measure_usage(ExperienceLog(workspace.path / LOG_NAME).rows())


def measure_usage(rows: Iterable[Experience]) -> UsageSummary:
    """Return the usage in the rows, oldest first. One pass; only failed questions stay in memory, and counts."""
    tally = _Tally()
    problem = ""
    try:
        for row in rows:
            tally.add(row)
    except StoreError as error:
        problem = str(error)
    return tally.result(problem)


@dataclass(slots=True)
class _Question:
    """One question so far. is_marked: a person marked the episode `last` as wrong."""

    n_asked: int = 0
    signs: Counter[str] = field(default_factory=Counter)
    last: Experience | None = None
    is_marked: bool = False
    is_mended: bool = False


class _Tally:
    """The counts of one pass over the log."""

    def __init__(self) -> None:
        self.days: dict[date, list[tuple[float, bool, bool | None]]] = defaultdict(list)
        self.questions: dict[str, _Question] = {}

    def add(self, row: Experience) -> None:
        asked = _moment(row.report.created)
        mark = row.helpful if row.corrected_answer is None else False
        self.days[asked.date()].append((row.report.usage.seconds, row.report.abstained, mark))
        name = normalise_answer(row.report.question) or row.report.question
        question = self.questions.setdefault(name, _Question())
        signs = [
            sign
            for sign, holds in (
                (UNHELPFUL, row.helpful is False),
                (CORRECTED, row.corrected_answer is not None),
                (WRONG_QUOTE, row.has_quote(right=False)),
                (ASKED_AGAIN, any(signal.kind == ASKED_AGAIN for signal in row.signals)),
            )
            if holds
        ]
        is_marked = mark is False or WRONG_QUOTE in signs
        question.n_asked += 1
        question.signs.update(signs)
        if is_marked or (signs and not question.is_marked):
            question.last = row
        question.is_marked = question.is_marked or is_marked
        question.is_mended = (mark is True and not is_marked) or (question.is_mended and not signs)

    def result(self, problem: str) -> UsageSummary:
        answers = [answer for day in self.days.values() for answer in day]
        failures = [
            FailedQuestion(
                found.last.report.question, found.n_asked, dict(found.signs), found.last, found.is_mended
            )
            for found in self.questions.values()
            if found.last is not None
        ]
        failures.sort(key=lambda one: one.last.report.created, reverse=True)
        failures.sort(key=lambda one: (one.is_mended, -one.weight))
        return UsageSummary(
            n_asked=len(answers),
            n_abstained=sum(abstained for _, abstained, _ in answers),
            n_rated=sum(mark is not None for _, _, mark in answers),
            n_helpful=sum(mark is True for _, _, mark in answers),
            seconds_p50=_percentile([seconds for seconds, _, _ in answers], 50),
            seconds_p95=_percentile([seconds for seconds, _, _ in answers], 95),
            days=tuple(self._days()),
            failures=tuple(failures),
            problem=problem,
        )

    def _days(self) -> Iterable[DayUsage]:
        if not self.days:
            return
        first, last = min(self.days), max(self.days)
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            answers = self.days.get(day, [])
            seconds = [answer[0] for answer in answers]
            yield DayUsage(
                day=day,
                n_asked=len(answers),
                n_abstained=sum(abstained for _, abstained, _ in answers),
                n_helpful=sum(mark is True for _, _, mark in answers),
                n_rated=sum(mark is not None for _, _, mark in answers),
                seconds_p50=_percentile(seconds, 50),
                seconds_p95=_percentile(seconds, 95),
            )


def _moment(created: str) -> datetime:
    """Return the time in UTC; a time without a zone is in UTC already."""
    moment = datetime.fromisoformat(created)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _percentile(values: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many percent of the values do not exceed; None without values."""
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1] if values else None
