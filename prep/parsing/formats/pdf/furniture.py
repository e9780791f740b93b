"""Running headers, footers and page numbers of a PDF: found by what recurs at one place from page to page.

Only the outermost rows of a page count, and only where the next page, or the next left or right page, has the same
words at the same height, numbers apart. A number must count the pages. What recurs is written once, where it first
stands, unless the text says it anyway; page numbers are not written, since every page has its label.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prep.parsing.formats.pdf.column_order import Item
from prep.parsing.formats.pdf.page_lines import Line
from prep.parsing.formats.pdf.ruled_tables import Table

__all__ = ["Furniture", "find_furniture"]

_MAX_ROWS = 4  # at either end of a page
_MARGIN = 0.2  # of the page's height
_OUTER_MARGIN = 0.09  # for what recurs once, or at one place with other words
_STEP = 4.0  # points: rows at the same height to within this are at one place
_MIN_PAGES = 3
_MAX_WRITTEN = 500
_NUMBER = re.compile(r"\d+")
_COUNTED = re.compile(r"[^\W\d_]+\s+\d+[.:)]?\Z")
_PAGE_NUMBER = re.compile(r"\A\d+\s+|\s+\d+\Z")
_ROMAN = re.compile(r"[ivxlcdm]+\Z", re.I)
_PAGE_WORDS = re.compile(
    r"\b(?:pages?|pg|p|seiten?|s|von|of|de|sur|di|pagina|página|páginas|pág|strana|strony|strona|sida|sivu|oldal|"
    r"страница|стр|из|sayfa|halaman|trang)\b|ページ|[页頁第共쪽]",
    re.I,
)


@dataclass(slots=True)
class Furniture:
    """What is no running text. items: by page, `id`s of its items. first: (page, texts, is_header), to write once."""

    items: list[set[int]]
    first: list[tuple[int, list[str], bool]] = field(default_factory=list)


@dataclass(slots=True)
class _MarginRow:
    page: int
    items: list[Item]
    text: str
    key: str
    is_header: bool
    depth: int  # 0 for the outermost
    gap: float  # to the next row inwards, in units of the size
    size: float
    height: float  # of its middle, from the page's top


def find_furniture(pages: Sequence[Sequence[Item]], heights: Sequence[float], body_size: float) -> Furniture:
    """Return the furniture of a document. pages: the items of each; heights: of the pages, in points."""
    found = Furniture([set() for _ in pages])
    if len(pages) < 2:
        return found
    rows = [row for page, items in enumerate(pages) for row in _outer_rows(page, items, heights[page])]
    groups: dict[tuple[bool, str], list[_MarginRow]] = defaultdict(list)
    for row in rows:
        groups[row.is_header, row.key].append(row)
    accepted: set[int] = set()
    slots: dict[tuple[bool, int], set[int]] = defaultdict(set)  # of counting rows: number less page
    for group in groups.values():
        for members in _at_one_place(group):
            members.sort(key=lambda row: row.page)
            if _recurs(members, heights, body_size):
                accepted.update(map(id, members))
                if len(members) >= _MIN_PAGES and _counts_pages(members):
                    for row in members:
                        slots[row.is_header, round(row.height)].update(_offsets(row))
    # A chapter of one page: other words, but the number of the page in the place where it stands elsewhere.
    for row in rows:
        near = (slots.get((row.is_header, round(row.height) + step), set()) for step in (-1, 0, 1))
        if (
            row.depth == 0
            and row.size <= 1.12 * body_size
            and any(_offsets(row) & offsets for offsets in near)
        ):
            accepted.add(id(row))
    accepted.update(map(id, _running_slot(rows, heights, body_size)))
    kept: list[_MarginRow] = []
    by_end: dict[tuple[int, bool], list[_MarginRow]] = defaultdict(list)
    for row in rows:
        by_end[row.page, row.is_header].append(row)
    for outer in by_end.values():
        for row in sorted(outer, key=lambda one: one.depth):
            if id(row) not in accepted:
                break  # what stands further in is not at the edge
            kept.append(row)
    for row in kept:
        found.items[row.page].update(map(id, row.items))
    written: set[str] = set()
    counted = set().union(*slots.values())
    for row in sorted(kept, key=lambda one: (one.page, not one.is_header, one.height)):
        said = _said(row.text)
        if said and said not in written and len(written) < _MAX_WRITTEN:
            written.add(said)
            texts = [item.text for item in row.items]
            if _offsets(row) & counted:
                texts = [_PAGE_NUMBER.sub("", text).strip() for text in texts]
            found.first.append((row.page, [text for text in texts if _said(text)], row.is_header))
    return found


def _said(text: str) -> str:
    """Return what a row says besides the number of the page, letters alone; "" for a bare number."""
    words = _PAGE_WORDS.sub(" ", _NUMBER.sub(" ", text)).split()
    words = [word for word in words if not _ROMAN.match(word.strip(".-–|/()[]"))]
    letters = "".join(character for character in "".join(words).casefold() if character.isalpha())
    return letters if len(letters) > 1 else ""


def _outer_rows(page: int, items: Sequence[Item], height: float) -> Iterable[_MarginRow]:
    """Return the rows at the top and at the bottom of a page, each with its depth from the edge."""
    rows: list[list[Item]] = []
    for item in sorted(items, key=lambda one: (one.bottom, one.x0)):
        if rows and abs(item.bottom - rows[-1][-1].bottom) <= 2.5 and isinstance(item, Line):
            rows[-1].append(item)
        else:
            rows.append([item])
    n_outer = min(_MAX_ROWS, len(rows))
    for is_header in (True, False):
        order = list(range(n_outer)) if is_header else list(range(len(rows) - 1, len(rows) - 1 - n_outer, -1))
        for depth, i in enumerate(order):
            row = sorted(rows[i], key=lambda one: one.x0)
            middle = (row[0].top + row[0].bottom) / 2
            if (middle > _MARGIN * height) if is_header else (middle < (1 - _MARGIN) * height):
                break
            inner = (
                rows[i + 1]
                if is_header and i + 1 < len(rows)
                else rows[i - 1]
                if not is_header and i
                else None
            )
            size = max((one.size for one in row if isinstance(one, Line)), default=10.0)
            gap = 99.0
            if inner is not None:
                gap = (
                    inner[0].bottom - row[0].bottom if is_header else row[0].bottom - inner[0].bottom
                ) / size
            text = " ".join(one.text for one in row)[:400]
            yield _MarginRow(page, row, text, _key(text), is_header, depth, gap, size, middle)


def _key(text: str) -> str:
    """Return the words of a row, numbers as one sign: what recurs."""
    words = [
        "#" if _NUMBER.search(word) and not any(map(str.isalpha, word)) else _NUMBER.sub("#", word)
        for word in text.casefold().split()
    ]
    if len(words) == 1 and _ROMAN.match(words[0].strip("-–.()")):
        return "#"
    return " ".join(words)


def _at_one_place(rows: list[_MarginRow]) -> Iterable[list[_MarginRow]]:
    """Return the rows by height, one a page."""
    ordered = sorted(rows, key=lambda row: row.height)
    group: list[_MarginRow] = []
    for row in ordered:
        if group and row.height - group[-1].height > _STEP:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _recurs(rows: list[_MarginRow], heights: Sequence[float], body_size: float) -> bool:
    """Whether rows with the same words at the same place are furniture."""
    n_pages = len(heights)
    pages = [row.page for row in rows]
    if len(set(pages)) < 2 or any(
        isinstance(item, Table) and len(item.rows) > 3 for row in rows for item in row.items
    ):
        return False
    is_same = len({row.text for row in rows}) == 1
    counts = _counts_pages(rows)
    says = any(_said(row.text) for row in rows)
    # Next to each other, or on every other page.
    near = sum(second - first <= 2 for first, second in itertools.pairwise(pages))
    if near < 0.5 * (len(rows) - 1):
        return False
    is_small = all(row.size <= 1.12 * body_size for row in rows)
    is_apart = all(row.gap >= 1.6 for row in rows)
    if counts and not says:
        return True
    if counts and _COUNTED.match(rows[0].text) and not _PAGE_WORDS.search(rows[0].text):
        return False  # "Question 1", "Question 2": headings, one a page
    if not (is_same or counts):
        varied = {row.text for row in rows}
        # Words with numbers that do not count pages: "§ 12", "2031-04": by chapter, if they recur enough.
        return len(rows) >= 2 * len(varied) and len(rows) >= 2 * _MIN_PAGES and is_small
    if len(rows) >= _MIN_PAGES:
        return is_small or (is_apart and is_same and len(rows) >= 0.6 * n_pages)
    is_outermost = all(_is_outermost(row, heights) for row in rows)
    return is_small and is_apart and is_outermost and (n_pages <= 4 or counts)


def _running_slot(rows: Sequence[_MarginRow], heights: Sequence[float], body_size: float) -> list[_MarginRow]:
    """Return outermost rows that stand apart at one height on most pages; their words change with the section."""
    slots: dict[tuple[bool, int], list[_MarginRow]] = defaultdict(list)
    for row in rows:
        is_outer = row.depth == 0 and row.gap >= 1.9 and _is_outermost(row, heights)
        if is_outer and row.size <= 1.12 * body_size and len(row.text) <= 150:
            slots[row.is_header, round(row.height / 2)].append(row)
    return [
        row
        for slot in slots.values()
        if len(slot) >= max(5, 0.6 * len(heights)) and len({one.key for one in slot}) <= 0.8 * len(slot)
        for row in slot
    ]


def _is_outermost(row: _MarginRow, heights: Sequence[float]) -> bool:
    height = heights[row.page]
    return min(row.height, height - row.height) < _OUTER_MARGIN * height


def _offsets(row: _MarginRow) -> set[int]:
    return {int(one[:9]) - row.page for one in _NUMBER.findall(row.text)}


def _counts_pages(rows: list[_MarginRow]) -> bool:
    """Whether a number of the rows, which are in order, goes on from page to page as the pages do."""
    steps = [
        bool(_offsets(before) & _offsets(after)) or (_is_roman(before) and _is_roman(after))
        for before, after in itertools.pairwise(rows)
        if _is_roman(before) == _is_roman(after)
    ]
    return len({row.text for row in rows}) > 1 and bool(steps) and sum(steps) >= 0.8 * len(steps)


def _is_roman(row: _MarginRow) -> bool:
    return _ROMAN.match(row.text.strip("-–.() ")) is not None
