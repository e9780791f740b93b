"""`metadata.jsonl` beside files, front matter, and the file system: what a document's metadata are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prep.document import Document, Rejected
from prep.parsing.readers import read_documents


def read(*paths: Path) -> dict[str, Document]:
    return {row.id: row for row in read_documents(*paths) if isinstance(row, Document)}


def sidecar(folder: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "metadata.jsonl"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "hr" / "old").mkdir(parents=True)
    for name in ("a.md", "hr/b.md", "hr/old/c.txt"):
        (folder / name).write_text("# Alpha\n\nText.\n", encoding="utf-8")
        os.utime(folder / name, (1_767_225_600, 1_767_225_600))
    return folder


def test_the_file_system_says_path_folder_format_and_time(docs: Path) -> None:
    found = read(docs)
    assert found["hr/old/c.txt"].metadata == {
        "path": "hr/old/c.txt",
        "folder": "hr/old",
        "format": "text",
        "modified": "2026-01-01T00:00:00+00:00",
    }
    assert (found["a.md"].metadata["folder"], found["a.md"].metadata["format"]) == ("", "markdown")


def test_rows_are_about_a_path_or_a_pattern_and_the_nearest_and_last_win(docs: Path) -> None:
    sidecar(
        docs,
        {"path": "./a.md", "author": "Ada", "tags": ["x", "y"], "n": 3, "none": None},
        {"path": "hr/**/*", "author": "Bo", "kind": "rule", "modified": "2020-02-02"},
        {"path": "a.md", "n": 4},
    )
    sidecar(docs / "hr", "", {"path": "old/c.txt", "author": "Cleo", "title": "The rules of old"})
    found = read(docs)
    assert sorted(found) == ["a.md", "hr/b.md", "hr/old/c.txt"]
    about = {name: dict(row.metadata) for name, row in found.items()}
    assert (about["a.md"]["author"], about["a.md"]["tags"], about["a.md"]["n"]) == ("Ada", ["x", "y"], 4)
    assert "none" not in about["a.md"]
    assert (about["hr/b.md"]["author"], about["hr/b.md"]["modified"]) == ("Bo", "2020-02-02")
    assert (about["hr/old/c.txt"]["author"], about["hr/old/c.txt"]["kind"]) == ("Cleo", "rule")
    assert (found["hr/old/c.txt"].title, found["a.md"].title) == ("The rules of old", "Alpha")
    assert read(docs / "a.md")["a.md"].metadata["author"] == "Ada"


def test_neither_a_file_nor_a_sidecar_says_path_folder_or_format(docs: Path) -> None:
    (docs / "a.md").write_text("---\nfolder: policies\nPath: x\nformat: pdf\nauthor: Ada\n---\n\nText.\n")
    sidecar(docs, {"path": "a.md", "folder": "policies", "format": "pdf"})
    about = read(docs)["a.md"].metadata
    assert (about["path"], about["folder"], about["format"], about["author"]) == (
        "a.md",
        "",
        "markdown",
        "Ada",
    )
    assert "Path" not in about


def test_a_row_that_cannot_be_meant_is_rejected_by_its_line_and_the_rest_counts(docs: Path) -> None:
    path = sidecar(
        docs,
        {"path": "a.md", "n": 1},
        "{broken",
        {"n": 2},
        {"path": "gone.md"},
        "[" * 9999,
        {"path": "[z-a]*.md"},
    )
    rows = list(read_documents(docs))
    assert [row.metadata["n"] for row in rows if isinstance(row, Document) and row.id == "a.md"] == [1]
    rejected = {row.path: row.reason for row in rows if isinstance(row, Rejected)}
    assert sorted(rejected) == [f"{path} (line {number})" for number in (2, 3, 4, 5, 6)]
    assert "no JSON" in rejected[f"{path} (line 2)"]
    assert '"path"' in rejected[f"{path} (line 3)"]
    assert "'gone.md'" in rejected[f"{path} (line 4)"]


def test_a_sidecar_that_is_a_link_is_not_read(docs: Path) -> None:
    outside = docs.parent / "secret.jsonl"
    outside.write_text('{"path": "a.md", "secret": "x"}\n')
    (docs / "metadata.jsonl").symlink_to(outside)
    rows = list(read_documents(docs))
    assert all("secret" not in row.metadata for row in rows if isinstance(row, Document))
    assert [Path(row.path).name for row in rows if isinstance(row, Rejected)] == ["metadata.jsonl"]


def test_a_metadata_jsonl_of_another_kind_is_a_document(docs: Path) -> None:
    sidecar(docs, {"name": "tide", "height": 3})
    assert "metadata.jsonl" in read(docs)


FRONT = [
    ("title: A\nauthor: [Ada, Bo]\n", {"title": "A", "author": ["Ada", "Bo"]}),
    ("version: 1.10\nflag: no\nat: 12:30\ndate: 2026-01-01\n",
     {"version": "1.10", "flag": "no", "at": "12:30", "date": "2026-01-01"}),
    ("owner:\n  name: Dee\n  teams:\n  - x\n  - y\nempty:\n", {"owner.name": "Dee", "owner.teams": ["x", "y"]}),
]  # fmt: skip


@pytest.mark.parametrize(("front", "expected"), FRONT)
def test_front_matter_is_metadata_as_it_is_written(docs: Path, front: str, expected: dict[str, Any]) -> None:
    (docs / "a.md").write_text(f"---\n{front}---\n\n# Text\n", encoding="utf-8")
    about = read(docs)["a.md"].metadata
    assert {key: about.get(key) for key in expected} == expected
    assert len(about) == len(expected) + 4


def test_front_matter_in_toml_is_read_too(docs: Path) -> None:
    (docs / "a.md").write_text('+++\ntitle = "A"\ndate = 2026-01-01\ndraft = true\n[x]\ny = 1\n+++\nText\n')
    about = read(docs)["a.md"].metadata
    assert (about["date"], about["draft"], about["x.y"]) == ("2026-01-01", "true", "1")


@pytest.mark.parametrize(
    "front",
    [
        "a: &x [1]\nb: *x\n",
        "a: [\n",
        "a: b: c\n",
        "x: " + "[" * 3000 + "\n",
        'a: "\\ud800"\nb: !!python/object:os.system\n',
    ],
)
def test_front_matter_that_is_damaged_or_could_grow_is_reported_and_the_text_is_read(
    docs: Path, front: str
) -> None:
    (docs / "a.md").write_text(f"---\n{front}---\n\nText stays.\n", encoding="utf-8")
    rows = list(read_documents(docs / "a.md"))
    assert isinstance(rows[0], Document)
    assert "Text stays." in rows[0].text
    json.dumps(dict(rows[0].metadata), ensure_ascii=False).encode()
    if "ud800" not in front:
        assert [row.path for row in rows[1:]] == [f"{docs / 'a.md'} (front matter)"]


def test_text_between_rules_is_no_front_matter(docs: Path) -> None:
    (docs / "a.md").write_text("---\n\nJust a sentence.\n\n---\n\nText.\n", encoding="utf-8")
    (row,) = read_documents(docs / "a.md")
    assert isinstance(row, Document)
    assert len(row.metadata) == 4
