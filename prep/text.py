"""Lines and sentences of a text, as spans that tile it exactly.

Rule-based and language-light: sentence ends are recognised by punctuation of Latin, Greek, Cyrillic, Arabic,
Devanagari and CJK scripts. Units (`prep.model.units`) and quotable sentences are made of the spans.
"""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ["split_lines", "split_sentences", "strip_span"]

_LINE = re.compile(r"[^\n\r]*(?:\r\n|\n|\r)|[^\n\r]+\Z")
# A full stop that ends one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st mt rev hon gen col lt sgt capt gov sen rep pres vs etc inc ltd co corp dept univ "
    "no nos vol vols fig figs eq eqs sec ch pp p ed eds est approx ca cf al e.g i.e eg ie viz jan feb mar apr jun "
    "jul aug sep sept oct nov dec mon tue wed thu fri sat sun u.s u.k u.n d.c a.m p.m ph.d b.a m.a".split()
)
_CLOSERS = "\"'”’»)\\]】）」』"
# Either CJK punctuation (no blank needed after it), or a Latin, Arabic or Indic end followed by blank space.
_SENTENCE_END = re.compile(rf"[。！？｡…]+[{_CLOSERS}]*\s*|[.!?؟۔।]+[{_CLOSERS}]*(?:\[\d+\])*(?:\s+|\Z)")
_LAST_WORD = re.compile(r"[\w.]+\Z")


def split_lines(text: str) -> list[tuple[int, int]]:
    """Return the spans of the lines of `text`, line ends included; they tile it. Empty for an empty text."""
    return [match.span() for match in _LINE.finditer(text)]


def split_sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return the spans of the sentences in text[start:end], trailing blanks included; they tile that stretch.

    A line end also ends a sentence when a blank line, a list item, a table row or a heading follows, so that
    structure never joins two statements; a line end inside a wrapped paragraph does not.
    """
    stop = len(text) if end is None else end
    breaks: list[int] = []
    for match in _SENTENCE_END.finditer(text, start, stop):
        if match.end() < stop and not _ends_sentence(text, start, match):
            continue
        breaks.append(match.end())
    breaks.extend(
        match.end() for match in _STRUCTURE_BREAK.finditer(text, start, stop) if start < match.end() < stop
    )
    edges = sorted({start, stop, *breaks})
    spans = [(left, right) for left, right in pairwise(edges) if left < right]
    return _join_blank(text, spans)


def strip_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without the blank space at its ends; (start, start) where there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


_STRUCTURE_BREAK = re.compile(
    r"\n[ \t]*\n\s*"  # a blank line
    r"|\n(?=[ \t]*(?:[-*+•·–]|\d{1,3}[.)]|[a-zA-Z][.)])[ \t]+\S)"  # before a list item
    r"|\n(?=[ \t]*\|)"  # before a table row
    r"|\n(?=#{1,6}[ \t])"  # before a heading
    r"|(?<=[:：])\n"  # after a line that announces something
)


def _ends_sentence(text: str, floor: int, match: re.Match[str]) -> bool:
    mark = match.group().strip()
    if not mark.startswith("."):
        return True
    following = text[match.end()] if match.end() < len(text) else ""
    if following.islower():
        return False
    if mark.startswith(".."):
        return True
    before = _LAST_WORD.search(text, max(floor, match.start() - 24), match.start())
    if before is None:
        return True
    word = before.group()
    if word.lower() in _ABBREVIATIONS:
        return False
    # A single capital is an initial ("J. Smith"); a bare number that opens a line is a list label ("1. Install").
    if len(word) == 1 and word.isupper() and word != "I":
        return False
    if word.isdigit() and len(word) <= 3:
        line_start = text.rfind("\n", floor, before.start()) + 1
        return bool(text[max(line_start, floor) : before.start()].strip())
    return True


def _join_blank(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join a span of nothing but blanks to its neighbour, so that every sentence has text."""
    joined: list[tuple[int, int]] = []
    lead: int | None = None
    for left, right in spans:
        if not text[left:right].strip():
            if joined:
                joined[-1] = (joined[-1][0], right)
            elif lead is None:
                lead = left
            continue
        joined.append((left if lead is None else lead, right))
        lead = None
    return joined or ([(spans[0][0], spans[-1][1])] if spans else [])
