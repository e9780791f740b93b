"""`diptych experience`: what it prints, what it deletes, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli.app import main
from retrieve.experience.log import ExperienceLog
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace's folder with three reports, two of ada's."""
    log = ExperienceLog.of(tmp_path)
    for number, (user, document) in enumerate([("ada", "a.md"), ("ben", "a.md"), ("ada", "b.md")]):
        quote = Quote(document, 0, 4, "nine")
        report = Report(
            f"r{number}",
            f"How many turns has vault {number}?",
            "nine",
            False,
            [Finding("nine", [quote])],
            ["turns"],
            [Source(document, "", (), 0, 40, 0.5, True)],
            Usage(1, 1, 1, 0.1),
            created=f"2026-01-0{number + 1}T00:00:00+00:00",
        )
        assert log.record(report, user=user)
    return tmp_path


def run(place: Path, *words: str) -> int:
    return main(["experience", *words, "--workspace", str(place)])


def test_feedback_given_by_command_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "feedback", "r0", "--helpful", "no", "--answer", "ten") == 0
    assert run(place, "feedback", "r1", "--helpful", "yes") == 0
    assert run(place, "feedback", "r1", "--quote", "1", "--quote-right", "no") == 0
    capsys.readouterr()
    assert run(place, "show", "--last", "2") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("3 reports, 1 helpful, 1 not helpful, 1 corrected, 1 quotes wrong\n")
    assert "How many turns has vault 2?" in shown
    assert "vault 0" not in shown
    assert run(place, "show", "--user", "ada", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["reports"], said["corrected"], len(said["newest"])) == (2, 1, 2)


def test_rows_are_exported_and_deleted_by_who_and_what(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place / "out.jsonl"
    assert run(place, "export", str(out), "--document", "a.md") == 0
    assert [json.loads(line)["user"] for line in out.read_text(encoding="utf-8").splitlines()] == [
        "ada",
        "ben",
    ]
    assert "2 reports written" in capsys.readouterr().out
    assert run(place, "delete", "--user", "ada", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": 2, "feedback_examples_deleted": 0}
    assert run(place, "delete", "--report", "r1") == 0
    assert "1 report deleted" in capsys.readouterr().out
    assert run(place, "show") == 0
    assert "nothing is kept" in capsys.readouterr().out


def test_what_a_terminal_would_act_on_is_shown_as_text_and_a_report_is_named_by_its_beginning(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = place / "reports" / "index.html"
    page.parent.mkdir()
    page.write_text("what people asked")
    log = ExperienceLog.of(place)
    (row, *_) = log.rows()
    log.record(replace(row.report, id="beef01", question="\x1b]0;OWNED\x07 \ud83d?\nand more"))
    assert run(place, "show") == 0
    assert "OWNED" in (shown := capsys.readouterr().out)
    assert "\x1b" not in shown
    assert run(place, "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reports"] == 4
    assert run(place, "feedback", "beef", "--helpful", "no") == 0
    assert "beef01" in capsys.readouterr().out
    assert page.exists()
    assert run(place, "delete", "--report", "beef") == 0
    assert not page.exists()


def test_pruning_goes_by_the_settings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "experience.toml").write_text("max_rows = 1\n")
    assert run(place, "prune") == 0
    assert "2 reports deleted" in capsys.readouterr().out
    (place / "experience.toml").write_text("enabled = false\n")
    assert run(place, "delete", "--document", "b.md") == 0
    assert run(place, "show") == 0
    assert "the log is switched off" in capsys.readouterr().out
    assert run(place, "show", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"enabled": False, "reports": 0, "newest": []}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["delete"], "one of --report, --document and --user"),
        (["delete", "--report", "r0", "--user", "ada"], "one of --report"),
        (["delete", "--report", "ghost"], "'ghost'"),
        (["feedback", "r0"], "says nothing"),
        (["feedback", "r0", "--quote", "3", "--quote-right", "yes"], "quote=3"),
    ],
)
def test_what_cannot_be_done_is_said(
    place: Path, words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, *words) == 2
    assert named in capsys.readouterr().err
