"""`ingest`: documents in, a new current generation out; `plan_ingest` says what it would do.

Documents stream through the prep model in bounded batches. Documents that did not change since the current generation
are copied from it with their vectors. Files that cannot be read become `Rejected` rows in the report and the manifest;
one that could be read before keeps its last version. An ingest that is killed at any point leaves the previous
generation serving. `prep.parsing.readers` reads the files; `prep.store.generation` and `prep.store.workspace` write and
swap.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from tqdm import tqdm

from prep.checks import check_counts
from prep.document import INSIDE, Chunk, Document, Rejected
from prep.errors import ConfigError, DataError, EmptyStore, StoreError
from prep.fault_injection import fault_point
from prep.ingest_report import IngestPlan, IngestReport
from prep.manifest import json_digest
from prep.store.chunk_table import TABLE_FORMAT
from prep.store.generation import Generation, GenerationWriter
from prep.store.origins import metadata_json
from prep.store.vector_index import IndexSettings
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from prep.files.ignore_rules import FileRules
    from prep.parsing.readers import DocumentFiles

__all__ = [
    "IngestPlan",
    "IngestReport",
    "IngestSettings",
    "Preparer",
    "content_hash",
    "ingest",
    "plan_ingest",
]

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
    remove_missing: bool = False,
    rules: FileRules | None = None,
    on_removal: Callable[[list[str]], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    settings: IngestSettings | None = None,
) -> IngestReport:
    """Add documents, or what changed of them, in a new generation and make it current.

    paths: files, folders or patterns for `prep.parsing.readers.read_documents`, or documents. remove_missing: whether
    the documents of the current generation that are not among these leave, so that the workspace holds what the paths
    do; otherwise they stay, after these. A document whose file is there and cannot be read stays in any case. rules:
    which files of folders are read. on_removal: is given the ids of the documents that will leave, before any does.
    on_progress: is given how many files or documents are done, and of how many, as far as that is known. Where
    nothing changed, the current generation stays and no new one is made. With remove_missing rows keep the order of the
    documents, so an ingest of changes gives the same generation as an ingest of everything.

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
            documents = _Documents(paths, rules, earlier, keep_known=not remove_missing)
            run = _IngestRun(documents, earlier, prep.version)
            told = documents.leaving() if remove_missing and on_removal is not None else []
            if told and on_removal is not None:
                on_removal(told)
            with tqdm(
                total=documents.total, unit="file", desc="ingest", smoothing=0.0, disable=not progress
            ) as bar:
                writing = _Writing(run, workspace, prep, settings, bar, on_progress)
                generation_id = writing.write(remove_missing, on_removal, told)
            workspace.swap(generation=generation_id, prep=workspace.prep_name(prep.version))
        finally:
            if earlier is not None:
                earlier.close()
        fault_point("before-prune")
        workspace.prune(settings.keep_generations)
        fault_point("after-prune")
    return IngestReport(
        generation=generation_id,
        n_documents=writing.n_documents,
        n_unchanged=len(run.unchanged),
        n_removed=len(run.missing()),
        n_chunks=writing.n_chunks,
        rejected=run.rejected,
        seconds=time.monotonic() - started,
        n_added=len(run.added),
        n_changed=len(run.changed),
        n_kept=len(run.kept),
        left_out=documents.left_out,
    )


def plan_ingest(
    workspace: Workspace | str | Path,
    paths: Paths | Iterable[Document | Rejected],
    prep_version: str,
    *,
    remove_missing: bool = False,
    rules: FileRules | None = None,
) -> IngestPlan:
    """Return what `ingest` would do; the documents are read, and nothing is prepared or written.

    prep_version: of the prep model that would prepare them. The rest as for `ingest`. Raises DataError, StoreError.
    """
    workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    earlier = _open_current(workspace, must_open=not remove_missing)
    try:
        documents = _Documents(paths, rules, earlier, keep_known=not remove_missing)
        run = _IngestRun(documents, earlier, prep_version)
        for document in run.accepted(documents):
            run.compare(document)
        if not run.n_read:
            raise DataError(run.nothing_read())
        if not remove_missing:
            for document in run.staying():
                run.compare(document)
    finally:
        if earlier is not None:
            earlier.close()
    return IngestPlan(
        added=run.added,
        changed=run.changed,
        removed=run.missing(),
        unchanged=run.unchanged,
        kept=run.kept,
        rejected=run.rejected,
        left_out=documents.left_out,
    )


class _Documents:
    """The documents to ingest: the files at some paths, or the documents given."""

    def __init__(
        self,
        paths: Paths | Iterable[Document | Rejected],
        rules: FileRules | None,
        earlier: Generation | None,
        *,
        keep_known: bool,
    ) -> None:
        rows = iter([paths] if isinstance(paths, str | Path) else paths)
        first = next(rows, None)
        self._known = [] if earlier is None else list(earlier.records())
        self._files: DocumentFiles | None = None
        self._rows: Iterable[Document | Rejected] = ()
        if isinstance(first, str | Path):
            from prep.files.file_names import KnownDocument
            from prep.parsing.readers import find_documents

            known = dict.fromkeys(
                KnownDocument.of(record.id, record.source, record.path)
                for record in self._known
                if record.path != record.id
                or f"/{record.source}".endswith(f"/{record.id}")  # others are no files
            )
            given = [row for row in itertools.chain([first], rows) if isinstance(row, str | Path)]
            self._files = find_documents(*given, rules=rules, known=list(known), keep_known=keep_known)
        elif first is not None:
            self._rows = cast("Iterator[Document | Rejected]", itertools.chain([first], rows))
        self._n_rows = 0

    @property
    def total(self) -> int | None:
        """The number of files; None for documents that were given."""
        return None if self._files is None else len(self._files)

    @property
    def n_done(self) -> int:
        """How many files or documents were read or rejected."""
        return self._n_rows if self._files is None else self._files.n_done

    @property
    def left_out(self) -> dict[str, int]:
        """Files and folders that were not looked into, by reason."""
        return {} if self._files is None else dict(self._files.left_out)

    def leaving(self) -> list[str]:
        """Return the documents of the workspace whose file was not found; none where documents were given."""
        if self._files is None:
            return []
        found = self._files.document_ids
        return [row.id for row in self._known if found.isdisjoint((row.id, row.id.partition(INSIDE)[0]))]

    def __iter__(self) -> Iterator[Document | Rejected]:
        if self._files is not None:
            yield from self._files
            return
        for row in self._rows:
            if not isinstance(row, Document | Rejected):
                raise DataError(f"ingest takes paths, or Document and Rejected rows, and was given {row!r}")
            self._n_rows += 1
            yield row


class _IngestRun:
    """An ingest in progress: the documents seen so far, by what became of them."""

    def __init__(self, documents: _Documents, earlier: Generation | None, prep_version: str) -> None:
        self.documents = documents
        self.earlier = earlier
        self.added: list[str] = []
        self.changed: list[str] = []
        self.unchanged: list[str] = []
        self.kept: list[str] = []
        self.rejected: list[Rejected] = []
        self.n_read = 0
        self._prep_version = prep_version
        self._earlier_hashes = earlier.content_hashes() if earlier is not None else {}
        self._seen: set[str] = set()

    def accepted(self, rows: Iterable[Document | Rejected]) -> Iterator[Document]:
        """Yield the documents that can be stored, and the last version of those that cannot be read this time."""
        for row in rows:
            rejected = row if isinstance(row, Rejected) else self._refused(row)
            if rejected is None:
                assert isinstance(row, Document)
                self.n_read += 1
                self._seen.add(row.id)
                yield row
                continue
            kept = self._earlier_versions(rejected.document_id)
            if kept:
                rejected = replace(rejected, reason=f"{rejected.reason}; it stays as it was read before")
            self.rejected.append(rejected)
            for document_id in kept:
                assert self.earlier is not None
                self.kept.append(document_id)
                self._seen.add(document_id)
                yield self.earlier.document(document_id)

    def _earlier_versions(self, document_id: str) -> list[str]:
        """Return the stored document of a file that cannot be read, or those that its archive held."""
        if document_id in self._earlier_hashes:
            found = [document_id]
        else:
            inside = f"{document_id}{INSIDE}" if document_id else None
            found = [one for one in self._earlier_hashes if inside is not None and one.startswith(inside)]
        return [one for one in found if one not in self._seen]

    def staying(self) -> Iterator[Document]:
        """Yield the documents of the generation before that were not seen."""
        if self.earlier is not None:
            for document in self.earlier.documents():
                if document.id not in self._seen:
                    self._seen.add(document.id)
                    yield document

    def missing(self) -> list[str]:
        """Return the documents of the generation before that were not seen."""
        return [document_id for document_id in self._earlier_hashes if document_id not in self._seen]

    def compare(self, document: Document) -> tuple[str, bool]:
        """Count a document as added, changed or unchanged; return its content hash and whether it is unchanged."""
        digest = content_hash(document, self._prep_version)
        before = self._earlier_hashes.get(document.id)
        is_unchanged = before == digest
        (self.unchanged if is_unchanged else self.added if before is None else self.changed).append(
            document.id
        )
        return digest, is_unchanged

    def nothing_read(self) -> str:
        """Say that not a single document could be read."""
        message = "there is nothing to ingest: not a single document could be read"
        if self.rejected:
            first = self.rejected[0]
            message += f"; {len(self.rejected)} rejected, the first {first.path!r}: {first.reason}"
        if self.documents.left_out:
            message += f"; {sum(self.documents.left_out.values())} files or folders left out"
        if self.earlier is not None:
            message += f"; generation {self.earlier.id} stays current"
        return message

    def _refused(self, document: Document) -> Rejected | None:
        """Return why a document cannot be stored; None where it can."""
        if document.id in self._seen:
            reason = f"another document with the id {document.id!r} came before it: give it its own"
            return Rejected(document.source or document.id, reason)
        reason = _unstorable(document) or ""
        return Rejected(document.source or document.id, reason, document.id) if reason else None


class _Writing:
    """The generation that an ingest writes."""

    def __init__(
        self,
        run: _IngestRun,
        workspace: Workspace,
        prep: Preparer,
        settings: IngestSettings,
        bar: tqdm,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self.run = run
        self.workspace = workspace
        self.prep = prep
        self.settings = settings
        self.n_documents = self.n_chunks = 0
        self._bar = bar
        self._on_progress = on_progress
        self._digests: list[str] = []

    def write(
        self,
        remove_missing: bool,
        on_removal: Callable[[list[str]], None] | None,
        told: Sequence[str],
    ) -> str:
        """Write the generation and return its id; the current one's where it would be the same.

        told: the documents whose removal was told already.
        """
        run = self.run
        with GenerationWriter(
            self.workspace.generations_path,
            prep_version=self.prep.version,
            dimension=self.prep.dimension,
            index=self.settings.index,
        ) as writer:
            self._add(writer, run.accepted(run.documents))
            if not run.n_read:
                raise DataError(run.nothing_read())
            if not remove_missing:
                self._add(writer, run.staying())
            elif on_removal is not None and (leaving := sorted(set(run.missing()) - set(told))):
                on_removal(leaving)
            fault_point("after-last-batch")
            self.n_documents, self.n_chunks = writer.n_documents, writer.n_chunks
            rejected = [{"path": row.path, "reason": row.reason} for row in run.rejected]
            digest = json_digest(
                [
                    self.prep.version,
                    sorted(self._digests),
                    json_digest(rejected),
                    str(self.settings.index),
                    TABLE_FORMAT,
                ]
            )
            if run.earlier is not None and run.earlier.manifest.get("content_digest") == digest:
                return run.earlier.id
            return writer.finish({"content_digest": digest, "rejected": rejected})

    def _add(self, writer: GenerationWriter, documents: Iterator[Document]) -> None:
        for batch in _batches(documents, self.settings):
            compared = {document.id: self.run.compare(document) for document in batch}
            changed = [document for document in batch if not compared[document.id][1]]
            prepared = {document.id: chunks for document, chunks in self.prep.prepare_many(changed)}
            missing = [row.id for row in changed if row.id not in prepared]
            if missing:
                raise StoreError(
                    f"prep version {self.prep.version!r} gave no chunks for {len(missing)} documents, "
                    f"the first {missing[0]!r}"
                )
            for document in batch:
                digest, is_unchanged = compared[document.id]
                if is_unchanged:
                    assert self.run.earlier is not None
                    chunks = self.run.earlier.document_chunks(document.id)
                else:
                    chunks = prepared[document.id]
                writer.add(document, digest, chunks)
                stored = [document.source, metadata_json(document.metadata), *map(astuple, document.places)]
                self._digests.append(f"{digest}{json_digest(stored)}")
            self._tell(writer.n_chunks)
            fault_point("after-first-batch")
        self._tell(writer.n_chunks)

    def _tell(self, n_chunks: int) -> None:
        run = self.run
        n_done = run.documents.n_done
        self._bar.update(n_done - self._bar.n)
        self._bar.set_postfix(chunks=n_chunks, unchanged=len(run.unchanged), rejected=len(run.rejected))
        if self._on_progress is not None:
            self._on_progress(n_done, run.documents.total or n_done)


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
    """Open the current generation, or None where there is none, or where a damaged one will be rebuilt.

    must_open: its documents stay, so that a damaged one is an error, of the same kind.
    """
    try:
        return workspace.open_generation()
    except EmptyStore:
        return None
    except StoreError as error:
        if must_open:
            hint = "go back with `rollback_generation`, or ingest everything with remove_missing (--sync)"
            raise type(error)(f"{error}; its documents were to stay: {hint}") from error
        _log.warning("the current generation cannot be used, and everything is prepared again: %s", error)
        return None
