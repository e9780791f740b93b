"""Tables of HTML as rows of cells: spans are written out, so that every row says all that holds for it."""

from __future__ import annotations

import re
from collections.abc import Callable

from bs4.element import Tag

from prep.parsing.formats.html_tree import outermost

__all__ = ["read_table"]

_MAX_SPAN = 1000
_MAX_COLUMNS = 1000
# What spans may add to a table; cells beyond it stay empty.
_MAX_REPEATED_CHARACTERS = 2_000_000
_NUMBER = re.compile("[0-9]{1,5}")


def read_table(table: Tag, cell_text: Callable[[Tag], str]) -> tuple[list[list[str]], int]:
    """Return the rows of a table, and how many of them are its header.

    A cell that spans rows or columns stands in each of them; one that is its whole row stands once. The header are
    the rows of `<thead>`, else the first rows that hold `<th>` alone; a table of nothing else has none.
    """
    rows: list[list[str]] = []
    n_header = 0
    is_header = True
    hanging: dict[int, tuple[int, str]] = {}  # column → rows still to come, text
    budget = _MAX_REPEATED_CHARACTERS
    tags = outermost(table, ("tr",))
    for number, row in enumerate(tags):
        cells = outermost(row, ("td", "th"))
        texts: list[str] = []
        for cell in cells:
            budget -= _fill(texts, hanging, budget)
            text = cell_text(cell)
            width = min(max(_span(cell, "colspan"), 1), max(_MAX_COLUMNS - len(texts), 1))
            height = _span(cell, "rowspan") or len(tags) - number
            for position in range(width):
                if height > 1:
                    hanging[len(texts)] = (height - 1, text)
                is_shown = position == 0 or (len(cells) > 1 and len(text) <= budget)
                shown = text if is_shown else ""
                budget -= len(shown) if position else 0
                texts.append(shown)
        budget -= _fill(texts, hanging, budget)
        in_head = row.parent is not None and row.parent.name == "thead"
        is_header = is_header and bool(cells) and (in_head or all(cell.name == "th" for cell in cells))
        n_header += is_header
        rows.append(texts)
    return rows, n_header if n_header < len(rows) else 0


def _fill(texts: list[str], hanging: dict[int, tuple[int, str]], budget: int) -> int:
    """Add the cells that hang down into the next columns; return how many characters were repeated."""
    n_repeated = 0
    while (held := hanging.pop(len(texts), None)) is not None:
        n_rows, text = held
        if n_rows > 1:
            hanging[len(texts)] = (n_rows - 1, text)
        shown = text if n_repeated + len(text) <= budget else ""
        n_repeated += len(shown)
        texts.append(shown)
        if len(texts) >= _MAX_COLUMNS:
            break
    return n_repeated


def _span(cell: Tag, name: str) -> int:
    """Return a span, 1 where it is no number; 0 rows are all that follow."""
    value = str(cell.get(name) or "1").strip()
    return min(int(value), _MAX_SPAN) if _NUMBER.fullmatch(value) else 1
