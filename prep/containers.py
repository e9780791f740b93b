"""Containers of lines that are no headings: code fences, HTML blocks and comments, front matter.

Fences and HTML blocks are those of CommonMark, read by markdown-it's block rules (inline marks are never looked at).
Every answer is a span of whole lines in code points, so that a text of any line ends keeps its offsets.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["Containers", "block_tokens", "find_containers"]

# Only a text with one of these has a container that markdown-it is needed for.
_MARKS = re.compile(r"^[^\n]{0,200}?(?:```|~~~|<!--)|^[ \t>*+-]{0,40}<[a-zA-Z/!?]", re.M)
# Blocks of HTML that end with a mark of their own, however many blank lines come before it.
_OPENINGS = re.compile(r"^[ \t>*+-]{0,40}(<)(?:(!--)|(\?)|(script|pre|style|textarea)\b)", re.M | re.I)
_CLOSINGS = re.compile(r"(--)>|(\?)>|</(script|pre|style|textarea)>", re.I)
_FENCE_LINE = re.compile(r"[ \t]*(?:`{3,}[^`\n]*|~{3,}[^\n]*)$", re.M)
_FRONT_MATTER = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\n(?:[^\n]*\n){1,400}?(?:\1|\.\.\.)[ \t]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Containers:
    """Spans [start, end) in code points, in order. fences: with their marks, those left open included. hidden: HTML
    comments and front matter. html: other blocks of HTML, in which a mark of Markdown is none.
    """

    fences: list[tuple[int, int]]
    hidden: list[tuple[int, int]]
    html: list[tuple[int, int]] = field(default_factory=list)

    def fence_at(self, position: int) -> tuple[int, int] | None:
        """Return the fence that `position` lies inside of, its first character excepted; None where there is none."""
        at = bisect_right(self.fences, (position, -1)) - 1
        if at >= 0 and self.fences[at][0] < position < self.fences[at][1]:
            return self.fences[at]
        return None


def find_containers(text: str) -> Containers:
    """Return the fences and hidden blocks of a text. Linear time."""
    plain = text.replace("\r\n", " \n").replace("\r", "\n")
    hidden = [found.span() for found in [_FRONT_MATTER.match(plain)] if found is not None]
    start = hidden[0][1] if hidden else 0
    if _MARKS.search(plain, start) is None:
        return Containers([], hidden)
    edges = [start]
    while (end := plain.find("\n", edges[-1])) >= 0:
        edges.append(end + 1)
    if edges[-1] < len(plain):
        edges.append(len(plain))
    fences: list[tuple[int, int]] = []
    html: list[tuple[int, int]] = []
    for token in block_tokens(_without_unclosed(plain[start:])):
        if token.map is None:
            continue
        span = (edges[token.map[0]], edges[min(token.map[1], len(edges) - 1)])
        if token.type == "fence" or (token.type == "code_block" and _FENCE_LINE.match(token.content)):
            fences.append(span)
        elif token.type == "html_block":
            (hidden if token.content.lstrip().startswith("<!--") else html).append(span)
    return Containers(fences, hidden, html)


def _without_unclosed(text: str) -> str:
    """Return a text of the same length in which no block of HTML runs to the end because its end is missing.

    By CommonMark it would: a sentence that begins with `<script>` would hide all that comes after it.
    """
    last = [-1, -1, -1]  # where the last comment, instruction and element ends
    for closing in _CLOSINGS.finditer(text):
        last[(closing.lastindex or 1) - 1] = closing.start()
    parts: list[str] = []
    position = 0
    for opening in _OPENINGS.finditer(text):
        at = opening.start(1)
        if at > last[(opening.lastindex or 2) - 2]:
            parts += [text[position:at], "x"]
            position = at + 1
    return "".join([*parts, text[position:]])


def block_tokens(text: str) -> list[Token]:
    """Return the blocks of a text by CommonMark; what stands inside a line is not looked at."""
    tokens: list[Token] = []
    parser = _parser()
    parser.block.parse(text, parser, {}, tokens)
    return tokens


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable("reference")
