"""Documents whose structure is known: read from folders and labelled sets, and joined to documents of several topics.

Blocks are `training.pages.blocks`; writing them down as a page with labels is `training.pages.render`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prep.errors import ConfigError, DataError
from prep.text import split_sentences
from training.pages.blocks import (
    Block,
    html_blocks,
    markdown_blocks,
    paragraph_blocks,
    rst_blocks,
    turn_blocks,
    wikitext_blocks,
)

__all__ = ["StructuredDocument", "cut_stretch", "join_documents", "parse_document", "read_structured"]

_REFERENCE_HEADINGS = re.compile(
    r"(references?|bibliography|foot ?notes|notes and references|see also|external links|further reading|"
    r"citations|sources|works cited|copyright|additional resources|参考文献|外部链接)\W*$",
    re.I,
)


@dataclass(frozen=True, slots=True)
class StructuredDocument:
    """A document as blocks in reading order."""

    id: str
    title: str
    blocks: tuple[Block, ...]


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
        "markdown": markdown_blocks,
        "rst": rst_blocks,
        "html": html_blocks,
        "wikitext": wikitext_blocks,
        "text": paragraph_blocks,
    }
    if topics:
        blocks = turn_blocks(text, topics)
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


def cut_stretch(document: StructuredDocument, characters: int, rng: random.Random) -> StructuredDocument:
    """Return a stretch of blocks of about that length: the beginning, or from a random block on."""
    blocks = document.blocks
    total = sum(len(block.text) for block in blocks)
    if total <= characters * 1.3:
        return document
    start = 0
    if rng.random() > 0.3:
        position, wanted = 0, rng.uniform(0, total - characters)
        while position < wanted:
            position += len(blocks[start].text)
            start += 1
    stop, taken = start, 0
    while stop < len(blocks) and taken < characters:
        taken += len(blocks[stop].text)
        stop += 1
    return replace(document, blocks=blocks[start:stop])
