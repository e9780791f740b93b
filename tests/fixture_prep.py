"""A small real prep model for the store's tests: a chunk for each line, hashed words as its vector.

Deterministic, without weights: equal texts get equal vectors, and texts that share words are near each other.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from prep.document import Chunk, Document, Floats, Role
from prep.text import split_lines


class LinePrep:
    """Splits by lines; a line that starts with "#" is a heading, one that starts with "~" boilerplate."""

    def __init__(self, version: str = "lines-1", dimension: int = 32) -> None:
        self.version = version
        self.dimension = dimension
        self.prepared: list[str] = []
        self.largest_batch = 0

    def prepare(self, document: Document) -> list[Chunk]:
        headings: tuple[str, ...] = ()
        chunks = []
        for start, end in split_lines(document.text):
            line = document.text[start:end]
            role: Role = "text"
            if line.startswith("#"):
                role, headings = "heading", (line[1:].strip(),)
            elif line.startswith("~"):
                role = "boilerplate"
            chunk_id = f"{document.id}:{start}-{end}"
            chunks.append(
                Chunk(
                    chunk_id,
                    document.id,
                    start,
                    end,
                    line,
                    headings,
                    role,
                    len(line.split()),
                    self.vector(line),
                )
            )
        return chunks

    def prepare_many(self, documents: Iterable[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        """Longest first, as a model that batches by length would."""
        batch = sorted(documents, key=lambda document: -len(document.text))
        self.largest_batch = max(self.largest_batch, len(batch))
        for document in batch:
            self.prepared.append(document.id)
            yield document, self.prepare(document)

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        return np.stack([self.vector(query) for query in queries])

    def vector(self, text: str) -> Floats:
        vector = np.full(self.dimension, 1e-3, dtype=np.float64)
        for word in text.lower().split():
            digest = hashlib.sha256(f"{self.version} {word}".encode("utf-8", "replace")).digest()
            vector += np.random.default_rng(int.from_bytes(digest[:8], "little")).normal(size=self.dimension)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def free_port() -> str:
    """Return a port of loopback that nothing listens at. Asked of another process: sockets are barred in this one."""
    ask = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])"
    found = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def subprocess_environment() -> dict[str, str]:
    """The environment in which another process can import our packages and this module."""
    tests = Path(__file__).resolve().parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
