"""`chunks.sqlite`: the documents of a generation, all their chunks with vectors, and the BM25 index.

`ChunkTableWriter` fills a new file once. `ChunkTable` reads a finished file, which never changes, so it is opened as
immutable: no locks, no side files, one connection a thread. Durability and checksums are `prep.store.generation`'s.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prep.document import Chunk, Document, Floats
from prep.errors import StoreError
from prep.places import Place
from prep.store.bm25 import LexicalIndex, header_of
from prep.store.origins import DocumentRecord, Origin, distinct_paths, metadata_json, path_of

__all__ = ["TABLE_FORMAT", "ChunkTable", "ChunkTableWriter", "DocumentSummary"]

TABLE_FORMAT = 3  # 2: with the BM25 index; 3: documents with their metadata, places and rows

_SCHEMA = """
CREATE TABLE documents (
    position INTEGER PRIMARY KEY,          -- order of ingestion, from 0
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    source TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    metadata TEXT NOT NULL,                -- JSON object
    places TEXT NOT NULL,                  -- JSON array of [start, kind, label], in order
    n_rows INTEGER NOT NULL                -- in the index, where documents follow one another in this order
);
CREATE INDEX documents_by_title ON documents (title);
CREATE TABLE chunks (
    position INTEGER PRIMARY KEY,          -- order of documents, then of chunks, from 0
    id TEXT NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES documents (position),
    start INTEGER NOT NULL,                -- code points into the document's text, half open
    "end" INTEGER NOT NULL,
    text TEXT NOT NULL,
    headings TEXT NOT NULL,                -- JSON array, outermost first
    role TEXT NOT NULL,
    n_tokens INTEGER NOT NULL,
    vector BLOB NOT NULL,                  -- little-endian float32
    row INTEGER UNIQUE                     -- row in the index; NULL for boilerplate, which is not indexed
);
CREATE INDEX chunks_by_document ON chunks (document, position);
"""
_CHUNK_COLUMNS = (
    'chunks.id, documents.id, chunks.start, chunks."end", chunks.text, chunks.headings, chunks.role, '
    "chunks.n_tokens, chunks.vector"
)
_ROWS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A stored document without its text. n_characters: code points. n_chunks: boilerplate included."""

    id: str
    title: str
    source: str
    n_characters: int
    n_chunks: int


class ChunkTableWriter:
    """Fills a new chunks.sqlite, document by document; `close` completes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        # A file that is not finished is removed whole, so no journal and no sync are needed.
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(_SCHEMA)
        LexicalIndex.create(self._connection)
        self._connection.execute("BEGIN")
        self.n_documents = 0
        self.n_chunks = 0
        self.n_indexed = 0

    def add(self, document: Document, content_hash: str, chunks: Iterable[Chunk]) -> None:
        """Add a document with its chunks in order. Raises StoreError where an id is taken."""
        rows: list[tuple[Any, ...]] = []
        words: list[tuple[int, str]] = []
        first_row = self.n_indexed
        for chunk in chunks:
            indexed = chunk.role != "boilerplate"
            if indexed:
                header = header_of(document.title, chunk.headings)
                words.append((self.n_indexed, f"{header} {chunk.text}"))
            rows.append(
                (
                    self.n_chunks + len(rows),
                    chunk.id,
                    self.n_documents,
                    int(chunk.start),
                    int(chunk.end),
                    chunk.text,
                    json.dumps(list(chunk.headings), ensure_ascii=False),
                    chunk.role,
                    int(chunk.n_tokens),
                    np.ascontiguousarray(chunk.vector, dtype="<f4").tobytes(),
                    self.n_indexed if indexed else None,
                )
            )
            self.n_indexed += indexed
        try:
            self._connection.execute(
                f"INSERT INTO documents VALUES ({', '.join('?' * 9)})",
                (
                    self.n_documents,
                    document.id,
                    document.title,
                    document.text,
                    document.source,
                    content_hash,
                    metadata_json(document.metadata),
                    json.dumps([astuple(place) for place in document.places]),
                    self.n_indexed - first_row,
                ),
            )
            self._connection.executemany(f"INSERT INTO chunks VALUES ({', '.join('?' * 11)})", rows)
            LexicalIndex.add(self._connection, words)
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self._path} cannot be written: {error}") from error
        except sqlite3.IntegrityError as error:
            raise StoreError(
                f"document {document.id!r} or one of its chunks has an id in use: {error}"
            ) from error
        self.n_documents += 1
        self.n_chunks += len(rows)

    def vectors(self, dimension: int) -> Floats:
        """Return the indexed vectors by row, (n_indexed, dimension) float32."""
        vectors = np.empty((self.n_indexed, dimension), dtype=np.float32)
        found = self._connection.execute("SELECT row, vector FROM chunks WHERE row IS NOT NULL")
        for row, blob in found:
            vectors[row] = np.frombuffer(blob, dtype="<f4")
        return vectors

    def close(self) -> None:
        """Complete the file."""
        try:
            LexicalIndex.optimise(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self._path} cannot be written: {error}") from error
        finally:
            self._connection.close()

    def abandon(self) -> None:
        """Close the file without completing it."""
        self._connection.close()


class ChunkTable:
    """Reads a finished chunks.sqlite from any number of threads."""

    def __init__(self, path: Path) -> None:
        self._address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._connections: dict[int, sqlite3.Connection] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._lexical: LexicalIndex | None = None
        self._paths_by_title: dict[str, dict[str, str]] = {}
        connection = self._connection()  # a missing file is an error now, not at the first query
        columns = {row[1] for row in connection.execute("PRAGMA table_info(documents)")}
        self._has_metadata = "metadata" in columns  # not in format 2
        kept = "metadata, places" if self._has_metadata else "'{}', '[]'"
        self._document_columns = f"id, title, text, source, {kept}"

    def _connection(self) -> sqlite3.Connection:
        thread = threading.get_ident()
        connection = self._connections.get(thread)
        if connection is not None:
            return connection
        with self._lock:
            if self._closed:
                raise StoreError("this generation was closed: open it again")
            connection = self._connections[thread] = self._connect()
        return connection

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self._address, uri=True, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self._address} cannot be opened: {error}") from error

    @property
    def lexical(self) -> LexicalIndex:
        """The BM25 index of the chunks, by index row. Raises StoreError where the file has none."""
        with self._lock:
            if self._closed:
                raise StoreError("this generation was closed: open it again")
            if self._lexical is None:
                try:
                    self._lexical = LexicalIndex(self._connect())
                except sqlite3.OperationalError as error:
                    raise StoreError(
                        f"{self._address} was built by an earlier version, without an index of words ({error}): "
                        "run `diptych ingest` again, which takes the chunks from it"
                    ) from error
            return self._lexical

    def vectors(self, rows: Sequence[int], dimension: int) -> Floats:
        """Return the vectors at these index rows, (len(rows), dimension) float32, in the order given."""
        vectors = np.empty((len(rows), dimension), dtype=np.float32)
        place = {int(row): at for at, row in enumerate(rows)}
        wanted = list(place)
        for first in range(0, len(wanted), _ROWS_PER_QUERY):
            part = wanted[first : first + _ROWS_PER_QUERY]
            query = f"SELECT row, vector FROM chunks WHERE row IN ({', '.join('?' * len(part))})"
            for row, blob in self._connection().execute(query, part):
                vectors[place[row]] = np.frombuffer(blob, dtype="<f4")
        return vectors

    def chunks(self, rows: Sequence[int]) -> list[Chunk]:
        """Return the chunks at these index rows, in the order given. Raises StoreError for an unknown row."""
        return [_chunk(values) for values in self._at(rows, _CHUNK_COLUMNS)]

    def headed(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Return header (title with headings) and text of the chunks at these index rows, in the order given.

        Raises StoreError for an unknown row.
        """
        return [
            (header_of(title, json.loads(headings)), text)
            for title, headings, text in self._at(rows, "documents.title, chunks.headings, chunks.text")
        ]

    def _at(self, rows: Sequence[int], columns: str) -> list[list[Any]]:
        """Return these columns of the chunks at these index rows, in the order given."""
        wanted = [int(row) for row in rows]
        found: dict[int, list[Any]] = {}
        for first in range(0, len(wanted), _ROWS_PER_QUERY):
            part = wanted[first : first + _ROWS_PER_QUERY]
            for row, *values in self._connection().execute(
                f"SELECT chunks.row, {columns} FROM chunks JOIN documents "
                f"ON documents.position = chunks.document WHERE chunks.row IN ({', '.join('?' * len(part))})",
                part,
            ):
                found[row] = values
        missing = [row for row in wanted if row not in found]
        if missing:
            raise StoreError(f"no chunk is indexed at row {missing[0]}")
        return [found[row] for row in wanted]

    def document(self, document_id: str) -> Document:
        """Return a document. Raises StoreError where there is none of this id."""
        found = (
            self._connection()
            .execute(f"SELECT {self._document_columns} FROM documents WHERE id = ?", (document_id,))
            .fetchone()
        )
        if found is None:
            raise StoreError(f"there is no document {document_id!r} in this generation")
        return _document(found)

    def title(self, document_id: str) -> str:
        """Return a document's title without reading its text. Raises StoreError where there is none of this id."""
        query = "SELECT title FROM documents WHERE id = ?"
        found = self._connection().execute(query, (document_id,)).fetchone()
        if found is None:
            raise StoreError(f"there is no document {document_id!r} in this generation")
        return str(found[0])

    def documents(self) -> Iterator[Document]:
        """Yield every document, in order of ingestion."""
        for values in self._connection().execute(
            f"SELECT {self._document_columns} FROM documents ORDER BY position"
        ):
            yield _document(values)

    def records(self) -> Iterator[DocumentRecord]:
        """Yield what is known of every document but its text, in order of ingestion."""
        if self._has_metadata:
            query = "SELECT id, title, source, metadata, n_rows FROM documents ORDER BY position"
        else:
            query = (
                "SELECT documents.id, title, source, '{}', count(row) FROM documents "
                "LEFT JOIN chunks ON document = documents.position GROUP BY documents.position"
            )
        for document_id, title, source, metadata, n_rows in self._connection().execute(query):
            yield DocumentRecord(document_id, title, source, json.loads(metadata), n_rows)

    def origin(self, document_id: str) -> Origin:
        """Return where a document comes from. Raises StoreError where there is none of this id."""
        kept = "metadata, places" if self._has_metadata else "'{}', '[]'"
        connection = self._connection()
        found = connection.execute(
            f"SELECT title, {kept} FROM documents WHERE id = ?", (document_id,)
        ).fetchone()
        if found is None:
            raise StoreError(f"there is no document {document_id!r} in this generation")
        title, metadata, places = found
        with self._lock:
            if title not in self._paths_by_title:
                same = connection.execute(
                    f"SELECT id, {kept} FROM documents WHERE title = ?", (title,)
                ).fetchall()
                paths = {one: path_of(one, json.loads(about)) for one, about, _ in same}
                self._paths_by_title[title] = dict(
                    zip(paths, distinct_paths(list(paths.values())), strict=True)
                )
            distinct = self._paths_by_title[title]
        return Origin(
            title,
            path_of(document_id, json.loads(metadata)),
            distinct[document_id] if len(distinct) > 1 else "",
            _places(places),
        )

    def document_chunks(self, document_id: str) -> list[Chunk]:
        """Return all chunks of a document in order, boilerplate included. Raises StoreError."""
        found = self._connection().execute(
            f"SELECT {_CHUNK_COLUMNS} FROM chunks JOIN documents ON documents.position = chunks.document "
            "WHERE documents.id = ? ORDER BY chunks.position",
            (document_id,),
        )
        chunks = [_chunk(values) for values in found]
        if not chunks:
            self.document(document_id)  # a document may be empty, but it must be there
        return chunks

    def chunk_lengths(self) -> Counter[tuple[str, int]]:
        """Return (role, tokens) → how many chunks, boilerplate included."""
        found = self._connection().execute(
            "SELECT role, n_tokens, count(*) FROM chunks GROUP BY role, n_tokens"
        )
        return Counter({(role, n_tokens): n_chunks for role, n_tokens, n_chunks in found})

    def summaries(self) -> Iterator[DocumentSummary]:
        """Yield every document without its text, in order of ingestion."""
        for values in self._connection().execute(
            "SELECT id, title, source, length(text), "
            "(SELECT count(*) FROM chunks WHERE document = documents.position) FROM documents ORDER BY position"
        ):
            yield DocumentSummary(*values)

    def content_hashes(self) -> dict[str, str]:
        """Return the content hash of every document by its id, in order of ingestion."""
        return dict(
            self._connection().execute("SELECT id, content_hash FROM documents ORDER BY position").fetchall()
        )

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            self._closed = True
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            if self._lexical is not None:
                self._lexical.close()


def _document(values: Sequence[Any]) -> Document:
    document_id, title, text, source, metadata, places = values
    return Document(document_id, title, text, source, json.loads(metadata), _places(places))


def _places(content: str) -> tuple[Place, ...]:
    return tuple(Place(*one) for one in json.loads(content))


def _chunk(values: Sequence[Any]) -> Chunk:
    chunk_id, document_id, start, end, text, headings, role, n_tokens, blob = values
    vector = np.frombuffer(blob, dtype="<f4").astype(np.float32)
    return Chunk(chunk_id, document_id, start, end, text, tuple(json.loads(headings)), role, n_tokens, vector)
