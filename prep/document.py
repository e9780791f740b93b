"""The data types at the prep model's edges: `Document` and `Rejected` go in, `Chunk` comes out, `Span` points.

Every offset is a code point into `Document.text`; ends are exclusive, so a span is `text[start:end]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from prep.places import Place

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Role: TypeAlias = Literal["title", "heading", "text", "list", "table", "code", "reference", "boilerplate"]

ROLES: tuple[Role, ...] = get_args(Role)

#: Between an archive and a file in it, in ids, paths and sources.
INSIDE = "!/"


@dataclass(frozen=True, slots=True)
class Document:
    """One document as read.

    title: may be empty. source: the path or address it came from. metadata: what the file, its place or a note beside
    it says of it. places: where its pages, slides, sheets or cells begin in the text.
    """

    id: str
    title: str
    text: str
    source: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that could not be read, and why. It is counted and reported; the rest goes on.

    document_id: of the document that the file would be; empty for a part of a file and for what may not be read.
    """

    path: str
    reason: str
    document_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a document, in code points."""

    document_id: str
    start: int
    end: int

    def overlaps(self, other: Any) -> bool:
        """Whether this and `other` (anything with document_id, start, end) share at least one code point."""
        return bool(
            self.document_id == other.document_id and self.start < other.end and other.start < self.end
        )


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """One searchable stretch of a document.

    text: exactly `document.text[start:end]`. headings: the enclosing titles, outermost first. n_tokens: tokens of the
    text and its header (document title and headings), by the prep model's tokenizer. vector: (d,) float32,
    L2-normalised.
    """

    id: str
    document_id: str
    start: int
    end: int
    text: str
    headings: tuple[str, ...]
    role: Role
    n_tokens: int
    vector: Floats = field(repr=False)
