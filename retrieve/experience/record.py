"""One row of the experience log: a report, its feedback, and signals from later questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retrieve.experience.schema import SCHEMA
from retrieve.report.data import Quote
from retrieve.report.report import Report

__all__ = ["ASKED_AGAIN", "FOLLOWED_UP", "Experience", "Feedback", "Signal"]

#: Kinds of signals.
ASKED_AGAIN, FOLLOWED_UP = "asked again", "followed up"


@dataclass(frozen=True, slots=True)
class Feedback:
    """A person's feedback on a report: whether it helped, the right answer, whether a quote is right; None: not said.

    quote: its place among the report's quotes, from 1.
    """

    created: str
    helpful: bool | None = None
    answer: str | None = None
    quote: int | None = None
    quote_right: bool | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """A later question as a signal about an earlier report: its kind, and the later report."""

    kind: str
    by_report: str


@dataclass(frozen=True, slots=True)
class Experience:
    """One logged question: the trace of its episode, the report, feedback, oldest first, and signals."""

    trace: list[Any]
    report: Report
    feedback: tuple[Feedback, ...] = ()
    user: str | None = None
    signals: tuple[Signal, ...] = ()

    @property
    def helpful(self) -> bool | None:
        """The last verdict given; None if there is none."""
        return next((item.helpful for item in reversed(self.feedback) if item.helpful is not None), None)

    @property
    def corrected_answer(self) -> str | None:
        """The last answer someone gave instead; None if nobody did."""
        return next((item.answer for item in reversed(self.feedback) if item.answer is not None), None)

    def quotes(self, *, right: bool) -> list[Quote]:
        """Return the quotes whose last feedback says that they are right, or wrong."""
        said = {item.quote: item.quote_right for item in self.feedback if item.quote is not None}
        return [
            quote for number, quote in enumerate(self.report.quotes, start=1) if said.get(number) is right
        ]

    def has_quote(self, *, right: bool) -> bool:
        """Whether the last feedback says of a quote of the answer that it is right, or wrong."""
        return any(quote in self.report.answer_quotes for quote in self.quotes(right=right))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: schema, report, trace, user, feedback, signals."""
        return {
            "schema": SCHEMA,
            "report": self.report.to_dict(),
            "trace": self.trace,
            "user": self.user,
            "feedback": [
                {
                    "created": item.created,
                    "helpful": item.helpful,
                    "answer": item.answer,
                    "quote": item.quote,
                    "quote_right": item.quote_right,
                }
                for item in self.feedback
            ],
            "signals": [{"kind": signal.kind, "by_report": signal.by_report} for signal in self.signals],
        }
