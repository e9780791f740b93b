"""`ingest`: documents in, a new current generation out.

Documents stream through the prep model in bounded batches. Documents that did not change since the current generation
are copied from it with their vectors. Files that cannot be read become `Rejected` rows in the report and the manifest.
An ingest that is killed at any point leaves the previous generation serving. `prep.parsing.readers` reads the files;
`prep.store.generation` and `prep.store.workspace` write and swap.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from tqdm import tqdm

from prep.checks import check_counts
from prep.document import Chunk, Document, Rejected
from prep.errors import ConfigError, DataError, EmptyStore, StoreError
from prep.fault_injection import fault_point
from prep.manifest import json_digest
from prep.store.chunk_table import TABLE_FORMAT
from prep.store.generation import Generation, GenerationWriter
from prep.store.origins import metadata_json
from prep.store.vector_index import IndexSettings
from prep.store.workspace import Workspace

__all__ = ["IngestReport", "IngestSettings", "Preparer", "content_hash", "ingest"]

Paths: TypeAlias = str | Path | Iterable[str | Path]
_log = logging.getLogger(__name__)


class Preparer(Protocol):
    """The part of a prep model that ingest uses; `prep.model.prep_model.PrepModel` is one."""

    @property
    def version(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]:
        """Yield every document once with its chunks, in any order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Documents and characters in memory at once, the wait for the lock, and how many generations stay."""

    batch_documents: int = 64
    batch_characters: int = 2_000_000
    keep_generations: int = 3
    lock_timeout_s: float = 10.0
    index: IndexSettings = field(default_factory=IndexSettings)

    def __post_init__(self) -> None:
        check_counts(self, "batch_documents", "batch_characters", "keep_generations")
        if self.lock_timeout_s < 0:
            raise ConfigError(f"lock_timeout_s={self.lock_timeout_s!r} must not be negative")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The result of an ingest, counted over the generation that is current after it.

    generation: its id. n_unchanged: documents copied from the generation before. n_removed: documents of the generation
    before that are not in this one. n_chunks: boilerplate included.
    """

    generation: str
    n_documents: int
    n_unchanged: int
    n_removed: int
    n_chunks: int
    rejected: list[Rejected]
    seconds: float

    def summary(self, max_rejected: int = 20) -> str:
        """Return the report in words, with the first rejected documents and their reasons."""
        lines = [
            f"{self.n_documents} documents ({self.n_unchanged} unchanged, {self.n_removed} removed), "
            f"{self.n_chunks} chunks in {self.seconds:.1f} s: generation {self.generation}"
        ]
        if self.rejected:
            lines.append(f"{len(self.rejected)} rejected:")
            lines += [f"  {row.path}: {row.reason}" for row in self.rejected[:max_rejected]]
        if len(self.rejected) > max_rejected:
            lines.append(f"  and {len(self.rejected) - max_rejected} more, in the generation's manifest")
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def content_hash(document: Document, prep_version: str) -> str:
    """Return the SHA-256 of everything a document's chunks depend on: id, title, text, prep version."""
    digest = hashlib.sha256()
    for part in (prep_version, document.id, document.title, document.text):
        encoded = part.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def ingest(
    workspace: Workspace | str | Path,
    paths: Paths | Iterable[Document | Rejected],
    prep: Preparer,
    *,
    progress: bool = True,
    remove_missing: bool = True,
    settings: IngestSettings | None = None,
) -> IngestReport:
    """Make a new generation of the documents and make it current.

    paths: files, folders or patterns for `prep.parsing.readers.read_documents`, or documents. remove_missing: whether
    the documents of the current generation that are not among these leave; otherwise they stay, after these. Where
    nothing changed, the current generation stays and no new one is made. Rows keep the order of the documents, so an
    ingest of changes gives the same generation as an ingest of everything.

    Raises DataError where there is not a single document (the workspace is then unchanged), WorkspaceLocked and
    StoreError.
    """
    started = time.monotonic()
    settings = settings or IngestSettings()
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    with workspace.lock(settings.lock_timeout_s):
        workspace.clean()
        fault_point("after-lock")
        earlier = _open_current(workspace, must_open=not remove_missing)
        try:
            run = _Run(workspace, prep, earlier, settings)
            with tqdm(unit="doc", desc="ingest", disable=not progress) as bar:
                generation_id = run.write(_documents(paths), remove_missing, bar)
            workspace.swap(generation=generation_id, prep=workspace.prep_name(prep.version))
        finally:
            if earlier is not None:
                earlier.close()
        fault_point("before-prune")
        workspace.prune(settings.keep_generations)
        fault_point("after-prune")
    return IngestReport(
        generation=generation_id,
        n_documents=run.n_documents,
        n_unchanged=run.n_unchanged,
        n_removed=len(run.earlier_hashes.keys() - run.seen),
        n_chunks=run.n_chunks,
        rejected=run.rejected,
        seconds=time.monotonic() - started,
    )


class _Run:
    """An ingest in progress: the documents seen, copied and rejected so far."""

    def __init__(
        self, workspace: Workspace, prep: Preparer, earlier: Generation | None, settings: IngestSettings
    ) -> None:
        self.workspace = workspace
        self.prep = prep
        self.earlier = earlier
        self.settings = settings
        self.earlier_hashes = earlier.content_hashes() if earlier is not None else {}
        self.seen: set[str] = set()
        self.rejected: list[Rejected] = []
        self.n_documents = self.n_unchanged = self.n_chunks = 0
        self._content = hashlib.sha256()

    def write(self, documents: Iterator[Document | Rejected], remove_missing: bool, bar: tqdm) -> str:
        """Write the generation and return its id; the current one's where it would be the same."""
        with GenerationWriter(
            self.workspace.generations_path,
            prep_version=self.prep.version,
            dimension=self.prep.dimension,
            index=self.settings.index,
        ) as writer:
            self._add(writer, self._accepted(documents), bar)
            if not self.seen:
                raise DataError(self._nothing_read())
            if not remove_missing and self.earlier is not None:
                kept = (row for row in self.earlier.documents() if row.id not in self.seen)
                self._add(writer, self._accepted(kept), bar)
            fault_point("after-last-batch")
            self.n_documents, self.n_chunks = writer.n_documents, writer.n_chunks
            rejected = [{"path": row.path, "reason": row.reason} for row in self.rejected]
            digest = json_digest(
                [
                    self.prep.version,
                    self._content.hexdigest(),
                    json_digest(rejected),
                    str(self.settings.index),
                    TABLE_FORMAT,
                ]
            )
            if self.earlier is not None and self.earlier.manifest.get("content_digest") == digest:
                return self.earlier.id
            return writer.finish({"content_digest": digest, "rejected": rejected})

    def _add(self, writer: GenerationWriter, documents: Iterator[Document], bar: tqdm) -> None:
        for batch in _batches(documents, self.settings):
            hashes = {document.id: content_hash(document, self.prep.version) for document in batch}
            changed = [row for row in batch if self.earlier_hashes.get(row.id) != hashes[row.id]]
            prepared = {document.id: chunks for document, chunks in self.prep.prepare_many(changed)}
            missing = [row.id for row in changed if row.id not in prepared]
            if missing:
                raise StoreError(
                    f"prep version {self.prep.version!r} gave no chunks for {len(missing)} documents, "
                    f"the first {missing[0]!r}"
                )
            for document in batch:
                chunks = prepared.get(document.id)
                if chunks is None:
                    assert self.earlier is not None
                    chunks = self.earlier.document_chunks(document.id)
                    self.n_unchanged += 1
                writer.add(document, hashes[document.id], chunks)
                stored = [document.source, metadata_json(document.metadata), *map(astuple, document.places)]
                self._content.update(f"{hashes[document.id]}{json_digest(stored)}".encode())
            bar.update(len(batch))
            bar.set_postfix(chunks=writer.n_chunks, unchanged=self.n_unchanged, rejected=len(self.rejected))
            fault_point("after-first-batch")

    def _accepted(self, documents: Iterable[Document | Rejected]) -> Iterator[Document]:
        """Yield the documents that can be stored; the others become `Rejected` rows."""
        for document in documents:
            if isinstance(document, Rejected):
                self.rejected.append(document)
                continue
            reason = _unstorable(document)
            if document.id in self.seen:
                reason = f"another document with the id {document.id!r} came before it: give it its own"
            if reason:
                self.rejected.append(Rejected(document.source or document.id, reason))
                continue
            self.seen.add(document.id)
            yield document

    def _nothing_read(self) -> str:
        message = "there is nothing to ingest: not a single document could be read"
        if self.rejected:
            first = self.rejected[0]
            message += f"; {len(self.rejected)} rejected, the first {first.path!r}: {first.reason}"
        if self.earlier is not None:
            message += f"; generation {self.earlier.id} stays current"
        return message


def _documents(paths: Paths | Iterable[Document | Rejected]) -> Iterator[Document | Rejected]:
    """Yield the documents at these paths, or the documents given."""
    if isinstance(paths, str | Path):
        paths = [paths]
    rows = iter(paths)
    first = next(rows, None)
    if first is None:
        return
    rest = itertools.chain([first], rows)
    if isinstance(first, str | Path):
        from prep.parsing.readers import read_documents

        yield from read_documents(*(row for row in rest if isinstance(row, str | Path)))
        return
    for row in rest:
        if not isinstance(row, Document | Rejected):
            raise DataError(f"ingest takes paths, or Document and Rejected rows, and was given {row!r}")
        yield row


def _batches(documents: Iterable[Document], settings: IngestSettings) -> Iterator[list[Document]]:
    """Group documents until one of the limits is reached."""
    batch: list[Document] = []
    n_characters = 0
    for document in documents:
        batch.append(document)
        n_characters += len(document.text)
        if len(batch) >= settings.batch_documents or n_characters >= settings.batch_characters:
            yield batch
            batch, n_characters = [], 0
    if batch:
        yield batch


def _unstorable(document: Document) -> str | None:
    """Return why a document cannot be stored, or None."""
    if not document.id:
        return "its id is empty"
    for name in ("id", "title", "text", "source"):
        try:
            getattr(document, name).encode("utf-8")
        except UnicodeEncodeError as error:
            return f"its {name} is not valid Unicode: a lone surrogate at code point {error.start}"
    try:
        metadata_json(document.metadata)
    except (TypeError, ValueError) as error:
        return f"its metadata cannot be stored: {error}"
    return None


def _open_current(workspace: Workspace, *, must_open: bool) -> Generation | None:
    """Open the current generation, or None where there is none, or where a damaged one will be rebuilt."""
    try:
        return workspace.open_generation()
    except EmptyStore:
        return None
    except StoreError as error:
        if must_open:
            raise
        _log.warning("the current generation cannot be used, and everything is prepared again: %s", error)
        return None
