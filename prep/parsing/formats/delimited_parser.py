"""CSV and TSV as tables: one line a record, `| cell | cell |`, below a header where the file has one.

The delimiter is the one that cuts the first records into the same number of cells. The first record is the header
unless it holds a number, an empty cell or the same name twice. Records of one cell before it, where the others have
more, are text above the table. Records that a stray quote would swallow are read without quoting.
"""

from __future__ import annotations

import csv
import re
from collections import Counter

from prep.parsing.parsed import Parsed
from prep.parsing.structured_text import table_lines

__all__ = ["is_header", "parse_delimited"]

_SAMPLE_RECORDS = 50
_SAMPLE_CHARACTERS = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_MAX_CELL_LINES = 200
_MAX_ABOVE = 10
_PERIOD = re.compile(r"(?:19|20)\d\d(?:[-./]\d\d){0,2}|\d\d?[./]\d\d?[./](?:19|20)?\d\d")
_NUMBER = re.compile(r"[-+−]?[\d.,\s]*\d[\d.,\s]*(?:%|[€$£]|e[-+]?\d+)?", re.I)


def parse_delimited(text: str, default: str = ",") -> Parsed:
    """Return the records as rows. default: the delimiter where the content does not tell."""
    directive = re.match(r"sep=(.)\n", text)  # as spreadsheets write it
    body = text[directive.end() :] if directive else text
    delimiter = directive.group(1) if directive else _delimiter(body, default)
    rows = _records(body, delimiter)
    n_above = _n_above(rows)
    above = [" ".join(" ".join(row).split()) for row in rows[:n_above]]
    rows = rows[n_above:]
    has_header = bool(rows) and is_header(rows[0], rows[1:_SAMPLE_RECORDS])
    lines = [*above, *([""] if above else []), *table_lines(rows, n_header=int(has_header))]
    return Parsed("", "\n".join(lines) + "\n")


def _records(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # it holds for the whole process
    try:
        rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter) if any(row)]
        if all(cell.count("\n") < _MAX_CELL_LINES for row in rows for cell in row):
            return rows
    except csv.Error:
        pass
    return [line.split(delimiter) for line in text.split("\n") if line.strip()]


def _delimiter(text: str, default: str) -> str:
    """Return the delimiter that gives most records the same number of cells, more than one."""
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > len(sample):
        sample = sample[: sample.rfind("\n") + 1] or sample
    best, best_score = default, 0.0
    for delimiter in sorted(_DELIMITERS, key=lambda mark: mark != default):
        counts = Counter(len(row) for row in _records(sample, delimiter)[:_SAMPLE_RECORDS])
        if not counts:
            continue
        width, n_records = max(counts.items(), key=lambda item: (item[1], item[0]))
        score = n_records / sum(counts.values()) if width > 1 else 0.0
        if score > best_score + 0.05:
            best, best_score = delimiter, score
    return best


def _n_above(rows: list[list[str]]) -> int:
    """Return how many records stand above the table: a title, a date, in one cell each."""
    filled = [sum(1 for cell in row if cell.strip()) for row in rows[:_SAMPLE_RECORDS]]
    n_above = next((i for i, n in enumerate(filled) if n > 1), 0)
    is_title = n_above <= _MAX_ABOVE and all(row[0].strip() for row in rows[:n_above])
    return n_above if is_title and all(n > 1 for n in filled[n_above:]) else 0


def is_header(first: list[str], others: list[list[str]]) -> bool:
    """Whether a row names the columns of those below it: no numbers but years and dates, and no name twice."""
    names = [cell.strip() for cell in first]
    if not others or len(set(names)) < len(names):
        return False
    for column, name in enumerate(names):
        below = next((row[column] for row in others if len(row) > column and row[column].strip()), "")
        is_period = column > 0 and _PERIOD.fullmatch(name) and not _PERIOD.fullmatch(below.strip())
        if _NUMBER.fullmatch(name) and not is_period:
            return False
    return sum(1 for name in names if not name) <= 1 and max(map(len, names)) <= 120
