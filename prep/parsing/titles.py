"""The title that a document gives itself: front matter, first heading, or the file's name made readable.

Parsers with better sources (HTML's <title>, PDF and DOCX metadata) only use `clean_title`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from typing import TYPE_CHECKING

from prep.parsing.front_matter import FRONT_MATTER

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["clean_title", "markdown_title", "plain_title", "rest_title", "title_from_name"]

# A title stands near the beginning; reading only that keeps a large file as cheap as a small one.
_HEAD_CHARACTERS = 1 << 15
_FIRST_CHARACTERS = 1 << 11
_REST_HEAD_LINES = 150
_MAX_TITLE_CHARACTERS = 200
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S[^\n]*?)[ \t]*$", re.M | re.I)
_HEADER_TITLE = re.compile(r"^title:[ \t]*(\S[^\n]*(?:\n[ \t]+\S[^\n]*)*)", re.M | re.I)
_HEADER_BLOCK = re.compile(r"\A\s*(?:[A-Z][\w-]*:[^\n]*(?:\n[ \t]+\S[^\n]*)*\n){2,}", re.M)
_HTML_HEADING = re.compile(r"<h[1-6]\b[^>]*>(.*?)</h[1-6]\s*>", re.S | re.I)
_TAG = re.compile(r"<[^<>]*>")
_ATTRIBUTES = re.compile(r"\s*\{[:#.][^{}]*\}\s*\Z")  # `{#anchor .class}` after a heading
_ROLE = re.compile(r":[\w:+.-]+:`~?([^`<]*?)(?:\s*<[^`>]*>)?`")
_UNDERLINE = re.compile(r"([=\-*~^#_\"'`+:.])\1{2,}\Z")
_PRODUCER_PREFIX = re.compile(r"\A(?:microsoft (?:word|powerpoint|excel)|wordperfect document)\s*-\s*", re.I)
_FILE_NAME = re.compile(
    r"\.(?:docx?|dotx?|pptx?|xlsx?|pdf|dvi|tex|ps|rtf|odt|indd|qxd|pmd|html?|txt|md|tmp)\Z", re.I
)
_PLACEHOLDER = re.compile(
    r"(?:untitled(?:[- ]?\d+)?|(?:new )?document\s*\d*|no title|title|slide \d+|powerpoint presentation|"
    r"presentation\s*\d*|word document|blank|none|null|unknown|layout \d+|print)\Z",
    re.I,
)


def clean_title(title: str | None) -> str:
    """Return `title` on one line of at most 200 characters, "" where it is no title.

    Placeholders ("Untitled-1"), names of files ("Microsoft Word - draft.doc") and strings without a letter or a digit
    are no titles.
    """
    line = " ".join((title or "").replace("\u00ad", "").split())
    line = _PRODUCER_PREFIX.sub("", line)
    if not any(character.isalnum() for character in line):
        return ""
    if _PLACEHOLDER.match(line) or (_FILE_NAME.search(line) and " " not in line):
        return ""
    if len(line) > _MAX_TITLE_CHARACTERS:
        cut = line[: _MAX_TITLE_CHARACTERS - 1]
        line = (cut[: cut.rfind(" ")] if " " in cut[-40:] else cut).rstrip() + "…"
    return line


def title_from_name(stem: str) -> str:
    """Return a file's stem as words: `getting-started_guide` is "Getting started guide"."""
    words = " ".join(re.sub(r"[-_]+|(?<=[^\W\d])\.(?=[^\W\d])", " ", stem).split())
    if not words:
        return stem
    return words[0].upper() + words[1:] if words.islower() else words


def markdown_title(text: str) -> str:
    """Return the front matter's title, else the first heading (`#`, underlined or HTML), else ""."""
    from markdown_it import MarkdownIt

    head = _head(text)
    front = FRONT_MATTER.match(head)
    if front is not None:
        found = _FRONT_TITLE.search(front.group(1) or front.group(2) or "")
        title = clean_title(_unquoted(found.group(1))) if found else ""
        if title:
            return title
        head = head[front.end() :]
    # Most titles stand in the first lines, and parsing is what reading a small file costs.
    first = head[: head.rfind("\n", 0, _FIRST_CHARACTERS) + 1]
    for part in (first, head):
        title = _first_heading(MarkdownIt("commonmark").parse(part))
        if title:
            return title
    return ""


def rest_title(text: str) -> str:
    """Return the title: a `Title:` header as PEPs have, the title directive, the first section's; else ""."""
    from docutils import nodes
    from docutils.core import publish_doctree

    head = "\n".join(_head(text).splitlines()[:_REST_HEAD_LINES])
    header = _HEADER_BLOCK.match(head + "\n")
    if header is not None:
        found = _HEADER_TITLE.search(header.group())
        if found is not None:
            return clean_title(found.group(1))
    try:
        tree = publish_doctree(
            head,
            settings_overrides={
                "_disable_config": True,
                "file_insertion_enabled": False,
                "raw_enabled": False,
                "report_level": 5,
                "halt_level": 5,
                "warning_stream": False,
            },
        )
    except RecursionError:  # docutils reads nested blocks by recursion
        return ""
    titles = [tree.get("title") or ""]
    for node in tree.findall(nodes.title):
        if isinstance(node.parent, (nodes.document, nodes.section)):
            titles.append(node.astext())
            break
    # Roles that only Sphinx knows stay in the text as they were written.
    return next((title for title in (clean_title(_ROLE.sub(r"\1", text)) for text in titles) if title), "")


def plain_title(text: str) -> str:
    """Return the first line where it is marked as a title (`# `, `= … =`, underlined), else ""."""
    lines = [line.strip() for line in _head(text).split("\n")[:50]]
    while lines and not lines[0]:
        lines.pop(0)
    if lines and _UNDERLINE.match(lines[0]):  # a line above the title, as reST allows
        lines.pop(0)
    if not lines:
        return ""
    marked = re.match(r"#{1,6}\s+(.*?)\s*#*\Z|(={1,6})\s+(.*?)\s+\2\Z", lines[0])
    if marked is not None:
        return clean_title(marked.group(1) or marked.group(3))
    underlined = len(lines) > 1 and _UNDERLINE.match(lines[1])
    if underlined and len(lines[0]) <= _MAX_TITLE_CHARACTERS and len(lines[1]) >= min(len(lines[0]) // 2, 3):
        return clean_title(lines[0])
    return ""


def _head(text: str) -> str:
    head = text[:_HEAD_CHARACTERS].removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text) <= _HEAD_CHARACTERS:
        return head
    return head[: head.rfind("\n") + 1] or head


def _first_heading(tokens: Sequence[Token]) -> str:
    for position, token in enumerate(tokens):
        title = ""
        if token.type == "heading_open":
            title = clean_title(_ATTRIBUTES.sub("", _inline_text(tokens[position + 1])))
        elif token.type == "html_block":
            heading = _HTML_HEADING.search(token.content)
            title = clean_title(unescape(_TAG.sub("", heading.group(1)))) if heading else ""
        if title:
            return title
    return ""


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1].replace("''", "'") if value[0] == "'" else value[1:-1].replace('\\"', '"')
    return value


def _inline_text(token: Token) -> str:
    parts: list[str] = []
    for child in token.children or []:
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(child.content)
    return "".join(parts)
