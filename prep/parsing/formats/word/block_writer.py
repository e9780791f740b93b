"""Blocks of a word processor's document, written in Markdown form: `BlockWriter`.

Lists keep the labels that were computed for them, lines of code stand between fences, footnotes follow the paragraph,
table or list that refers to them, endnotes the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from prep.parsing.structured_text import StructuredText

__all__ = ["BULLET", "NO_LABEL", "BlockWriter", "Label", "around_page_number", "is_code_style"]

_CODE_STYLE = re.compile(
    r"source ?code|(?:html )?preformatted(?: text)?|code(?: ?block)?|macro(?: text)?|literal ?block", re.I
)
_MAX_DEPTH = 8
# A longer paragraph in a heading's style is a clause, not a heading.
_MAX_HEADING_CHARACTERS = 300
_MAX_AROUND_PAGE_NUMBER = 16


@dataclass(frozen=True, slots=True)
class Label:
    """What stands before a numbered paragraph: `text` ("2.1"), "" where nothing does; or a bullet."""

    text: str
    is_bullet: bool = False
    is_apart: bool = True  # a tab or a blank follows

    def before(self, text: str) -> str:
        """Return `text` with the label before it."""
        return f"{self.text}{' ' if self.is_apart and self.text else ''}{text}"


NO_LABEL = Label("")
BULLET = Label("", is_bullet=True)


class BlockWriter:
    """Collects the blocks of one document. first_heading: the first heading's text without its number."""

    def __init__(self) -> None:
        self.first_heading = ""
        self._out = StructuredText()
        self._in_list = False
        self._base = 0  # level of the outermost item of the list
        self._code: list[str] = []
        self._notes: list[str] = []
        self._endnotes: list[str] = []

    def write(
        self, text: str, *, label: Label = NO_LABEL, heading: int | None = None, level: int = 0
    ) -> None:
        """Write a paragraph, a heading or, with a label, a list item of `level` from 0; "\\n" ends lines in it."""
        if heading is not None and len(text) <= _MAX_HEADING_CHARACTERS:
            self.end_block()
            self.first_heading = self.first_heading or text
            self._out.separate(2)
            self._add_lines(label.before(text))
            self._out.write_heading(heading)
        elif label.text or label.is_bullet:
            self._write_item(text, label, level)
        else:
            self.end_block()
            self._write_apart(text)
            self._write_notes()

    def write_code(self, text: str) -> None:
        """Write lines of code; those that follow each other stand in one block."""
        if not self._code:
            self.end_block()
        self._code.extend(text.split("\n"))

    def write_table(self, rows: list[list[str]], n_header: int) -> None:
        """Write rows of cells, the first `n_header` as the header."""
        self.end_block()
        self._out.write_table(rows, n_header=n_header)
        self._write_notes()

    def write_lines(self, text: str) -> None:
        """Write `text`, which is in Markdown form already."""
        self.end_block()
        self._out.write_lines(text)

    def add_note(self, mark: str, text: str, *, is_endnote: bool = False) -> None:
        """Write a note as `[mark] text` when the block that refers to it has ended, an endnote at the end."""
        if text.strip():
            (self._endnotes if is_endnote else self._notes).append(f"[{mark}] {text}")

    def end_block(self) -> None:
        """End the list and the block of code that are open."""
        if self._code:
            self._out.write_preformatted("\n".join(self._code))
            self._code.clear()
        if self._in_list:
            self._in_list = False
            self._out.separate(2)
            self._write_notes()

    def end_body(self) -> None:
        """Write the notes that are left."""
        self.end_block()
        self._notes += self._endnotes
        self._endnotes = []
        self._write_notes()

    def text(self) -> str:
        """Return the text of all blocks."""
        self.end_body()
        return self._out.text()

    def _write_item(self, text: str, label: Label, level: int) -> None:
        if self._code:
            self.end_block()
        out = self._out
        self._base = min(self._base, level) if self._in_list else level
        out.separate(1 if self._in_list else 2)
        out.open_indent("  " * min(level - self._base, _MAX_DEPTH))
        out.open_item("- " if label.is_bullet else label.before(""), is_first=not self._in_list)
        self._add_lines(text)
        out.close_indent()
        out.close_indent()
        out.separate(2)
        self._in_list = True

    def _write_notes(self) -> None:
        for note in self._notes:
            self._write_apart(note)
        self._notes.clear()

    def _write_apart(self, text: str) -> None:
        self._out.separate(2)
        self._add_lines(text)
        self._out.separate(2)

    def _add_lines(self, text: str) -> None:
        for position, line in enumerate(text.split("\n")):
            if position:
                self._out.break_line()
            self._out.add(line)


def is_code_style(name: str) -> bool:
    """Whether a style of this name is for lines of code."""
    return _CODE_STYLE.fullmatch(name) is not None


def around_page_number(line: str) -> bool:
    """Whether a line of a page header that had a page number says nothing else: "Page of"."""
    return len(line.strip()) <= _MAX_AROUND_PAGE_NUMBER and not any(map(str.isdigit, line))
