"""Signals: what a later question says of an earlier report, without a word of feedback.

A user who asks the same again soon after was not helped; one who asks on about the same documents was.
"""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime, timedelta

from retrieve.experience.record import ASKED_AGAIN, FOLLOWED_UP
from retrieve.report.report import Report

__all__ = ["note_signal"]

_MIN_SHARED_WORDS = 0.8  # of two questions that ask the same
_N_EARLIER = 20  # reports that are looked at
_WORD = re.compile(r"\w+")


def note_signal(database: sqlite3.Connection, report: Report, user: str | None, *, within_s: float) -> None:
    """Note what a report says of the newest earlier one that it asks again, or else of the newest it follows up.

    user: as stored with the report, which is in the table already. within_s: how much earlier.
    """
    since = (_moment(report.created) - timedelta(seconds=within_s)).isoformat(timespec="seconds")
    earlier = database.execute(
        "SELECT report_id, question FROM reports WHERE created BETWEEN ? AND ? AND user IS ? AND report_id != ? "
        "ORDER BY created DESC, rowid DESC LIMIT ?",
        (since, report.created, user, report.id, _N_EARLIER),
    ).fetchall()
    words = _words(report.question)
    again = (report_id for report_id, question in earlier if _is_same(words, _words(question)))
    followed = (
        report_id
        for report_id, _ in earlier
        if user is not None and _share_documents(database, report_id, report.id)
    )
    for kind, found in ((ASKED_AGAIN, again), (FOLLOWED_UP, followed)):
        if (report_id := next(found, None)) is not None:
            database.execute("INSERT INTO signals VALUES (?, ?, ?)", (report_id, report.id, kind))
            return


def _share_documents(database: sqlite3.Connection, one: str, other: str) -> bool:
    shared = database.execute(
        "SELECT 1 FROM shown AS a JOIN shown AS b USING (document_id) WHERE a.report_id = ? AND b.report_id = ?",
        (one, other),
    )
    return shared.fetchone() is not None


def _moment(created: str) -> datetime:
    """Return the time; one without a zone is in UTC."""
    moment = datetime.fromisoformat(created)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _words(question: str) -> frozenset[str]:
    """Return the words of a question, or the characters of one that is written without blanks."""
    words = _WORD.findall(question.lower())
    return frozenset(part for word in words for part in ([word] if word.isascii() else word))


def _is_same(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether two questions say nearly the same: most of their words are shared."""
    return bool(words) and len(words & others) >= _MIN_SHARED_WORDS * len(words | others)
