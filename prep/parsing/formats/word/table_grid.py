"""Rows of a table whose cells span columns and rows: a cell stands in each column and row that it spans."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SpanBudget", "TableGrid"]

_MAX_COLUMNS = 1000


@dataclass(slots=True)
class SpanBudget:
    """What spans and repeats may still add to the tables of a document.

    Beyond the characters cells stay empty, beyond the cells they are left out.
    """

    n_characters: int = 2_000_000
    n_cells: int = 200_000


class TableGrid:
    """Collects the cells of a table row by row; `rows` are their texts."""

    def __init__(self, budget: SpanBudget) -> None:
        self.rows: list[list[str]] = []
        self._budget = budget
        self._above: dict[int, str] = {}  # text by column, of the cells that began there last

    def begin_row(self, n_before: int = 0) -> None:
        """Begin a row, the first `n_before` columns empty."""
        self.rows.append([])
        self._add_more("", n_before)

    def add(self, text: str, n_columns: int = 1, *, is_row: bool = False) -> None:
        """Add a cell. is_row: it is all of its row, and stands in its first column only."""
        row = self.rows[-1]
        first = len(row)
        row.append(text)
        if not is_row:
            self._add_more(text, n_columns - 1)
        for column in range(first, len(row)):
            self._above[column] = text

    def add_continued(self, n_columns: int = 1) -> None:
        """Add what the cell above holds, which spans this row too."""
        self._add_more(self._above.get(len(self.rows[-1]), ""), max(n_columns, 1))

    def repeat_row(self, n_times: int) -> None:
        """Add the last row `n_times` more."""
        row = self.rows[-1]
        n_characters = sum(map(len, row))
        for _ in range(n_times):
            if len(row) > self._budget.n_cells or n_characters > self._budget.n_characters:
                return
            self._budget.n_cells -= len(row)
            self._budget.n_characters -= n_characters
            self.rows.append(list(row))

    def _add_more(self, text: str, n_columns: int) -> None:
        row = self.rows[-1]
        for _ in range(min(n_columns, _MAX_COLUMNS - len(row), self._budget.n_cells)):
            self._budget.n_cells -= 1
            shown = text if len(text) <= self._budget.n_characters else ""
            self._budget.n_characters -= len(shown)
            row.append(shown)
