"""Lines of a column of a PDF page to blocks: paragraphs, list items, code, tables.

A line goes on with the next where the next one's first word had no room on it, or where a hyphen cuts a word; other
line ends are kept. Blank space, indents, labels and a change of font begin a block.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from prep.parsing.formats.pdf.column_order import Item
from prep.parsing.formats.pdf.page_lines import Line, is_cjk
from prep.parsing.formats.pdf.ruled_tables import Table

__all__ = ["PageBlock", "TextLine", "column_blocks"]

# Columns narrower than this, in units of the font size, hold no running text: their lines stay lines.
_MIN_COLUMN = 8.0
# Codes without a letter, controls and private ones, are bullets of symbol fonts.
_BULLET = re.compile(r"([•▪◦‣●○■□–—*·➢➤✓❖☐☒☑⁃∙\x80-\x9f\ue000-\uf8ff-]|\[[x ]\])\s+(?=\S)")
_LABEL = re.compile(r"(\(?(?:\d{1,3}(?:\.\d{1,3})*|[a-zA-Z]|[ivxIVX]{1,5})[.)])\s+(?=\S)")
_REFERENCE = re.compile(r"\[\d{1,3}\]\s+\S")
_ENDS = re.compile(r"[.!?:;。！？：；؟।…][\"'”’»)\]]*(?:\[\d+\])*\Z")
_CONTENTS = re.compile(r"…\s*(?:\d+|[ivxlc]+)\Z")  # an entry of a table of contents
_RTL = re.compile(r"[\u0590-\u08ff]")


@dataclass(slots=True)
class TextLine:
    """A line of a block. page: its position; starts_line: whether the line end before it is kept."""

    text: str
    page: int
    starts_line: bool = False


@dataclass(slots=True)
class PageBlock:
    """Lines that belong together, or the rows of a table.

    kind: "text", "item", "code", "table" or, once levels are known, "heading". size, x0: points. label: of a list item.
    runs_out: whether its last line reaches far enough to go on in another column. row_pages: the page of each row.
    """

    kind: str
    lines: list[TextLine]
    size: float
    x0: float
    is_bold: bool = False
    label: str = ""
    level: int = 0
    is_indented: bool = False
    runs_out: bool = False
    table: Table | None = None
    row_pages: list[int] = field(default_factory=list)

    @property
    def page(self) -> int:
        """The position of the page where the block begins."""
        return self.row_pages[0] if self.row_pages else self.lines[0].page

    @property
    def ends_open(self) -> bool:
        """Whether the text does not end as a sentence does."""
        return bool(self.lines) and _ENDS.search(self.lines[-1].text[-60:]) is None


def column_blocks(items: Sequence[Item], page: int, *, keeps_mono: bool) -> list[PageBlock]:
    """Return the blocks of a column. keeps_mono: whether lines in a monospaced font are code."""
    lines = [item for item in items if isinstance(item, Line)]
    builder = _Builder(page, lines, keeps_mono=keeps_mono)
    for item in items:
        if isinstance(item, Table):
            builder.add_table(item)
        else:
            builder.add_line(item)
    builder.end_block()
    return builder.blocks


class _Builder:
    """Adds the lines of one column, from top to bottom."""

    def __init__(self, page: int, lines: Sequence[Line], *, keeps_mono: bool) -> None:
        self.blocks: list[PageBlock] = []
        self._page = page
        self._keeps_mono = keeps_mono
        self._left = min((line.x0 for line in lines), default=0.0)
        self._right = max((line.x1 for line in lines), default=0.0)
        self._is_column = self._right - self._left >= _MIN_COLUMN * median(
            [line.size for line in lines] or [0.0]
        )
        self._leading = _leadings(lines)
        self._current: list[Line] = []
        self._starts: list[bool] = []
        self._is_code = False
        self._label = ""
        self._text_x0 = 0.0  # where the lines below the first of the block begin

    def add_table(self, table: Table) -> None:
        """Add a table as a block of its own."""
        self.end_block()
        self.blocks.append(
            PageBlock("table", [], 10.0, table.x0, table=table, row_pages=[self._page] * len(table.rows))
        )

    def add_line(self, line: Line) -> None:
        """Add a line to the block before it, or begin another."""
        if not line.text:
            return
        is_code = (
            self._keeps_mono
            and line.is_mono
            and not (line.text[0] in "•▪◦●" and _BULLET.match(line.text))
            and not self._is_wrapped_mono(line)
        )
        label = None if is_code else _label(line)
        if _REFERENCE.match(line.text):
            self.end_block()
        if self._current and self._begins_block(line, is_code, label):
            self.end_block()
        if not self._current:
            self._is_code = is_code
            self._label = label.text if label else ""
            self._text_x0 = label.text_x0 if label else line.x0
            self._current, self._starts = [line], [True]
            return
        before = self._current[-1]
        if len(self._current) == 1 and not self._label:
            self._text_x0 = line.x0
        self._starts.append(not self._goes_on(before, line))
        self._current.append(line)

    def end_block(self) -> None:
        """Close the block of the lines added last."""
        lines, self._current = self._current, []
        if not lines:
            return
        if self._is_code:
            texts = [TextLine(text, self._page, True) for text in _listing(lines, self._leading)]
        else:
            starts = self._kept_starts(lines)
            texts = [TextLine(line.text, self._page, kept) for line, kept in zip(lines, starts, strict=True)]
        if self._label:
            texts[0].text = texts[0].text[len(self._label) :].lstrip()
        last = lines[-1]
        self.blocks.append(
            PageBlock(
                "code" if self._is_code else "item" if self._label else "text",
                texts,
                median(line.size for line in lines),
                min(line.x0 for line in lines) if self._is_code else lines[0].x0,
                is_bold=all(line.is_bold for line in lines),
                label=self._label,
                is_indented=lines[0].x0 > self._left + 0.8 * lines[0].size,
                runs_out=self._is_column and last.x1 - last.x0 >= 0.5 * (self._right - self._left),
            )
        )
        self._label = ""

    def _kept_starts(self, lines: Sequence[Line]) -> list[bool]:
        """Return which lines begin anew; in prose, a nearly full line goes on although the next word had room."""
        starts = self._starts
        if len(lines) < 4 or sum(starts[1:]) > 0.4 * (len(lines) - 1):
            return starts
        width = 0.75 * (self._right - self._left)
        return [
            True,
            *(
                kept and (line.x1 - line.x0 < width or _CONTENTS.search(line.text[-12:]) is not None)
                for kept, line in zip(starts[1:], lines, strict=False)
            ),
        ]

    def _begins_block(self, line: Line, is_code: bool, label: _Label | None) -> bool:
        before, first = self._current[-1], self._current[0]
        pitch = line.baseline - before.baseline
        leading = self._leading.get(round(line.size), 1.3 * line.size)
        if is_code != self._is_code or pitch < -0.5 * line.size:
            return True
        if is_code:
            return pitch > 4 * leading
        if abs(line.size - before.size) > 0.07 * before.size:
            # A line of mostly small or large words inside a paragraph goes on with it.
            return pitch > 1.15 * leading or not self._is_full(before, line) or len(line.text) < 30
        goes_on = self._is_full(before, line) and _ENDS.search(before.text[-30:]) is None
        # A raised mark pushes lines apart inside a paragraph.
        limit = 1.6 if goes_on and line.text[:1].islower() else 1.3
        if pitch > limit * leading + 0.5:
            return True
        if line.is_bold != before.is_bold and not goes_on:
            return True
        if label is not None:
            # "in section / 3. The rest" is no item; labels of a list stand under one another.
            return not (label.is_counted and goes_on) or (bool(self._label) and abs(line.x0 - first.x0) < 1.5)
        if self._label:
            return line.x0 < self._text_x0 - 0.9 * line.size and not (goes_on and line.x0 > first.x0 - 1)
        if _RTL.search(line.text[:40]):
            return False
        if (
            len(self._current) == 1
            and line.x0 < first.x0 - 0.8 * line.size
            and not self._is_full(before, line)
        ):
            return not self._is_centered(before, line)
        indent = line.x0 - (self._text_x0 if len(self._current) > 1 else first.x0)
        if indent > 0.8 * line.size:
            # The lines after a hanging first one stand further in; those of a new paragraph only where one ended.
            return len(self._current) > 1 and not goes_on and not self._is_centered(before, line)
        return False

    def _is_centered(self, before: Line, line: Line) -> bool:
        middle = (self._left + self._right) / 2
        return all(abs((one.x0 + one.x1) / 2 - middle) < 2 for one in (before, line))

    def _is_wrapped_mono(self, line: Line) -> bool:
        """Whether a line in a monospaced font goes on with the sentence above it."""
        if not self._current or self._is_code:
            return False
        before = self._current[-1]
        pitch = line.baseline - before.baseline
        return (
            0 < pitch <= 1.15 * self._leading.get(round(before.size), 1.3 * before.size)
            and abs(line.x0 - self._text_x0) < 1
            and self._is_full(before, line)
            and _ENDS.search(before.text) is None
        )

    def _goes_on(self, before: Line, line: Line) -> bool:
        """Whether `line` continues the line before it."""
        if before.text[-1:] in ("-", "\u00ad") and before.text[-2:-1].isalpha():
            return True
        if self._is_full(before, line):
            return True
        # Set ragged, and cut where the sentence goes on.
        is_long = self._is_column and before.x1 - before.x0 >= 0.6 * (self._right - self._left)
        return is_long and line.text[:1].islower() and _ENDS.search(before.text[-30:]) is None

    def _is_full(self, before: Line, line: Line) -> bool:
        """Whether the first word of `line` had no room at the end of the line before it."""
        if not self._is_column:
            return False
        if _CONTENTS.search(before.text[-12:]):
            return False
        if _RTL.search(before.text[:40]):
            word = max(line.words, key=lambda one: one.x1)
            return before.x0 - (word.x1 - word.x0) - 0.3 * line.size < self._left + 0.5 * line.size
        word = line.words[0]
        width = word.x1 - word.x0
        if is_cjk(word.text[0]):
            width = min(width, 2.0 * line.size)
        return before.x1 + 0.25 * line.size + width > self._right - 0.6 * line.size


def _leadings(lines: Sequence[Line]) -> dict[int, float]:
    """Return the usual distance of baselines by font size."""
    pitches: dict[int, list[float]] = {}
    for before, line in itertools.pairwise(lines):
        pitch = line.baseline - before.baseline
        if abs(before.size - line.size) < 0.6 and 0.7 * line.size < pitch < 3.0 * line.size:
            pitches.setdefault(round(line.size), []).append(pitch)
    return {
        size: sorted(values)[int(0.4 * (len(values) - 1))]
        for size, values in pitches.items()
        if len(values) > 1
    }


@dataclass(frozen=True, slots=True)
class _Label:
    """The label of a list item. text_x0: where its text begins; is_counted: a number or letter, no bullet."""

    text: str
    text_x0: float
    is_counted: bool


def _label(line: Line) -> _Label | None:
    text = line.text
    found = _BULLET.match(text) or _LABEL.match(text)
    if found is None:
        return None
    n_words = len(found.group().split())
    words = sorted(line.words, key=lambda one: one.x0)
    text_x0 = words[n_words].x0 if n_words < len(words) else line.x0
    label = found.group(1)
    return _Label(label, text_x0, label[-1] in ".)")


def _listing(lines: Sequence[Line], leadings: dict[int, float]) -> list[str]:
    """Return lines of code with their indents, the gaps between words and their blank lines."""
    widths = sorted(
        (word.x1 - word.x0) / len(word.text) for line in lines for word in line.words if word.text
    )
    advance = widths[len(widths) // 2] or 1.0
    left = min(line.x0 for line in lines)
    out: list[str] = []
    before: Line | None = None
    for line in lines:
        if before is not None:
            leading = leadings.get(round(line.size), 1.2 * line.size)
            pitch = line.baseline - before.baseline
            if abs(pitch) < 0.2 * line.size:
                out[-1] += " " + _spaced(line, left, advance).lstrip()
                continue
            out.extend([""] * min(max(round(pitch / leading) - 1, 0), 2))
        out.append(_spaced(line, left, advance))
        before = line
    return out


def _spaced(line: Line, left: float, advance: float) -> str:
    text = ""
    for word in line.words:
        column = min(max(round((word.x0 - left) / advance), 0), 400)
        gap = 0 if word.is_glued and column <= len(text) + 1 else max(column - len(text), 1 if text else 0)
        text += " " * gap + word.text
    return text
