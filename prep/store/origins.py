"""What the store knows of a document besides its text: its metadata, its path, and the name that sets it apart.

A document's path is that of its metadata, which `prep.parsing.readers` fills; documents that were not read from files
have their id instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from prep.places import Place, place_name

__all__ = ["DocumentRecord", "Origin", "distinct_paths", "metadata_json", "path_of"]


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A stored document without its text. n_rows: of its chunks in the index, boilerplate not counted."""

    id: str
    title: str
    source: str
    metadata: Mapping[str, Any]
    n_rows: int

    @property
    def path(self) -> str:
        """The path it is known by: its metadata's, else its id."""
        return path_of(self.id, self.metadata)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stored document comes from.

    distinct_path: the shortest end of its path that no other document of the same title has; empty where the title is
    its own.
    """

    title: str
    path: str
    distinct_path: str
    places: tuple[Place, ...]

    def page(self, offset: int) -> str | None:
        """Return the page, slide, sheet, cell or chapter at `offset` in the text, with its kind: "page 3"."""
        return place_name(self.places, offset)


def path_of(document_id: str, metadata: Mapping[str, Any]) -> str:
    """Return the path that a document is known by."""
    return str(metadata.get("path") or document_id)


def distinct_paths(paths: Sequence[str]) -> list[str]:
    """Return for each path its shortest end, of whole names, that no other of the paths has; itself where all are had.

    >>> distinct_paths(["north/hours.md", "south/hours.md", "fees.md"])
    ['north/hours.md', 'south/hours.md', 'fees.md']
    >>> distinct_paths(["desk/north.md", "desk/south.md"])
    ['north.md', 'south.md']
    """
    ends = [_ends(path) for path in paths]
    counts = Counter(end for some in ends for end in some)
    return [next((end for end in some if counts[end] == 1), some[-1]) for some in ends]


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Return metadata as they are stored, dates as ISO 8601. Raises TypeError, ValueError for what is no JSON."""
    return json.dumps(dict(metadata), sort_keys=True, allow_nan=False, default=_date_text)


def _ends(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[-n:]) for n in range(1, len(names) + 1)]


def _date_text(value: Any) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")
