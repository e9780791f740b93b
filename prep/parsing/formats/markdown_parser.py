"""Markdown as it is written, but for what its reader does not see: HTML comments are left out, HTML tables become rows.

Line ends are `\\n` already. Fences and code in a line are CommonMark's (`markdown-it`), so that a comment in an example
stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prep.containers import block_tokens
from prep.parsing.front_matter import read_front_matter
from prep.parsing.parsed import Parsed
from prep.parsing.titles import markdown_title

__all__ = ["parse_markdown"]

_TABLE = re.compile(r"^[ \t]*<table\b(?:(?!</?table\b).){0,400000}</table\s*>[ \t]*$", re.S | re.I | re.M)
_CODE_SPAN = re.compile(r"(?<!`)(`{1,10})(?!`)[^`\n]{1,500}\1(?!`)")


def parse_markdown(text: str) -> Parsed:
    """Return the text without comments, tables of HTML as rows, its title, and its front matter as metadata."""
    metadata, losses = read_front_matter(text)
    if "<!--" in text or re.search("<table", text, re.I):
        text = _shown(text)
    return Parsed(markdown_title(text), text, losses, metadata=metadata)


def _shown(text: str) -> str:
    """Rewrite what stands outside code; stretches of code are put back as they were."""
    edges = _line_starts(text)
    code = [(edges[first], edges[last]) for first, last in _code_lines(text)]
    parts: list[str] = []
    position = 0
    for start, end in [*code, (len(text), len(text))]:
        parts.append(_rewritten(text[position:start]))
        parts.append(text[start:end])
        position = end
    return "".join(parts)


def _rewritten(text: str) -> str:
    if "<!--" in text:
        spans = [found.span() for found in _CODE_SPAN.finditer(text)] if "`" in text else []
        parts, position, at = [], 0, 0
        for start, end in _comments(text):
            while at < len(spans) and spans[at][1] <= start:
                at += 1
            if at < len(spans) and spans[at][0] < start:
                continue
            parts.append(text[position:start])
            position = end
            if text[start - 1 : start] in ("", "\n") and text[position : position + 1] == "\n":
                position += 1  # the comment had its lines to itself
        text = "".join([*parts, text[position:]])
    if re.search("<table", text, re.I):
        text = _TABLE.sub(_table_rows, text)
    return text


def _comments(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of comments; one that never closes is none."""
    end = 0
    while (start := text.find("<!--", end)) >= 0 and (close := text.find("-->", start + 4)) >= 0:
        end = close + 3
        yield start, end


def _table_rows(found: re.Match[str]) -> str:
    from prep.parsing.formats.html_parser import parse_html

    return "\n" + parse_html(found.group().encode("utf-8")).text.rstrip("\n")


def _line_starts(text: str) -> list[int]:
    starts = [0]
    while (end := text.find("\n", starts[-1])) >= 0:
        starts.append(end + 1)
    return [*starts, len(text)]


def _code_lines(text: str) -> list[tuple[int, int]]:
    return [
        (token.map[0], token.map[1])
        for token in block_tokens(text)
        if token.type in ("fence", "code_block") and token.map is not None
    ]
