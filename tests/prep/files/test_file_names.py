"""A document's id and path stay the same however its file is reached, and two files never have one id."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixture_prep import LinePrep

from prep.document import Document
from prep.files.file_finder import find_files
from prep.files.file_names import KnownDocument, NamedFile, name_files
from prep.files.ignore_rules import FileRules
from prep.ingest import ingest
from prep.store.workspace import Workspace


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {path}\n", encoding="utf-8")
    return folder


def name(*paths: Path | str, known: list[KnownDocument] | None = None, keep: bool = True) -> list[NamedFile]:
    return name_files(find_files(paths, FileRules()).files, known or [], keep_known=keep)


def as_known(named: list[NamedFile]) -> list[KnownDocument]:
    return [KnownDocument(one.document_id, str(one.file.path), one.path) for one in named]


def ids(named: list[NamedFile]) -> list[str]:
    return [one.document_id for one in named]


def test_working_directory_slash_link_and_order_change_no_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "docs", "a.md", "x/b.md")
    known = as_known(name(tmp_path / "docs"))
    assert [one.document_id for one in known] == ["a.md", "x/b.md"]
    monkeypatch.chdir(tmp_path / "docs" / "x")
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    for given in ("../", f"{tmp_path}/docs/", "../../docs/../docs", str(tmp_path / "link")):
        assert as_known(name(given)) == as_known(name(given, known=known)) == known


def test_a_file_named_by_itself_keeps_the_id_and_the_path_that_its_folder_gave_it(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "policies/a.md")
    known = as_known(name(docs))
    for given in (docs / "policies", docs / "policies" / "a.md"):
        (row,) = name(given, known=known)
        assert (row.document_id, row.path, row.file.root) == ("policies/a.md", "policies/a.md", docs)


def test_a_file_that_was_first_named_by_itself_keeps_its_id_and_gets_the_longer_path(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "policies/a.md")
    known = as_known(name(docs / "policies" / "a.md"))
    assert [(one.document_id, one.path) for one in name(docs, known=known)] == [("a.md", "policies/a.md")]


def test_a_new_file_in_a_known_folder_is_named_as_its_neighbours_are(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "policies/a.md", "b.md")
    known = as_known(name(docs))
    make(docs, "policies/new.md", "other/new.md")
    assert ids(name(docs / "policies" / "new.md", known=known)) == ["policies/new.md"]
    assert ids(name(docs / "other" / "new.md", known=known)) == ["new.md"]
    unrelated = make(tmp_path / "elsewhere", "new.md")
    assert ids(name(unrelated, known=known)) == ["new.md"]


def test_files_of_another_folder_never_take_an_id_and_keep_theirs_from_then_on(tmp_path: Path) -> None:
    make(tmp_path, "one/docs/a.md", "one/docs/b.md", "two/docs/a.md", "two/docs/c.md")
    first = as_known(name(tmp_path / "one" / "docs"))
    second = as_known(name(tmp_path / "two" / "docs", known=first))
    assert [one.document_id for one in second] == ["docs/a.md", "docs/c.md"]
    known = [*first, *second]
    make(tmp_path, "two/docs/new.md")
    both = name(tmp_path / "two" / "docs", tmp_path / "one" / "docs", known=known)
    assert ids(both) == ["a.md", "b.md", "docs/a.md", "docs/c.md", "docs/new.md"]
    assert ids(name(tmp_path / "two" / "docs", known=known)) == ["docs/a.md", "docs/c.md", "docs/new.md"]


def test_a_folder_that_was_moved_keeps_its_ids(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "a.md", "x/b.md")
    known = as_known(name(docs))
    moved = docs.rename(tmp_path / "moved")
    assert ids(name(moved, known=known)) == ids(name(moved, known=known, keep=False)) == ["a.md", "x/b.md"]
    copied = make(tmp_path / "docs", "a.md")  # something lies in the old place again
    assert ids(name(moved, known=known)) == ["moved/a.md", "moved/x/b.md"]
    assert ids(name(moved, known=known, keep=False)) == ["a.md", "x/b.md"]  # what is not given goes
    assert ids(name(copied, known=known)) == ["a.md"]


def test_documents_of_older_workspaces_are_known_by_a_relative_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "docs", "a.md")
    monkeypatch.chdir(tmp_path)
    known = [KnownDocument("a.md", "docs/a.md", "a.md"), KnownDocument("notes", "", "notes")]
    assert ids(name("docs", known=known)) == ["a.md"]


def test_documents_that_are_parts_of_a_file_are_not_taken_for_it(tmp_path: Path) -> None:
    docs = make(tmp_path / "docs", "rows.txt")
    parts = [Document(f"row{n}", "", f"row {n}\n", str(docs / "rows.txt")) for n in range(2)]
    for rows, expected in ((parts, ["row0", "row1", "rows.txt"]), (parts[:1], ["row0", "rows.txt"])):
        place = tmp_path / f"w{len(rows)}"
        ingest(place, rows, LinePrep(), progress=False)
        ingest(place, docs, LinePrep(), progress=False)
        with Workspace(place).open_generation() as generation:
            assert sorted(document.id for document in generation.documents()) == expected


def test_two_folders_ingested_one_after_the_other_are_both_there_whatever_comes_again(tmp_path: Path) -> None:
    make(tmp_path, "one/readme.md", "two/readme.md")
    place = tmp_path / "w"

    def stored(*paths: Path) -> dict[str, str]:
        ingest(place, list(paths), LinePrep(), progress=False)
        with Workspace(place).open_generation() as generation:
            return {document.id: document.text for document in generation.documents()}

    one, two = tmp_path / "one", tmp_path / "two"
    texts = [f"text of {folder / 'readme.md'}\n" for folder in (one, two)]
    assert list(stored(one).values()) == texts[:1]
    both = stored(two)
    assert sorted(both.values()) == texts
    first = Workspace(place).current().generation
    for again in ([one], [two], [two, one], [one / "readme.md"]):
        assert stored(*again) == both
    assert Workspace(place).current().generation == first
