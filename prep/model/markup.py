"""Explicit markup of a text, line by line: fences, literal blocks, list items, table rows, heading levels.

The same rules read Markdown, reStructuredText and wiki text, whatever the file's suffix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prep.model.units import Unit

__all__ = ["MAX_HEADING_CHARACTERS", "Markup", "heading_text", "markup", "unit_lines"]

MAX_HEADING_CHARACTERS = 160

_FENCE = re.compile(r"[ \t]*(?:[-*+>][ \t]+|\d{1,3}[.)][ \t]+)?(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_WIKI = re.compile(r"\s*((?:=\s?){1,6})([^=].*?)((?:\s?=){1,6})\s*$")
_UNDERLINE = re.compile(r"\s*([=\-~^\"'`*+#:._])\1{2,}\s*$")
_ITEM = re.compile(r"([ \t]*)((?:[-*+•·–▪◦‣]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|#\.)[ \t]+)(?=\S)")
_ROW = re.compile(r"\s*(?:\||\+[-=]{2,})|[^|\n]+\|[^|\n]+\||.*\t.*\t")
_LINE_END = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Markup:
    """The explicit markup of every line that is not blank.

    fenced: inside a code fence or literal block, its marks included. heading: explicit level (1..6), 0 where none. row:
    a table row. underline: the underline of a heading and nothing else. item: opens a list item. keep: ranges of units
    [first, last) that should not be cut while they fit a chunk.
    """

    fenced: list[bool]
    heading: list[int]
    row: list[bool]
    underline: list[bool]
    item: list[bool]
    keep: list[tuple[int, int]]


def markup(text: str, units: Sequence[Unit]) -> Markup:
    """Read explicit markup: fences, literal blocks, Markdown, reST and wiki headings, list items, rows."""
    lines, first_unit, blanks = unit_lines(text, units)
    n_lines = len(lines)
    indents = [len(line) - len(line.lstrip()) for line in lines]
    blocks = _code_blocks(lines, blanks, indents)
    fenced = [False] * n_lines
    for first, last in blocks:
        fenced[first:last] = [True] * (last - first)
    heading, underline = _headings(lines, fenced, blanks)
    row = [not fenced[i] and heading[i] == 0 and bool(_ROW.match(line)) for i, line in enumerate(lines)]
    item = [
        not fenced[i] and heading[i] == 0 and not row[i] and bool(_ITEM.match(line))
        for i, line in enumerate(lines)
    ]
    blocks.extend(_items(lines, item, heading, fenced, blanks, indents))
    blocks.extend((i, i + 1) for i in range(n_lines) if row[i])
    edges = [*first_unit, len(units)]
    keep = [(edges[a], edges[b]) for a, b in blocks if edges[b] - edges[a] > 1]
    keep.extend(  # a heading and its underline are one thing
        (edges[i], edges[i + 2]) for i in range(n_lines - 1) if heading[i] and underline[i + 1]
    )
    return Markup(fenced, heading, row, underline, item, keep)


def _code_blocks(lines: list[str], blanks: list[int], indents: list[int]) -> list[tuple[int, int]]:
    """Return the line ranges of code fences, marks included, and of reST literal blocks, in order."""
    blocks: list[tuple[int, int]] = []
    i = 0
    while i < len(lines):
        if fence := _FENCE.match(lines[i]):
            stop = i + 1
            while stop < len(lines) and not _closes(lines[stop], fence.group(1)):
                stop += 1
            if stop < len(lines):
                blocks.append((i, stop + 1))
                i = stop + 1
                continue
        if lines[i].rstrip().endswith("::") and blanks[i] and not lines[i].startswith("#"):
            stop = i + 1
            while stop < len(lines) and indents[stop] > indents[i]:
                stop += 1
            if stop > i + 1:
                blocks.append((i + 1, stop))
                i = stop
                continue
        i += 1
    return blocks


def _headings(lines: list[str], fenced: list[bool], blanks: list[int]) -> tuple[list[int], list[bool]]:
    """Return the heading level of each line, 0 for none, and whether it is nothing but a heading's rule.

    Levels of underlined headings follow the order in which their styles appear, as in reST.
    """
    heading = [0] * len(lines)
    underline = [False] * len(lines)
    styles: list[str] = []
    for i, line in enumerate(lines):
        if fenced[i]:
            continue
        if atx := _ATX.match(line):
            heading[i] = len(atx.group(1))
        elif _is_underlined(lines, fenced, blanks, i):
            mark = lines[i + 1].strip()[0]
            style = mark + ("^" if i > 0 and _same_rule(lines[i - 1], lines[i + 1]) else "")
            if style not in styles:
                styles.append(style)
            heading[i] = min(styles.index(style) + 1, 6)
            underline[i + 1] = True
            if style.endswith("^"):
                underline[i - 1] = True
        elif len(line) < MAX_HEADING_CHARACTERS and (wiki := _WIKI.match(line)):
            heading[i] = min(wiki.group(1).count("="), wiki.group(3).count("="))
    return heading, underline


def heading_text(line: str) -> str:
    """Return a heading line without its marks; numbers stay, runs of blanks become one."""
    stripped = line.strip()[: 2 * MAX_HEADING_CHARACTERS]
    if wiki := _WIKI.match(stripped):
        stripped = wiki.group(2)
    elif atx := _ATX.match(stripped):
        stripped = stripped[atx.end() :].rstrip("#")
    stripped = re.sub(r"\{#[\w-]+\}\s*$|<a [^>]*>\s*</a>", "", stripped)
    stripped = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", stripped)
    stripped = re.sub(r"(`+|\*\*|__)(.+?)\1", r"\2", stripped).strip()
    return " ".join(stripped.split())


def unit_lines(text: str, units: Sequence[Unit]) -> tuple[list[str], list[int], list[int]]:
    """Return the lines that are not blank (without line ends), the first unit of each, and blank lines after each."""
    lines: list[str] = []
    first_unit: list[int] = []
    blanks: list[int] = []
    start = 0
    for number, unit in enumerate(units):
        if unit.first:
            first_unit.append(number)
            start = unit.start
        if unit.last:
            lines.append(_LINE_END.split(text[start : unit.end].strip("\r\n"), maxsplit=1)[0].rstrip())
            if not lines[-1]:  # leading blank lines before the first line
                lines[-1] = text[start : unit.end].strip()
            blanks.append(unit.blanks)
    return lines, first_unit, blanks


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _same_rule(above: str, below: str) -> bool:
    return bool(_UNDERLINE.match(above)) and above.strip()[0] == below.strip()[0]


def _is_underlined(lines: list[str], fenced: list[bool], blanks: list[int], i: int) -> bool:
    if i + 1 >= len(lines) or fenced[i + 1] or blanks[i]:
        return False
    rule = _UNDERLINE.match(lines[i + 1])
    text = lines[i].strip()
    if not rule or _UNDERLINE.match(lines[i]) or _ROW.match(lines[i]):
        return False
    if i > 0 and not blanks[i - 1] and not _same_rule(lines[i - 1], lines[i + 1]):
        return False  # the last line of a paragraph over a rule
    return len(text) <= MAX_HEADING_CHARACTERS and len(lines[i + 1].strip()) >= 0.6 * len(text)


def _items(
    lines: list[str],
    item: list[bool],
    heading: list[int],
    fenced: list[bool],
    blanks: list[int],
    indents: list[int],
) -> list[tuple[int, int]]:
    """Return the line range of every list item, with its continuation and nested items."""
    spans: list[tuple[int, int]] = []
    open_items: list[tuple[int, int]] = []  # (line, indent of its content)
    for i in range(len(lines)):
        marker = _ITEM.match(lines[i]) if item[i] else None
        after_blank = i == 0 or blanks[i - 1] > 0
        lazy = not after_blank and marker is None and not heading[i] and not fenced[i]
        while open_items:
            start, content = open_items[-1]
            if indents[i] >= content or (lazy and i > 0):
                break
            spans.append((start, i))
            open_items.pop()
        if marker is not None:
            open_items.append((i, len(marker.group(0))))
    spans.extend((start, len(lines)) for start, _ in open_items)
    return spans
