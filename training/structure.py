"""Documents whose structure is known, and pages rendered from them with the structure kept as labels.

Reads Markdown, reST, HTML, wikitext and meetings with topics into blocks (`StructuredDocument`), renders
blocks as a `Page` of labelled pieces in one of several styles, and labels the units the prep model cuts a
page into. Taking the structure away again is left to `training.damage`.
"""

from __future__ import annotations

import json
import random
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from prep.document import ROLES, Ints, Role
from prep.errors import ConfigError, DataError
from prep.structure import Unit
from prep.text import split_sentences

__all__ = [
    "Block",
    "Labels",
    "Page",
    "Piece",
    "StructuredDocument",
    "Style",
    "join_documents",
    "label_units",
    "parse_document",
    "random_style",
    "read_structured",
    "render",
]

Markup: TypeAlias = Literal["markdown", "rst", "wiki", "plain"]

IGNORE = -1
_REFERENCE_HEADINGS = re.compile(
    r"(references?|bibliography|foot ?notes|notes and references|see also|external links|further reading|"
    r"citations|sources|works cited|copyright|additional resources|参考文献|外部链接)\W*$",
    re.I,
)


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


@dataclass(frozen=True, slots=True)
class StructuredDocument:
    """A document as blocks in reading order."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A labelled stretch of a page. The page's text is every piece's `text` and `glue` in turn.

    plain: the text without marks; empty where the piece is nothing but a mark. after: the boundary level
    that ends with it (see `prep.structure.BOUNDARY_LEVELS`). block: which block it came from, -1 where
    inserted.
    """

    text: str
    plain: str
    role: Role
    level: int
    after: int
    glue: str
    block: int


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered document: pieces, its title, and the names of the damages done to it."""

    pieces: tuple[Piece, ...]
    title: str
    document_id: str = ""
    damages: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The page as a reader of plain text sees it."""
        return "".join(piece.text + piece.glue for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How blocks are written down."""

    markup: Markup = "markdown"
    inline: bool = False
    bullet: str = "-"
    numbered: bool = False
    table: Literal["pipes", "tabs", "columns"] = "pipes"
    fences: bool = True
    show_title: bool = True


@dataclass(frozen=True, slots=True)
class Labels:
    """Targets per unit: boundary (n,) in 0..3, role (n,) in 0..7, level (n,) in 0..2; -1 where there is
    none.
    """

    boundary: Ints = field(repr=False)
    role: Ints = field(repr=False)
    level: Ints = field(repr=False)


# ---- reading


def read_structured(folder: str | Path, *, limit: int | None = None) -> Iterator[StructuredDocument]:
    """Read a labelled set's `documents.jsonl`, or every structured file below a folder.

    Files are .md, .markdown, .rst, .html, .htm, .wiki; anything else is passed over. Raises DataError for
    rows that do not follow the schema.
    """
    root = Path(folder)
    table = root / "documents.jsonl"
    if table.is_file():
        with table.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream):
                if limit is not None and number >= limit:
                    return
                try:
                    row = json.loads(line)
                    name, title, text = str(row["id"]), str(row["title"]), str(row["text"])
                except (ValueError, KeyError) as error:
                    raise DataError(
                        f"{table} line {number + 1} does not follow the schema: {error}"
                    ) from error
                topics = [(int(t["start"]), int(t["end"])) for t in row.get("topics", [])]
                yield parse_document(name, title, text, str(row.get("format", "text")), topics=topics)
        return
    formats = {".md": "markdown", ".markdown": "markdown", ".rst": "rst", ".html": "html", ".htm": "html"}
    formats[".wiki"] = "wikitext"
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in formats)
    for path in files[:limit]:
        text = path.read_text(encoding="utf-8", errors="replace")
        name = path.relative_to(root).as_posix()
        yield parse_document(name, path.stem, text, formats[path.suffix.lower()])


def parse_document(
    document_id: str,
    title: str,
    text: str,
    format: str,
    *,
    topics: Sequence[tuple[int, int]] = (),
) -> StructuredDocument:
    """Read one document's blocks. Formats: markdown, rst, html, wikitext, text (paragraphs), with topic
    spans.
    """
    parsers = {
        "markdown": _markdown,
        "rst": _rst,
        "html": _html,
        "wikitext": _wikitext,
        "text": _paragraphs,
    }
    if topics:
        blocks = _turns(text, topics)
    else:
        parser = parsers.get({"md": "markdown", "rest": "rst", "wiki": "wikitext"}.get(format, format))
        if parser is None:
            raise ConfigError(f"format {format!r} is not one of {sorted(parsers)}")
        blocks = parser(text)
    blocks = [block for block in blocks if block.text.strip()]
    blocks = _mark_references(blocks)
    first = blocks[0] if blocks else None
    if first is not None and first.role == "heading" and _alone_at_top(blocks):
        blocks[0] = replace(first, role="title")
        title = first.text
    return StructuredDocument(document_id, title, tuple(blocks))


def _alone_at_top(blocks: Sequence[Block]) -> bool:
    top = blocks[0].level
    return top == 1 and not any(block.role == "heading" and block.level <= top for block in blocks[1:])


def _mark_references(blocks: Sequence[Block]) -> list[Block]:
    """Everything below a heading that announces references is one."""
    marked: list[Block] = []
    under = 0
    for block in blocks:
        if block.role == "heading":
            if under and block.level <= under:
                under = 0
            if _REFERENCE_HEADINGS.match(block.text):
                under = block.level
        elif under and block.role in ("text", "list"):
            block = replace(block, role="reference")
        marked.append(block)
    return marked


def _markdown(text: str) -> list[Block]:
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


def _rst(text: str) -> list[Block]:
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


def _html(text: str) -> list[Block]:
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


def _wikitext(text: str) -> list[Block]:
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


def _paragraphs(text: str) -> list[Block]:
    return [Block("text", " ".join(part.split())) for part in re.split(r"\n\s*\n|\n(?=\S)", text)]


def _turns(text: str, topics: Sequence[tuple[int, int]]) -> list[Block]:
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


def join_documents(
    documents: Sequence[StructuredDocument], rng: random.Random, *, n_stretches: int = 8
) -> StructuredDocument:
    """Put stretches of several documents' prose one after another: every seam is a topic boundary.

    The construction of Choi (2000, https://aclanthology.org/A00-2004), on paragraphs cut to 3..12 sentences.
    """
    blocks: list[Block] = []
    for _ in range(n_stretches):
        document = rng.choice(documents)
        prose = [block for block in document.blocks if block.role == "text" and len(block.text) > 200]
        if not prose:
            continue
        at = rng.randrange(len(prose))
        wanted = rng.randint(3, 12)
        taken: list[Block] = []
        for block in prose[at:]:
            spans = split_sentences(block.text)[: wanted - sum(len(split_sentences(b.text)) for b in taken)]
            if not spans:
                break
            taken.append(Block("text", block.text[: spans[-1][1]].strip()))
        if taken:
            taken[-1] = replace(taken[-1], topic_ends=True)
            blocks.extend(taken)
    names = "+".join(document.id for document in documents)
    return StructuredDocument(f"joined:{names}", "", tuple(blocks))


# ---- rendering


def random_style(rng: random.Random) -> Style:
    """Draw a style."""
    return Style(
        markup=rng.choice(("markdown", "markdown", "rst", "wiki", "plain")),
        inline=rng.random() < 0.4,
        bullet=rng.choice("-*+•"),
        numbered=rng.random() < 0.25,
        table=rng.choice(("pipes", "pipes", "tabs", "columns")),
        fences=rng.random() < 0.8,
        show_title=rng.random() < 0.8,
    )


def render(document: StructuredDocument, style: Style) -> Page:
    """Write a document down as a page. Block order is kept; a code block is one piece per line."""
    pieces: list[Piece] = []
    blocks = document.blocks
    shallowest = min((block.level for block in blocks if block.role == "heading"), default=1)
    number = 0
    for i, block in enumerate(blocks):
        following = blocks[i + 1] if i + 1 < len(blocks) else None
        after = _after(block, following)
        glue = "\n" if following is None else _glue(block, following)
        if block.role == "title" and not style.show_title:
            continue
        number = number + 1 if block.role == "list" else 0
        if block.role in ("heading", "title"):
            level = 0 if block.role == "title" else min(block.level - shallowest, 2)
            pieces.extend(_heading_pieces(block, style, level, after, glue, i))
        elif block.role == "code":
            pieces.extend(_code_pieces(block, style, after, glue, i))
        elif block.role == "table":
            shown = _row(block.text, style) if "\t" in block.text else block.text
            pieces.append(Piece(shown, block.text, "table", -1, after, glue, i))
        else:
            words = block.raw if style.inline and block.raw else block.text
            if block.role == "list" and style.markup != "plain":
                mark = f"{number}." if style.numbered else style.bullet
                if style.markup == "wiki":
                    words = ("#" if style.numbered else "*") * max(block.level, 1) + " " + words
                else:
                    words = "  " * (max(block.level, 1) - 1) + f"{mark} {words}"
            pieces.append(Piece(words, block.text, block.role, -1, after, glue, i))
    return Page(tuple(pieces), document.title, document.id)


def _after(block: Block, following: Block | None) -> int:
    if following is None:
        return 3
    if block.role in ("heading", "title") and not block.topic_ends:
        return 0
    if block.topic_ends or following.role == "heading":
        return 3
    if block.role == following.role and block.role in ("list", "table", "boilerplate"):
        return 1
    return 2


def _glue(block: Block, following: Block) -> str:
    same = block.role == following.role and block.role in ("list", "table", "boilerplate")
    return "\n" if same else "\n\n"


def _heading_pieces(
    block: Block, style: Style, level: int, after: int, glue: str, number: int
) -> Iterator[Piece]:
    role = block.role
    shown = max(block.level, 1)
    if style.markup == "markdown":
        yield Piece("#" * min(shown, 6) + " " + block.text, block.text, role, level, after, glue, number)
    elif style.markup == "wiki":
        marks = "=" * min(shown, 6)
        yield Piece(f"{marks} {block.text} {marks}", block.text, role, level, after, glue, number)
    elif style.markup == "rst":
        mark = "=-~^\"'"[min(shown, 6) - 1]
        yield Piece(block.text, block.text, role, level, 0, "\n", number)
        yield Piece(mark * len(block.text), "", role, -1, after, glue, number)
    else:
        yield Piece(block.text, block.text, role, level, after, glue, number)


def _code_pieces(block: Block, style: Style, after: int, glue: str, number: int) -> Iterator[Piece]:
    lines = block.text.split("\n")
    fenced = style.markup == "markdown" and style.fences
    if fenced:
        yield Piece("```", "", "code", -1, 0, "\n", number)
    indent = "    " if not fenced and style.markup != "wiki" else ""
    for j, line in enumerate(lines):
        last = j == len(lines) - 1
        closes = last and not fenced
        blank_next = not last and not lines[j + 1].strip()
        if not line.strip() and not last:
            if j and lines[j - 1].strip():
                continue  # a blank line is the glue of the line before it
            continue
        space = "\n\n" if blank_next else "\n"
        level_after = after if closes else (1 if blank_next else 0)
        yield Piece(indent + line, line, "code", -1, level_after, glue if closes else space, number)
    if fenced:
        yield Piece("```", "", "code", -1, after, glue, number)


def _row(text: str, style: Style) -> str:
    cells = text.split("\t")
    if style.table == "pipes":
        return "| " + " | ".join(cells) + " |"
    return (
        "\t".join(cells) if style.table == "tabs" else "   ".join(cell.ljust(12) for cell in cells).rstrip()
    )


# ---- labels


def label_units(page: Page, units: Sequence[Unit]) -> Labels:
    """Give every unit of `page.text` its targets.

    A unit's boundary is that of the piece that ends with it; inside a piece it is a sentence end or nothing.
    Its role is that of the piece it overlaps most; a level is given to headings alone.
    """
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for piece in page.pieces:
        starts.append(position)
        position += len(piece.text)
        ends.append(position)
        position += len(piece.glue)
    boundary = np.full(len(units), IGNORE, dtype=np.int64)
    role = np.full(len(units), IGNORE, dtype=np.int64)
    level = np.full(len(units), IGNORE, dtype=np.int64)
    text = page.text
    for i, unit in enumerate(units):
        stop = unit.end
        while stop > unit.start and text[stop - 1].isspace():
            stop -= 1
        if stop == unit.start or not starts:
            continue
        last = bisect_right(starts, stop - 1) - 1
        if stop >= ends[last]:
            boundary[i] = page.pieces[last].after
        else:
            boundary[i] = 1 if unit.sentence and page.pieces[last].role != "code" else 0
        first = max(bisect_right(starts, unit.start) - 1, 0)
        best = max(range(first, last + 1), key=lambda p: min(ends[p], stop) - max(starts[p], unit.start))
        role[i] = ROLES.index(page.pieces[best].role)
        level[i] = page.pieces[best].level
    return Labels(boundary, role, level)
