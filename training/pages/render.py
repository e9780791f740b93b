"""Pages rendered from documents of known structure, the structure kept as labels.

A page is labelled pieces in one of several styles; the units that the prep model cuts it into take their labels from
them. Taking the structure away again is left to `training.pages.damage`.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from prep.document import ROLES, Ints, Role
from prep.model.units import Unit
from training.pages.blocks import Block
from training.pages.structured_documents import StructuredDocument

__all__ = ["Labels", "Page", "Piece", "Style", "label_units", "random_style", "render"]

Markup: TypeAlias = Literal["markdown", "rst", "wiki", "plain"]

IGNORE = -1


@dataclass(frozen=True, slots=True)
class Piece:
    """A labelled stretch of a page. The page's text is every piece's `text` and `glue` in turn.

    plain: the text without marks; empty where the piece is nothing but a mark. after: the boundary level
    that ends with it (see `prep.model.line_features.BOUNDARY_LEVELS`). block: which block it came from, -1 where
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
