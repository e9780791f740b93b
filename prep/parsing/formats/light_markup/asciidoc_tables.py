"""Tables of AsciiDoc as rows of cells: specifiers, spans and repeats written out, CSV and DSV within them."""

from __future__ import annotations

import csv
import re

__all__ = ["table_rows"]

_MAX_CELLS = 500_000
_MAX_COLUMNS = 500
_MAX_SPAN = 1000
_MAX_REPEATED_CHARACTERS = 500_000  # with the marks of their cells
_COLUMN = re.compile(r"(?:(\d{1,3})\*)?")
_SPECIFIER = r"(?:(?<=\s)|^)(?:(\d{1,4})?(?:\.(\d{1,4}))?([*+]))?(?:[<^>](?:\.[<^>])?|\.[<^>])?[adehlmsv]?"


def table_rows(
    lines: list[str], separator: str, *, cols: str, options: str, is_delimited: bool
) -> tuple[list[list[str]], int]:
    """Return the rows of a table and how many of them are its header."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        return [], 0
    # A first line with a blank one below it is the header, where nothing else is said.
    first = filled[0]
    is_implicit = first == 0 and len(lines) > 1 and not lines[1].strip() and len(filled) > 1
    if is_delimited:
        rows = _delimited(lines, separator)
        n_first = len(rows[0]) if rows else 0
    else:
        cells = _cells("\n".join(lines), separator)
        n_first = _n_columns(cols) or sum(width for width, _, _, _ in _cells(lines[first], separator))
        rows = _arranged(cells, max(min(n_first, _MAX_COLUMNS), 1))
    has_header = "header" in options or (is_implicit and "noheader" not in options)
    return rows, int(has_header and len(rows) > 1)


def _n_columns(cols: str) -> int:
    """Return how many columns `cols` names: "1,2,3", "3*", "1,2*a"."""
    n = 0
    for part in filter(None, (one.strip() for one in re.split(r"[,;]", cols))):
        repeated = _COLUMN.match(part)
        n += int(repeated.group(1)) if repeated is not None and repeated.group(1) else 1
    return n


def _cells(text: str, separator: str) -> list[tuple[int, int, int, str]]:
    """Return width, height, repeats and text of the cells."""
    pattern = re.compile(rf"(?:{_SPECIFIER})?(?<!\\){re.escape(separator)}", re.M)
    found = list(pattern.finditer(text))
    cells: list[tuple[int, int, int, str]] = []
    for number, mark in enumerate(found[:_MAX_CELLS]):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        content = " ".join(text[mark.end() : end].replace("\\" + separator, separator).split())
        first, second, kind = mark.groups()
        width = min(int(first or 1), _MAX_SPAN) or 1
        height = min(int(second or 1), _MAX_SPAN) or 1
        cells.append((1, 1, width, content) if kind == "*" else (width if kind else 1, height, 1, content))
    return cells


def _arranged(cells: list[tuple[int, int, int, str]], n_columns: int) -> list[list[str]]:
    """Return the rows; a cell that spans rows or columns stands in each of them."""
    rows: list[list[str]] = [[]]
    hanging: dict[int, tuple[int, str]] = {}
    budget = _MAX_REPEATED_CHARACTERS
    for width, height, repeats, text in cells:
        if (len(text) + 4) * width * height * repeats > budget:
            width = height = repeats = 1
        for _ in range(repeats):
            _fill(rows[-1], hanging, n_columns)
            if len(rows[-1]) >= n_columns:
                rows.append([])
                _fill(rows[-1], hanging, n_columns)
            for right in range(min(width, max(n_columns - len(rows[-1]), 1))):
                budget -= (len(text) + 4) * height if right or repeats > 1 or height > 1 else 0
                if height > 1:
                    hanging[len(rows[-1])] = (height - 1, text)
                rows[-1].append(text)
    _fill(rows[-1], hanging, n_columns)
    return [row for row in rows if row]


def _fill(row: list[str], hanging: dict[int, tuple[int, str]], n_columns: int) -> None:
    """Add the cells that hang down from above into the next columns."""
    while len(row) < n_columns and (held := hanging.pop(len(row), None)) is not None:
        n_rows, text = held
        if n_rows > 1:
            hanging[len(row)] = (n_rows - 1, text)
        row.append(text)


def _delimited(lines: list[str], separator: str) -> list[list[str]]:
    separator = "\t" if separator == "\\t" else separator[:1] or ","
    csv.field_size_limit(sum(map(len, lines)) + len(lines) + 1)
    try:
        return [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if any(row)]
    except (csv.Error, TypeError):
        return [line.split(separator) for line in lines if line]
