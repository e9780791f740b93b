"""The documents of a workspace, for many threads: read, add, delete.

The current generation is opened once and shared; after a swap it stays open until its last reader is done. Writing
takes the workspace's lock, as every other writer does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from flows.models.serving import serving_prep
from flows.server.service_errors import NotFound, ServiceError
from prep.document import Chunk, Document, Rejected
from prep.document_deletion import delete_documents, unknown_document
from prep.errors import EmptyStore
from prep.ingest import IngestReport, Preparer, ingest
from prep.parsing.readers import read_documents
from prep.store.chunk_table import DocumentSummary
from prep.store.generation import Generation
from prep.store.workspace import Workspace

__all__ = ["Library", "document_name"]

_MAX_NAME = 200


@dataclass(slots=True, eq=False)
class _Shared:
    """An open generation and how many read it."""

    generation: Generation
    n_readers: int = 0
    is_retired: bool = False


class Library:
    """The documents of a workspace. prep: fixed, instead of the serving version."""

    def __init__(self, workspace: str | Path, *, prep: Preparer | None = None) -> None:
        self.path = Path(workspace)
        self._fixed_prep = prep
        self._prep: tuple[str | None, Preparer] | None = None
        self._shared: _Shared | None = None
        self._lock = threading.Lock()

    def documents(self) -> list[DocumentSummary]:
        """Return all documents without their texts. Raises EmptyStore, ChecksumMismatch, StoreError."""
        with self._reading() as generation:
            return list(generation.summaries())

    def document(self, document_id: str) -> tuple[Document, list[Chunk]]:
        """Return a document with its chunks. Raises NotFound, EmptyStore, ChecksumMismatch, StoreError."""
        with self._reading() as generation:
            _check_known(generation, document_id)
            return generation.document(document_id), generation.document_chunks(document_id)

    def add(self, documents: Iterable[Document | Rejected]) -> IngestReport:
        """Add documents; one whose id is there already takes its place.

        Raises DataError where not a single one can be read, WorkspaceLocked, WeightsError, StoreError.
        """
        workspace = Workspace(self.path)
        with workspace.lock():  # so that nothing is promoted between loading the model and preparing with it
            return ingest(
                workspace, documents, self._serving(workspace), progress=False, remove_missing=False
            )

    def add_files(self, folder: Path) -> tuple[IngestReport, list[str]]:
        """Add the files in a folder; return the counts and the ids. The folder may be removed afterwards."""
        ids: list[str] = []

        def read() -> Iterator[Document | Rejected]:
            for row in read_documents(folder):
                if isinstance(row, Rejected):
                    yield Rejected(_inside(row.path, folder), row.reason)
                else:
                    ids.append(row.id)
                    yield replace(row, source=row.id)

        return self.add(read()), ids

    def delete(self, document_id: str) -> IngestReport:
        """Make a generation without a document. Raises NotFound, and the errors of `delete_documents`."""
        with self._reading() as generation:
            _check_known(generation, document_id)
        return delete_documents(self.path, [document_id])

    def close(self) -> None:
        """Close the generation, once nobody reads it."""
        with self._lock:
            self._retire()

    def _serving(self, workspace: Workspace) -> Preparer:
        """Return the serving prep model; the caller holds the workspace's lock."""
        if self._fixed_prep is not None:
            return self._fixed_prep
        serving = workspace.current().prep
        if self._prep is None or self._prep[0] != serving:
            self._prep = (serving, serving_prep(workspace))
        return self._prep[1]

    @contextmanager
    def _reading(self) -> Iterator[Generation]:
        workspace = Workspace(self.path)
        with self._lock:
            current = workspace.current().generation
            if current is None:
                raise EmptyStore(f"{self.path} has no documents yet: add some, or run `diptych ingest PATH`")
            if self._shared is None or self._shared.generation.id != current:
                opened = workspace.open_generation()
                self._retire()
                self._shared = _Shared(opened)
            shared = self._shared
            shared.n_readers += 1
        try:
            yield shared.generation
        finally:
            with self._lock:
                shared.n_readers -= 1
                _close_unread(shared)

    def _retire(self) -> None:
        if self._shared is not None:
            self._shared.is_retired = True
            _close_unread(self._shared)
            self._shared = None


def document_name(name: str) -> str:
    """Return the name of an uploaded file as a path inside a folder. Raises ServiceError (422)."""
    parts = PurePosixPath(name).parts
    if (
        not parts
        or len(name) > _MAX_NAME
        or not name.isprintable()
        or "\\" in name
        or any(part.startswith((".", "/")) for part in parts)
    ):
        raise ServiceError(
            422,
            "file_name",
            f"{name[:_MAX_NAME]!r} cannot be a document's name: it must be a path inside a folder, such as "
            "handbook/pay.md, of no hidden files",
        )
    return "/".join(parts)


def _check_known(generation: Generation, document_id: str) -> None:
    known = generation.content_hashes()
    if document_id not in known:
        raise NotFound(unknown_document(document_id, known))


def _close_unread(shared: _Shared) -> None:
    if shared.is_retired and not shared.n_readers:
        shared.generation.close()


def _inside(path: str, folder: Path) -> str:
    return path.removeprefix(f"{folder}/")
