"""Lines and sentences of a text, as spans that tile it exactly.

Rule-based and language-light: sentence ends are recognised by punctuation of Latin, Greek, Cyrillic, Armenian, Arabic,
Indic, Tibetan, Khmer, Burmese, Ethiopic, Mongolian and CJK scripts. Thai and Lao mark the end of a clause by a blank
alone: their sentences end at blanks, about a hundred characters apart. In every script a sentence has at most
MAX_SENTENCE_CHARACTERS, blanks at its end aside, and is never cut inside a grapheme cluster (a letter and its marks).
Units (`prep.model.units`) and quotable sentences are made of the spans.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Any

__all__ = [
    "MAX_SENTENCE_CHARACTERS",
    "is_pipe_rule",
    "pipe_cells",
    "printable_line",
    "split_lines",
    "split_sentences",
    "strip_span",
]

# A longer stretch without an end of a sentence is cut at weaker punctuation, a blank, or wherever it must be.
MAX_SENTENCE_CHARACTERS = 800

# What must not reach a terminal or a page as it is: C0 and C1 controls (terminal sequences), lone
# surrogates and non-characters (not writable, not allowed in HTML), and the marks that reorder text beyond
# their own line.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile(r"\s+")

_CELL_END = re.compile(r"(?<!\\)\|")
_LINE = re.compile(r"[^\n\r]*(?:\r\n|\n|\r)|[^\n\r]+\Z")
# A full stop that ends one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st mt rev hon gen col lt sgt capt gov sen rep pres vs etc inc ltd co corp dept univ "
    "no nos vol vols fig figs eq eqs sec ch pp p ed eds est approx ca cf al e.g i.e eg ie viz jan feb mar apr jun "
    "jul aug sep sept oct nov dec mon tue wed thu fri sat sun u.s u.k u.n d.c a.m p.m ph.d b.a m.a".split()
)
_CLOSERS = "\"'”’»)\\]】）」』"
# Either a mark that no blank need follow (CJK, Khmer, Burmese, Tibetan, Ethiopic, Mongolian), or a Latin, Armenian,
# Arabic or Indic end followed by blank space.
_ENDS_BEFORE_BLANK = ".!?؟۔।॥։՜՞܀܁܂᙮꓿߸"
_SENTENCE_END = re.compile(
    rf"[。！？｡…។៕၊။།༎።፧፨᠃]+[{_CLOSERS}]*\s*"
    rf"|(?<![{_ENDS_BEFORE_BLANK}])[{_ENDS_BEFORE_BLANK}]++[{_CLOSERS}]*+(?:\[\d+\])*+(?:\s+|\Z)"
)
_WORD = re.compile(r"\w")
# Thai and Lao: letters that no blank parts, and how long a sentence grows before it ends at a blank.
_UNMARKED = re.compile(r"[\u0e00-\u0e7f\u0e80-\u0eff]")
_UNMARKED_CHARACTERS = 100
_WEAK_ENDS = (
    re.compile(r"[;；:：·་፤፥][^\S\n]*"),
    re.compile(r"[,，、،؛၊၌፣]\s*|[ \t][–—][ \t]"),
    re.compile(r"\s+"),
)
_MAX_LABEL_INDENT = 100
_MAX_CLUSTER_CHARACTERS = 64
_LAST_WORD = re.compile(r"[\w.]+\Z")


def printable_line(text: str) -> str:
    """Return `text` on one line and printable: blank space folded, what a terminal would act on replaced."""
    line = _BLANKS.sub(" ", _UNPRINTABLE.sub("\ufffd", _REORDERING.sub("", text))).strip()
    return line or ("\ufffd" if text else "")


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
    if _UNMARKED.search(text, start, stop) is not None:
        breaks.extend(_unmarked_ends(text, start, stop, breaks))
    breaks.extend(
        match.end() for match in _STRUCTURE_BREAK.finditer(text, start, stop) if start < match.end() < stop
    )
    edges = sorted({start, stop, *breaks})
    spans: list[tuple[int, int]] = []
    for left, right in pairwise(edges):
        if spans and text[left - 1] != "\n" and _WORD.search(text, left, right) is None:
            spans[-1] = (spans[-1][0], right)  # marks alone (". . .") belong to the sentence before them
        else:
            spans.append((left, right))
    short = [part for left, right in _join_blank(text, spans) for part in _cut_long(text, left, right)]
    return _join_blank(text, short) if len(short) > len(spans) else short


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


def pipe_cells(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return the spans of the cells of a pipe table's row, without the blanks, bars and quote marks around them.

    >>> [("| a | b\\\\|c |"[left:right]) for left, right in pipe_cells("| a | b\\\\|c |")]
    ['a', 'b\\\\|c']
    """
    end = len(text) if end is None else end
    while start < end and text[start] in " \t>":
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end and text[start] == "|":
        start += 1
    if start < end and text[end - 1] == "|" and text[end - 2] != "\\":
        end -= 1
    edges = [start, *(match.end() for match in _CELL_END.finditer(text, start, end)), end + 1]
    return [strip_span(text, left, right - 1) for left, right in pairwise(edges)]


def is_pipe_rule(line: str) -> bool:
    """Whether a line is the rule of a pipe table, between its header and its body: bars, dashes and colons alone."""
    plain = line.lstrip(" \t>")
    return "|" in plain and "-" in plain and not set(plain) - set("|-: \t")


def _unmarked_ends(text: str, start: int, stop: int, ends: list[int]) -> list[int]:
    """Return the blanks at which a text without marks ends its sentences, as the ends of the blanks."""
    found: list[int] = []
    pending = iter([*ends, stop])
    following = next(pending)
    last = start
    for blank in re.finditer(r"(?<=[\u0e00-\u0eff])[ \u3000\t\n]+(?=[\u0e00-\u0eff])", text[start:stop]):
        end = start + blank.end()
        while following < end:
            last, following = following, next(pending)
        if end - last >= _UNMARKED_CHARACTERS and following - end >= _UNMARKED_CHARACTERS // 2:
            found.append(end)
            last = end
    return found


def _cut_long(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cut a span above MAX_SENTENCE_CHARACTERS into parts of at most that many."""
    spans = []
    while end - start > MAX_SENTENCE_CHARACTERS:
        limit = start + MAX_SENTENCE_CHARACTERS
        cut = 0
        for pattern in _WEAK_ENDS:
            ends = [m.end() for m in pattern.finditer(text, start + MAX_SENTENCE_CHARACTERS // 2, limit)]
            if ends:
                cut = ends[-1]
                break
        cut = cut or _cluster_end(text, start, limit)
        spans.append((start, cut))
        start = cut
    spans.append((start, end))
    return spans


def _cluster_end(text: str, start: int, limit: int) -> int:
    """Return the last edge between grapheme clusters after `start`, up to `limit`; the limit where there is none."""
    cut = 0
    # A copy, since the library looks back through the whole text for the flags before a flag.
    for cluster in _grapheme_clusters().finditer(text[start : limit + _MAX_CLUSTER_CHARACTERS]):
        if start + cluster.end() > limit:
            break
        cut = cluster.end()
    return start + cut if cut else limit


@cache
def _grapheme_clusters() -> Any:
    import regex

    return regex.compile(r"\X")


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
        lead = text[max(floor, before.start() - _MAX_LABEL_INDENT) : before.start()]
        return bool(lead.rpartition("\n")[2].strip())
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
