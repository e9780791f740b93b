"""The order in which the parts of a PDF page are read: columns one after the other, full-width parts between them.

A page is cut again and again, along a gutter where both sides hold running text, else above and below what stands
across the gutter. Cells of a table stand beside each other too, but do not run on from line to line: they are not cut
apart. Recursive XY-cut (Nagy and Seth 1984), with this test added.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from statistics import median

from prep.parsing.formats.pdf.page_lines import Line
from prep.parsing.formats.pdf.ruled_tables import Table

__all__ = ["Item", "in_reading_order"]

Item = Line | Table

_MAX_DEPTH = 12
_MIN_LINES = 3  # of a column
_MANY_LINES = 8
_MAX_EDGES = 8
_BIN = 2.0  # points
_ENDS = re.compile(r"[.!?:;。！？؟।][\"'”’»)\]]*\Z")
_ENTRY = re.compile(r", [\divxlc]+(?:[-–][\divxlc]+)?\Z")
_NUMERIC = re.compile(r"[\W\d_]*\d[\W\d_]*\Z")


def in_reading_order(items: Sequence[Item]) -> list[list[Item]]:
    """Return the columns of a page in the order they are read, the items of each from top to bottom."""
    return [sorted(part, key=lambda one: (one.top, one.x0)) for part in _cut(list(items), 0)]


def _cut(items: list[Item], depth: int) -> list[list[Item]]:
    if len(items) < 2 * _MIN_LINES or depth >= _MAX_DEPTH:
        return [items] if items else []
    gutter = _gutter(items)
    if gutter is None:
        found = _band_of_columns(items)
        if found is None:
            return [items]
        gutter, above, between, below = found
        left, right, _ = _sides(between, gutter)
        return [part for one in (above, left, right, below) for part in _cut(one, depth + 1)]
    left, right, across = _sides(items, gutter)
    if not across:
        return [*_cut(left, depth + 1), *_cut(right, depth + 1)]
    # Bands from top to bottom: what stands across the gutter parts the columns above from those below.
    out: list[list[Item]] = []
    rows = sorted(items, key=lambda one: one.top)
    is_across = set(map(id, across))
    band: list[Item] = []
    spanning: list[Item] = []
    for item in rows:
        if id(item) in is_across:
            if band:
                out.extend(_band(band, gutter, depth))
                band = []
            spanning.append(item)
        else:
            if spanning:
                out.append(spanning)
                spanning = []
            band.append(item)
    if band:
        out.extend(_band(band, gutter, depth))
    if spanning:
        out.append(spanning)
    return out


def _band(band: list[Item], gutter: float, depth: int) -> list[list[Item]]:
    left, right, _ = _sides(band, gutter)
    if not left or not right:
        return _cut(band, depth + 1)
    if (
        len(left) >= 2
        and len(right) >= 2
        and not (_runs_on(left) or _runs_on(right))
        and _shares_rows(left, right)
    ):
        return [band]  # rows of cells in one place, columns in another
    return [*_cut(left, depth + 1), *_cut(right, depth + 1)]


def _sides(items: Sequence[Item], gutter: float) -> tuple[list[Item], list[Item], list[Item]]:
    left: list[Item] = []
    right: list[Item] = []
    across: list[Item] = []
    for item in items:
        if item.x1 <= gutter + 1:
            left.append(item)
        elif item.x0 >= gutter - 1:
            right.append(item)
        else:
            across.append(item)
    return left, right, across


def _gutter(items: Sequence[Item]) -> float | None:
    """Return the x that parts two columns of running text, None where there is none."""
    x0, x1 = min(item.x0 for item in items), max(item.x1 for item in items)
    n_bins = min(int((x1 - x0) / _BIN) + 1, 4000)
    if n_bins < 10:
        return None
    covered = [0] * (n_bins + 1)
    for item in items:
        first, last = int((item.x0 - x0) / _BIN), int((item.x1 - x0) / _BIN)
        covered[min(max(first, 0), n_bins)] += 1
        covered[min(max(last, 0), n_bins)] -= 1
    profile: list[int] = []
    depth = 0
    for change in covered[:n_bins]:
        depth += change
        profile.append(depth)
    for gutter in _candidates(profile, x0):
        left, right, across = _sides(items, gutter)
        if min(len(left), len(right)) < _MIN_LINES or len(across) > 0.5 * len(items):
            continue
        if _are_columns(left, right):
            return gutter
    return None


def _band_of_columns(items: Sequence[Item]) -> tuple[float, list[Item], list[Item], list[Item]] | None:
    """Return a gutter that parts columns in a part of the page only, and what stands above, beside and below it."""
    rows = sorted(items, key=lambda one: (one.top, one.x0))
    edges: Counter[int] = Counter(round(item.x0) for item in rows)
    leftmost = min(item.x0 for item in rows)
    for edge, count in edges.most_common(_MAX_EDGES):
        if count < _MIN_LINES or edge < leftmost + 20:
            continue
        gutter = edge - 2.0
        start = 0
        for i in range(len(rows) + 1):
            if i < len(rows) and not rows[i].x0 < gutter - 1 < gutter + 1 < rows[i].x1:
                continue
            if i - start >= 2 * _MIN_LINES:
                left, right, _ = _sides(rows[start:i], gutter)
                if min(len(left), len(right)) >= _MIN_LINES and _are_columns(left, right):
                    return gutter, rows[:start], rows[start:i], rows[i:]
            start = i + 1
    return None


def _candidates(profile: list[int], x0: float) -> list[float]:
    """Return the middles of the valleys of the profile, the emptiest and widest first."""
    n = len(profile)
    left_peak: list[int] = []
    peak = 0
    for value in profile:
        peak = max(peak, value)
        left_peak.append(peak)
    right_peak = [0] * n
    peak = 0
    for i in range(n - 1, -1, -1):
        peak = max(peak, profile[i])
        right_peak[i] = peak
    found: list[tuple[int, int, float]] = []
    i = 0
    while i < n:
        value = profile[i]
        j = i
        while j < n and profile[j] == value:
            j += 1
        if value <= 0.4 * min(left_peak[i], right_peak[i]) and i > 0 and j < n and j - i >= 3:
            found.append((value, i - j, x0 + (i + j) / 2 * _BIN))
        i = j
    return [middle for _, _, middle in sorted(found)[:8]]


def _are_columns(left: Sequence[Item], right: Sequence[Item]) -> bool:
    """Whether both sides hold running text, side by side."""
    top = max(min(item.top for item in left), min(item.top for item in right))
    bottom = min(max(item.bottom for item in left), max(item.bottom for item in right))
    lower = min(
        max(item.bottom for item in left) - min(item.top for item in left),
        max(item.bottom for item in right) - min(item.top for item in right),
    )
    if bottom - top < 0.4 * lower or _beside(left, right) < 0.6:
        return False
    if _is_index(left) and _is_index(right):
        return True
    if _runs_on(left) and _runs_on(right):
        return not _is_list_of_terms(left, right)
    if min(len(left), len(right)) >= _MANY_LINES and _shared_rows(left, right) < 0.35:
        return True  # lines of their own pitch on either side: no rows go across
    # Beside running text, a column of another kind (a picture's caption, a list) whose lines keep their own pitch.
    return (
        (_runs_on(left) or _runs_on(right))
        and not _shares_rows(left, right)
        and not _is_list_of_terms(left, right)
    )


def _runs_on(side: Sequence[Item]) -> bool:
    """Whether lines of this side continue from one to the next, as prose does and cells do not."""
    lines = sorted((item for item in side if isinstance(item, Line)), key=lambda one: (one.top, one.x0))
    if len(lines) < _MIN_LINES:
        return False
    texts = [line.text for line in lines]
    if sum(_NUMERIC.match(text) is not None for text in texts) > 0.4 * len(texts):
        return False
    width = max(line.x1 - line.x0 for line in lines)
    found = [(line, _below(line, lines[i + 1 : i + 9])) for i, line in enumerate(lines)]
    pairs = [(line, below) for line, below in found if below is not None]
    if not pairs:
        return False
    going = sum(
        first.x1 - first.x0 >= 0.55 * width
        and _ENDS.search(first.text) is None
        and (
            second.text[:1].islower()
            or first.text.endswith("-")
            or not second.text[:1].isalnum()
            or len(first.text) > 30
        )
        and 0.5 * first.size < second.baseline - first.baseline < 2.2 * first.size
        for first, second in pairs
    )
    words = sum(len(text.split()) for text in texts) / len(texts)
    cjk = sum(not text.isascii() for text in texts) > 0.6 * len(texts) and median(map(len, texts)) >= 10
    return going >= 0.35 * len(pairs) and (words >= 2.2 or cjk)


def _is_index(side: Sequence[Item]) -> bool:
    """Whether most lines are entries of an index, a word and its pages."""
    lines = [item for item in side if isinstance(item, Line)]
    return len(lines) >= _MANY_LINES and sum(
        _ENTRY.search(line.text) is not None for line in lines
    ) >= 0.5 * len(lines)


def _below(line: Line, following: Sequence[Line]) -> Line | None:
    """Return the line under this one in its column."""
    for other in following:
        if other.top > line.top + 0.4 * line.size and min(line.x1, other.x1) > max(line.x0, other.x0):
            return other
    return None


def _beside(left: Sequence[Item], right: Sequence[Item]) -> float:
    """Return the part of the items of the shorter side that stand beside one of the other, and not above or below."""
    fewer, more = sorted((left, right), key=len)
    tops = sorted(item.top for item in more)
    bottoms = sorted(item.bottom for item in more)
    n_beside = sum(bisect_left(tops, item.bottom) > bisect_right(bottoms, item.top) for item in fewer)
    return n_beside / max(len(fewer), 1)


def _shares_rows(left: Sequence[Item], right: Sequence[Item]) -> bool:
    """Whether most lines of the shorter side stand on a baseline of the other."""
    return _shared_rows(left, right) >= 0.7


def _shared_rows(left: Sequence[Item], right: Sequence[Item]) -> float:
    """Return the part of the lines of the shorter side that stand on a baseline of the other."""
    fewer, more = sorted((left, right), key=len)
    levels = {round(item.baseline) for item in more if isinstance(item, Line)}
    lines = [item for item in fewer if isinstance(item, Line)]
    shared = sum(bool({round(line.baseline) + step for step in (-1, 0, 1)} & levels) for line in lines)
    return shared / max(len(lines), 1)


def _is_list_of_terms(left: Sequence[Item], right: Sequence[Item]) -> bool:
    """Whether paragraphs of both sides begin together again and again, as the cells of a table's rows do."""
    starts = [_paragraph_starts(side) for side in (left, right)]
    if min(map(len, starts)) < 3:
        return False
    fewer, more = sorted(starts, key=len)
    shared = sum(any(abs(one - other) < 2.5 for other in more) for one in fewer)
    return shared >= 0.8 * len(fewer) and len(fewer) >= 0.6 * len(more)


def _paragraph_starts(side: Sequence[Item]) -> list[float]:
    lines = sorted((item for item in side if isinstance(item, Line)), key=lambda one: one.top)
    if len(lines) < 2:
        return []
    gaps = [second.baseline - first.baseline for first, second in itertools.pairwise(lines)]
    usual = sorted(gaps)[len(gaps) // 4]
    return [
        lines[0].baseline,
        *(line.baseline for line, gap in zip(lines[1:], gaps, strict=True) if gap > 1.25 * usual + 0.5),
    ]
