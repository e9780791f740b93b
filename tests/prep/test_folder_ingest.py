"""Ingest of folders: what is added, changed, removed, kept and left out, and how it is told."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from fixture_files import pdf_bytes
from fixture_prep import LinePrep

from prep.document import Document
from prep.errors import DataError
from prep.files.ignore_rules import FileRules
from prep.ingest import IngestReport, IngestSettings, ingest, plan_ingest
from prep.store.workspace import Workspace


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "x").mkdir(parents=True)
    for name in ("a.md", "b.md", "x/c.md"):
        (folder / name).write_text(f"# {name}\ntext of {name}\n", encoding="utf-8")
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "o.md").write_text("other text\n", encoding="utf-8")
    return folder


def run(tmp_path: Path, *paths: Path, **options: object) -> IngestReport:
    return ingest(tmp_path / "w", list(paths), LinePrep(), progress=False, **options)  # type: ignore[arg-type]


def stored(tmp_path: Path) -> dict[str, Document]:
    with Workspace(tmp_path / "w").open_generation() as generation:
        return {document.id: document for document in generation.documents()}


def test_another_folder_is_added_and_removes_nothing(tmp_path: Path, docs: Path, other: Path) -> None:
    run(tmp_path, docs)
    report = run(tmp_path, other)
    assert (report.n_documents, report.n_added, report.n_unchanged, report.n_removed) == (4, 1, 3, 0)
    (docs / "a.md").unlink()
    (docs / "b.md").write_text("new text\n", encoding="utf-8")
    report = run(tmp_path, docs)
    assert (report.n_added, report.n_changed, report.n_unchanged, report.n_removed) == (0, 1, 3, 0)
    assert sorted(stored(tmp_path)) == ["a.md", "b.md", "o.md", "x/c.md"]


def test_a_sync_says_what_will_go_before_anything_does(tmp_path: Path, docs: Path, other: Path) -> None:
    run(tmp_path, docs, other)
    (docs / "a.md").unlink()
    before = Workspace(tmp_path / "w").current().generation
    told: list[list[str]] = []

    def tell(leaving: list[str]) -> None:
        assert Workspace(tmp_path / "w").current().generation == before
        told.append(sorted(leaving))

    report = run(tmp_path, docs, remove_missing=True, on_removal=tell)
    assert told == [["a.md", "o.md"]]
    assert (report.n_removed, sorted(stored(tmp_path))) == (2, ["b.md", "x/c.md"])
    run(tmp_path, docs, remove_missing=True, on_removal=tell)
    rows = list(stored(tmp_path).values())[:1]
    before = Workspace(tmp_path / "w").current().generation
    ingest(tmp_path / "w", rows, LinePrep(), progress=False, remove_missing=True, on_removal=tell)
    assert told == [["a.md", "o.md"], ["x/c.md"]]


@pytest.mark.parametrize("remove_missing", [False, True])
def test_a_plan_says_what_an_ingest_then_does_and_changes_nothing(
    tmp_path: Path, docs: Path, other: Path, remove_missing: bool
) -> None:
    (docs / "d.pdf").write_bytes(pdf_bytes([["A sound page."]]))
    run(tmp_path, docs, other)
    (docs / "a.md").unlink()
    (docs / "b.md").write_text("changed\n", encoding="utf-8")
    (docs / "new.md").write_text("new\n", encoding="utf-8")
    (docs / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    (docs / "d.pdf").write_bytes(b"%PDF-1.4 nothing")
    (docs / ".hidden").write_text("hidden")
    files = {path: path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()}
    plan = plan_ingest(tmp_path / "w", [docs], "lines-1", remove_missing=remove_missing)
    assert files == {path: path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()}
    assert (plan.added, plan.changed, plan.kept) == (["new.md"], ["b.md"], ["d.pdf"])
    assert sorted(plan.removed) == (["a.md", "o.md"] if remove_missing else [])
    assert sorted(plan.unchanged) == sorted(
        ["d.pdf", "x/c.md"] + ([] if remove_missing else ["a.md", "o.md"])
    )
    assert [Path(row.path).name for row in plan.rejected] == ["bad.pdf", "d.pdf"]
    assert plan.left_out == {"hidden": 1}
    for words in ("1 to add", "  add new.md", "  change b.md", "bad.pdf: is damaged", "1 hidden"):
        assert words in plan.summary()
    assert ("  remove o.md" in plan.summary()) == remove_missing
    report = run(tmp_path, docs, remove_missing=remove_missing)
    assert (report.n_added, report.n_changed, report.n_removed) == (1, 1, len(plan.removed))
    assert (report.n_unchanged, report.n_kept) == (len(plan.unchanged), 1)
    assert report.rejected == plan.rejected
    assert plan_ingest(tmp_path / "nowhere", [docs], "lines-1").changed == []
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("remove_missing", [False, True])
def test_a_document_whose_file_cannot_be_read_this_time_keeps_its_last_version(
    tmp_path: Path, docs: Path, remove_missing: bool
) -> None:
    (docs / "d.pdf").write_bytes(pdf_bytes([["A sound page."]]))
    run(tmp_path, docs)
    good = stored(tmp_path)["d.pdf"]
    (docs / "d.pdf").write_bytes(b"%PDF-1.4 half written")
    report = run(tmp_path, docs, remove_missing=remove_missing)
    assert (report.n_documents, report.n_kept, report.n_unchanged, report.n_removed) == (4, 1, 4, 0)
    assert stored(tmp_path)["d.pdf"] == good
    (rejected,) = report.rejected
    assert rejected.reason.startswith("is damaged")
    assert rejected.reason.endswith("; it stays as it was read before")
    assert "1 rejected, of which 1 stay as they were read before:" in report.summary()
    again = run(tmp_path, docs, remove_missing=remove_missing)
    assert again.generation == report.generation
    (docs / "d.pdf").write_bytes(pdf_bytes([["A better page."]]))
    report = run(tmp_path, docs, remove_missing=remove_missing)
    assert (report.n_changed, report.rejected) == (1, [])
    assert "better" in stored(tmp_path)["d.pdf"].text


def test_what_an_archive_holds_keeps_its_ids_and_stays_where_the_archive_cannot_be_read(
    tmp_path: Path, docs: Path, other: Path
) -> None:
    def pack(*names: str) -> None:
        with zipfile.ZipFile(docs / "x" / "notes.zip", "w") as archive:
            for name in names:
                archive.writestr(name, f"text of {name}\n")

    pack("in/a.md", "b.md")
    run(tmp_path, docs)
    members = {"x/notes.zip!/in/a.md", "x/notes.zip!/b.md"}
    assert members < stored(tmp_path).keys()
    assert stored(tmp_path)["x/notes.zip!/in/a.md"].metadata["folder"] == "x/notes.zip!/in"
    report = run(tmp_path, docs / "x" / "notes.zip")  # reached from another folder
    assert (report.n_added, report.n_documents) == (0, 5)
    whole = (docs / "x" / "notes.zip").read_bytes()
    (docs / "x" / "notes.zip").write_bytes(whole[: len(whole) // 2])
    report = run(tmp_path, docs, remove_missing=True)
    assert (report.n_kept, report.n_removed) == (2, 0)
    assert members < stored(tmp_path).keys()
    pack("b.md")
    told: list[str] = []
    run(tmp_path, docs, remove_missing=True, on_removal=told.extend)
    assert told == ["x/notes.zip!/in/a.md"]
    assert plan_ingest(tmp_path / "w", [other], "lines-1", remove_missing=True).removed.count(
        "x/notes.zip!/b.md"
    )


def test_documents_of_a_folder_that_cannot_be_listed_stay_in_a_sync(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, docs)
    listing = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "x":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr("prep.files.file_finder.os.scandir", refuse)
    report = run(tmp_path, docs, remove_missing=True)
    assert (report.n_removed, report.n_kept) == (0, 1)
    assert [Path(row.path).name for row in report.rejected] == ["x", "c.md"]
    assert all("permission denied" in row.reason for row in report.rejected)


def test_a_link_out_of_the_folders_is_no_document_and_its_old_one_leaves_in_a_sync(
    tmp_path: Path, docs: Path, other: Path
) -> None:
    (docs / "linked").symlink_to(other)
    run(tmp_path, docs, rules=FileRules(follow_links=True))
    assert "linked/o.md" in stored(tmp_path)
    report = run(tmp_path, docs, remove_missing=True)
    assert [Path(row.path).name for row in report.rejected] == ["linked"]
    assert (report.n_removed, report.n_kept) == (1, 0)


def test_a_folder_without_a_document_changes_nothing(tmp_path: Path, docs: Path) -> None:
    first = run(tmp_path, docs)
    shutil.rmtree(docs)
    docs.mkdir()
    (docs / ".hidden.md").write_text("hidden")
    with pytest.raises(DataError, match=f"1 files or folders left out; generation {first.generation} stays"):
        run(tmp_path, docs, remove_missing=True)


def test_every_file_counts_towards_the_total(tmp_path: Path, docs: Path) -> None:
    run(tmp_path, docs)
    (docs / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    (docs / "new.md").write_text("new\n", encoding="utf-8")
    told: list[tuple[int, int]] = []
    settings = IngestSettings(batch_documents=1)
    run(tmp_path, docs, on_progress=lambda done, total: told.append((done, total)), settings=settings)
    assert {total for _, total in told} == {5}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (5, 5)
    assert len(told) >= 4


def test_names_are_told_without_what_a_terminal_would_act_on(tmp_path: Path, docs: Path) -> None:
    bad = "bad\x1b[31m\u202egnp\n.pdf"
    try:
        (docs / bad).write_bytes(b"%PDF-1.4 nothing")
        (docs / bad.replace("pdf", "md")).write_text("text\n", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such names")
    shown = plan_ingest(tmp_path / "w", [docs], "lines-1").summary() + run(tmp_path, docs).summary()
    assert shown.count("bad\ufffd[31mgnp .pdf: is damaged") == 2
    assert "  add bad\ufffd[31mgnp .md" in shown
    assert not set(shown) & {"\x1b", "\u202e"}


def test_a_touched_file_is_not_prepared_again_and_has_its_new_time(tmp_path: Path, docs: Path) -> None:
    prep = LinePrep()
    ingest(tmp_path / "w", docs, prep, progress=False)
    prep.prepared.clear()

    os.utime(docs / "a.md", (86_400, 86_400))
    report = ingest(tmp_path / "w", docs, prep, progress=False)
    assert (prep.prepared, report.n_unchanged) == ([], 3)
    assert stored(tmp_path)["a.md"].metadata["modified"] == "1970-01-02T00:00:00+00:00"
