"""Deleting documents copies what stays, needs no model, and can be taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixture_prep import LinePrep

from prep.document import Document, Rejected
from prep.document_deletion import delete_documents
from prep.errors import DataError, EmptyStore, StoreError
from prep.ingest import IngestReport, ingest
from prep.store.workspace import Workspace

ROWS = [
    *(
        Document(f"d{number}", f"T{number}", f"# Head\nalpha word{number}\n~menu\n", f"{number}.md")
        for number in range(4)
    ),
    Rejected("scan.pdf", "has no text"),
]


def run(path: Path, rows: list[Document | Rejected] | None = None) -> IngestReport:
    return ingest(path, rows or ROWS, LinePrep(), progress=False)


def test_what_stays_is_what_an_ingest_without_them_would_have_made(tmp_path: Path) -> None:
    run(tmp_path / "w")
    report = delete_documents(tmp_path / "w", ["d1", "d3"])
    assert (report.n_documents, report.n_removed, report.n_unchanged) == (2, 2, 2)
    run(tmp_path / "other", [row for row in ROWS if isinstance(row, Rejected) or row.id in ("d0", "d2")])
    with (
        Workspace(tmp_path / "w").open_generation() as left,
        Workspace(tmp_path / "other").open_generation() as right,
    ):
        assert left.id == report.generation
        assert left.manifest["content_digest"] == right.manifest["content_digest"]
        assert left.manifest["rejected"] == [{"path": "scan.pdf", "reason": "has no text"}]
        for document in left.documents():
            theirs = right.document_chunks(document.id)
            assert [(c.id, c.vector.tobytes()) for c in left.document_chunks(document.id)] == [
                (c.id, c.vector.tobytes()) for c in theirs
            ]


def test_a_deletion_is_taken_back_by_a_rollback_and_by_an_ingest(tmp_path: Path) -> None:
    first = run(tmp_path).generation
    delete_documents(tmp_path, ["d0"])
    assert Workspace(tmp_path).rollback_generation().generation == first
    second = delete_documents(tmp_path, ["d0"]).generation
    assert Workspace(tmp_path).rollback_generation(first).generation == first
    assert Workspace(tmp_path).rollback_generation(second).generation == second
    assert run(tmp_path).n_documents == 4


def test_what_cannot_be_deleted_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(EmptyStore):
        delete_documents(tmp_path, ["d0"])
    before = run(tmp_path).generation
    with pytest.raises(StoreError, match=r"no document 'd00'; did you mean 'd0'.*diptych list"):
        delete_documents(tmp_path, ["d1", "d00"])
    with pytest.raises(DataError, match="no document would be left"):
        delete_documents(tmp_path, [f"d{number}" for number in range(4)])
    workspace = Workspace(tmp_path)
    with workspace.new_model("prep", "other") as folder:
        (folder / "weights.bin").write_bytes(b"x")
    workspace.promote("prep", "other")
    with pytest.raises(StoreError, match="run `diptych ingest` before"):
        delete_documents(tmp_path, ["d0"])
    assert workspace.current().generation == before
    assert workspace.current().prep == "other"
