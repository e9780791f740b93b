"""Lets a version serve: at once, or once the documents are prepared again where it built no generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prep.document import Rejected
from prep.store.current import Current, ModelKind
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel

__all__ = ["prepare_again", "promote_version", "roll_back"]


def promote_version(workspace: Workspace, kind: ModelKind, version: str, *, progress: bool = True) -> Current:
    """Let a version serve. A prep version that built no generation prepares the documents, and is swapped in with them.

    Takes the lock. Raises StoreError, ChecksumMismatch, WorkspaceLocked.
    """
    with workspace.lock():
        if _must_prepare(workspace, kind, version):
            return _prepared(workspace, version, progress)
        return workspace.promote(kind, version)


def roll_back(workspace: Workspace, kind: ModelKind, *, progress: bool = True) -> Current:
    """Let the version serve again that served before (the shipped one, if that was it), as `promote_version` does.

    Raises StoreError where there is none to go back to, ChecksumMismatch, WorkspaceLocked.
    """
    with workspace.lock():
        previous = workspace.current().previous
        if kind in previous and _must_prepare(workspace, kind, previous[kind]):
            return _prepared(workspace, previous[kind], progress)
        return workspace.rollback(kind)


def _must_prepare(workspace: Workspace, kind: ModelKind, version: str | None) -> bool:
    return (
        kind == "prep"
        and workspace.current().generation is not None
        and not workspace.generations_of(version)
    )


def _prepared(workspace: Workspace, version: str | None, progress: bool) -> Current:
    from prep.model.prep_model import PrepModel

    folder = None if version is None else workspace.model_path("prep", version)
    prepare_again(workspace, PrepModel.load(folder), progress=progress)
    return workspace.current()


def prepare_again(workspace: Workspace, prep: PrepModel, *, progress: bool = True) -> None:
    """Prepare the current documents again and swap them in with the version; rejected ones stay rejected."""
    from prep.ingest import ingest

    with workspace.open_generation() as generation:
        rejected = (Rejected(**row) for row in generation.manifest.get("rejected", ()))
        rows = (row for some in (generation.documents(), rejected) for row in some)
        ingest(workspace, rows, prep, progress=progress, remove_missing=True)
