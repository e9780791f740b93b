"""Tables of a PDF page without lines: rows whose cells stand under one another.

Consecutive rows of several lines each are a table where their places agree on two or more columns. A row that only
goes on with cells of the row above belongs to it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from prep.parsing.formats.pdf.column_order import Item
from prep.parsing.formats.pdf.page_lines import Line, rows_of
from prep.parsing.formats.pdf.ruled_tables import Table
from prep.parsing.formats.pdf.word_joining import join_lines

__all__ = ["with_aligned_tables"]

_MAX_ROW_GAP = 3.2  # of the font size, from baseline to baseline
_MAX_COLUMNS = 60
_MAX_TRIED_ROWS = 60
_SNAP = 1.5  # points within which two edges are one
_LABEL = re.compile(r"(?:[•▪◦‣●○■–—*·➢✓-]|\(?(?:\d+(?:\.\d+)*|[a-zA-Z]|[ivxlc]+)[.)]?|\[[x ]\]|\[\d+\])\Z")
_NUMBER = re.compile(r"[^\w]*\d[\d.,:%/ -]*\w{0,3}\W*\Z")


@dataclass(slots=True)
class _AlignedRows:
    """Consecutive rows and the columns they agree on, as [left, right] in points."""

    rows: list[list[Line]]
    columns: list[list[float]]


def with_aligned_tables(items: Sequence[Item]) -> list[Item]:
    """Return a column's items from top to bottom, rows that form a table as one and other rows as one line each."""
    tables = [item for item in items if isinstance(item, Table)]
    out: list[Item] = []
    pending = sorted(tables, key=lambda one: one.top)
    lines: list[Line] = []
    for item in items:
        while pending and pending[0].top < item.top and isinstance(item, Line):
            out.extend(_without_tables(lines))
            lines = []
            out.append(pending.pop(0))
        if isinstance(item, Line):
            lines.append(item)
    out.extend(_without_tables(lines))
    out.extend(pending)
    return out


def _without_tables(lines: Sequence[Line]) -> list[Item]:
    rows = rows_of(lines)
    if not any(len(row) > 1 for row in rows):
        return [row[0] for row in rows]
    rows = _split_at_edges(rows)
    out: list[Item] = []
    i = 0
    while i < len(rows):
        if 1 < len(rows[i]) <= _MAX_COLUMNS:
            run = _run(rows, i)
            table = _table(run)
            if table is not None:
                out.append(table)
                i += len(run.rows)
                continue
            if len(run.rows) > _MAX_TRIED_ROWS:  # no row of it is tried again
                out.extend(map(_one_line, run.rows))
                i += len(run.rows)
                continue
        out.append(_one_line(rows[i]))
        i += 1
    return out


def _split_at_edges(rows: list[list[Line]]) -> list[list[Line]]:
    """Return the rows with cells that stand close together parted where rows nearby have a cell begin."""
    left = min(row[0].x0 for row in rows)
    for _ in range(2):  # what is parted first shows where others begin
        edges = [[line.x0 for line in row[:_MAX_COLUMNS] if line.x0 > left + 1.5 * line.size] for row in rows]
        parted = []
        for i, row in enumerate(rows):
            near = [edge for j in (i - 2, i - 1, i + 1, i + 2) if 0 <= j < len(rows) for edge in edges[j]]
            near.sort()
            shared = [a for a, b in pairwise(near) if b - a <= _SNAP]
            parted.append([part for line in row for part in _parted(line, shared)] if shared else row)
        rows = parted
    return rows


def _parted(line: Line, edges: Sequence[float]) -> list[Line]:
    """Return the parts of a line that begin at one of the edges, which are in order, behind a gap."""
    if "…" in line.text:  # leaders of a table of contents
        return [line]
    words = sorted(line.words, key=lambda word: word.x0)
    starts = [0]
    for i, (before, word) in enumerate(pairwise(words), start=1):
        is_apart = word.x0 - before.x1 >= 0.3 * line.size
        at = bisect_left(edges, word.x0 - _SNAP) if is_apart else len(edges)
        if at < len(edges) and edges[at] <= word.x0 + _SNAP:
            starts.append(i)
    if len(starts) == 1:
        return [line]
    return [Line(words[start:end]) for start, end in pairwise([*starts, len(words)])]


def _one_line(row: list[Line]) -> Line:
    return row[0] if len(row) == 1 else Line([word for line in row for word in line.words])


def _run(rows: list[list[Line]], start: int) -> _AlignedRows:
    """Return the rows from `start` whose cells agree on columns, down to the last with several cells."""
    columns = [[line.x0, line.x1] for line in rows[start]]
    taken = 1
    for i in range(start + 1, len(rows)):
        row, above = rows[i], rows[i - 1]
        size = max(line.size for line in row)
        if len(row) == 1 and size > 1.15 * above[0].size:
            break  # a heading
        if row[0].baseline - above[0].baseline > _MAX_ROW_GAP * size or len(row) > _MAX_COLUMNS:
            break
        if taken > 2 and (_is_other_table(columns, row) or _is_header(row, above)):
            break
        merged = _with_row(columns, row)
        if merged is None or len(merged) < 2:
            break
        if len(row) > 1:
            columns = merged
            taken = i - start + 1
        elif i - start + 1 - taken > 6:
            break
    run = rows[start : start + taken]
    # Lines right under the last row that go on in one of its cells.
    for row in rows[start + taken :]:
        last = run[-1]
        size = max(line.size for line in row)
        pitch = row[0].baseline - last[0].baseline
        if len(row) > 1 or pitch > 1.35 * size or _column(columns, row[0]) in (None, 0):
            break
        if abs(row[0].x0 - columns[_column(columns, row[0]) or 0][0]) > 2:
            break
        run.append(row)
    return _AlignedRows(run, columns)


def _with_row(columns: list[list[float]], row: list[Line]) -> list[list[float]] | None:
    """Return the columns widened by a row's cells, None where a cell stands across two of them."""
    out = [list(column) for column in columns]
    for line in row:
        touched = [i for i, (x0, x1) in enumerate(out) if line.x0 < x1 and line.x1 > x0]
        if len(touched) > 1:
            return None
        if touched:
            column = out[touched[0]]
            column[0], column[1] = min(column[0], line.x0), max(column[1], line.x1)
        else:
            if len(row) == 1:
                return None  # a line of its own outside all columns
            out.append([line.x0, line.x1])
            out.sort()
    return out


def _is_other_table(columns: list[list[float]], row: list[Line]) -> bool:
    """Whether a row of several cells stands in none of the columns but the first."""
    return len(row) > 1 and not any(
        line.x0 < x1 and line.x1 > x0 for line in row[1:] for x0, x1 in columns[1:]
    )


def _is_header(row: list[Line], above: list[Line]) -> bool:
    """Whether a row in bold print names the columns of another table; a row of bold totals does not."""
    is_bold = len(row) > 1 and all(line.is_bold for line in row) and not all(line.is_bold for line in above)
    return is_bold and not any(character.isdigit() for line in row for character in line.text)


def _column(columns: list[list[float]], line: Line) -> int | None:
    middle = (line.x0 + line.x1) / 2
    index = bisect_right([x0 for x0, _ in columns], middle) - 1
    return index if index >= 0 and line.x0 < columns[index][1] else None


def _table(run: _AlignedRows) -> Table | None:
    rows, columns = run.rows, run.columns
    several = [row for row in rows if len(row) > 1]
    n_columns = len(columns)
    if len(several) < (2 if n_columns > 2 else 3):
        return None
    lines = [line for row in rows for line in row]
    if sum(line.is_mono for line in lines) > 0.5 * len(lines):
        return None  # a listing keeps its lines as they are
    cells: list[list[list[Line]]] = [[[] for _ in columns] for _ in rows]
    for number, row in enumerate(rows):
        for line in row:
            index = _column(columns, line)
            cells[number][0 if index is None else index].append(line)
    filled = [sum(bool(row[i]) for row in cells) for i in range(n_columns)]
    if min(filled) < 2 or sum(count >= 0.5 * len(several) for count in filled) < 2:
        return None
    first = [line.text for row in cells for line in row[0]]
    if n_columns == 2:
        if sum(_LABEL.match(text) is not None for text in first) >= 0.8 * len(first):
            return None  # a list, or numbered headings
        words = [
            sum(len(line.text.split()) for row in cells for line in row[i]) / filled[i]
            for i in range(n_columns)
        ]
        if min(words) > 6:
            return None
    texts = _rows(cells)
    if len(texts) < 2:
        return None
    top, bottom = min(line.top for line in lines), max(line.bottom for line in lines)
    table = Table(texts, columns[0][0], top, columns[-1][1], bottom, [x0 for x0, _ in columns])
    is_keyed = n_columns == 2 and all(row[0].endswith(":") for row in texts if row[0])
    table.n_header = 0 if is_keyed or any(_NUMBER.match(cell) for cell in texts[0] if cell) else 1
    return table


def _rows(cells: list[list[list[Line]]]) -> list[list[str]]:
    """Return the texts of the cells, rows that go on with the row above joined to it."""
    levels = [min(line.baseline for cell in row for line in cell) for row in cells]
    sizes = [max(line.size for cell in row for line in cell) for row in cells]
    opening = [i for i, row in enumerate(cells) if row[0]]
    pitches = [levels[j] - levels[i] for i, j in pairwise(opening)]
    usual = median(pitches) if pitches else 0.0
    texts: list[list[list[str]]] = []
    # Lines above the middle of their row, whose other cells are centred.
    raised: list[list[str]] | None = None
    for i, row in enumerate(cells):
        parts = [[line.text for line in cell] for cell in row]
        pitch = levels[i] - levels[i - 1] if i else 0.0
        if (
            not row[0]
            and i + 1 < len(cells)
            and cells[i + 1][0]
            and levels[i + 1] - levels[i] < 0.95 * sizes[i]
        ):
            raised = parts
            continue
        if raised is not None:
            texts.append([above + cell for above, cell in zip(raised, parts, strict=True)])
            raised = None
        elif texts and _goes_on(texts[-1], parts, pitch, usual):
            for column, cell in enumerate(parts):
                texts[-1][column].extend(cell)
        else:
            texts.append(parts)
    return [[join_lines(cell) for cell in row] for row in texts]


def _goes_on(above: list[list[str]], parts: list[list[str]], pitch: float, usual: float) -> bool:
    """Whether the cells of a row go on with those of the row above; `usual` is the distance of rows."""
    filled = [column for column, cell in enumerate(parts) if cell]
    if len(filled) == len(parts) or not all(above[column] for column in filled):
        return False
    if parts[0] and len(filled) > 1:
        return False
    shown = parts[filled[0]][0]
    return (
        pitch < 0.8 * usual
        or (not parts[0] and not _NUMBER.match(shown))
        or (shown[:1].islower() and len(filled) == 1)
    )
