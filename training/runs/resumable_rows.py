"""Rows of an answers run on disk as they come, so that a run that is cut short goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from training.metrics.results import AnswerRow

__all__ = ["KeptRows"]


class KeptRows:
    """One file with one row a line. It belongs to one system on one list of questions: the caller names it so."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> dict[str, AnswerRow]:
        """Return question id → row. A last line that was cut, or a row of other fields, is left out."""
        rows: dict[str, AnswerRow] = {}
        if not self.path.exists():
            return rows
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                row = AnswerRow.from_json(json.loads(line))
            except (ValueError, TypeError, KeyError):
                continue
            rows[row.question_id] = row
        return rows

    def add(self, rows: Iterable[AnswerRow]) -> None:
        """Append rows, on disk before it returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            if file.tell() and not _ends_a_line(self.path):
                file.write(b"\n")  # the line before was cut
            for row in rows:
                file.write(json.dumps(asdict(row), ensure_ascii=False).encode() + b"\n")

    def discard(self) -> None:
        """Forget all rows."""
        self.path.unlink(missing_ok=True)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() == b"\n"
