"""Blocks of a PDF as text in Markdown form, and where each page begins in it."""

from __future__ import annotations

from collections.abc import Sequence

from prep.parsing.formats.pdf.page_blocks import PageBlock
from prep.parsing.formats.pdf.word_joining import Vocabulary, joined
from prep.parsing.structured_text import escaped, fence, table_lines

__all__ = ["write_blocks"]

_MAX_INDENTS = 6
_STEP = 5.0  # points by which a nested list stands further in


def write_blocks(blocks: Sequence[PageBlock], vocabulary: Vocabulary) -> tuple[str, dict[int, int]]:
    """Return the text and, by page position, the offset where the page's text begins; pages without text have none."""
    writer = _Writer(vocabulary)
    before: PageBlock | None = None
    for block in blocks:
        writer.write(block, before)
        before = block
    return writer.text(), writer.starts


class _Writer:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self.starts: dict[int, int] = {}
        self._vocabulary = vocabulary
        self._parts: list[str] = []
        self._length = 0
        self._indents: list[float] = []  # where the labels of the open lists stand

    def text(self) -> str:
        return "".join(self._parts) + ("\n" if self._parts else "")

    def write(self, block: PageBlock, before: PageBlock | None) -> None:
        """Write a block, with a blank line before it unless it is the next item of a list."""
        if before is not None:
            is_next_item = block.kind == before.kind == "item" and not _is_other_list(block, before)
            self._add("\n" if is_next_item else "\n\n")
        ends_lists = block.kind == "heading" or (self._indents and block.x0 <= self._indents[0] + _STEP)
        if block.kind != "item" and ends_lists:
            self._indents.clear()
        if block.table is not None:
            self._write_table(block)
        elif block.kind == "code":
            self._write_code(block)
        else:
            self._write_text(block)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _begin(self, page: int) -> None:
        self.starts.setdefault(page, self._length)

    def _write_text(self, block: PageBlock) -> None:
        lead, indent = "", ""
        if block.kind == "heading":
            lead = "#" * block.level + " "
            if block.label:
                lead += block.label + " "
        elif block.kind == "item":
            marker = _marker(block.label)
            indent = " " * (2 * self._depth(block.x0))
            lead = f"{indent}{marker} "
            indent += " " * (2 if marker.startswith("-") else len(marker) + 1)
        page = block.lines[0].page
        self._begin(page)
        self._add(lead)
        pending = ""
        starts_line = True
        for position, line in enumerate(block.lines):
            if position:
                keeps_end = line.starts_line and block.kind != "heading"
                pending, between = (
                    (pending, "\n" + indent) if keeps_end else joined(pending, line.text, self._vocabulary)
                )
                self._add(_plain(pending, starts_line and not lead) + between)
                starts_line = keeps_end
                lead = "" if keeps_end else lead
            if line.page != page:
                page = line.page
                self._begin(page)
            pending = line.text
        self._add(_plain(pending, starts_line and not lead))

    def _write_code(self, block: PageBlock) -> None:
        written = fence([line.text for line in block.lines])
        if not written:
            return
        pages = [line.page for line in block.lines if line.text.strip()]
        self._begin(pages[0])
        self._add(written[0] + "\n")
        body = written[1:-1]
        first = next(i for i, line in enumerate(block.lines) if line.text.strip())
        for line, text in zip(block.lines[first:], body, strict=False):
            if text:
                self._begin(line.page)
            self._add(text + "\n")
        self._add(written[-1])

    def _write_table(self, block: PageBlock) -> None:
        assert block.table is not None
        rows = [(row, page) for row, page in zip(block.table.rows, block.row_pages, strict=True) if any(row)]
        lines = table_lines([row for row, _ in rows], n_header=block.table.n_header)
        pages = [page for _, page in rows]
        if len(lines) > len(pages) and block.table.n_header:
            pages.insert(1, pages[0])  # the rule below the header
        for position, line in enumerate(lines):
            if position:
                self._add("\n")
            if position < len(pages):
                self._begin(pages[position])
            self._add(line)

    def _depth(self, x0: float) -> int:
        """Return how deep the list of an item is nested, by where its label stands."""
        while self._indents and x0 < self._indents[-1] - _STEP:
            self._indents.pop()
        if not self._indents or x0 > self._indents[-1] + _STEP:
            self._indents.append(x0)
        return min(len(self._indents) - 1, _MAX_INDENTS)


def _is_other_list(block: PageBlock, before: PageBlock) -> bool:
    """Whether two items at one indent have bullets and numbers."""
    is_mixed = _marker(block.label).startswith("-") != _marker(before.label).startswith("-")
    return is_mixed and abs(block.x0 - before.x0) < _STEP


def _marker(label: str) -> str:
    if label[0] == "[" and label[1] in "x ":
        return f"- {label}"
    return label if label[-1] in ".)]" else "-"


def _plain(text: str, starts_line: bool) -> str:
    return escaped(text) if starts_line else text
