"""What was asked, what was answered and what people made of it: `ExperienceLog`, one SQLite file.

One row per report (question, trace of the episode, the report itself, models, generation, seconds) and any
number of feedback rows for it. It is what the next training run learns from; choosing and weighing rows is
left to `training`. Many processes may write at once (write-ahead log, short transactions, a connection per
call).

The log never stands in the way of an answer: `record` says once, through `logging`, that it cannot write, and
goes on. Reading, feedback and deletion raise, because someone is waiting for their effect. What is deleted is
overwritten in the file, not only unlinked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prep.errors import DataError, StoreError
from retrieve.report import Report, dump_json

__all__ = ["SCHEMA", "Experience", "ExperienceLog", "Feedback"]

#: The version of the file's tables, kept in SQLite's user_version.
SCHEMA = 1

_LOGGER = logging.getLogger(__name__)
_APPLICATION_ID = (
    0x44697079  # "Dipy", so that `file` and our own check can tell the log from another database
)
_TABLES = """
CREATE TABLE IF NOT EXISTS reports (
    report_id TEXT PRIMARY KEY,
    created TEXT NOT NULL,
    question TEXT NOT NULL,
    trace TEXT NOT NULL,
    report TEXT NOT NULL,
    models TEXT NOT NULL,
    generation TEXT NOT NULL,
    seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS feedback (
    feedback_id INTEGER PRIMARY KEY,
    report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    created TEXT NOT NULL,
    helpful INTEGER CHECK (helpful IN (0, 1)),
    answer TEXT
);
CREATE INDEX IF NOT EXISTS feedback_of_report ON feedback (report_id);
CREATE TABLE IF NOT EXISTS shown (
    document_id TEXT NOT NULL,
    report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    PRIMARY KEY (document_id, report_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS shown_in_report ON shown (report_id);
"""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of a report: whether it helped (None: not said), and the right answer, if given."""

    created: str
    helpful: bool | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Experience:
    """One logged question: the trace of its episode, the report, and the feedback in the order it came."""

    trace: list[Any]
    report: Report
    feedback: tuple[Feedback, ...] = ()

    @property
    def helpful(self) -> bool | None:
        """The last verdict given; None if there is none."""
        return next((item.helpful for item in reversed(self.feedback) if item.helpful is not None), None)

    @property
    def corrected_answer(self) -> str | None:
        """The last answer someone gave instead; None if nobody did."""
        return next((item.answer for item in reversed(self.feedback) if item.answer is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: schema, report, trace, feedback."""
        feedback = [
            {"created": item.created, "helpful": item.helpful, "answer": item.answer}
            for item in self.feedback
        ]
        return {"schema": SCHEMA, "report": self.report.to_dict(), "trace": self.trace, "feedback": feedback}


class ExperienceLog:
    """The experience log at `path`, made by the first record. `enabled=False` keeps nothing."""

    def __init__(self, path: str | Path, *, enabled: bool = True, timeout_s: float = 5.0) -> None:
        self.path = Path(path)
        self.enabled = enabled
        self.timeout_s = timeout_s
        self._has_warned = False

    def __repr__(self) -> str:
        return f"ExperienceLog({str(self.path)!r}, enabled={self.enabled})"

    def record(self, report: Report, trace: Sequence[Any] = ()) -> bool:
        """Keep `report` and the steps that led to it, and return whether they were kept. Never raises.

        `trace` is a list of JSON values, the steps of the state machine. A report kept before stays as it is.
        """
        if not self.enabled:
            return False
        try:
            row = (
                report.id,
                report.created,
                _storable(report.question),
                dump_json(list(trace)),
                report.to_json(),
                dump_json(report.models),
                _storable(report.generation),
                report.usage.seconds,
            )
            shown = {_storable(source.document_id) for source in report.sources}
            with self._transaction(create=True) as database:
                added = database.execute(
                    "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row
                )
                if added.rowcount:
                    database.executemany(
                        "INSERT INTO shown VALUES (?, ?)", [(document_id, report.id) for document_id in shown]
                    )
        except (sqlite3.Error, OSError, StoreError, TypeError, ValueError, RecursionError) as error:
            if not self._has_warned:
                self._has_warned = True
                _LOGGER.warning(
                    "the experience log %s cannot be written (%s); answers go on, but are not kept",
                    self.path,
                    error,
                )
            return False
        return True

    def feedback(self, report_id: str, helpful: bool | None = None, answer: str | None = None) -> None:
        """Keep what a person said of a report: whether it helped, the right answer, or both.

        Raises DataError if neither is given or the answer is blank, StoreError if the report was never kept.
        """
        if helpful is None and answer is None:
            raise DataError(f"feedback on report {report_id!r} says nothing: give helpful=, answer= or both")
        if answer is not None and not answer.strip():
            raise DataError(f"feedback on report {report_id!r}: the corrected answer is blank")
        value = None if helpful is None else int(bool(helpful))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._answering("take feedback"), self._transaction() as database:
            known = database.execute("SELECT 1 FROM reports WHERE report_id = ?", (report_id,)).fetchone()
            if known is None:
                raise StoreError(self._unknown(report_id))
            database.execute(
                "INSERT INTO feedback (report_id, created, helpful, answer) VALUES (?, ?, ?, ?)",
                (report_id, now, value, None if answer is None else _storable(answer)),
            )

    def rows(self) -> Iterator[Experience]:
        """Yield what was kept, oldest first, as it stood when the first was read. Nothing if there is no log.

        Raises StoreError if the file is no experience log, is damaged, or holds a row that cannot be read.
        """
        if not self.path.exists():
            return
        with self._answering("be read"), self._connection() as database:
            database.execute("BEGIN")
            reports = database.execute("SELECT report_id, trace, report FROM reports ORDER BY created, rowid")
            for report_id, trace, report in reports:
                said = database.execute(
                    "SELECT created, helpful, answer FROM feedback WHERE report_id = ? ORDER BY feedback_id",
                    (report_id,),
                ).fetchall()
                feedback = tuple(
                    Feedback(created, None if helpful is None else bool(helpful), answer)
                    for created, helpful, answer in said
                )
                try:
                    yield Experience(json.loads(trace), Report.from_json(report), feedback)
                except ValueError as error:
                    raise StoreError(
                        f"row {report_id!r} of the experience log {self.path} cannot be read ({error}); "
                        f"delete_report({report_id!r}) removes it"
                    ) from error

    def count(self) -> int:
        """Return how many reports are kept."""
        if not self.path.exists():
            return 0
        with self._answering("be read"), self._connection() as database:
            return int(database.execute("SELECT count(*) FROM reports").fetchone()[0])

    def export(self, path: str | Path) -> int:
        """Write every row as one line of JSON to `path` (`Experience.to_dict`) and return how many there are.

        The file appears whole or not at all. Raises StoreError.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        n_rows = 0
        try:
            with partial.open("w", encoding="utf-8") as lines:
                for experience in self.rows():
                    lines.write(dump_json(experience.to_dict()) + "\n")
                    n_rows += 1
            partial.replace(target)
        except OSError as error:
            raise StoreError(f"the experience log cannot be exported to {target}: {error}") from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        return n_rows

    def delete_report(self, report_id: str) -> None:
        """Remove one report and its feedback for good. Raises StoreError if it was never kept."""
        if not self._delete("report_id = ?", report_id):
            raise StoreError(self._unknown(report_id))

    def delete_document(self, document_id: str) -> int:
        """Remove every report for which a passage of this document was shown; return how many there were."""
        return self._delete(
            "report_id IN (SELECT report_id FROM shown WHERE document_id = ?)", _storable(document_id)
        )

    def _delete(self, condition: str, value: str) -> int:
        if not self.path.exists():
            return 0
        with self._answering("delete"):
            with self._transaction() as database:
                n_deleted = database.execute(f"DELETE FROM reports WHERE {condition}", (value,)).rowcount
            with self._connection() as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the words would stay in the log file
        return n_deleted

    def _unknown(self, report_id: str) -> str:
        why = "it was never kept, or was deleted" if self.enabled else "the log is switched off"
        return f"there is no report {report_id!r} in the experience log {self.path}: {why}"

    @contextmanager
    def _answering(self, deed: str) -> Iterator[None]:
        """Turn what SQLite and the file system raise into StoreError."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the experience log {self.path} cannot {deed}: {error}") from error

    @contextmanager
    def _connection(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        if create:
            self._make_private_file()
        elif not self.path.exists():
            why = "nothing has been asked yet" if self.enabled else "the log is switched off"
            raise StoreError(f"there is no experience log at {self.path}: {why}")
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        database = sqlite3.connect(uri, uri=True, timeout=self.timeout_s, isolation_level=None)
        with contextlib.closing(database):
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("PRAGMA secure_delete = ON")
            version, application, n_tables = database.execute(
                "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
                "FROM pragma_user_version, pragma_application_id"
            ).fetchone()
            if n_tables == 0:
                self._make_tables(database)
            elif version != SCHEMA or application != _APPLICATION_ID:
                raise StoreError(
                    f"{self.path} is no experience log of schema {SCHEMA} (it says {version}); move it away, "
                    f"or use the Diptych that wrote it"
                )
            yield database

    @contextmanager
    def _transaction(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        with self._connection(create=create) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _make_private_file(self) -> None:
        """Make the file readable by its owner alone: it holds questions and passages."""
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))

    def _make_tables(self, database: sqlite3.Connection) -> None:
        give_up = time.monotonic() + self.timeout_s
        while True:  # the switch to a write-ahead log does not wait for a lock by itself
            try:
                database.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
        database.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {SCHEMA}; COMMIT;"
        )


def _storable(text: str) -> str:
    """Return `text` as SQLite can hold it; the report's JSON keeps a lone surrogate, a column cannot."""
    return text.encode("utf-8", "replace").decode()
