"""Damaged pages from any folder of structured documents: seeded, labelled, and described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prep.errors import ConfigError, DataError
from training.pages.damage import CATALOGUE
from training.pages.synthetic_pages import describe_catalogue, main, synthetic_pages

MARKDOWN = (
    "# Guide\n\nSome words. More.\n\n## Install\n\n- one\n- two\n\n```\nrun it\n```\n\n## Use\n\nThe end.\n"
)
RST = "Notes\n=====\n\nFirst words here.\n\nDetails\n-------\n\nLast words there.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "guide.md").write_text(MARKDOWN, encoding="utf-8")
    (tmp_path / "docs" / "deep" / "notes.rst").write_text(RST, encoding="utf-8")
    (tmp_path / "docs" / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path / "docs"


def test_pages_are_seeded_and_their_units_tile_the_text(folder: Path) -> None:
    rows = list(synthetic_pages(folder, pages=6))
    assert rows == list(synthetic_pages(folder, pages=6))
    assert rows != list(synthetic_pages(folder, pages=6, seed=18))
    assert {row["document_id"] for row in rows} == {"guide.md", "deep/notes.rst"}
    for row in rows:
        position = 0
        for start, end, *_ in row["units"]:
            assert start == position
            position = end
        assert position == len(row["text"])


def test_the_structure_is_taken_from_the_text_and_kept_as_labels(folder: Path) -> None:
    rows = synthetic_pages(folder, damages=["flatten_headings", "lose_blank_lines"], pages=8)
    shown = [row for row in rows if "Details" in row["text"]]
    assert shown
    for row in shown:
        labels = {
            row["text"][a:b].strip(" *:1.\n").lower(): (role, boundary)
            for a, b, boundary, role, _ in row["units"]
        }
        assert labels["details"] == ("heading", "none")
        assert labels["first words here"][1] == "section"
        assert "====" not in row["text"]


def test_every_damage_says_what_it_does() -> None:
    lines = describe_catalogue().splitlines()
    assert [line.split()[0] for line in lines] == list(CATALOGUE)
    assert all(len(line.split()) > 4 for line in lines)


def test_the_command_writes_a_row_a_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pages.jsonl"
    assert main([str(folder), "--out", str(out), "--pages", "3"]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 6
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["pages"] == 6
    assert main(["--catalogue"]) == 0
    assert "running_headers" in capsys.readouterr().out


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no"):
        list(synthetic_pages(tmp_path))
    with pytest.raises(ConfigError, match="no damage shuffle"):
        list(synthetic_pages(tmp_path, damages=["shuffle"]))
