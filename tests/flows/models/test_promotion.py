"""Promoting and rolling back a prep version prepares the documents where no generation was built by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixture_prep import LinePrep

from flows.models.promotion import promote_version, roll_back
from prep.document import Document
from prep.errors import StoreError
from prep.ingest import ingest
from prep.model.prep_model import PrepModel
from prep.store.workspace import Workspace


def texts(*words: str) -> list[Document]:
    return [Document(word, word, f"{word} is told of here.") for word in words]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose prep versions, p1 and p2, are loaded as stand-ins; what ships is called lines-1."""
    monkeypatch.setattr(PrepModel, "load", lambda folder: LinePrep(folder.name if folder else "lines-1"))
    place = Workspace(tmp_path / "workspace")
    for version in ("p1", "p2"):
        with place.new_model("prep", version) as folder:
            (folder / "weights").write_bytes(b"weights")
    ingest(place, texts("alpha", "beta"), LinePrep(), progress=False)
    return place


def held(place: Workspace, prep: str) -> set[str]:
    with place.open_generation(prep_version=prep) as generation:
        return {document.id for document in generation.documents()}


def test_a_version_that_built_no_generation_prepares_the_documents_of_now(place):
    promote_version(place, "prep", "p1", progress=False)
    assert (place.current().prep, held(place, "p1")) == ("p1", {"alpha", "beta"})
    first = place.generations_of(None)
    assert (roll_back(place, "prep", progress=False).generation, held(place, "lines-1")) == (
        first[-1],
        {"alpha", "beta"},
    )


@pytest.mark.parametrize("to_shipped", [True, False])
def test_it_is_prepared_for_again_where_its_generation_is_gone(to_shipped, place):
    """As after it was removed by hand: what ingests leave is kept for it."""
    import shutil

    promote_version(place, "prep", "p1", progress=False)
    if not to_shipped:
        promote_version(place, "prep", "p2", progress=False)
    wanted = None if to_shipped else "p1"
    for name in place.generations_of(wanted):
        shutil.rmtree(place.generations_path / name)
    assert roll_back(place, "prep", progress=False).prep == wanted
    assert held(place, wanted or "lines-1") == {"alpha", "beta"}


def test_where_nothing_is_ingested_the_version_alone_is_swapped(tmp_path, place):
    empty = Workspace(tmp_path / "empty")
    with empty.new_model("prep", "p1") as folder:
        (folder / "weights").write_bytes(b"weights")
    assert promote_version(empty, "prep", "p1").prep == "p1"
    assert roll_back(empty, "prep").prep is None


def test_a_version_that_is_not_there_is_refused(place):
    with pytest.raises(StoreError, match="'p9'"):
        promote_version(place, "prep", "p9")
    with pytest.raises(StoreError, match="no other retrieve"):
        roll_back(place, "retrieve")
