"""Lets a version serve: at once, or with the documents prepared again where no generation was built by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prep.document import Rejected
from prep.workspace import Current, ModelKind, Workspace

if TYPE_CHECKING:
    from prep.model import PrepModel

__all__ = ["prepare_again", "promote_version", "roll_back"]


def promote_version(place: Workspace, kind: ModelKind, version: str, *, progress: bool = True) -> Current:
    """Let a version serve. A prep version that built no generation prepares the documents, and is swapped in with them.

    Takes the lock. Raises StoreError, ChecksumMismatch, WorkspaceLocked.
    """
    with place.lock():
        folder = place.model_path(kind, version)  # raises here, before anything is loaded
        if kind == "prep" and _must_prepare(place, version):
            from prep.model import PrepModel

            prepare_again(place, PrepModel.load(folder), progress=progress)
            return place.current()
        return place.promote(kind, version)


def roll_back(place: Workspace, kind: ModelKind, *, progress: bool = True) -> Current:
    """Let the version serve that served before (the shipped one, if that was it), as `promote_version` does.

    Raises StoreError where there is none to go back to, ChecksumMismatch, WorkspaceLocked.
    """
    with place.lock():
        previous = place.current().previous
        if kind != "prep" or kind not in previous or not _must_prepare(place, previous[kind]):
            return place.rollback(kind)
        if (version := previous[kind]) is not None:
            return promote_version(place, kind, version, progress=progress)
        from prep.model import PrepModel

        prepare_again(place, PrepModel.load(None), progress=progress)
        return place.current()


def _must_prepare(place: Workspace, prep: str | None) -> bool:
    return place.current().generation is not None and not place.generations_of(prep)


def prepare_again(place: Workspace, prep: PrepModel, *, progress: bool = True) -> None:
    """Prepare the documents that are there again and swap them in with the version; what was rejected stays so."""
    from prep.ingest import ingest

    with place.open_generation() as generation:
        rejected = (Rejected(**row) for row in generation.manifest.get("rejected", ()))
        rows = (row for some in (generation.documents(), rejected) for row in some)
        ingest(place, rows, prep, progress=progress)
