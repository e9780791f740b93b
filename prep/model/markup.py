"""What a page marks explicitly: fences, literal blocks, list items, tables, heading levels, per line.

Documents come in Markdown form from the parsers; labelled sets also hold reST and wiki text, whose marks are read here
too. A heading is looked for outside every container (`prep.containers`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from prep.containers import Containers, find_containers
from prep.model.units import Unit
from prep.text import is_pipe_rule, pipe_cells

__all__ = ["MAX_HEADING_CHARACTERS", "Markup", "heading_text", "markup", "unit_lines"]

MAX_HEADING_CHARACTERS = 160
MAX_TABLE_HEADER_CHARACTERS = 300

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_WIKI = re.compile(r"\s*((?:=\s?){1,6})([^=].*?)((?:\s?=){1,6})\s*$")
_UNDERLINE = re.compile(r"\s*([=\-~^\"'`*+#:._])\1{2,}\s*$")
_ITEM = re.compile(r"([ \t]*)((?:[-*+•·–▪◦‣]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|#\.)[ \t]+)(?=\S)")
_ROW = re.compile(r"\s*(?:\||\+[-=]{2,})|[^|\n]+\|[^|\n]+\||.*\t.*\t")
_LINE_END = re.compile(r"[\r\n]")
_DIRECTIVE = re.compile(r"\s*\.\. (?:([\w:+.-]+)::)?")
_CODE_DIRECTIVES = frozenset(
    "code code-block sourcecode literalinclude parsed-literal highlight prompt doctest testcode testoutput math "
    "productionlist raw".split()
)
_SIMPLE_RULE = re.compile(r"\s*=+(?: +=+)+$")
_MAX_SIMPLE_TABLE_LINES = 2000
_GRID_HEADER = re.compile(r"\s*\+=[=+]*\+$")
_GRID_RULE = re.compile(r"\s*\+-[-+]*\+$")


@dataclass(frozen=True, slots=True)
class Markup:
    """What is explicitly marked, per line that is not blank.

    fenced: inside a code fence or literal block, its marks included. heading: explicit level (1..6), 0 where
    none. row: looks like a table row. table: a line of a table that is marked as one, rules included. header: the
    header of the table whose body the line is in, "" elsewhere. underline: only the underline of a heading. item:
    opens a list item. contained: inside a comment, front matter or the body of a directive, where nothing is a
    heading. keep: spans of units (first, last exclusive) that should not be cut while they fit.
    """

    fenced: list[bool]
    heading: list[int]
    row: list[bool]
    table: list[bool]
    header: list[str]
    underline: list[bool]
    item: list[bool]
    contained: list[bool]
    keep: list[tuple[int, int]]


def markup(text: str, units: Sequence[Unit], containers: Containers | None = None) -> Markup:
    """Read explicit markup: fences, literal blocks, Markdown, reST and wiki headings, list items, tables.

    containers: those of the text, where they are known from the document it is a part of.
    """
    lines, first_unit, blanks = unit_lines(text, units)
    n_lines = len(lines)
    heading = [0] * n_lines
    row = [False] * n_lines
    underline = [False] * n_lines
    item = [False] * n_lines
    indents = [len(line) - len(line.lstrip()) for line in lines]
    ends = [unit.end for unit in units if unit.last]
    known = containers or find_containers(text)
    blocks = _line_ranges(known.fences, ends)
    fenced = _inside(blocks, n_lines)
    contained = _inside(_line_ranges(known.hidden, ends), n_lines)
    html = _inside(_line_ranges(known.html, ends), n_lines)
    blocks += _rest_blocks(lines, blanks, indents, fenced, contained)
    table, header = _tables(lines, blanks, fenced)

    styles: list[str] = []
    for i, line in enumerate(lines):
        if fenced[i]:
            continue
        if contained[i] or table[i] or html[i]:
            pass
        elif atx := _ATX.match(line):
            heading[i] = len(atx.group(1))
        elif _is_underlined(lines, fenced, blanks, i) and not contained[i + 1] and not table[i + 1]:
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
        row[i] = table[i] or (bool(_ROW.match(line)) and heading[i] == 0)
        item[i] = heading[i] == 0 and not row[i] and bool(_ITEM.match(line))

    blocks.extend(_items(lines, item, heading, fenced, blanks, indents))
    blocks.extend((i, i + 1) for i in range(n_lines) if row[i])
    blocks.extend(_table_heads(table, header, fenced))
    edges = [*first_unit, len(units)]
    keep = [(edges[a], edges[b]) for a, b in blocks if edges[b] - edges[a] > 1]
    keep.extend(  # a heading and its underline are one thing
        (edges[i], edges[i + 2]) for i in range(n_lines - 1) if heading[i] and underline[i + 1]
    )
    return Markup(fenced, heading, row, table, header, underline, item, contained, keep)


def heading_text(line: str) -> str:
    """Return a heading line without its marks, numbers kept, blanks collapsed."""
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
    """Lines that are not blank (without line ends), the first unit of each, blank lines after each."""
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


def _line_ranges(spans: Sequence[tuple[int, int]], ends: Sequence[int]) -> list[tuple[int, int]]:
    """Return the ranges of lines [first, last) that spans of characters cover. ends: where each line ends."""
    ranges = []
    for start, end in spans:
        first, last = bisect_right(ends, start), bisect_left(ends, end)
        last = min(last + 1, len(ends))  # the line that holds the last character
        if first < last:
            ranges.append((first, last))
    return ranges


def _inside(ranges: Sequence[tuple[int, int]], n_lines: int) -> list[bool]:
    inside = [False] * n_lines
    for first, last in ranges:
        inside[first:last] = [True] * (last - first)
    return inside


def _rest_blocks(
    lines: list[str], blanks: list[int], indents: list[int], fenced: list[bool], contained: list[bool]
) -> list[tuple[int, int]]:
    """Mark the bodies of reST directives, comments and literal blocks; return those that are code, as line ranges."""
    blocks = []
    i = 0
    while i < len(lines):
        if fenced[i]:
            i += 1
            continue
        directive = _DIRECTIVE.match(lines[i])
        literal = lines[i].endswith("::") and bool(blanks[i]) and not lines[i].startswith("#")
        if directive is None and not literal:
            i += 1
            continue
        stop = i + 1
        while stop < len(lines) and indents[stop] > indents[i]:
            stop += 1
        is_code = directive is None or directive.group(1) in _CODE_DIRECTIVES
        marked = fenced if is_code else contained
        marked[i + 1 : stop] = [True] * (stop - i - 1)
        if is_code and stop > i + 1:
            blocks.append((i + 1, stop))
        i = stop if is_code else i + 1
    return blocks


def _tables(lines: list[str], blanks: list[int], fenced: list[bool]) -> tuple[list[bool], list[str]]:
    """Return which lines belong to a table that is marked as one, and the header of every line of its body."""
    table = [False] * len(lines)
    header = [""] * len(lines)
    simple_ends = _simple_table_ends(lines, blanks, fenced)
    i = 0
    while i < len(lines):
        if fenced[i]:
            i += 1
            continue
        if (end := simple_ends.get(i)) is not None:
            rules = [j for j in range(i, end + 1) if _SIMPLE_RULE.match(lines[j])]
            first, body, stop, name = i, i + 1, end + 1, ""
            if len(rules) == 3 and rules[1] > i + 1:
                body, name = rules[1] + 1, _header(re.split(r" {2,}", lines[i + 1].strip()))
        elif (found := _table_at(lines, blanks, fenced, i)) is not None:
            first, body, name = found
            stop = body
            while stop < len(lines) and not fenced[stop] and not blanks[stop - 1] and _is_row(lines[stop]):
                stop += 1
        else:
            i += 1
            continue
        table[first:stop] = [True] * (stop - first)
        header[body:stop] = [name] * (stop - body)
        i = max(stop, i + 1)
    return table, header


def _simple_table_ends(lines: list[str], blanks: list[int], fenced: list[bool]) -> dict[int, int]:
    """Return first and last line of every reST simple table; it ends with a rule before a blank line."""
    ends: dict[int, int] = {}
    first: int | None = None
    for i, line in enumerate(lines):
        if fenced[i]:
            first = None
        elif _SIMPLE_RULE.match(line):
            if first is None:
                first = i
            elif blanks[i] or i + 1 == len(lines):
                ends[first] = i
                first = None
        elif first is not None and i - first > _MAX_SIMPLE_TABLE_LINES:
            first = None
    return ends


def _table_at(lines: list[str], blanks: list[int], fenced: list[bool], i: int) -> tuple[int, int, str] | None:
    """Return first line, first line of the body and header of the table whose header ends with line i; else None."""
    if i == 0 or fenced[i - 1] or blanks[i - 1]:
        return None
    if is_pipe_rule(lines[i]) and "|" in lines[i - 1]:
        cells = _cells(lines[i - 1])
        return (i - 1, i + 1, _header(cells)) if len(cells) == len(_cells(lines[i])) else None
    if _GRID_HEADER.match(lines[i]):
        top = i
        while top > 0 and i - top < 10 and not blanks[top - 1] and not _GRID_RULE.match(lines[top]):
            top -= 1
        rows = [_cells(line) for line in lines[top + 1 : i]]
        if not rows or len({len(cells) for cells in rows}) > 1:
            return top, i + 1, ""
        return top, i + 1, _header([" ".join(filter(None, column)) for column in zip(*rows, strict=True)])
    return None


def _header(cells: Sequence[str]) -> str:
    return " | ".join(cell for cell in cells if cell)[:MAX_TABLE_HEADER_CHARACTERS]


def _is_row(line: str) -> bool:
    return "|" in line or bool(_GRID_RULE.match(line))


def _cells(line: str) -> list[str]:
    return [line[left:right].replace("\\|", "|") for left, right in pipe_cells(line)]


def _table_heads(table: list[bool], header: list[str], fenced: list[bool]) -> list[tuple[int, int]]:
    """Return header, rule and first row of every table that has a header, as line ranges."""
    heads = []
    first = 0
    for i in range(len(table)):
        if not table[i]:
            first = i + 1
        elif header[i] and (i == first or not header[i - 1]):
            heads.append((first, i + 1))
    return heads


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
    """Every list item with its continuation and nested items, as line ranges; one pass with a stack."""
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
