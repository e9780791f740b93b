"""Blocks of the columns of a PDF, in reading order, to blocks of the document: what goes on over a page is one block.

A paragraph goes on in the next column where it does not end as a sentence does. What stands between its halves
(footnotes, tables, captions) is moved before its first half or behind its second: every block stays on its page.
"""

from __future__ import annotations

from collections.abc import Sequence

from prep.parsing.formats.pdf.page_blocks import PageBlock

__all__ = ["join_columns"]

_ADVANCE = 0.6  # of a character of a monospaced font, in units of its size
_MAX_COLUMNS = 24
_MAX_BETWEEN = 8  # blocks between the halves of a paragraph


def join_columns(columns: Sequence[Sequence[PageBlock]], body_size: float) -> list[PageBlock]:
    """Return the blocks of all columns in order, joined where they go on."""
    out: list[PageBlock] = []
    start = 0  # of the last column in `out`
    for column in columns:
        if not column:
            continue
        blocks = list(column)
        joined: int | None = None
        if len(out) > start and _joins_directly(out[-1], blocks[0]):
            _append(out[-1], blocks.pop(0))
            joined = len(out) - 1
        elif len(out) > start:
            joined = _join_text(out, start, blocks, body_size)
        start = len(out) if joined is None else joined
        out.extend(blocks)
    return out


def _joins_directly(last: PageBlock, first: PageBlock) -> bool:
    if last.kind == first.kind == "code":
        return abs(last.size - first.size) < 0.1 * last.size and last.page != first.page
    return last.kind == first.kind == "table" and _is_same_table(last, first)


def _is_same_table(last: PageBlock, first: PageBlock) -> bool:
    above, below = last.table, first.table
    if above is None or below is None or len(above.columns) != len(below.columns) or last.page == first.page:
        return False
    width = max(above.x1 - above.x0, 1.0)
    return all(abs(a - b) < 0.06 * width for a, b in zip(above.columns, below.columns, strict=True))


def _append(last: PageBlock, first: PageBlock) -> None:
    """Put the second half of a block behind its first."""
    if last.table is not None and first.table is not None:
        rows = first.table.rows
        n_repeated = 1 if last.table.n_header and rows and rows[0] == last.table.rows[0] else 0
        last.table.rows.extend(rows[n_repeated:])
        last.row_pages.extend(first.row_pages[n_repeated:])
        return
    first.lines[0].starts_line = last.kind == "code"
    if last.kind == "code":
        _indent(last, first)
    last.lines.extend(first.lines)
    last.runs_out = first.runs_out


def _indent(last: PageBlock, first: PageBlock) -> None:
    """Indent the half of a listing whose lines all stand further in than the other half's begin."""
    n_columns = round((first.x0 - last.x0) / (_ADVANCE * last.size))
    if abs(n_columns) <= _MAX_COLUMNS:
        for line in (first if n_columns > 0 else last).lines:
            line.text = " " * abs(n_columns) + line.text if line.text else ""
        last.x0 = min(last.x0, first.x0)


def _join_text(out: list[PageBlock], start: int, blocks: list[PageBlock], body_size: float) -> int | None:
    """Join the paragraph that goes on, if there is one, reorder what stands between, and return where it is then."""
    above = _running(out, range(len(out) - 1, max(start, len(out) - _MAX_BETWEEN) - 1, -1), body_size)
    below = _running(blocks, range(min(len(blocks), _MAX_BETWEEN)), body_size)
    if above is None or below is None or not _goes_on(out[above], blocks[below]):
        return None
    last, first = out[above], blocks.pop(below)
    if last.page == last.lines[-1].page:  # else it begins before the pages of what stands between
        out.append(out.pop(above))
        above = len(out) - 1
    _append(last, first)
    return above


def _running(blocks: Sequence[PageBlock], positions: Sequence[int], body_size: float) -> int | None:
    """Return the position of the first block of running text; None where a heading or code comes before it."""
    for position in positions:
        block = blocks[position]
        if block.kind in ("heading", "code"):
            return None
        if block.kind in ("text", "item") and block.size >= 0.95 * body_size:
            return position
    return None


def _goes_on(last: PageBlock, first: PageBlock) -> bool:
    if first.kind != "text" or not last.ends_open or abs(last.size - first.size) > 0.07 * last.size:
        return False
    if last.is_bold != first.is_bold:
        return False
    before, after = last.lines[-1].text, first.lines[0].text
    if before.endswith("-") and before[-2:-1].isalpha():
        return True
    n_open = sum(not line.starts_line for line in last.lines[1:])
    is_prose = last.kind == "item" or (len(last.lines) > 1 and 2 * n_open >= len(last.lines) - 1)
    return last.runs_out and (after[:1].islower() or (is_prose and not first.is_indented))
