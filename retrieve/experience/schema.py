"""The tables of the experience log, and the migration of an older file."""

from __future__ import annotations

import sqlite3
import time

from prep.errors import StoreError

__all__ = ["SCHEMA", "check_tables"]

#: The version of the file's tables, kept in SQLite's user_version.
SCHEMA = 2
# "Dipy", so that `file` and our own check can tell the log from another database.
APPLICATION_ID = 0x44697079
_TABLES = """
CREATE TABLE IF NOT EXISTS reports (
    report_id TEXT PRIMARY KEY,
    created TEXT NOT NULL,
    question TEXT NOT NULL,
    trace TEXT NOT NULL,
    report TEXT NOT NULL,
    models TEXT NOT NULL,
    generation TEXT NOT NULL,
    seconds REAL NOT NULL,
    user TEXT
);
CREATE TABLE IF NOT EXISTS feedback (
    feedback_id INTEGER PRIMARY KEY,
    report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    created TEXT NOT NULL,
    helpful INTEGER CHECK (helpful IN (0, 1)),
    answer TEXT,
    quote INTEGER,
    quote_right INTEGER CHECK (quote_right IN (0, 1))
);
CREATE INDEX IF NOT EXISTS feedback_of_report ON feedback (report_id);
CREATE TABLE IF NOT EXISTS shown (
    document_id TEXT NOT NULL,
    report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    PRIMARY KEY (document_id, report_id)
) WITHOUT ROWID;
"""
_LATER = """
CREATE INDEX IF NOT EXISTS shown_in_report ON shown (report_id);
CREATE INDEX IF NOT EXISTS reports_by_time ON reports (created);
CREATE INDEX IF NOT EXISTS reports_by_user ON reports (user);
CREATE TABLE IF NOT EXISTS signals (
    report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    by_report TEXT NOT NULL REFERENCES reports (report_id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    PRIMARY KEY (report_id, by_report)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS signals_by_report ON signals (by_report);
"""
_FROM_1 = (
    "ALTER TABLE reports ADD COLUMN user TEXT",
    "ALTER TABLE feedback ADD COLUMN quote INTEGER",
    "ALTER TABLE feedback ADD COLUMN quote_right INTEGER CHECK (quote_right IN (0, 1))",
)


def check_tables(database: sqlite3.Connection, path: object, timeout_s: float) -> None:
    """Create the tables where there are none, and migrate those of schema 1. Raises StoreError, sqlite3.Error."""
    version, application, n_tables = _about(database)
    if n_tables == 0:
        _make_tables(database, timeout_s)
    elif application == APPLICATION_ID and version == 1:
        _migrate(database)
    elif version != SCHEMA or application != APPLICATION_ID:
        raise StoreError(
            f"{path} is no experience log of schema {SCHEMA} (it says {version}); move it away, "
            f"or use the Diptych that wrote it"
        )


def _make_tables(database: sqlite3.Connection, timeout_s: float) -> None:
    """Create the tables of an empty file; other processes may do so at the same time."""
    give_up = time.monotonic() + timeout_s
    while True:  # the switch to a write-ahead log does not wait for a lock by itself
        try:
            database.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
    database.executescript(
        f"BEGIN IMMEDIATE; {_TABLES}{_LATER} PRAGMA application_id = {APPLICATION_ID}; "
        f"PRAGMA user_version = {SCHEMA}; COMMIT;"
    )


def _about(database: sqlite3.Connection) -> tuple[int, int, int]:
    found: tuple[int, int, int] = database.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    return found


def _migrate(database: sqlite3.Connection) -> None:
    """Add the columns and tables of schema 2 to schema 1, all or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if _about(database)[0] == 1:  # no other process has done so meanwhile
            for statement in (*_FROM_1, *filter(str.strip, _LATER.split(";"))):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA}")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
