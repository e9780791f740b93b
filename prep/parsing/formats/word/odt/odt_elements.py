"""The elements of OpenDocument texts that hold blocks, and how a table's rows are found among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = [
    "BLOCKS", "DRAW", "DROPPED", "FORM", "META", "OFFICE", "STYLE", "SVG", "TABLE", "TEXT", "heading_level",
    "inner_blocks", "is_in_list", "number", "table_rows",
]  # fmt: skip

_URN = "urn:oasis:names:tc:opendocument:xmlns:"
OFFICE, TEXT, TABLE, DRAW, FORM, STYLE = (
    f"{{{_URN}{name}:1.0}}" for name in ("office", "text", "table", "drawing", "form", "style")
)
SVG = f"{{{_URN}svg-compatible:1.0}}"
META = f"{{{_URN}meta:1.0}}"
DROPPED = frozenset([
    *(f"{OFFICE}{name}" for name in ("annotation", "annotation-end", "forms", "binary-data", "event-listeners")),
    *(f"{TEXT}{name}" for name in (
        "tracked-changes", "sequence-decls", "user-field-decls", "variable-decls", "note-citation", "hidden-text",
        "table-of-content-source", "alphabetical-index-source", "illustration-index-source", "bibliography-source",
        "table-index-source", "user-index-source", "object-index-source", "script",
    )),
    f"{SVG}title", f"{SVG}desc", f"{STYLE}section-properties",
])  # fmt: skip
BLOCKS = frozenset([f"{TEXT}p", f"{TEXT}h", f"{TEXT}list", f"{TABLE}table", f"{TEXT}numbered-paragraph"])
_MAX_REPEATS = 1000


def table_rows(table: Any) -> tuple[list[tuple[Any, int]], int]:
    """Return the rows that a table shows, with how often each stands there, and how many are its header."""
    rows: list[tuple[Any, int]] = []
    n_header = 0
    pending = [(child, False) for child in reversed(table)]
    while pending:
        element, in_header = pending.pop()
        if element.tag == f"{TABLE}table-row":
            if element.get(f"{TABLE}visibility") in ("collapse", "filter"):
                continue
            n = min(number(element.get(f"{TABLE}number-rows-repeated")) or 1, _MAX_REPEATS)
            n = n if next(element.iter(f"{TEXT}p", f"{TEXT}h"), None) is not None else 1
            rows.append((element, n))
            n_header += n if in_header else 0
        elif element.tag in (f"{TABLE}table-header-rows", f"{TABLE}table-rows", f"{TABLE}table-row-group"):
            is_header = in_header or element.tag == f"{TABLE}table-header-rows"
            pending.extend((child, is_header) for child in reversed(element))
    return rows, n_header if n_header < len(rows) else 0


def inner_blocks(parent: Any) -> Iterator[Any]:
    """Yield the blocks below `parent`, looking into sections and whatever else holds some."""
    for child in parent:
        if child.tag in BLOCKS:
            yield child
        elif child.tag not in DROPPED and child.tag != f"{TABLE}table-row":
            yield from inner_blocks(child)


def heading_level(element: Any) -> int | None:
    """Return the level of a heading, from 1; None for other paragraphs."""
    if element.tag != f"{TEXT}h":
        return None
    return max(number(element.get(f"{TEXT}outline-level")) or 1, 1)


def is_in_list(element: Any) -> bool:
    parent = element.getparent()
    return parent is not None and parent.tag in (
        f"{TEXT}list-item",
        f"{TEXT}list-header",
        f"{TEXT}numbered-paragraph",
    )


def number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None
