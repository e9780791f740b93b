"""How much text is processed at once: parts of long documents, groups of short ones, windows of tokens.

Parts and groups keep memory independent of length and number. Windows overlap, so that every unit is encoded with
context on both sides; planning them takes token counts alone. Units are made by `prep.model.units`, and
`prep.model.encoder` encodes the windows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import TypeVar

from prep.containers import Containers, find_containers
from prep.document import Document
from prep.errors import ConfigError

__all__ = ["Part", "Window", "in_groups", "plan_windows", "split_document"]

Item = TypeVar("Item")

_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


@dataclass(slots=True)
class Part:
    """Characters [start, end) of a document.

    open_headings: level and name of the headings that enclose the beginning. The parts of one document share the list;
    they are prepared in order, and each one updates it for the next. containers: those of the whole document, None
    where the part is the whole.
    """

    document: Document
    start: int
    end: int
    open_headings: list[tuple[float, str]] = field(default_factory=list)
    containers: Containers | None = None

    @property
    def is_last(self) -> bool:
        """Whether the document ends with this part."""
        return self.end == len(self.document.text)

    def as_document(self) -> Document:
        """Return the part as a document with the same id and title."""
        if self.start == 0 and self.is_last:
            return self.document
        return replace(self.document, text=self.document.text[self.start : self.end])

    def own_containers(self) -> Containers | None:
        """Return the fences and hidden blocks of the part, as offsets into it; None where they are not known yet."""
        if self.containers is None:
            return None
        known = self.containers
        return Containers(self._own(known.fences), self._own(known.hidden), self._own(known.html))

    def _own(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        first = bisect_right(spans, self.start, key=lambda span: span[1])
        own = takewhile(lambda span: span[0] < self.end, islice(spans, first, None))
        return [(max(a, self.start) - self.start, min(b, self.end) - self.start) for a, b in own]


def split_document(document: Document, characters: int) -> Iterator[Part]:
    """Yield parts of at most `characters` that tile the document; one part if it is short or empty.

    A part ends after a blank line outside fences, if its last half has one, else at a line end, a blank, or the limit.
    """
    text = document.text
    headings: list[tuple[float, str]] = []
    containers = find_containers(text) if len(text) > characters else None
    start = 0
    while len(text) - start > characters:
        assert containers is not None
        end = _cut(text, start, start + characters, containers)
        yield Part(document, start, end, headings, containers)
        start = end
    yield Part(document, start, len(text), headings, containers)


def _cut(text: str, start: int, limit: int, containers: Containers) -> int:
    middle = (start + limit) // 2
    blanks = [found.end() for found in _BLANK_LINES.finditer(text, middle, limit) if found.end() < limit]
    if blanks:
        return next((blank for blank in reversed(blanks) if containers.fence_at(blank) is None), blanks[-1])
    for mark in ("\n", " "):
        if (at := text.rfind(mark, middle, limit)) >= 0:
            return at + 1
    return limit


def in_groups(items: Iterable[Item], size: Callable[[Item], int], enough: int) -> Iterator[list[Item]]:
    """Yield items in order, in groups that end once their sizes add up to `enough`; no group is empty."""
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


@dataclass(frozen=True, slots=True)
class Window:
    """Units [start, end) are encoded together; [own_start, own_end) take their states from this window.

    The owned stretches of a document's windows tile its units.
    """

    start: int
    end: int
    own_start: int
    own_end: int


def plan_windows(unit_tokens: Sequence[int], max_tokens: int, overlap_tokens: int) -> list[Window]:
    """Cover the units with windows of at most `max_tokens`, neighbours sharing about `overlap_tokens`.

    unit_tokens: tokens of each unit, none above max_tokens. A unit in two windows belongs to the one where it is
    farther from the edge. Linear time. Raises ConfigError for a unit that cannot fit or an overlap above half a window.
    """
    if not 0 <= overlap_tokens <= max_tokens // 2:
        raise ConfigError(
            f"overlap_tokens={overlap_tokens!r} must lie in 0..{max_tokens // 2} (max_tokens // 2)"
        )
    n_units = len(unit_tokens)
    spans: list[tuple[int, int]] = []
    start = end = total = 0
    while end < n_units:
        while end < n_units and total + unit_tokens[end] <= max_tokens:
            total += unit_tokens[end]
            end += 1
        if end == start:
            raise ConfigError(f"unit {end} has {unit_tokens[end]} tokens and cannot fit {max_tokens}")
        spans.append((start, end))
        if end == n_units:
            break
        # Step back over the overlap, but leave room for the next unit and always advance.
        shared, following = 0, end
        while following - 1 > start and shared + unit_tokens[following - 1] <= overlap_tokens:
            if shared + unit_tokens[following - 1] + unit_tokens[end] > max_tokens:
                break
            following -= 1
            shared += unit_tokens[following]
        start, total = following, shared
    windows: list[Window] = []
    own_start = 0
    for i, (left, right) in enumerate(spans):
        own_end = right if i + 1 == len(spans) else _middle(unit_tokens, spans[i + 1][0], right)
        windows.append(Window(left, right, own_start, own_end))
        own_start = own_end
    return windows


def _middle(unit_tokens: Sequence[int], left: int, right: int) -> int:
    """Return the unit boundary that halves the tokens of units [left, right)."""
    half = sum(unit_tokens[left:right]) / 2
    seen = 0
    for unit in range(left, right):
        if seen + unit_tokens[unit] / 2 > half:
            return unit
        seen += unit_tokens[unit]
    return right
