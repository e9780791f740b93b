"""Tables of RTF, whose cells are known by where their right edges lie: `RtfTable`."""

from __future__ import annotations

from dataclasses import dataclass, field

from prep.parsing.formats.word.table_grid import SpanBudget, TableGrid

__all__ = ["RtfTable"]

# Edges nearer than this, in twips, are one.
_TOLERANCE = 30
_MAX_CELLS = 1000


@dataclass(slots=True)
class _CellDefinition:
    edge: int = 0
    goes_on_left: bool = False
    goes_on_above: bool = False


@dataclass(slots=True)
class _RtfRow:
    cells: list[str]
    definitions: list[_CellDefinition]
    is_header: bool


@dataclass(slots=True)
class RtfTable:
    """Collects the rows of one table as they are read."""

    _rows: list[_RtfRow] = field(default_factory=list)
    _cells: list[str] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _definitions: list[_CellDefinition] = field(default_factory=list)
    _next: _CellDefinition = field(default_factory=_CellDefinition)
    _is_header: bool = False

    def define(self, name: str, number: int | None) -> None:
        """Take a control word of a row's definition."""
        if name == "trowd":
            self._definitions, self._next, self._is_header = [], _CellDefinition(), False
        elif name == "trhdr":
            self._is_header = True
        elif name == "clmrg":
            self._next.goes_on_left = True
        elif name == "clvmrg":
            self._next.goes_on_above = True
        elif name == "cellx" and len(self._definitions) < _MAX_CELLS:
            self._next.edge = number or 0
            self._definitions.append(self._next)
            self._next = _CellDefinition()

    def add_text(self, text: str) -> None:
        """Add a paragraph to the cell that is read."""
        if text.strip():
            self._texts.append(" ".join(text.split()))

    def is_in_row(self) -> bool:
        """Whether a row is begun and not ended."""
        return bool(self._cells or self._texts)

    def end_cell(self) -> None:
        """End the cell."""
        self._cells.append(" ".join(self._texts).replace(" ;", ";").strip("; "))
        self._texts = []

    def end_row(self) -> None:
        """End the row."""
        if self._texts:
            self.end_cell()
        if self._cells:
            self._rows.append(_RtfRow(self._cells, self._definitions, self._is_header))
        self._cells = []

    def is_column(self) -> bool:
        """Whether every row is one cell: a frame around text."""
        self.end_row()
        return all(len(row.cells) < 2 for row in self._rows)

    def texts(self) -> list[list[str]]:
        """Return the cells as they stand in the file."""
        return [row.cells for row in self._rows]

    def rows(self, budget: SpanBudget) -> tuple[list[list[str]], int]:
        """Return the rows with spans written out, and how many are the header."""
        self.end_row()
        edges = self._edges()
        grid = TableGrid(budget)
        n_header = 0
        for position, row in enumerate(self._rows):
            n_header += row.is_header and n_header == position
            grid.begin_row()
            left = 0
            for number, text in enumerate(row.cells):
                definition = row.definitions[number] if number < len(row.definitions) else _CellDefinition()
                right = edges.get(definition.edge, left + 1)
                span = max(right - left, 1)
                left += span
                if definition.goes_on_above:
                    grid.add_continued(span)
                elif definition.goes_on_left and number:
                    grid.add(text or grid.rows[-1][-1], span)
                else:
                    grid.add(text, span, is_row=len(row.cells) == 1)
        return grid.rows, n_header if n_header < len(self._rows) else 0

    def _edges(self) -> dict[int, int]:
        """Return the number of the column that ends at each edge, from 1; none where rows do not fit each other."""
        columns: dict[int, int] = {}
        previous: int | None = None
        n_columns = 0
        for edge in sorted({one.edge for row in self._rows for one in row.definitions}):
            if previous is None or edge - previous > _TOLERANCE:
                n_columns += 1
                previous = edge
            columns[edge] = n_columns
        widest = max((len(row.definitions) for row in self._rows), default=0)
        return columns if n_columns <= 4 * widest and n_columns <= _MAX_CELLS else {}
