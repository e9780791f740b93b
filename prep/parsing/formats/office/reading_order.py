"""The order in which the shapes of a slide are read: by cuts between them, from above, then from the left.

Recursive XY-cut (Nagy & Seth 1984): where a horizontal line runs between shapes the upper part comes first; where none
does, a vertical line parts columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

__all__ = ["Box", "in_reading_order"]

T = TypeVar("T")
_MAX_BOXES = 400
_MAX_CUTS = 30
# Shapes of one row may overlap the row below by this share of their height.
_SLACK = 0.08


class Box(NamedTuple):
    """A rectangle on a slide, in any unit."""

    left: int
    top: int
    width: int
    height: int


def in_reading_order(boxes: Sequence[tuple[Box, T]]) -> list[T]:
    """Return what the boxes hold, in reading order; ties stay as they are."""
    if len(boxes) > _MAX_BOXES:
        return [held for _, held in sorted(boxes, key=lambda one: (one[0].top, one[0].left))]
    return [held for _, held in _ordered(list(boxes), _MAX_CUTS)]


def _ordered(boxes: list[tuple[Box, T]], n_cuts: int) -> Iterator[tuple[Box, T]]:
    if len(boxes) > 1 and n_cuts:
        for is_vertical in (False, True):
            parts = _cut(boxes, is_vertical=is_vertical)
            if len(parts) > 1:
                for part in parts:
                    yield from _ordered(part, n_cuts - 1)
                return
    yield from sorted(boxes, key=lambda one: (one[0].top, one[0].left))


def _cut(boxes: list[tuple[Box, T]], *, is_vertical: bool) -> list[list[tuple[Box, T]]]:
    """Return the boxes in the parts that lines between them make."""

    def span(box: Box) -> tuple[float, float]:
        start, size = (box.left, box.width) if is_vertical else (box.top, box.height)
        return start + _SLACK * size, start + (1 - _SLACK) * size

    parts: list[list[tuple[Box, T]]] = []
    end = float("-inf")
    for box, held in sorted(boxes, key=lambda one: span(one[0])[0]):
        first, last = span(box)
        if not parts or first >= end:
            parts.append([])
        parts[-1].append((box, held))
        end = max(end, last)
    return parts
