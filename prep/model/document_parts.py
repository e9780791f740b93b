"""Long documents in parts and short ones in groups, so that memory depends on neither length nor number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from prep.document import Document

__all__ = ["Part", "in_groups", "split_document"]

Item = TypeVar("Item")

_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.M)


@dataclass(slots=True)
class Part:
    """Characters [start, end) of a document. open_headings: level and name of those that enclose its beginning.

    The parts of one document share that list, and are read in order, each leaving it as the next one finds it.
    """

    document: Document
    start: int
    end: int
    open_headings: list[tuple[float, str]] = field(default_factory=list)

    @property
    def is_last(self) -> bool:
        """Whether the document ends with this part."""
        return self.end == len(self.document.text)

    def as_document(self) -> Document:
        """Return the part as a document of its own: same id and title."""
        if self.start == 0 and self.is_last:
            return self.document
        return replace(self.document, text=self.document.text[self.start : self.end])


def split_document(document: Document, characters: int) -> Iterator[Part]:
    """Yield parts of at most `characters` that tile the document; one, if it is not longer or has no text.

    Cut after a blank line that no fence encloses, if the last half has one, else at a line end, a blank, or
    wherever it must be.
    """
    text = document.text
    headings: list[tuple[float, str]] = []
    start = 0
    while len(text) - start > characters:
        end = _cut(text, start, start + characters)
        yield Part(document, start, end, headings)
        start = end
    yield Part(document, start, len(text), headings)


def _cut(text: str, start: int, limit: int) -> int:
    middle = (start + limit) // 2
    blanks = [found.end() for found in _BLANK_LINES.finditer(text, middle, limit) if found.end() < limit]
    if blanks:
        fences = [found.start() for found in _FENCE.finditer(text, start, limit)]
        for blank in reversed(blanks):
            if sum(fence < blank for fence in fences) % 2 == 0:
                return blank
        return blanks[-1]
    for mark in ("\n", " "):
        if (at := text.rfind(mark, middle, limit)) >= 0:
            return at + 1
    return limit


def in_groups(items: Iterable[Item], size: Callable[[Item], int], enough: int) -> Iterator[list[Item]]:
    """Yield items in order, in groups that are closed once their sizes add up to `enough`; none is empty."""
    group: list[Item] = []
    total = 0
    for item in items:
        group.append(item)
        total += size(item)
        if total >= enough:
            yield group
            group, total = [], 0
    if group:
        yield group
