"""`delete_documents`: a new current generation without some documents.

What stays is copied with its vectors, so that no model is loaded. The files that the documents were read from stay as
they are: an ingest that names them brings the documents back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from prep.document import Chunk, Document, Rejected
from prep.errors import DataError, StoreError
from prep.ingest import IngestReport, IngestSettings, ingest
from prep.store.generation import Generation
from prep.store.workspace import Workspace

__all__ = ["delete_documents", "unknown_document"]


def delete_documents(
    workspace: Workspace | str | Path,
    document_ids: Collection[str],
    *,
    settings: IngestSettings | None = None,
) -> IngestReport:
    """Make a generation without these documents current and return its counts; the one before stays for a rollback.

    Raises StoreError for an id that is not there, and where the serving prep version did not build the current
    generation; DataError where no document would be left; EmptyStore, ChecksumMismatch, WorkspaceLocked. The workspace
    is then unchanged.
    """
    settings = settings or IngestSettings()
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    with workspace.lock(settings.lock_timeout_s), workspace.open_generation() as generation:
        serving, built = workspace.current().prep, generation.prep_version
        if workspace.prep_name(built) != serving:
            raise StoreError(
                f"generation {generation.id} was built by prep version {built!r}, and {serving or 'the shipped one'} "
                "serves: run `diptych ingest` before documents are deleted"
            )
        known = list(generation.content_hashes())
        for document_id in document_ids:
            if document_id not in known:
                raise StoreError(unknown_document(document_id, known))
        if set(document_ids).issuperset(known):
            raise DataError(
                f"no document would be left in {workspace.path}: to remove everything, remove the folder"
            )
        rejected = [Rejected(row["path"], row["reason"]) for row in generation.manifest.get("rejected", [])]
        kept = (document for document in generation.documents() if document.id not in document_ids)
        rows: Iterator[Document | Rejected] = chain(rejected, kept)
        return ingest(
            workspace, rows, _Copies(generation), progress=False, remove_missing=True, settings=settings
        )


def unknown_document(document_id: str, known: Iterable[str]) -> str:
    """Return what to tell of an id that no document has: the nearest ids, and the command that lists all."""
    names = list(known)
    below = [name for name in names if name.endswith(f"/{document_id}")]
    near = list(dict.fromkeys([*below, *get_close_matches(document_id, names)]))[:3]
    nearest = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"there is no document {document_id!r}{nearest} (`diptych list` names all)"


class _Copies:
    """Stands for the prep model that built a generation; everything is copied, and nothing is prepared."""

    def __init__(self, generation: Generation) -> None:
        self.version = generation.prep_version
        self.dimension = generation.dimension

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]:
        for document in documents:
            raise StoreError(
                f"document {document.id!r} differs from what its generation was built of: run `diptych ingest`"
            )
        return iter(())
