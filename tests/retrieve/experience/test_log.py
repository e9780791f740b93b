"""The experience log: what is kept, by how many at once, what deletion leaves, and what a failure costs."""

from __future__ import annotations

import json
import logging
import multiprocessing
import sqlite3
import stat
from pathlib import Path

import pytest

from prep.errors import ConfigError, DataError, StoreError
from retrieve.experience.log import LOG_NAME, ExperienceLog
from retrieve.experience.log_config import MASK, ExperienceConfig, Redactor
from retrieve.experience.record import ASKED_AGAIN, FOLLOWED_UP, Signal
from retrieve.experience.schema import SCHEMA
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report

SECRET = "The vault opens with nine turns."


def report(
    report_id: str,
    document_id: str = "safe.md",
    created: str = "2025-01-01T00:00:00+00:00",
    question: str = "How does the vault open?",
) -> Report:
    quote = Quote(document_id, 10, 10 + len(SECRET), SECRET)
    return Report(
        report_id,
        question,
        "with nine turns",
        False,
        [Finding("with nine turns", [quote])],
        ["vault open"],
        [Source(document_id, "Safes", ("Vault",), 0, 80, 0.8, True)],
        Usage(300, 12, 1, 0.4),
        created=created,
        models={"prep": "p1", "retrieve": "r1"},
        generation="g1",
    )


@pytest.fixture
def log(tmp_path: Path) -> ExperienceLog:
    return ExperienceLog(tmp_path / "workspace" / "experience.sqlite")


def test_a_recorded_report_comes_back_with_its_trace_and_feedback(log: ExperienceLog) -> None:
    trace = [{"search": "vault open"}, {"report": "with nine turns [1.2]"}]
    assert log.record(report("r1"), trace)
    log.feedback("r1", helpful=False, answer="with ten turns")
    log.feedback("r1", helpful=True)
    (row,) = log.rows()
    assert row.report == report("r1")
    assert row.trace == trace
    assert [(said.helpful, said.answer) for said in row.feedback] == [(False, "with ten turns"), (True, None)]
    assert row.helpful is True
    assert row.corrected_answer == "with ten turns"


def test_rows_come_oldest_first_and_there_are_none_before_the_first_record(log: ExperienceLog) -> None:
    assert list(log.rows()) == []
    assert log.count() == 0
    assert not log.path.exists()
    log.record(report("later", created="2025-03-01T00:00:00+00:00"))
    log.record(report("earlier", created="2025-02-01T00:00:00+00:00"))
    assert [row.report.id for row in log.rows()] == ["earlier", "later"]


def test_the_first_record_of_a_report_stays_and_keeps_its_feedback(log: ExperienceLog) -> None:
    log.record(report("r1"), ["first"])
    log.feedback("r1", helpful=True)
    assert log.record(report("r1"), ["second"])
    (row,) = log.rows()
    assert row.trace == ["first"]
    assert row.helpful is True


def test_feedback_on_an_unknown_report_says_which_and_where(log: ExperienceLog) -> None:
    with pytest.raises(StoreError, match="nothing has been asked yet"):
        log.feedback("ghost", helpful=True)
    log.record(report("r1"))
    with pytest.raises(StoreError, match=r"'ghost'.*experience\.sqlite"):
        log.feedback("ghost", helpful=True)
    assert next(log.rows()).feedback == ()


def test_feedback_that_says_nothing_is_refused(log: ExperienceLog) -> None:
    log.record(report("r1"))
    with pytest.raises(DataError, match="says nothing"):
        log.feedback("r1")
    with pytest.raises(DataError, match="blank"):
        log.feedback("r1", answer="  ")


def test_a_log_switched_off_keeps_nothing_and_says_so_to_feedback(tmp_path: Path) -> None:
    log = ExperienceLog(tmp_path / "experience.sqlite", enabled=False)
    assert not log.record(report("r1"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="switched off"):
        log.feedback("r1", helpful=True)


def test_an_unwritable_log_warns_once_and_never_raises(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    log = ExperienceLog(tmp_path / "file" / "experience.sqlite")
    with caplog.at_level(logging.WARNING):
        assert not log.record(report("r1"))
        assert not log.record(report("r2"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be written" in caplog.text


def test_a_trace_that_is_not_json_costs_the_row_and_not_the_answer(
    log: ExperienceLog, caplog: pytest.LogCaptureFixture
) -> None:
    loop: list[object] = []
    loop.append(loop)
    assert not log.record(report("r1"), [object()])
    assert not log.record(report("r2"), loop)
    assert len(caplog.records) == 1
    assert log.record(report("r3"), [{"score": 0.5}])
    assert [row.report.id for row in log.rows()] == ["r3"]


def test_a_date_before_the_calendar_costs_the_row_and_not_the_answer(
    log: ExperienceLog, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not log.record(report("r1", created="0001-01-01T00:00:00+00:00"))
    assert "cannot be written" in caplog.text


def test_a_log_locked_by_another_writer_costs_the_row_and_not_the_answer(log: ExperienceLog) -> None:
    log.record(report("r1"))
    hasty = ExperienceLog(log.path, timeout_s=0.05)
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert not hasty.record(report("r2"))
        assert hasty.count() == 1
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert hasty.record(report("r2"))


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to have a header" * 20])
def test_a_damaged_file_is_an_error_to_readers_and_only_a_warning_to_record(
    log: ExperienceLog, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(content)
    assert not log.record(report("r1"))
    assert "cannot be written" in caplog.text
    with pytest.raises(StoreError, match="cannot be read"):
        list(log.rows())
    assert log.path.read_bytes() == content


def test_a_log_of_a_later_schema_is_left_alone(log: ExperienceLog) -> None:
    log.record(report("r1"))
    database = sqlite3.connect(log.path)
    database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    assert not log.record(report("r2"))
    with pytest.raises(StoreError, match=f"it says {SCHEMA + 1}"):
        list(log.rows())


def test_another_programs_database_is_left_alone(log: ExperienceLog) -> None:
    log.path.parent.mkdir()
    database = sqlite3.connect(log.path)
    database.execute("CREATE TABLE theirs (x)")
    database.close()
    assert not log.record(report("r1"))
    database = sqlite3.connect(log.path)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    database.close()


def test_export_writes_one_json_line_per_report_with_its_feedback(log: ExperienceLog, tmp_path: Path) -> None:
    log.record(report("r1"), ["step"])
    log.record(report("r2"))
    log.feedback("r2", answer="with ten turns")
    assert log.export(tmp_path / "log.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines())
    assert Report.from_dict(first["report"]) == report("r1")
    assert first["trace"] == ["step"]
    assert second["feedback"][0]["answer"] == "with ten turns"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "workspace"]


def test_an_export_that_cannot_be_written_is_a_clear_error(log: ExperienceLog, tmp_path: Path) -> None:
    log.record(report("r1"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be exported"):
        log.export(tmp_path / "file" / "log.jsonl")


def test_deleting_a_document_takes_every_report_it_was_shown_in_and_no_other(log: ExperienceLog) -> None:
    log.record(report("r1", "safe.md"))
    log.feedback("r1", helpful=True)
    log.record(report("r2", "garden.md"))
    assert log.delete_document("safe.md") == 1
    assert [row.report.id for row in log.rows()] == ["r2"]
    assert log.delete_document("safe.md") == 0


def test_deleting_an_unknown_report_is_an_error(log: ExperienceLog) -> None:
    log.record(report("r1"))
    log.delete_report("r1")
    assert log.count() == 0
    with pytest.raises(StoreError, match="'r1'"):
        log.delete_report("r1")


def test_deleted_words_are_in_no_file_of_the_log(log: ExperienceLog) -> None:
    log.record(report("r1"), [SECRET])
    log.feedback("r1", answer=SECRET)
    log.record(report("r2", "garden.md", created="2025-01-02T00:00:00+00:00"))
    log.delete_report("r2")
    assert any(SECRET.encode() in path.read_bytes() for path in log.path.parent.iterdir())
    log.delete_document("safe.md")
    assert not any(SECRET.encode() in path.read_bytes() for path in log.path.parent.iterdir())


def test_deletion_while_someone_reads_says_that_words_are_left(
    log: ExperienceLog, caplog: pytest.LogCaptureFixture
) -> None:
    log = ExperienceLog(log.path, timeout_s=0.1)
    for report_id in ("r1", "r2"):
        log.record(report(report_id), [SECRET])
    rows = log.rows()
    next(rows)
    with caplog.at_level(logging.WARNING):
        assert log.delete_document("safe.md") == 2
    (said,) = [entry.getMessage() for entry in caplog.records]
    assert "someone reads it" in said
    assert [row.report.id for row in rows] == ["r2"]
    log.prune()
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in log.path.parent.iterdir())


def test_only_the_owner_may_read_the_log(log: ExperienceLog) -> None:
    log.record(report("r1"))
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_row_that_cannot_be_read_is_named_and_can_be_deleted(log: ExperienceLog) -> None:
    log.record(report("r1"))
    database = sqlite3.connect(log.path)
    database.execute("UPDATE reports SET report = '{}'")
    database.commit()
    database.close()
    with pytest.raises(StoreError, match=r"'r1'.*delete_report"):
        list(log.rows())
    log.delete_report("r1")
    assert list(log.rows()) == []


def _record_many(path: Path, first: int, n_reports: int) -> None:
    log = ExperienceLog(path, timeout_s=30)
    for number in range(first, first + n_reports):
        if not log.record(report(f"r{number}")):
            raise SystemExit(1)
        log.feedback(f"r{number}", helpful=True)


def test_processes_that_create_and_write_at_once_lose_nothing(log: ExperienceLog) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_record_many, args=(log.path, 10 * k, 10)) for k in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert {row.report.id for row in log.rows()} == {f"r{number}" for number in range(40)}
    assert all(len(row.feedback) == 1 for row in log.rows())


def test_a_lone_surrogate_in_a_question_is_kept_in_the_report(log: ExperienceLog) -> None:
    odd = Report("r1", "odd \ud800?", None, True, [], [], [], Usage(1, 1, 1, 0.1))
    assert log.record(odd)
    assert next(log.rows()).report == odd


def at(minute: int, second: int = 0) -> str:
    return f"2025-01-01T10:{minute:02d}:{second:02d}+00:00"


def test_who_asked_is_kept_and_can_be_exported_and_deleted(log: ExperienceLog, tmp_path: Path) -> None:
    log.record(report("r1"), user="ada")
    log.record(report("r2", "garden.md"), user="ben")
    log.record(report("r3", "garden.md"))
    assert [(row.report.id, row.user) for row in log.rows()] == [("r1", "ada"), ("r2", "ben"), ("r3", None)]
    assert log.export(tmp_path / "ada.jsonl", user="ada") == 1
    assert log.export(tmp_path / "garden.jsonl", document_id="garden.md") == 2
    assert log.export(tmp_path / "both.jsonl", document_id="garden.md", user="ada") == 0
    assert json.loads((tmp_path / "ada.jsonl").read_text(encoding="utf-8"))["user"] == "ada"
    assert log.delete_user("ada") == 1
    assert [row.report.id for row in log.rows()] == ["r2", "r3"]
    assert log.delete_user("ada") == 0


def test_a_quote_is_said_to_be_right_or_wrong_and_the_last_word_counts(log: ExperienceLog) -> None:
    log.record(report("r1"))
    quote = report("r1").quotes[0]
    log.feedback("r1", quote=1, quote_right=False)
    assert next(log.rows()).quotes(right=False) == [quote]
    log.feedback("r1", quote=1, quote_right=True)
    row = next(log.rows())
    assert (row.quotes(right=False), row.quotes(right=True)) == ([], [quote])
    assert (row.helpful, row.corrected_answer) == (None, None)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"quote": 2, "quote_right": True}, r"quote=2 must lie in 1\.\.1"),
        ({"quote": 0, "quote_right": True}, "quote=0"),
        ({"quote": 1}, "belong together"),
        ({"quote_right": True}, "belong together"),
    ],
)
def test_a_quote_that_is_not_there_is_refused(
    log: ExperienceLog, said: dict[str, object], match: str
) -> None:
    log.record(report("r1"))
    with pytest.raises(DataError, match=match):
        log.feedback("r1", **said)
    assert next(log.rows()).feedback == ()


def test_a_question_asked_again_soon_is_a_signal_on_the_newest_before(log: ExperienceLog) -> None:
    log.record(report("r1", created=at(0)))
    log.record(report("r2", created=at(5), question="how does the VAULT open"))
    log.record(report("r3", created=at(10), question="Where is the garden?"))
    log.record(report("r4", created=at(40)))
    assert {row.report.id: row.signals for row in log.rows()} == {
        "r1": (Signal(ASKED_AGAIN, "r2"),),
        "r2": (),
        "r3": (),
        "r4": (),
    }


def test_that_it_was_asked_again_is_seen_past_a_question_that_was_asked_between(log: ExperienceLog) -> None:
    log.record(report("r1", created=at(0)), user="ada")
    log.record(report("r2", created=at(1), question="Who made it?"), user="ada")
    log.record(report("r3", created=at(2)), user="ada")
    signals = {row.report.id: row.signals for row in log.rows()}
    assert signals == {"r1": (Signal(FOLLOWED_UP, "r2"), Signal(ASKED_AGAIN, "r3")), "r2": (), "r3": ()}


def test_questions_asked_in_one_go_or_blacked_out_are_no_signals(tmp_path: Path) -> None:
    log = ExperienceLog(tmp_path / LOG_NAME, config=ExperienceConfig(redact=(r"of \w+",)))
    log.record(report("r1", created=at(0)), user="ada", is_single=False)
    log.record(report("r2", created=at(0), question="Who made it?"), user="ada", is_single=False)
    log.record(report("r3", created=at(9), question="What is the salary of Ada?"), user="ben")
    log.record(report("r4", created=at(9), question="What is the salary of Bob?"), user="ben")
    assert not any(row.signals for row in log.rows())


def test_another_question_on_the_same_documents_follows_up_where_the_user_is_known(
    log: ExperienceLog,
) -> None:
    log.record(report("r1", created=at(0)), user="ada")
    log.record(report("r2", created=at(1), question="Who made it?"), user="ben")
    log.record(report("r3", created=at(2), question="Who made it?"), user="ada")
    log.record(report("r4", "garden.md", created=at(3), question="Where are roses?"), user="ada")
    log.record(report("r5", created=at(4), question="Is anything else in the safe?"))
    signals = {row.report.id: row.signals for row in log.rows()}
    assert signals == {"r1": (Signal(FOLLOWED_UP, "r3"),), "r2": (), "r3": (), "r4": (), "r5": ()}
    log.delete_report("r3")
    assert all(row.signals == () for row in log.rows())


def test_a_user_s_rows_are_found_whatever_the_patterns_were_as_they_were_written(tmp_path: Path) -> None:
    plain, hiding = ExperienceConfig(), ExperienceConfig(redact=(r"\S+@\S+",))
    for name, config in (("r1", plain), ("r2", hiding)):
        assert ExperienceLog(tmp_path / LOG_NAME, config=config).record(report(name), user="ada@example.org")
    for config in (plain, hiding):
        log = ExperienceLog(tmp_path / LOG_NAME, config=config)
        assert [row.report.id for row in log.rows(user="ada@example.org")] == ["r1", "r2"]
    assert log.delete_user("ada@example.org") == 2


def test_a_line_break_in_what_is_blacked_out_is_as_good_as_a_blank() -> None:
    redactor = Redactor(("Ada Lovelace", r"\d\n\d"))
    assert redactor.text("by Ada\nLovelace, 1\n2") == f"by {MASK * 12}, {MASK * 3}"
    redactor = Redactor((r"key: .*", r"a\ b", r"(?x) c d", r"\\ e", r"[ .]f"))
    assert redactor.text("key: x\ny a\nb c\nd cd") == f"{MASK * 6}\ny {MASK * 3} c\nd {MASK * 2}"
    assert redactor.text("\\\ne .f\nf") == f"{MASK * 3} {MASK * 2}{MASK * 2}"


def test_nothing_is_kept_of_feedback_where_the_log_is_switched_off(log: ExperienceLog) -> None:
    log.record(report("r1"))
    off = ExperienceLog(log.path, config=ExperienceConfig(enabled=False))
    with pytest.raises(StoreError, match="switched off"):
        off.feedback("r1", answer="ten turns")
    assert next(log.rows()).feedback == ()


def test_an_export_is_its_owner_s_alone_and_replaces_nothing_but_a_file(
    log: ExperienceLog, tmp_path: Path
) -> None:
    log.record(report("r1"))
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "log.jsonl")
    assert log.export(link) == 1
    assert link.is_symlink()
    assert (tmp_path / "log.jsonl").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="no file"):
        log.export("/dev/null")


def test_a_report_is_found_by_how_its_id_begins(log: ExperienceLog) -> None:
    for name in ("3f2a91", "3f2b", "77"):
        log.record(report(name))
    assert [log.find(one) for one in ("3f2a", "77", "none", "")] == ["3f2a91", "77", "none", ""]
    with pytest.raises(StoreError, match="2 reports"):
        log.find("3f")


def test_what_is_blacked_out_is_in_no_file_of_the_log(tmp_path: Path) -> None:
    config = ExperienceConfig(redact=(r"nine \w+", r"[\w.]+@[\w.]+"))
    log = ExperienceLog(tmp_path / "experience.sqlite", config=config)
    told = report("r1", question="Is it nine turns, asks ada@example.org?")
    assert log.record(
        told, [["<results> nine turns", False], {"nine turns": "nine turns"}], user="ada@example.org"
    )
    log.feedback("r1", answer="nine times, says ada@example.org")
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for words in ("nine turns", "ada@example.org", "nine times"):
        # A field's name in a trace is ours, not content.
        assert content.replace(b'"nine turns":', b"").count(words.encode()) == 0, words
    (row,) = log.rows()
    assert row.report.quotes[0].text == SECRET.replace("nine turns", MASK * 10)
    assert (row.report.quotes[0].start, row.report.quotes[0].end) == (10, 10 + len(SECRET))
    assert row.report.question == f"Is it {MASK * 10}, asks {MASK * 15}?"
    assert row.report.answer == f"with {MASK * 10}"
    assert row.corrected_answer == f"{MASK * 10}, says {MASK * 15}"
    assert row.user is not None
    assert row.user.startswith("user-")
    assert log.delete_user("ben@example.org") == 0
    assert log.delete_user("ada@example.org") == 1


def test_what_is_older_or_more_than_is_kept_goes(log: ExperienceLog) -> None:
    for number in range(6):
        log.record(report(f"r{number}", created=at(number)), [SECRET])
    log.feedback("r0", helpful=True)
    few = ExperienceLog(log.path, config=ExperienceConfig(max_rows=4))
    assert few.prune() == 2
    assert [row.report.id for row in few.rows()] == ["r2", "r3", "r4", "r5"]
    assert few.prune() == 0
    recent = ExperienceLog(log.path, config=ExperienceConfig(retention_days=30))
    assert recent.prune() == 4
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in log.path.parent.iterdir())


def test_recording_prunes_now_and_then(log: ExperienceLog) -> None:
    for number in range(6):
        log.record(report(f"r{number}", created=at(number)))
    few = ExperienceLog(log.path, config=ExperienceConfig(max_rows=3))
    few.record(report("r6", created=at(6)))
    assert few.count() == 3


SCHEMA_1 = """
CREATE TABLE reports (report_id TEXT PRIMARY KEY, created TEXT NOT NULL, question TEXT NOT NULL, trace TEXT NOT NULL,
    report TEXT NOT NULL, models TEXT NOT NULL, generation TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE feedback (feedback_id INTEGER PRIMARY KEY, report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    created TEXT NOT NULL, helpful INTEGER CHECK (helpful IN (0, 1)), answer TEXT);
CREATE INDEX feedback_of_report ON feedback (report_id);
CREATE TABLE shown (document_id TEXT NOT NULL, report_id TEXT NOT NULL REFERENCES reports ON DELETE CASCADE,
    PRIMARY KEY (document_id, report_id)) WITHOUT ROWID;
CREATE INDEX shown_in_report ON shown (report_id);
PRAGMA application_id = 0x44697079; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
"""


def test_a_log_of_the_first_schema_is_brought_up_in_place(log: ExperienceLog) -> None:
    log.path.parent.mkdir()
    database = sqlite3.connect(log.path)
    database.executescript(SCHEMA_1)
    old = report("old")
    row = (old.id, old.created, old.question, "[]", old.to_json(), "{}", "g1", 0.4)
    database.execute("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    database.execute("INSERT INTO feedback VALUES (1, 'old', '2025-01-02', 1, NULL)")
    database.execute("INSERT INTO shown VALUES ('safe.md', 'old')")
    database.commit()
    database.close()
    (kept,) = log.rows()
    assert (kept.report, kept.helpful, kept.user, kept.signals) == (old, True, None, ())
    log.feedback("old", quote=1, quote_right=False)
    assert log.record(report("new", created=at(0)), user="ada")
    assert [row.report.id for row in log.rows()] == ["old", "new"]
    assert log.delete_document("safe.md") == 2
    database = sqlite3.connect(log.path)
    assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    database.close()


def test_settings_are_read_from_the_workspace(tmp_path: Path) -> None:
    assert ExperienceConfig.of(tmp_path) == ExperienceConfig()
    (tmp_path / "experience.toml").write_text(
        'enabled = false\nredact = ["\\\\d{16}"]\nretention_days = 30\n'
    )
    assert ExperienceConfig.of(tmp_path) == ExperienceConfig(
        enabled=False, redact=(r"\d{16}",), retention_days=30
    )
    log = ExperienceLog.of(tmp_path)
    assert not log.enabled
    assert not log.record(report("r1"))
    assert [path.name for path in tmp_path.iterdir()] == ["experience.toml"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('redact = ["("]', "no regular expression"),
        ('redact = ["x*"]', "matches the empty text"),
        ('redact = "x"', "list of patterns"),
        ("redact = [3]", "no regular expression"),
        ("retention_days = 0", "retention_days"),
        ("max_rows = 0", "max_rows"),
        ("again_within_s = -1", "again_within_s"),
        ("keep = true", "unknown settings"),
        ("enabled", "TOML"),
        ('max_rows = "many"', "wrong type"),
        ("max_rows = 2.5", "wrong type"),
        ('enabled = "off"', "true or false"),
        ("retention_days = true", "wrong type"),
        ("retention_days = inf", "not above 36500"),
        ("retention_days = 800000", "not above 36500"),
        ("again_within_s = nan", "again_within_s"),
        ("again_within_s = 1e15", "again_within_s"),
        ('redact = {a = "x"}', "list of patterns"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "experience.toml").write_text(content)
    with pytest.raises(ConfigError, match=match):
        ExperienceConfig.of(tmp_path)
