"""The tables of a sheet: where they lie among its cells, which rows are headers, and how they are written.

Blank rows part tables, and blank columns where what they part is not equally high. A table goes on below a blank row
where no new header begins. Headers are those that the sheet declares (tables, filters, frozen rows), else found as in
CSV. A merged cell stands in each of its cells, where its row holds others; alone in its row it is text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, zip_longest
from typing import NamedTuple

from prep.parsing.formats.delimited_parser import is_header
from prep.parsing.structured_text import escaped, table_lines

__all__ = ["Area", "Sheet", "sheet_text"]

_MAX_REPEATED_CHARACTERS = 2_000_000
_MAX_SPLITS = 4
_MAX_HEADER_ROWS = 5
_MAX_COLUMNS = 1000
_MAX_ROWS_ABOVE = 10
_SAMPLE_ROWS = 50
_MAX_TABLES_BACK = 20
_MAX_BLANK_CELLS = 2_000_000

Rows = Mapping[int, Mapping[int, str]]


class Area(NamedTuple):
    """A rectangle of cells, its edges included; rows and columns count from 1."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(slots=True)
class Sheet:
    """The cells of a sheet that show something, by row and column, from 1. headers: areas that are declared as such."""

    rows: dict[int, dict[int, str]] = field(default_factory=dict)
    merged: list[Area] = field(default_factory=list)
    headers: list[Area] = field(default_factory=list)
    hidden_rows: set[int] = field(default_factory=set)
    n_frozen: int = 0

    def drop_columns(self, spans: list[tuple[int, int]]) -> int:
        """Leave out the cells in these columns, first and last included; return how many columns held any."""
        starts = [first for first, _ in sorted(spans)]
        ends = list(accumulate((last for _, last in sorted(spans)), max))
        columns = {column for cells in self.rows.values() for column in cells} if spans else set()
        dropped = {c for c in columns if (at := bisect_right(starts, c)) and c <= ends[at - 1]}
        for cells in self.rows.values() if dropped else ():
            for column in dropped.intersection(cells):
                del cells[column]
        return len(dropped)


@dataclass(slots=True)
class _Table:
    """A block of cells. numbers: of its rows in the sheet."""

    columns: list[int]
    numbers: list[int]
    cells: list[list[str]]
    n_above: int = 0
    n_header: int = 0


def sheet_text(sheet: Sheet) -> list[str]:
    """Return the lines of the sheet's tables, a blank one between two."""
    _write_out_merged(sheet)
    declared: dict[int, list[Area]] = defaultdict(list)
    for area in sheet.headers:
        declared[area.top].append(area)
    wide = {area.top for area in sheet.merged if area.right > area.left}
    tables: list[_Table] = []
    for block in _blocks(sheet, sheet.rows, _MAX_SPLITS):
        table = _table(block)
        _find_header(table, declared, wide, sheet.n_frozen)
        before = next(
            (
                one
                for one in tables[: -_MAX_TABLES_BACK - 1 : -1]
                if not set(one.columns).isdisjoint(table.columns)
            ),
            None,
        )
        if before is not None and _continues(before, table):
            before.cells += [_arranged(table, row, before.columns) for row in table.cells]
            before.numbers += table.numbers
        else:
            tables.append(table)
    lines: list[str] = []
    for table in tables:
        written = _lines(table)
        lines += [*([""] if lines and written else []), *written]
    return lines


def _write_out_merged(sheet: Sheet) -> None:
    """Write merged cells into each of their cells."""
    budget = _MAX_REPEATED_CHARACTERS
    last_column = max((max(cells) for cells in sheet.rows.values() if cells), default=0)
    for area in sheet.merged:
        text = sheet.rows.get(area.top, {}).get(area.left, "")
        if not text:
            continue
        for number in range(area.top, area.bottom + 1):
            cells = sheet.rows.get(number)
            budget -= 1
            if budget < 0:
                return
            if cells is None or len(cells) <= (area.left in cells):
                continue
            for column in range(area.left, min(area.right, last_column) + 1):
                if column not in cells:
                    budget -= len(text)
                    if budget < 0:
                        return
                    cells[column] = text


def _blocks(sheet: Sheet, rows: Rows, n_splits: int) -> Iterator[Rows]:
    """Yield the parts of a sheet that blank rows and columns keep apart, from above and from the left."""
    for band in _bands(sheet, rows):
        parts = _side_by_side(band) if n_splits else [band]
        for part in parts:
            if len(parts) > 1:
                yield from _blocks(sheet, part, n_splits - 1)
            else:
                yield part


def _bands(sheet: Sheet, rows: Rows) -> list[Rows]:
    bands: list[dict[int, Mapping[int, str]]] = []
    last = 0
    for number in sorted(number for number, cells in rows.items() if cells):
        between = range(last + 1, number)
        if not bands or len(between) > len(sheet.hidden_rows) or not sheet.hidden_rows.issuperset(between):
            bands.append({})
        bands[-1][number] = rows[number]
        last = number
    return list(bands)


@dataclass(slots=True)
class _Part:
    """Neighbouring columns, and the first and last row in which they hold something."""

    columns: list[int]
    first: int
    last: int

    def add(self, other: _Part) -> None:
        self.columns += other.columns
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


def _side_by_side(band: Rows) -> list[Rows]:
    """Return the parts of a band that blank columns keep apart.

    Parts of the same rows are one table with a blank column in it; a lone column is a remark on its neighbour's rows.
    """
    extents: dict[int, tuple[int, int]] = {}
    for number, cells in band.items():
        for column in cells:
            extents[column] = (extents.get(column, (number,))[0], number)
    groups: list[_Part] = []
    for column in sorted(extents):
        group = _Part([column], *extents[column])
        if groups and column == groups[-1].columns[-1] + 1:
            groups[-1].add(group)
        else:
            groups.append(group)
    parts: list[_Part] = []
    for group in groups:
        is_table = len(group.columns) > 1 and group.first < group.last
        if parts and not (
            is_table
            and len(parts[-1].columns) > 1
            and (group.first, group.last) != (parts[-1].first, parts[-1].last)
        ):
            parts[-1].add(group)
        else:
            parts.append(group)
    if len(parts) < 2:
        return [band]
    at = {column: number for number, part in enumerate(parts) for column in part.columns}
    cut: list[dict[int, dict[int, str]]] = [{} for _ in parts]
    for number, cells in band.items():
        for column, text in cells.items():
            cut[at[column]].setdefault(number, {})[column] = text
    return list(cut)


def _table(block: Rows) -> _Table:
    columns = sorted({column for cells in block.values() for column in cells})[:_MAX_COLUMNS]
    numbers = sorted(block)
    n_blank = len(numbers) * len(columns) - sum(map(len, block.values()))
    if n_blank > _MAX_BLANK_CELLS:  # no table at all: what is there, closed up
        columns = columns[: max(map(len, block.values()))]
        cells = [[block[number][column] for column in sorted(block[number])] for number in numbers]
    else:
        cells = [[block[number].get(column, "") for column in columns] for number in numbers]
    return _Table(columns, numbers, cells)


def _find_header(table: _Table, declared: Mapping[int, list[Area]], wide: set[int], n_frozen: int) -> None:
    """Find the rows above the table, a title say, and those that are its header.

    declared: headers by row. wide: rows with a cell merged over columns. n_frozen: rows that do not scroll.
    """
    table.n_above = n_above = _n_rows_above(table.cells)
    rows = table.cells[n_above:]
    left, right = table.columns[0], table.columns[-1]
    last = next(
        (
            number
            for number in table.numbers
            if any(area.left <= right and area.right >= left for area in declared.get(number, ()))
        ),
        n_frozen,
    )
    n_header = sum(1 for number in table.numbers[n_above:] if number <= last)
    if not 0 < n_header <= _MAX_HEADER_ROWS:
        leading = table.numbers[n_above : n_above + _MAX_HEADER_ROWS]
        n_header = 1 + next((at for at, number in enumerate(leading) if number not in wide), 0)
        joined = [
            " ".join(dict.fromkeys(filter(None, column)))
            for column in zip_longest(*rows[:n_header], fillvalue="")
        ]
        n_header = n_header if is_header(joined, rows[n_header:_SAMPLE_ROWS]) else 0
    table.n_header = n_header if n_header < len(rows) else 0


def _n_rows_above(rows: list[list[str]]) -> int:
    """Return how many rows of one cell each stand above a table: a title, a date."""
    n_filled = [sum(map(bool, row)) for row in rows[: _MAX_ROWS_ABOVE + 1]]
    return next((number for number, n in enumerate(n_filled) if n > 1), 0)


def _continues(before: _Table, table: _Table) -> bool:
    """Whether a table without a header has the columns of the one before, and so goes on with it."""
    return (
        before.n_header > 0
        and table.n_header == 0
        and table.n_above == 0
        and len(table.columns) > 1
        and set(table.columns) <= set(before.columns)
    )


def _arranged(table: _Table, row: list[str], columns: list[int]) -> list[str]:
    """Return a row with its cells in other columns."""
    cells = dict(zip(table.columns, row, strict=False))
    return [cells.get(column, "") for column in columns]


def _lines(table: _Table) -> list[str]:
    above = [escaped(" ".join(filter(None, dict.fromkeys(row)))) for row in table.cells[: table.n_above]]
    rows = table.cells[table.n_above :]
    if len(table.columns) == 1 and not table.n_header:
        above += [escaped(row[0]) for row in rows]
        rows = []
    lines = [part for line in above for part in (line, "")]
    return [*lines, *table_lines(rows, n_header=table.n_header)] if rows else lines[:-1]
