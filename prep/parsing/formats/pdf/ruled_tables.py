"""Tables of a PDF page that are drawn with lines: the grid, its merged cells and the words in each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prep.parsing.formats.pdf.content.page_content import Rule, Word
from prep.parsing.formats.pdf.page_lines import Line, build_lines
from prep.parsing.formats.pdf.word_joining import join_lines

__all__ = ["Table", "find_ruled_tables"]

# Points within which two edges are one, and within which two lines touch.
_SNAP = 2.5
_TOUCH = 4.0
_MIN_EDGE = 6.0
_MAX_RULES = 4000
_MAX_LINES_OF_GRID = 300
_MAX_CELL_CHARACTERS = 1500
_MAX_SIZE = 100.0  # points: of words that are looked for in cells
# Cells that span others are written in each: beyond so many characters, and this often the words', it is no table.
_MAX_CHARACTERS = 100_000
_MAX_REPEATS = 10


@dataclass(slots=True)
class Table:
    """Rows of cells and where they stand, in points. columns: the left edges. n_header: rows that name the columns."""

    rows: list[list[str]]
    x0: float
    top: float
    x1: float
    bottom: float
    columns: list[float] = field(default_factory=list)
    n_header: int = 1

    @property
    def text(self) -> str:
        """The cells on one line."""
        return " ".join(cell for row in self.rows for cell in row)


def find_ruled_tables(rules: Sequence[Rule], words: Sequence[Word]) -> tuple[list[Table], list[Word]]:
    """Return the tables that lines enclose, and the words that stand in none."""
    if not 4 <= len(rules) <= _MAX_RULES or not words:
        return [], list(words)
    tables: list[Table] = []
    rest = sorted(words, key=lambda word: word.baseline)
    for grid in sorted(_grids(rules), key=lambda one: -one.area):
        if any(_is_inside(grid, table) for table in tables):
            continue
        first = bisect_left(rest, grid.ys[0] - 10, key=_baseline)
        last = bisect_right(rest, grid.ys[-1] + 0.3 * _MAX_SIZE, key=_baseline)
        inside = [word for word in rest[first:last] if grid.holds(word)]
        table = _table(grid, inside) if len(inside) >= 3 else None
        if table is not None:
            tables.append(table)
            taken = set(map(id, inside))
            rest[first:last] = [word for word in rest[first:last] if id(word) not in taken]
    kept = set(map(id, rest))
    return sorted(tables, key=lambda one: (one.top, one.x0)), [word for word in words if id(word) in kept]


def _baseline(word: Word) -> float:
    return word.baseline


@dataclass(slots=True)
class _Grid:
    xs: list[float]
    ys: list[float]
    across: list[Rule]
    down: list[Rule]

    @property
    def area(self) -> float:
        return (self.xs[-1] - self.xs[0]) * (self.ys[-1] - self.ys[0])

    def holds(self, word: Word) -> bool:
        middle = (word.x0 + word.x1) / 2
        height = word.baseline - 0.3 * word.style.size
        return self.xs[0] - 1 <= middle <= self.xs[-1] + 1 and self.ys[0] - 1 <= height <= self.ys[-1] + 1


def _is_inside(grid: _Grid, table: Table) -> bool:
    x, y = (grid.xs[0] + grid.xs[-1]) / 2, (grid.ys[0] + grid.ys[-1]) / 2
    return table.x0 - 1 <= x <= table.x1 + 1 and table.top - 1 <= y <= table.bottom + 1


def _grids(rules: Sequence[Rule]) -> list[_Grid]:
    """Return the groups of lines that touch, as far as they enclose two columns and two rows or more."""
    across = _joined([rule for rule in rules if rule.x1 - rule.x0 >= _MIN_EDGE], is_across=True)
    down = _joined([rule for rule in rules if rule.bottom - rule.top >= _MIN_EDGE], is_across=False)
    parents = list(range(len(across) + len(down)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    order = sorted(range(len(down)), key=lambda j: down[j].x0)
    lefts = [down[j].x0 for j in order]
    for i, rule in enumerate(across):
        first = bisect_right(lefts, rule.x0 - _TOUCH)
        last = bisect_right(lefts, rule.x1 + _TOUCH)
        for j in order[first:last]:
            if down[j].top - _TOUCH <= rule.top <= down[j].bottom + _TOUCH:
                parents[root(i)] = root(len(across) + j)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for i, rule in enumerate([*across, *down]):
        groups.setdefault(root(i), ([], []))[i >= len(across)].append(rule)
    grids = []
    for rows, columns in groups.values():
        xs = _snapped([rule.x0 for rule in columns])
        ys = _snapped([rule.top for rule in rows])
        if 3 <= len(xs) <= _MAX_LINES_OF_GRID and 3 <= len(ys) <= _MAX_LINES_OF_GRID:
            grids.append(_Grid(xs, ys, rows, columns))
        elif 3 <= len(ys) <= _MAX_LINES_OF_GRID and not xs:
            continue
    return grids


def _joined(rules: list[Rule], *, is_across: bool) -> list[Rule]:
    """Return the rules with pieces of one line put together."""

    def place(rule: Rule) -> tuple[float, float, float]:
        return (rule.top, rule.x0, rule.x1) if is_across else (rule.x0, rule.top, rule.bottom)

    out: list[tuple[float, float, float]] = []
    level = -1e9
    group: list[tuple[float, float, float]] = []
    for one in [*sorted(map(place, rules)), (1e9, 0.0, 0.0)]:
        if one[0] - level > _SNAP and group:
            height = sum(at for at, _, _ in group) / len(group)
            start, end = min(group, key=lambda piece: piece[1])[1:]
            for _, left, right in sorted(group, key=lambda piece: piece[1]):
                if left > end + _TOUCH:
                    out.append((height, start, end))
                    start, end = left, right
                end = max(end, right)
            out.append((height, start, end))
            group = []
        if not group:
            level = one[0]
        group.append(one)
    if is_across:
        return [Rule(start, at, end, at) for at, start, end in out]
    return [Rule(at, start, at, end) for at, start, end in out]


def _snapped(values: list[float]) -> list[float]:
    """Return distinct coordinates in order, near ones as one."""
    out: list[float] = []
    for value in sorted(values):
        if not out or value - out[-1] > _SNAP:
            out.append(value)
    return out


def _table(grid: _Grid, words: list[Word]) -> Table | None:
    """Return the table of a grid, None where the lines frame something else."""
    n_rows, n_columns = len(grid.ys) - 1, len(grid.xs) - 1
    cell_of = _merged_cells(grid, n_rows, n_columns)
    contents: dict[int, list[Word]] = {}
    for word in words:
        column = min(max(bisect_right(grid.xs, (word.x0 + word.x1) / 2) - 1, 0), n_columns - 1)
        row = min(max(bisect_right(grid.ys, word.baseline - 0.3 * word.style.size) - 1, 0), n_rows - 1)
        contents.setdefault(cell_of[row * n_columns + column], []).append(word)
    texts = {cell: _cell_text(inside) for cell, inside in contents.items()}
    rows = [
        [texts.get(cell_of[row * n_columns + column], "") for column in range(n_columns)]
        for row in range(n_rows)
    ]
    header = _is_bold(contents, cell_of[:n_columns])
    rows, columns = _without_blanks(rows, grid.xs)
    filled = [row for row in rows if any(row)]
    if len(filled) < 2 or len(columns) < 2 or len(texts) < 4:
        return None
    if max(map(len, texts.values())) > _MAX_CELL_CHARACTERS:
        return None
    n_characters = sum(len(cell) for row in filled for cell in row)
    if n_characters > max(_MAX_CHARACTERS, _MAX_REPEATS * sum(map(len, texts.values()))):
        return None
    if sum(len(set(filter(None, row))) > 1 for row in filled) < 0.5 * len(filled):
        return None  # boxes around text, not columns
    is_keyed = all(row[0].endswith(":") for row in filled if row[0])
    table = Table(filled, grid.xs[0], grid.ys[0], grid.xs[-1], grid.ys[-1], columns)
    table.n_header = 0 if is_keyed and not header else 1
    return table


def _merged_cells(grid: _Grid, n_rows: int, n_columns: int) -> list[int]:
    """Return for every field of the grid the number of its cell: fields without a line between them are one."""
    parents = list(range(n_rows * n_columns))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    down = _by_level([(rule.x0, rule.top, rule.bottom) for rule in grid.down], grid.xs)
    across = _by_level([(rule.top, rule.x0, rule.x1) for rule in grid.across], grid.ys)
    for row, (top, bottom) in enumerate(pairwise(grid.ys)):
        for column, (left, right) in enumerate(pairwise(grid.xs)):
            here = row * n_columns + column
            if column + 1 < n_columns and not _covers(down[column + 1], top, bottom):
                parents[root(here + 1)] = root(here)
            if row + 1 < n_rows and not _covers(across[row + 1], left, right):
                parents[root(here + n_columns)] = root(here)
    return [root(i) for i in range(n_rows * n_columns)]


def _by_level(
    rules: list[tuple[float, float, float]], levels: list[float]
) -> list[list[tuple[float, float]]]:
    """Return the spans of the lines on each level of the grid."""
    found: list[list[tuple[float, float]]] = [[] for _ in levels]
    for at, start, end in rules:
        index = max(bisect_right(levels, at + 0.01) - 1, 0)
        found[index].append((start, end))
    return found


def _covers(spans: list[tuple[float, float]], start: float, end: float) -> bool:
    covered = sum(max(min(b, end) - max(a, start), 0) for a, b in spans)
    return covered >= 0.6 * (end - start)


def _cell_text(words: list[Word]) -> str:
    lines: list[Line] = build_lines(sorted(words, key=lambda word: (round(word.baseline, 1), word.x0)))
    return join_lines([line.text for line in lines])


def _is_bold(contents: dict[int, list[Word]], cells: list[int]) -> bool:
    words = [word for cell in cells for word in contents.get(cell, [])]
    return bool(words) and all(word.style.is_bold for word in words)


def _without_blanks(rows: list[list[str]], xs: list[float]) -> tuple[list[list[str]], list[float]]:
    """Return rows and left edges without columns that are empty throughout, or repeat the one before throughout."""
    kept = [
        column
        for column in range(len(rows[0]))
        if any(row[column] for row in rows)
        and not (column and all(row[column] == row[column - 1] for row in rows))
    ]
    # A column that is only ever the right part of merged cells repeats what stands left of it.
    return [[row[column] for column in kept] for row in rows], [xs[column] for column in kept]
