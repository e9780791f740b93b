"""Rows of pipe tables, told by the names of their columns: `Boat: Heron | Built: 1962`.

A cell means nothing without its column, which stands in the header, rows above, or among the headings of a passage that
begins inside the table. The reader reads the name before every cell, and a person is shown it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prep.text import is_pipe_rule, pipe_cells
from retrieve.episode.query_terms import content_words

__all__ = ["TableRow", "find_cell", "named_row", "row_in_words", "table_lines"]

_WORD = re.compile(r"\w+(?:[.,:]\w+)*")
_MOST_COLUMNS = 24
_LONGEST_NAME = 48
_LONGEST_ENDING = 3  # letters of a word that has no other forms


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table's body: its span in the text, and each cell's column name and span; empty cells are left out."""

    start: int
    end: int
    cells: tuple[tuple[str, int, int], ...]


def table_lines(text: str, headings: Sequence[str] = ()) -> tuple[list[TableRow], list[tuple[int, int]]]:
    """Return the rows with known columns, in order, and the spans of the lines that only say what the columns are.

    headings: of the passage; the innermost is the header where the text begins inside a table.
    """
    if "|" not in text:
        return [], []
    rows: list[TableRow] = []
    heads: list[tuple[int, int]] = []
    names: list[str] = []
    if headings and "|" in headings[-1]:
        names = [name.strip() for name in headings[-1].split("|")]
    above: tuple[int, int] | None = None
    at = 0
    for line in text.splitlines(keepends=True):
        start, end = at, at + len(line.rstrip("\r\n"))
        at += len(line)
        if "|" not in line or line.isspace():
            above, names = None, names if not rows and not heads and line.isspace() else []
            continue
        cells = pipe_cells(text, start, end)
        if is_pipe_rule(text[start:end]):
            if above is not None:
                names = [text[left:right] for left, right in pipe_cells(text, *above)]
                heads.append(above)
                if rows and (rows[-1].start, rows[-1].end) == above:
                    rows.pop()
            heads.append((start, end))
        elif len(cells) == len(names) and 2 <= len(names) <= _MOST_COLUMNS:
            named = zip(names, cells, strict=True)
            full = tuple((name[:_LONGEST_NAME], left, right) for name, (left, right) in named if left < right)
            rows.append(TableRow(start, end, full))
        above = (start, end)
    return rows, heads


def row_in_words(text: str, start: int, end: int, headings: Sequence[str] = ()) -> str | None:
    """Return what start..end holds of a table's row as `Boat: Heron; Built: 1962`, with the row's first cell.

    None where it is not in one such row.
    """
    found = [row for row in table_lines(text, headings)[0] if row.start < end and start < row.end]
    if len(found) != 1:
        return None
    cells = found[0].cells
    told = [cell for place, cell in enumerate(cells) if place == 0 or (cell[1] < end and start < cell[2])]
    return "; ".join(
        f"{name}: {text[left:right]}" if name else text[left:right] for name, left, right in told
    )


def named_row(
    question: str, text: str, start: int, end: int, headings: Sequence[str] = ()
) -> TableRow | None:
    """Return the row that holds most of the question's terms, where start..end lies in a table; None for several.

    >>> text = "| Town | Part | Pieces |\\n|---|---|---|\\n| Ulm | Bolt | 9 |\\n| Ulm | Valve | 4 |"
    >>> row = named_row("How many valves are in Ulm?", text, 42, 56)
    >>> text[row.start : row.end]
    '| Ulm | Valve | 4 |'
    """
    rows, _ = table_lines(text, headings)
    if not any(row.start < end and start < row.end for row in rows):
        return None
    terms = {word.casefold() for word in content_words(question)}
    held = [_n_held(terms, set(_words(text[row.start : row.end]))) for row in rows]
    most = max(held)
    return rows[held.index(most)] if most and held.count(most) == 1 else None


def _n_held(terms: Iterable[str], words: set[str]) -> int:
    """Return how many terms are among the words; a long one in another form, too: its last letters may differ."""
    long = [term for term in terms if term not in words and len(term) > _LONGEST_ENDING]
    stems = {word[: max(_LONGEST_ENDING, len(word) - 2)] for word in words if len(word) > _LONGEST_ENDING}
    n_alike = sum(any(term.startswith(stem) for stem in stems) for term in long)
    return sum(term in words for term in terms) + n_alike


def find_cell(
    question: str, text: str, headings: Sequence[str] = ()
) -> tuple[TableRow, tuple[str, int, int] | None] | None:
    """Return the row that a question names by what its cells say, and the cell of the column that it asks for.

    None where no row, or no single one, has the most cells that the question holds; no cell where the question names no
    single other column.

    >>> text = "| Boat | Built |\\n|---|---|\\n| Heron | 1962 |\\n| Petrel | 1974 |"
    >>> row, cell = find_cell("When was the Petrel built?", text)
    >>> text[cell[1] : cell[2]]
    '1974'
    """
    rows, _ = table_lines(text, headings)
    asked = rest = f" {' '.join(_words(question))} "
    for name in {name for row in rows for name, _, _ in row.cells}:
        if words := " ".join(_words(name)):
            rest = rest.replace(f" {words} ", " | ")  # what names a column names no row
    held = [[cell for cell in row.cells if _is_in(_words(text[cell[1] : cell[2]]), rest)] for row in rows]
    most = max(map(len, held), default=0)
    best = [place for place, cells in enumerate(held) if len(cells) == most]
    if most == 0 or len(best) > 1:
        return None
    row, given = rows[best[0]], held[best[0]]
    others = [cell for cell in row.cells if cell not in given]
    wanted = [cell for cell in others if _is_in(_words(cell[0]), asked)]
    # "Saturday" for the column "Saturday and Sunday", where no other column has a word of the question.
    wanted = wanted or [cell for cell in others if any(_is_in([word], asked) for word in _telling(cell[0]))]
    return row, wanted[0] if len(wanted) == 1 else None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _telling(name: str) -> list[str]:
    return [word for word in _words(name) if len(word) > 3]


def _is_in(words: Sequence[str], asked: str) -> bool:
    return bool(words) and f" {' '.join(words)} " in asked
