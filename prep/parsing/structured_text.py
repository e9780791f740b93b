"""Text with its structure in Markdown form, written block by block: `StructuredText`.

Used for formats whose structure is not in their text (HTML, DOCX): `# Heading`, `- item`, `| cell | cell |`,
fences around preformatted text. Emphasis, links and other marks inside a line are left out.
"""

from __future__ import annotations

import re
from itertools import zip_longest

__all__ = ["StructuredText", "escaped", "fence", "table_lines"]

_BLANKS = re.compile(r"[ \t\r\n\f\v\xa0\x85\u2028\u2029]+")
# What is nested deeper is written no further in, so that a text is not longer than its source by its depth.
_MAX_INDENTS = 12
# Cells that may be added to make the rows of a table equally long; beyond that they stay as they are.
_MAX_ADDED_CELLS = 200_000
_MARK = re.compile(r"#{1,6}(?:\s|\Z)|`{3,}[^`]*\Z|~{3,}|<(?:!--|\?|(?:script|pre|style|textarea)\b)", re.I)
_FENCE = re.compile(r"\s*(`{3,})")


class StructuredText:
    """Collects running text and writes it as blocks, with blank lines and indents."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._inline: list[str] = []
        self._prefixes: list[str] = []
        self._markers: list[str] = []  # of items not yet begun, "" elsewhere; as long as the prefixes
        self._n_deeper = 0  # open indents beyond those that are written
        self._gap = 0

    def add(self, text: str) -> None:
        """Add running text; runs of blanks count as one space."""
        self._inline.append(_BLANKS.sub(" ", text).replace("\u00ad", ""))

    def break_line(self) -> None:
        """End the line but not the block."""
        self._inline.append("\n")

    def separate(self, n_lines: int) -> None:
        """Close the block; the next begins on a new line (1) or after a blank one (2), the larger of all requests."""
        self.close_block()
        # The first block of an item stands beside its marker, whatever gap was requested.
        self._gap = max(self._gap, 1 if any(self._markers) else n_lines)

    def close_block(self, lead: str = "") -> None:
        """Write the running text as a block, `lead` before its first line; do nothing without text.

        With a lead (a heading) the block is one line.
        """
        if not self._inline:
            return
        text = "".join(self._inline)
        self._inline.clear()
        lines = [" ".join(line.split(" ")).strip() for line in text.split("\n")]
        lines = [_BLANKS.sub(" ", line) for line in lines]
        lines = [" ".join(line for line in lines if line)] if lead else [escaped(line) for line in lines]
        filled = [i for i, line in enumerate(lines) if line]
        if filled:
            self._write([lead + lines[filled[0]], *lines[filled[0] + 1 : filled[-1] + 1]])

    def write_heading(self, level: int) -> None:
        """Write the running text as a heading of level 1 to 6."""
        self.close_block("#" * min(max(level, 1), 6) + " ")
        self._gap = 2

    def write_preformatted(self, text: str, language: str = "") -> None:
        """Write `text` as it is between fences longer than any in it."""
        lines = fence(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), language)
        if lines:
            self.separate(2)
            self._write(lines)
            self._gap = 2

    def write_table(self, rows: list[list[str]], *, n_header: int = 0) -> None:
        """Write rows of cells, the first `n_header` as one header row with a rule below; blank rows are left out."""
        lines = table_lines(rows, n_header=n_header)
        if lines:
            self.separate(2)
            self._write(lines)
            self._gap = 2

    def write_lines(self, text: str) -> None:
        """Write `text`, whose structure is in Markdown form already, as it is."""
        lines = text.strip("\n").split("\n")
        if any(lines):
            self.separate(2)
            self._write(lines)
            self._gap = 2

    def open_indent(self, prefix: str) -> None:
        """Put `prefix` before every line until `close_indent`."""
        self.close_block()
        self._open(prefix, "")

    def close_indent(self) -> None:
        """End the innermost `open_indent` or `open_item`; an item without text leaves nothing behind."""
        self.close_block()
        if self._n_deeper:
            self._n_deeper -= 1
        else:
            self._prefixes.pop()
            self._markers.pop()

    def open_item(self, marker: str, *, is_first: bool) -> None:
        """Begin a list item: `marker` ("- ") before its first line, its width as indent before the others."""
        self.close_block()
        if not is_first:
            self._gap = 1
        self._open(" " * len(marker), marker)

    def text(self) -> str:
        """Return the text, ending with a line end unless it is empty."""
        self.close_block()
        return "\n".join(self._lines) + "\n" if self._lines else ""

    def _open(self, prefix: str, marker: str) -> None:
        if len(self._prefixes) < _MAX_INDENTS:
            self._prefixes.append(prefix)
            self._markers.append(marker)
        else:
            self._n_deeper += 1

    def _write(self, lines: list[str]) -> None:
        if self._lines and self._gap == 2:
            self._lines.append("")
        prefix = "".join(self._prefixes)
        first = "".join(
            marker or prefix for marker, prefix in zip(self._markers, self._prefixes, strict=True)
        )
        self._markers = [""] * len(self._markers)
        self._lines.append((first + lines[0]).rstrip())
        self._lines.extend((prefix + line).rstrip() for line in lines[1:])
        self._gap = 1


def escaped(line: str) -> str:
    """Return a line of running text so that it is no heading and opens no fence and no block of HTML.

    >>> escaped("# 4 is the largest"), escaped("#4")
    ('\\\\# 4 is the largest', '#4')
    """
    return f"\\{line}" if _MARK.match(line) else line


def fence(lines: list[str], language: str = "") -> list[str]:
    """Return the lines between fences longer than any in them, without blank lines around; none for none."""
    first, last = 0, len(lines)
    while first < last and not lines[first].strip():
        first += 1
    while last > first and not lines[last - 1].strip():
        last -= 1
    if first == last:
        return []
    body = [line.rstrip() for line in lines[first:last]]
    longest = max((len(found.group(1)) for line in body if (found := _FENCE.match(line))), default=2)
    mark = "`" * max(3, longest + 1)
    return [mark + language, *body, mark]


def table_lines(rows: list[list[str]], *, n_header: int = 0) -> list[str]:
    """Return the lines of a table in Markdown form; header rows are joined column by column into one.

    >>> table_lines([["", "Turns", "Turns"], ["Valve", "cold", "warm"], ["inlet", "3", "5"]], n_header=2)
    ['| Valve | Turns cold | Turns warm |', '| --- | --- | --- |', '| inlet | 3 | 5 |']
    """
    width = max((len(row) for row in rows), default=0)
    is_even = width * len(rows) - sum(map(len, rows)) <= _MAX_ADDED_CELLS
    body = [[_cell(cell) for cell in row] + [""] * (width - len(row) if is_even else 0) for row in rows]
    columns = zip_longest(*body[:n_header], fillvalue="")
    header = [" ".join(_unrepeated(column)) for column in columns]
    filled = [*([header] if any(header) else []), *(row for row in body[n_header:] if any(row))]
    lines = [f"| {' | '.join(row)} |" for row in filled]
    if any(header):
        lines.insert(1, "|" + " --- |" * len(header))
    return lines


def _cell(text: str) -> str:
    return _BLANKS.sub(" ", text).replace("\u00ad", "").strip().replace("|", "\\|")


def _unrepeated(column: tuple[str, ...]) -> list[str]:
    """Return the cells of a column of header rows, one that spans rows once, none that is empty."""
    return [cell for i, cell in enumerate(column) if cell and (i == 0 or cell != column[i - 1])]
