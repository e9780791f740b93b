"""The blocks of a document, read from Markdown, reST, HTML, wikitext, paragraphs, and meetings with topics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prep.document import Role

__all__ = [
    "Block",
    "html_blocks",
    "markdown_blocks",
    "paragraph_blocks",
    "rst_blocks",
    "turn_blocks",
    "wikitext_blocks",
]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a document: a heading, a paragraph, a list item, a table row, a code block.

    text: without marks; cells of a row are separated by tabs. raw: with inline marks, where they differ.
    level: of a heading, 1 outermost; of a list item, its depth from 1; else 0. topic_ends: a topic ends with
    it, whatever follows.
    """

    role: Role
    text: str
    level: int = 0
    raw: str = ""
    topic_ends: bool = False


def markdown_blocks(text: str) -> list[Block]:
    from markdown_it import MarkdownIt

    blocks: list[Block] = []
    front = re.match(r"\A---\n(.*?)\n---\n", text, re.S)
    if front:
        blocks.extend(Block("table", line.strip()) for line in front.group(1).split("\n") if line.strip())
        if blocks:
            blocks[-1] = replace(blocks[-1], topic_ends=True)
        text = text[front.end() :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    lists: list[str] = []
    fresh_item = False
    cells: list[str] = []
    heading = 0
    in_row = False
    for token in tokens:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            lists.append(kind)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif kind == "list_item_open":
            fresh_item = True
        elif kind == "heading_open":
            heading = int(token.tag[1])
        elif kind == "heading_close":
            heading = 0
        elif kind == "tr_open":
            cells, in_row = [], True
        elif kind == "tr_close":
            blocks.append(Block("table", "\t".join(cells)))
            in_row = False
        elif kind in ("fence", "code_block"):
            code = token.content.rstrip("\n")
            if kind == "code_block" and _reads_as_prose(code):  # indented by accident, not by intent
                blocks.append(Block("text", " ".join(code.split())))
            else:
                blocks.append(Block("code", code))
            fresh_item = False
        elif kind == "inline":
            plain, raw = _inline_text(token), " ".join(token.content.split())
            if in_row:
                cells.append(plain)
            elif heading:
                blocks.append(Block("heading", _clean_heading(plain), heading))
            elif lists and fresh_item:
                blocks.append(Block("list", plain, len(lists), raw))
                fresh_item = False
            else:
                blocks.append(Block("text", plain, 0, raw))
    for line in text.split("\n"):
        if re.match(r" {0,3}\[[^\]]+\]:\s+\S", line):
            blocks.append(Block("reference", line.strip()))
    return blocks


def _inline_text(token: object) -> str:
    parts: list[str] = []
    for child in getattr(token, "children", None) or []:
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(child.content)
    return " ".join("".join(parts).split())


def _reads_as_prose(code: str) -> bool:
    words = code.split()
    marks = sum(c in "{}()[];=<>_\\$|" for c in code)
    return len(words) >= 12 and marks < 0.02 * len(code)


def _clean_heading(text: str) -> str:
    return re.sub(r"\s*\{#[\w-]+\}\s*$", "", text).strip()


_RULE = re.compile(r"([=\-~^\"'`*+#:._])\1{2,}\s*$")
_RST_ITEM = re.compile(r"(\s*)([-*+•]|\d{1,3}[.)]|#\.|\([a-z0-9]\))\s+(\S.*)")


def rst_blocks(text: str) -> list[Block]:
    blocks: list[Block] = []
    styles: list[str] = []
    lines = text.expandtabs(8).split("\n")
    i = 0
    fields = re.compile(r":?([A-Z][\w-]+):\s+\S")
    while i < len(lines) and fields.match(lines[i]):
        blocks.append(Block("table", lines[i].strip().lstrip(":")))
        i += 1
        while i < len(lines) and lines[i][:1] == " " and lines[i].strip():
            blocks[-1] = replace(blocks[-1], text=blocks[-1].text + " " + lines[i].strip())
            i += 1
    if blocks:
        blocks[-1] = replace(blocks[-1], topic_ends=True)
    while i < len(lines):
        line = lines[i]
        if not line.strip():
            i += 1
            continue
        under = lines[i + 1] if i + 1 < len(lines) else ""
        if _is_rst_heading(line, under):
            if under[0] not in styles:
                styles.append(under[0])
            blocks.append(Block("heading", _rst_inline(line.strip()), styles.index(under[0]) + 1))
            i += 2
            continue
        if _RULE.match(line):
            i += 1
            continue
        if re.match(r"\s*\.\. ", line):
            start = i
            i += 1
            body = []
            while i < len(lines) and (not lines[i].strip() or lines[i][:1] == " "):
                body.append(lines[i])
                i += 1
            head = lines[start].strip()
            if re.match(r"\.\. (?:code|code-block|sourcecode|parsed-literal)::", head):
                code = _dedent([b for b in body if not re.match(r"\s+:\w+:", b)])
                blocks.append(Block("code", code))
            elif re.match(r"\.\. (?:\[|_)", head):
                blocks.append(
                    Block("reference", " ".join([head[3:], *(b.strip() for b in body if b.strip())]))
                )
            elif re.match(r"\.\. (?:note|warning|important|tip|caution|seealso|topic)::", head):
                words = " ".join([head.split("::", 1)[1], *(b.strip() for b in body)])
                blocks.append(Block("text", _rst_inline(" ".join(words.split()))))
            continue
        if item := _RST_ITEM.match(line):
            depth = len(item.group(1)) // 2 + 1
            said = [item.group(3)]
            indent = len(line) - len(item.group(3))
            i += 1
            while i < len(lines) and lines[i].strip() and _indent(lines[i]) >= min(indent, 2):
                if _RST_ITEM.match(lines[i]):
                    break
                said.append(lines[i].strip())
                i += 1
            blocks.append(Block("list", _rst_inline(" ".join(said)), depth, " ".join(said)))
            continue
        start = i
        said = []
        while i < len(lines) and lines[i].strip() and not (said and _RST_ITEM.match(lines[i])):
            said.append(lines[i].strip())
            i += 1
        paragraph = " ".join(said)
        base = _indent(lines[start])
        plain = _rst_inline(paragraph.removesuffix(":") if paragraph.endswith("::") else paragraph)
        if plain.strip(": "):
            blocks.append(Block("text", plain, 0, paragraph))
        if paragraph.endswith("::"):
            body = []
            j = i
            while j < len(lines) and (not lines[j].strip() or _indent(lines[j]) > base):
                body.append(lines[j])
                j += 1
            if any(b.strip() for b in body):
                blocks.append(Block("code", _dedent(body)))
            i = max(j, i)
    return blocks


def _is_rst_heading(line: str, under: str) -> bool:
    ruled = bool(_RULE.match(under)) and not _RULE.match(line) and line[:1] != " "
    return ruled and len(under.strip()) >= 0.6 * len(line.strip())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dedent(lines: Sequence[str]) -> str:
    full = [line for line in lines if line.strip()]
    cut = min((_indent(line) for line in full), default=0)
    return "\n".join(line[cut:].rstrip() for line in lines).strip("\n")


def _rst_inline(text: str) -> str:
    text = re.sub(r":[\w:-]+:`([^`<]+)(?:<[^>]+>)?`", r"\1", text)
    text = re.sub(r"``([^`]+)``", r"\1", text)
    text = re.sub(r"`([^`<]+?)\s*(?:<[^>]+>)?`__?", r"\1", text)
    text = re.sub(r"\*\*([^*]+)\*\*|\*([^*]+)\*", lambda m: m.group(1) or m.group(2), text)
    return " ".join(text.split())


def html_blocks(text: str) -> list[Block]:
    from bs4 import BeautifulSoup
    from bs4.element import Tag

    soup = BeautifulSoup(text, "lxml")
    for gone in soup(["script", "style", "noscript", "template"]):
        gone.decompose()
    blocks: list[Block] = []
    names = ["h1", "h2", "h3", "h4", "h5", "h6", "p", "li", "tr", "pre", "dt", "dd", "blockquote"]
    for element in (soup.body or soup).find_all(names):
        if not isinstance(element, Tag) or element.find_parent("pre"):
            continue
        chrome = element.find_parent(["nav", "footer", "header", "aside"])
        if element.name == "pre":
            blocks.append(Block("code", element.get_text().strip("\n")))
            continue
        if element.name in ("li", "blockquote", "dd"):
            nested = element.find(["p", "ul", "ol", "pre"])
            own = "".join(
                c.get_text() if isinstance(c, Tag) else str(c)
                for c in element.children
                if not (isinstance(c, Tag) and c.name in ("ul", "ol", "pre", "p"))
            )
            words = " ".join((own if nested else element.get_text(" ")).split())
        elif element.name == "tr":
            words = "\t".join(" ".join(cell.get_text(" ").split()) for cell in element.find_all(["td", "th"]))
        else:
            words = " ".join(element.get_text().split())
        if chrome is not None and not chrome.find_parent(["article", "main"]):
            blocks.append(Block("boilerplate", words))
        elif element.name[0] == "h" and element.name[1:].isdigit():
            blocks.append(Block("heading", words, int(element.name[1])))
        elif element.name == "li":
            blocks.append(Block("list", words, len(element.find_parents(["ul", "ol"])) or 1))
        elif element.name == "tr":
            blocks.append(Block("table", words))
        else:
            blocks.append(Block("text", words))
    return blocks


def wikitext_blocks(text: str) -> list[Block]:
    blocks: list[Block] = []
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped:
            continue
        heading = re.match(r"((?:=\s?)+)\s*(.*?)\s*((?:=\s?)+)$", stripped)
        if heading and heading.group(2):
            blocks.append(Block("heading", heading.group(2), heading.group(1).count("=")))
        elif item := re.match(r"([*#:;]+)\s*(\S.*)", stripped):
            blocks.append(Block("list", _wiki_inline(item.group(2)), len(item.group(1))))
        elif stripped.startswith(("{|", "|}", "|-")):
            continue
        elif stripped.startswith(("|", "!")):
            cells = re.split(r"\|\||!!", stripped[1:])
            blocks.append(Block("table", "\t".join(_wiki_inline(cell.strip()) for cell in cells)))
        else:
            blocks.append(Block("text", _wiki_inline(stripped)))
    return blocks


def _wiki_inline(text: str) -> str:
    text = re.sub(r"\[\[(?:[^|\]]*\|)?([^\]]*)\]\]", r"\1", text)
    text = re.sub(r"<ref[^>]*/>|<ref.*?</ref>|\{\{[^{}]*\}\}|'{2,}", "", text)
    return " ".join(text.split())


def paragraph_blocks(text: str) -> list[Block]:
    return [Block("text", " ".join(part.split())) for part in re.split(r"\n\s*\n|\n(?=\S)", text)]


def turn_blocks(text: str, topics: Sequence[tuple[int, int]]) -> list[Block]:
    """Lines of a meeting; the last line of each topic span ends it, and so does the line before it."""
    cuts = {end for _, end in topics} | {start for start, _ in topics if start > 0}
    blocks: list[Block] = []
    position = 0
    for line in text.split("\n"):
        stop = position + len(line) + 1
        ends = any(position < cut <= stop for cut in cuts)
        if line.strip():
            blocks.append(Block("text", " ".join(line.split()), topic_ends=ends))
        elif ends and blocks:
            blocks[-1] = replace(blocks[-1], topic_ends=True)
        position = stop
    return blocks
