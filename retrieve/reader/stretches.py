"""Stretches of passages that are quoted: a sentence, with what belongs to it.

A stretch is the number of a passage, and where it begins and ends in the passage's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from retrieve.episode.episode import Passage
from retrieve.reader.inputs import is_heading, sentences_of

__all__ = ["Stretch", "apart", "items", "whole_block", "with_neighbours"]

Stretch: TypeAlias = tuple[int, int, int]

_ITEM = re.compile(r"\s*(?:[-*+•·–]|\d{1,3}[.)]|[a-zA-Z][.)]|\|)[ \t]*\S")
_ITEM_TEXT = re.compile(r"^[ \t]*(?:[-*+•·–]|\d{1,3}[.)])[ \t]+(.+)$", re.MULTILINE)
_INDENTED = re.compile(r"(?: {2}|\t)\s*\S")
_ROW = re.compile(r"\s*[|+]")
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?^[ \t]*\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)


def whole_block(passages: Sequence[Passage], number: int, start: int, end: int) -> Stretch:
    """Return the stretch with what belongs to it: all items of its list, the list or code that it announces."""
    text = passages[number].text
    spans = sentences_of(text)
    here = next((place for place, (left, right) in enumerate(spans) if left < end and start < right), None)
    if here is None:
        return number, start, end
    if (fence := _fence_around(text, start)) is not None:
        return number, *fence
    is_item = [bool(_ITEM.match(text[left:right])) for left, right in spans]
    first = last = here
    while last + 1 < len(spans) and is_item[last + 1]:
        last += 1
    while first > 0 and is_item[first]:
        first -= 1
    if first < here and is_heading(text[slice(*spans[first])]):
        first += 1  # a sentence announces a list, a heading does not
    start, end = min(start, spans[first][0]), max(end, spans[last][1])
    if last == here and text[start:end].rstrip().endswith(":") and last + 1 < len(spans):
        end = _end_of_announced(text, end, spans[last + 1])
    return number, start, end


def with_neighbours(passages: Sequence[Passage], number: int, start: int, end: int) -> Stretch:
    """Return the stretch with the sentence before and the one after it, which say what it is about; no headings."""
    text = passages[number].text
    spans = sentences_of(text)
    before = [span for span in spans if span[1] <= start][-1:]
    after = [span for span in spans if span[0] >= end][:1]
    beside = [(left, right) for left, right in (*before, *after) if not is_heading(text[left:right])]
    return number, min([start, *(left for left, _ in beside)]), max([end, *(right for _, right in beside)])


def _end_of_announced(text: str, announced_at: int, following: tuple[int, int]) -> int:
    """Return where that ends which a colon before `announced_at` announces: fenced or indented code, rows, a sentence.

    following: the span of the next sentence.
    """
    if (fence := _fence_around(text, following[0])) is not None:
        return fence[1]
    # The first line is what is left of the announcing one.
    _, *lines = text[announced_at:].splitlines(keepends=True) or [""]
    first = next((line for line in lines if line.strip()), "")
    is_part = next((kind.match for kind in (_INDENTED, _ROW) if kind.match(first)), None)
    end, at = following[1], len(text) - sum(map(len, lines))
    for line in lines:
        if line.strip() and (is_part is None or not is_part(line)):
            break
        at += len(line)
        if line.strip():
            end = max(end, at - (len(line) - len(line.rstrip())))
    return end


def _fence_around(text: str, at: int) -> tuple[int, int] | None:
    """Return the span of the fenced code that holds this place, fences included; None where none does."""
    for match in _FENCED.finditer(text):
        if match.start() <= at < match.end():
            return match.start(), match.end()
    return None


def items(text: str) -> list[str]:
    """Return the items of a list, without their bullets and numbers; none where the text is no list."""
    return [match[1].strip() for match in _ITEM_TEXT.finditer(text) if match[1].strip()]


def apart(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Return the stretches without those that lie in an earlier one."""
    kept: list[Stretch] = []
    for number, start, end in stretches:
        if not any(number == other and start < right and left < end for other, left, right in kept):
            kept.append((number, start, end))
    return kept
