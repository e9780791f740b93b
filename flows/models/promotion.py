"""Lets a version serve: at once, or with the documents prepared again where no generation was built by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prep.document import Rejected
from prep.store.current import Current, ModelKind
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel

__all__ = ["prepare_again", "promote_version", "roll_back"]


def promote_version(place: Workspace, kind: ModelKind, version: str, *, progress: bool = True) -> Current:
    """Let a version serve. A prep version that built no generation prepares the documents, and is swapped in with them.

    Takes the lock. Raises StoreError, ChecksumMismatch, WorkspaceLocked.
    """
    with place.lock():
        if _must_prepare(place, kind, version):
            return _prepared(place, version, progress)
        return place.promote(kind, version)


def roll_back(place: Workspace, kind: ModelKind, *, progress: bool = True) -> Current:
    """Let the version serve that served before (the shipped one, if that was it), as `promote_version` does.

    Raises StoreError where there is none to go back to, ChecksumMismatch, WorkspaceLocked.
    """
    with place.lock():
        previous = place.current().previous
        if kind in previous and _must_prepare(place, kind, previous[kind]):
            return _prepared(place, previous[kind], progress)
        return place.rollback(kind)


def _must_prepare(place: Workspace, kind: ModelKind, version: str | None) -> bool:
    return kind == "prep" and place.current().generation is not None and not place.generations_of(version)


def _prepared(place: Workspace, version: str | None, progress: bool) -> Current:
    from prep.model.prep_model import PrepModel

    folder = None if version is None else place.model_path("prep", version)
    prepare_again(place, PrepModel.load(folder), progress=progress)
    return place.current()


def prepare_again(place: Workspace, prep: PrepModel, *, progress: bool = True) -> None:
    """Prepare the documents that are there again and swap them in with the version; what was rejected stays so."""
    from prep.ingest import ingest

    with place.open_generation() as generation:
        rejected = (Rejected(**row) for row in generation.manifest.get("rejected", ()))
        rows = (row for some in (generation.documents(), rejected) for row in some)
        ingest(place, rows, prep, progress=progress)
