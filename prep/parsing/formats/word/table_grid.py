"""Rows of a table whose cells span columns and rows: a cell stands in each column and row that it spans."""

from __future__ import annotations

__all__ = ["TableGrid"]

_MAX_COLUMNS = 1000
# What spans may add to a table; cells beyond it stay empty.
_MAX_REPEATED_CHARACTERS = 2_000_000


class TableGrid:
    """Collects the cells of a table row by row; `rows` are their texts."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self._n_left = _MAX_REPEATED_CHARACTERS
        self._above: dict[int, str] = {}  # text by column, of the cells that began there last

    def begin_row(self, n_before: int = 0) -> None:
        """Begin a row, the first `n_before` columns empty."""
        self.rows.append([""] * min(max(n_before, 0), _MAX_COLUMNS))

    def add(self, text: str, n_columns: int = 1, *, is_row: bool = False) -> None:
        """Add a cell. is_row: it is all of its row, and stands in its first column only."""
        first = len(self.rows[-1])
        for column in range(first, min(first + max(n_columns, 1), _MAX_COLUMNS)):
            self._above[column] = text
        self._fill(text, 1 if is_row else n_columns, is_repeated=False)

    def add_continued(self, n_columns: int = 1) -> None:
        """Add what the cell above holds, which spans this row too."""
        self._fill(self._above.get(len(self.rows[-1]), ""), n_columns, is_repeated=True)

    def _fill(self, text: str, n_columns: int, *, is_repeated: bool) -> None:
        row = self.rows[-1]
        for position in range(min(max(n_columns, 1), max(_MAX_COLUMNS - len(row), 1))):
            if position or is_repeated:
                shown = text if len(text) <= self._n_left else ""
                self._n_left -= len(shown)
            else:
                shown = text
            row.append(shown)
