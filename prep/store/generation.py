"""A generation: one complete, immutable state of the store, built by one prep version.

`GenerationWriter` writes `<id>/{chunks.sqlite, index.faiss, manifest.json}` under a temporary name, syncs every file,
writes the manifest last and renames the folder. `Generation` reads one after checking every checksum, and protects it
from removal while it is open. `prep.store.workspace` says which generation is current and keeps writers apart;
`prep.ingest` gives the content.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from prep.document import Bools, Chunk, Document, Floats, Ints
from prep.errors import DimensionMismatch, StoreError, VersionMismatch
from prep.fault_injection import fault_point
from prep.manifest import (
    MANIFEST_NAME,
    json_digest,
    read_manifest,
    sync_file,
    sync_folder,
    verify_folder,
    write_manifest,
)
from prep.store.bm25 import CANDIDATES
from prep.store.chunk_table import ChunkTable, ChunkTableWriter, DocumentSummary
from prep.store.metadata_filter import MetadataFilter, MetadataIndex
from prep.store.origins import DocumentRecord, Origin
from prep.store.ranking import Ranker
from prep.store.vector_index import IndexSettings, VectorIndex

__all__ = ["TEMPORARY_PREFIX", "Generation", "GenerationWriter", "hold_unused"]

TEMPORARY_PREFIX = ".partial-"
_TABLE = "chunks.sqlite"
_INDEX = "index.faiss"


class Generation:
    """One complete state of the store, read only; use it from any number of threads, and close it."""

    def __init__(
        self, folder: str | Path, *, prep_version: str | None = None, n_threads: int | None = None
    ) -> None:
        """Open `folder` after checking every file in it.

        prep_version: of the prep model that will encode the queries; None where no query will be encoded. n_threads:
        of FAISS in a search; None leaves FAISS's own setting. Raises FileNotFoundError where there is no such folder,
        VersionMismatch, ChecksumMismatch, StoreError.
        """
        self.folder = Path(folder)
        self._hold = _Hold(self.folder)
        try:
            self.manifest = read_manifest(self.folder)
            self.id = self.folder.name
            self.prep_version = str(self.manifest["prep_version"])
            self.dimension = int(self.manifest["dimension"])
            self.counts: dict[str, int] = dict(self.manifest["counts"])
            if prep_version is not None and prep_version != self.prep_version:
                raise VersionMismatch(
                    f"generation {self.id} was built by prep version {self.prep_version!r}, and the prep "
                    f"model at hand is {prep_version!r}: run `diptych ingest` to rebuild it, "
                    f"or use prep version {self.prep_version!r}"
                )
            self.verify()
            self._index = VectorIndex.load(
                self.folder / _INDEX,
                recall_at_10=float(self.manifest["index"]["recall_at_10"]),
                n_threads=n_threads,
            )
            if len(self._index) != self.counts["indexed"] or self._index.dimension != self.dimension:
                raise StoreError(
                    f"generation {self.id} is inconsistent: index and manifest disagree on its size"
                )
            self._table = ChunkTable(self.folder / _TABLE)
            self._metadata: MetadataIndex | None = None
            self._filters_lock = threading.Lock()
        except KeyError as error:
            self._hold.release()
            raise StoreError(f"{self.folder / MANIFEST_NAME} is damaged: {error} is missing") from error
        except BaseException:
            self._hold.release()
            raise

    def verify(self) -> None:
        """Check every file against the manifest. Raises ChecksumMismatch."""
        verify_folder(self.folder)

    def search(self, queries: Floats, k: int, allowed: Bools | None = None) -> tuple[Floats, Ints]:
        """Return the k nearest indexed chunks to each query, best first.

        queries: (n, d) float32, L2-normalised. allowed: as for `search_hybrid`. Returns scores (n, k) in [-1, 1] and
        rows (n, k); both -1 where fewer than k chunks exist. Ties break by row. Raises DimensionMismatch.
        """
        return self._index.search(queries, k, allowed)

    def search_hybrid(
        self, queries: Sequence[str], vectors: Floats, k: int, allowed: Bools | None = None
    ) -> tuple[Floats, Ints]:
        """Return the k best chunks for each query by vectors and BM25 together, best first.

        queries: n texts. vectors: theirs, (n, d) float32, L2-normalised. allowed: by row, whether it may be found
        (`rows_where`); None for all. Returns the scores of `prep.store.ranking`, (n, k) float32 in [-1, 1], and rows
        (n, k) int64, both padded with -1; ties break by row. Raises DimensionMismatch, and StoreError where the
        generation was built before words were indexed.
        """
        depth = max(k, CANDIDATES)
        cosines, nearest = self.search(vectors, depth, allowed)
        may_be_found = None if allowed is None else allowed.tobytes()
        ranker = Ranker(self._table.lexical, self._table.headed)
        scores = np.full((len(queries), k), -1.0, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        for at, query in enumerate(queries):
            by_row = {int(row): float(cosines[at, i]) for i, row in enumerate(nearest[at]) if row >= 0}
            bm25 = self._table.lexical.search(query, depth, may_be_found)
            others = [row for row in bm25 if row not in by_row]
            by_row |= zip(
                others, (self._table.vectors(others, self.dimension) @ vectors[at]).tolist(), strict=True
            )
            found = np.array(sorted(by_row), dtype=np.int64)
            of_query = np.array([by_row[row] for row in found.tolist()], dtype=np.float32)
            ranked = ranker.scores(query, found, of_query, bm25)
            best = np.argsort(-ranked, kind="stable")[:k]
            rows[at, : len(best)] = found[best]
            scores[at, : len(best)] = ranked[best]
        return scores, rows

    def rows_where(self, where: MetadataFilter) -> Bools:
        """Return by row of the index whether its document passes the filter, (n_indexed,); kept for the next time.

        Raises FilterError for a key that no document has.
        """
        with self._filters_lock:
            if self._metadata is None:
                self._metadata = MetadataIndex(self.records())
            return self._metadata.rows(where)

    def search_words(self, query: str, k: int) -> list[int]:
        """Return the rows of the k best chunks by BM25 alone, best first; fewer where fewer chunks match.

        Raises StoreError where the generation was built before words were indexed.
        """
        return list(self._table.lexical.search(query, k))

    def chunks(self, rows: Sequence[int] | Ints) -> list[Chunk]:
        """Return the chunks at these rows of the index, in the order given.

        Raises StoreError for a row that is not there, such as the -1 that pads a search.
        """
        return self._table.chunks([int(row) for row in rows])

    def document(self, document_id: str) -> Document:
        """Return a document. Raises StoreError where there is none of this id."""
        return self._table.document(document_id)

    def title(self, document_id: str) -> str:
        """Return a document's title without reading its text. Raises StoreError."""
        return self._table.title(document_id)

    def origin(self, document_id: str) -> Origin:
        """Return where a document comes from: title, path, places. Raises StoreError."""
        return self._table.origin(document_id)

    def records(self) -> Iterator[DocumentRecord]:
        """Yield what is known of every document but its text, in order of ingestion."""
        return self._table.records()

    def documents(self) -> Iterator[Document]:
        """Yield every document, in order of ingestion."""
        return self._table.documents()

    def document_chunks(self, document_id: str) -> list[Chunk]:
        """Return all chunks of a document in order, boilerplate included. Raises StoreError."""
        return self._table.document_chunks(document_id)

    def chunk_lengths(self) -> Counter[tuple[str, int]]:
        """Return (role, tokens with the header) → how many chunks, boilerplate included."""
        return self._table.chunk_lengths()

    def summaries(self) -> Iterator[DocumentSummary]:
        """Yield every document without its text, in order of ingestion."""
        return self._table.summaries()

    def content_hashes(self) -> dict[str, str]:
        """Return the content hash of every document by its id, in order of ingestion."""
        return self._table.content_hashes()

    def close(self) -> None:
        """Close the files, so that the generation can be removed. Closing twice does nothing."""
        if hasattr(self, "_table"):
            self._table.close()
        self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class GenerationWriter:
    """Writes one generation into the folder `generations`; the caller holds the workspace's lock.

    Use it as a context manager: a generation that is not finished inside is removed.
    """

    def __init__(
        self,
        generations: Path,
        *,
        prep_version: str,
        dimension: int,
        index: IndexSettings | None = None,
    ) -> None:
        self._generations = generations
        self._prep_version = prep_version
        self._dimension = dimension
        self._settings = index or IndexSettings()
        self._folder = generations / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._folder.mkdir(parents=True)
        self._table = ChunkTableWriter(self._folder / _TABLE)
        self._finished = False

    @property
    def n_documents(self) -> int:
        return self._table.n_documents

    @property
    def n_chunks(self) -> int:
        return self._table.n_chunks

    @property
    def n_indexed(self) -> int:
        return self._table.n_indexed

    def add(self, document: Document, content_hash: str, chunks: Sequence[Chunk]) -> None:
        """Add a document with its chunks, in order. Boilerplate is kept but not indexed.

        Raises DimensionMismatch for a vector of another length, StoreError for one that is not finite, for a
        chunk whose text differs from the document at its offsets, and for an id in use.
        """
        for chunk in chunks:
            if chunk.vector.shape != (self._dimension,):
                raise DimensionMismatch(
                    f"chunk {chunk.id!r} has a vector of shape {chunk.vector.shape}; prep version "
                    f"{self._prep_version!r} promised ({self._dimension},)"
                )
            if not np.isfinite(chunk.vector).all():
                raise StoreError(f"chunk {chunk.id!r} has a vector with values that are not finite numbers")
            if (
                chunk.document_id != document.id
                or document.text[chunk.start : chunk.end] != chunk.text
                or len(chunk.text) != chunk.end - chunk.start
            ):
                raise StoreError(
                    f"chunk {chunk.id!r} is not what document {document.id!r} says at "
                    f"{chunk.start}..{chunk.end}"
                )
        self._table.add(document, content_hash, chunks)

    def finish(self, content: Mapping[str, Any]) -> str:
        """Build the index, complete the generation and return its id; the generation is not current yet.

        content: further entries of the manifest. Raises StoreError where a file cannot be written.
        """
        fault_point("before-index")
        index = VectorIndex.build(self._table.vectors(self._dimension), self._settings)
        index.save(self._folder / _INDEX)
        self._table.close()
        fault_point("after-index")
        sync_file(self._folder / _TABLE)
        sync_file(self._folder / _INDEX)
        now = datetime.now(UTC)
        generation_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        settings = asdict(self._settings)
        fault_point("before-manifest")
        write_manifest(
            self._folder,
            {
                "kind": "generation",
                "id": generation_id,
                "created_at": now.isoformat(),
                "prep_version": self._prep_version,
                "dimension": self._dimension,
                "counts": {
                    "documents": self.n_documents,
                    "chunks": self.n_chunks,
                    "indexed": self.n_indexed,
                    "boilerplate": self.n_chunks - self.n_indexed,
                },
                "index": {
                    "kind": index.kind,
                    "recall_at_10": index.recall_at_10,
                    "effort": index.effort,
                    "settings": settings,
                    "settings_digest": json_digest(settings),
                },
                **content,
            },
        )
        fault_point("after-manifest")
        os.rename(self._folder, self._generations / generation_id)
        sync_folder(self._generations)
        self._finished = True
        fault_point("after-rename")
        return generation_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._table.abandon()
            shutil.rmtree(self._folder, ignore_errors=True)


class _Hold:
    """A shared lock on a generation's manifest: no writer removes the generation while the lock is held.

    Where there are no such locks (Windows), an open file cannot be removed in the first place.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / MANIFEST_NAME
        self._descriptor: int | None = None
        self._descriptor = os.open(path, os.O_RDONLY)
        # A writer may have renamed the folder between the opening and the locking.
        if not _lock(self._descriptor, shared=True) or not _is_still_at(path, self._descriptor):
            self.release()
            raise FileNotFoundError(f"{folder} was just removed")

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()


@contextmanager
def hold_unused(folder: Path) -> Iterator[bool]:
    """Keep readers from opening the generation in `folder`; False where one in any process has it open."""
    descriptor = os.open(folder / MANIFEST_NAME, os.O_RDONLY)
    try:
        yield _lock(descriptor, shared=False)
    finally:
        os.close(descriptor)


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, *, shared: bool) -> bool:
    """Lock an open file until it is closed; False where another process holds a conflicting lock."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, such as some network mounts
        return True
    return True
