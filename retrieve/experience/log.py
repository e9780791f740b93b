"""The experience log: questions, reports, feedback and signals in one SQLite file.

One row per report (question, trace of the episode, the report itself, models, generation, seconds, user), any number of
feedback rows for it, and signals of what people did afterwards (`retrieve.experience.signals`). The next training run
learns from the log; `training.data.feedback_examples` chooses and weighs its rows. Many processes may write at once
(write-ahead log, short transactions, a connection per call).

Redaction comes before writing (`retrieve.experience.log_config`). The log never stands in the way of an answer:
`record` reports a failure once, through `logging`, and goes on. Reading, feedback and deletion raise, because their
caller waits for the effect. Deleted rows are overwritten in the file, not only unlinked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prep.errors import ConfigError, DataError, StoreError
from retrieve.experience.log_config import MASK, ExperienceConfig, Redactor
from retrieve.experience.record import Experience, Feedback, Signal
from retrieve.experience.schema import check_tables
from retrieve.experience.signals import note_signal
from retrieve.report.data import dump_json
from retrieve.report.report import Report

__all__ = ["LOG_NAME", "ExperienceLog"]

#: The file in a workspace.
LOG_NAME = "experience.sqlite"
_LOGGER = logging.getLogger(__name__)
_PRUNE_EVERY = 64  # records of one process


class ExperienceLog:
    """The experience log at `path`, created by the first record. `enabled=False` overrides the settings."""

    def __init__(
        self,
        path: str | Path,
        *,
        enabled: bool = True,
        config: ExperienceConfig | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self.path = Path(path)
        self.config = config or ExperienceConfig()
        self.enabled = enabled and self.config.enabled
        self.timeout_s = timeout_s
        self._redactor = Redactor(self.config.redact)
        self._has_warned = False
        self._n_recorded = 0

    @classmethod
    def of(cls, workspace: str | Path, *, enabled: bool = True) -> ExperienceLog:
        """Return the log of a workspace, with its settings. Raises ConfigError."""
        return cls(Path(workspace) / LOG_NAME, enabled=enabled, config=ExperienceConfig.of(workspace))

    def __repr__(self) -> str:
        return f"ExperienceLog({str(self.path)!r}, enabled={self.enabled})"

    def record(
        self, report: Report, trace: Sequence[Any] = (), *, user: str | None = None, is_single: bool = True
    ) -> bool:
        """Keep a report and its trace, and return whether they were kept. Never raises.

        trace: JSON values, the steps of the state machine. user: who asked; no model sees it. is_single: the question
        came alone; questions of one batch give no signals about each other, because nobody had seen an answer yet. A
        report that is in the log stays as it is.
        """
        if not self.enabled:
            return False
        try:
            self._record(self._redactor.report(report), trace, user, is_single)
        except (
            sqlite3.Error,
            OSError,
            StoreError,
            ConfigError,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            if not self._has_warned:
                self._has_warned = True
                _LOGGER.warning(
                    "the experience log %s cannot be written (%s); answers go on, but are not kept",
                    self.path,
                    error,
                )
            return False
        return True

    def _record(self, report: Report, trace: Sequence[Any], user: str | None, is_single: bool) -> None:
        who = None if user is None else _storable(self._redactor.user(user))
        row = (
            report.id,
            report.created,
            _storable(report.question),
            dump_json(self._redactor.values(list(trace))),
            report.to_json(),
            dump_json(report.models),
            _storable(report.generation),
            report.usage.seconds,
            who,
        )
        shown = {_storable(source.document_id) for source in report.sources}
        self._n_recorded += 1
        with self._transaction(create=True) as database:
            added = database.execute(
                "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row
            )
            if added.rowcount:
                database.executemany(
                    "INSERT INTO shown VALUES (?, ?)", [(document_id, report.id) for document_id in shown]
                )
                if is_single and MASK not in report.question:  # equal masks may hide different words
                    note_signal(database, report, who, within_s=self.config.again_within_s)
            if self._n_recorded % _PRUNE_EVERY == 1:
                self._drop_old(database)

    def feedback(
        self,
        report_id: str,
        helpful: bool | None = None,
        answer: str | None = None,
        *,
        quote: int | None = None,
        quote_right: bool | None = None,
    ) -> None:
        """Keep a person's feedback on a report: whether it helped, the right answer, whether a quote is right.

        quote: its place among the report's quotes, from 1; it goes with quote_right. Raises DataError for empty
        feedback, a blank answer or a quote that the report does not have, StoreError for a report that is not in the
        log.
        """
        if not self.enabled:
            raise StoreError(f"the experience log {self.path} is switched off: nothing is kept of feedback")
        if helpful is None and answer is None and quote is None and quote_right is None:
            raise DataError(
                f"feedback on report {report_id!r} says nothing: give helpful=, answer= or quote= and quote_right="
            )
        if answer is not None and not answer.strip():
            raise DataError(f"feedback on report {report_id!r}: the corrected answer is blank")
        if (quote is None) != (quote_right is None):
            raise DataError(f"feedback on report {report_id!r}: quote= and quote_right= belong together")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        report_id = _storable(report_id)
        with self._answering("take feedback"), self._transaction() as database:
            known = database.execute(
                "SELECT report FROM reports WHERE report_id = ?", (report_id,)
            ).fetchone()
            if known is None:
                raise StoreError(self._unknown(report_id))
            n_quotes = len(Report.from_json(known[0]).quotes) if quote is not None else 0
            if quote is not None and not 1 <= quote <= n_quotes:
                raise DataError(f"feedback on report {report_id!r}: quote={quote} must lie in 1..{n_quotes}")
            database.execute(
                "INSERT INTO feedback (report_id, created, helpful, answer, quote, quote_right) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    report_id,
                    now,
                    None if helpful is None else int(bool(helpful)),
                    None if answer is None else _storable(self._redactor.text(answer)),
                    quote,
                    None if quote_right is None else int(bool(quote_right)),
                ),
            )

    def rows(self, *, document_id: str | None = None, user: str | None = None) -> Iterator[Experience]:
        """Yield the rows as of the first read, oldest first; none where there is no log.

        document_id: only reports that were shown a passage of it. user: only that user's questions. Raises StoreError
        for a file that is no experience log or is damaged, and for a row that cannot be read.
        """
        if not self.path.exists():
            return
        where, values = self._chosen(document_id, user)
        with self._answering("be read"), self._connection() as database:
            database.execute("BEGIN")
            reports = database.execute(
                f"SELECT report_id, trace, report, user FROM reports WHERE {where} ORDER BY created, rowid",
                values,
            )
            for report_id, trace, report, who in reports:
                said = database.execute(
                    "SELECT created, helpful, answer, quote, quote_right FROM feedback WHERE report_id = ? "
                    "ORDER BY feedback_id",
                    (report_id,),
                ).fetchall()
                feedback = tuple(
                    Feedback(created, _bool(helpful), answer, quote, _bool(right))
                    for created, helpful, answer, quote, right in said
                )
                done = database.execute(
                    "SELECT kind, by_report FROM signals WHERE report_id = ? ORDER BY by_report", (report_id,)
                ).fetchall()
                signals = tuple(Signal(kind, by_report) for kind, by_report in done)
                try:
                    yield Experience(json.loads(trace), Report.from_json(report), feedback, who, signals)
                except ValueError as error:
                    raise StoreError(
                        f"row {report_id!r} of the experience log {self.path} cannot be read ({error}); "
                        f"delete_report({report_id!r}) removes it"
                    ) from error

    def count(self) -> int:
        """Return the number of reports."""
        if not self.path.exists():
            return 0
        with self._answering("be read"), self._connection() as database:
            return int(database.execute("SELECT count(*) FROM reports").fetchone()[0])

    def find(self, prefix: str) -> str:
        """Return the only report id with this prefix, or `prefix` itself where there is none. Raises StoreError."""
        found = sorted(one for one in self.report_ids() if prefix and one.startswith(prefix))
        if prefix in found:
            return prefix
        if len(found) > 1:
            raise StoreError(f"{len(found)} reports of {self.path} have an id that begins with {prefix!r}")
        return found[0] if found else prefix  # the caller's own look-up reports what is missing

    def report_ids(self) -> frozenset[str]:
        """Return the ids of all reports. Raises StoreError."""
        if not self.path.exists():
            return frozenset()
        with self._answering("be read"), self._connection() as database:
            return frozenset(one for (one,) in database.execute("SELECT report_id FROM reports"))

    def export(self, path: str | Path, *, document_id: str | None = None, user: str | None = None) -> int:
        """Write rows to `path`, one line of JSON each (`Experience.to_dict`), and return their number.

        document_id, user: as for `rows`. The file appears whole or not at all. Raises StoreError.
        """
        target = Path(path)
        if target.exists() and not target.is_file():
            raise StoreError(f"the experience log cannot be exported to {target}: it is no file")
        target = target.resolve()
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        n_rows = 0
        try:
            with open(partial, "w", encoding="utf-8", opener=_private) as lines:
                for experience in self.rows(document_id=document_id, user=user):
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
        """Remove one report and its feedback for good. Raises StoreError for a report that is not in the log."""
        if not self._delete("report_id = ?", (_storable(report_id),)):
            raise StoreError(self._unknown(report_id))

    def delete_document(self, document_id: str) -> int:
        """Remove every report that was shown a passage of this document; return their number."""
        return self._delete(*self._chosen(document_id, None))

    def delete_user(self, user: str) -> int:
        """Remove every report of this user, with its feedback; return their number."""
        return self._delete(*self._chosen(None, user))

    def prune(self) -> int:
        """Remove the reports that the settings do not keep, for good; return their number."""
        if not self.path.exists():
            return 0
        with self._answering("be pruned"):
            with self._transaction() as database:
                n_deleted = self._drop_old(database)
            self._forget()
        return n_deleted

    def _drop_old(self, database: sqlite3.Connection) -> int:
        n_deleted = 0
        if self.config.retention_days is not None:
            oldest = datetime.now(UTC) - timedelta(days=self.config.retention_days)
            too_old = (oldest.isoformat(timespec="seconds"),)
            n_deleted += database.execute("DELETE FROM reports WHERE created < ?", too_old).rowcount
        if self.config.max_rows is not None:
            n_rows = int(database.execute("SELECT count(*) FROM reports").fetchone()[0])
            n_deleted += database.execute(
                "DELETE FROM reports WHERE report_id IN "
                "(SELECT report_id FROM reports ORDER BY created, rowid LIMIT ?)",
                (max(0, n_rows - self.config.max_rows),),
            ).rowcount
        return n_deleted

    def _chosen(self, document_id: str | None, user: str | None) -> tuple[str, tuple[str, ...]]:
        """Return the condition that chooses rows, and its values."""
        conditions, values = ["1"], []
        if document_id is not None:
            conditions.append("report_id IN (SELECT report_id FROM shown WHERE document_id = ?)")
            values.append(_storable(document_id))
        if user is not None:
            conditions.append("user IN (?, ?)")
            values += map(_storable, self._redactor.names(user))
        return " AND ".join(conditions), tuple(values)

    def _delete(self, condition: str, values: tuple[str, ...]) -> int:
        if not self.path.exists():
            return 0
        with self._answering("delete"):
            with self._transaction() as database:
                n_deleted = database.execute(f"DELETE FROM reports WHERE {condition}", values).rowcount
            self._forget()
        return n_deleted

    def _forget(self) -> None:
        """Empty the write-ahead log, where deleted words would stay; warn where a reader prevents it."""
        with self._connection() as database:
            if database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                _LOGGER.warning(
                    "rows are deleted from %s, but someone reads it, and their words stay in its write-ahead log "
                    "until that ends; `prune` it then",
                    self.path,
                )

    def _unknown(self, report_id: str) -> str:
        why = "it was never kept, or was deleted" if self.enabled else "the log is switched off"
        return f"there is no report {report_id!r} in the experience log {self.path}: {why}"

    @contextmanager
    def _answering(self, deed: str) -> Iterator[None]:
        """Turn errors of SQLite and the file system into StoreError."""
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
            check_tables(database, self.path, self.timeout_s)
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
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(_private(str(self.path), os.O_CREAT | os.O_RDWR))


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: it holds questions and passages."""
    return os.open(path, flags, 0o600)


def _storable(text: str) -> str:
    """Return `text` as a column can hold it. The report's JSON keeps a lone surrogate, which SQLite cannot."""
    return text.encode("utf-8", "replace").decode()


def _bool(value: int | None) -> bool | None:
    return None if value is None else bool(value)
