"""DOCX to text with its structure in Markdown form, as Word shows it (ECMA-376, part 1, chapter 17).

The text includes body, tables, content controls, text boxes, charts, footnotes behind the block that refers to them,
endnotes at the end, and each page header and footer once, without page numbers. Tracked changes are accepted; hidden
text, comments and field codes are left out. Numbering is computed by `docx_numbering`, the text of a paragraph read by
`docx_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from prep.parsing.formats.word.block_writer import BULLET, NO_LABEL, BlockWriter, Label, around_page_number
from prep.parsing.formats.word.docx.docx_numbering import Numbering
from prep.parsing.formats.word.docx.docx_package import DocxPackage
from prep.parsing.formats.word.docx.docx_styles import (
    ParagraphStyle,
    Styles,
    W,
    integer,
    is_on,
    is_true,
    numbering_of,
    value_of,
)
from prep.parsing.formats.word.docx.docx_text import DELETED, Float, TextReader, chosen
from prep.parsing.formats.word.table_grid import SpanBudget, TableGrid
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title

__all__ = ["parse_docx"]

ParsePart: TypeAlias = Callable[[str, bytes], Parsed]

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CONTAINERS = frozenset(
    f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag", "body")
)
_ALTERNATIVES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_BODY_TEXT = 9
_FIRST_ROW = 0x20


def parse_docx(data: bytes, memory_limit_bytes: int, parse_part: ParsePart | None = None) -> Parsed:
    """Return text, title (the core property, else the first heading) and core properties. Raises UnreadableError.

    An archive that would unpack to more than `memory_limit_bytes` is not unpacked. parse_part: reads a file of another
    format that is part of the text (`w:altChunk`), by its name; without it such a file is a loss.
    """
    package = DocxPackage(data, memory_limit_bytes)
    writer = _DocxWriter(package, parse_part)
    writer.write_all()
    properties = package.properties()
    text = writer.blocks.text()
    title = clean_title(properties.get("title")) or clean_title(writer.blocks.first_heading)
    return Parsed(title, text, tuple(writer.losses()), metadata=properties)


class _DocxWriter:
    """Walks a document's XML and writes its blocks."""

    def __init__(self, package: DocxPackage, parse_part: ParsePart | None) -> None:
        self.blocks = BlockWriter()
        self._package = package
        self._parse_part = parse_part
        self._styles = Styles(next((root for _, root in package.related("styles")), None))
        self._numbering = Numbering(
            next((root for _, root in package.related("numbering")), None), self._styles
        )
        self._reader = TextReader(package, self._styles)
        self._losses: list[tuple[str, str]] = []
        self._carried = ""  # text of paragraphs whose end is deleted: it begins the next one
        self._notes: dict[str, tuple[str, dict[str, Any]]] = {}
        self._in_note = False
        self._spans = SpanBudget()

    def losses(self) -> list[tuple[str, str]]:
        """Return what could not be read."""
        counted = [
            (where, f"{why} ({n})" if n > 1 else why) for (where, why), n in self._reader.unread.items()
        ]
        return [*self._package.losses, *self._losses, *counted]

    def write_all(self) -> None:
        """Write the document: page headers, body, endnotes, page footers."""
        self._write_margins("header")
        body = self._package.main.find(f"{W}body")
        if body is not None:
            self.write_blocks(body)
        self._reader.end_story()
        self.blocks.end_body()
        self._write_margins("footer")

    def write_blocks(self, parent: Any) -> None:
        """Write the paragraphs and tables below `parent`, in order."""
        for block in _blocks(parent):
            if block.tag == f"{W}p":
                self._write_paragraph(block)
                continue
            self._write_carried()
            if block.tag == f"{W}tbl":
                self._write_table(block)
            else:
                self._write_chunk(block)
        self._write_carried()

    def _write_carried(self) -> None:
        """Write the text of a paragraph whose end is deleted where no paragraph follows."""
        if self._carried.strip():
            self.blocks.write(self._carried)
        self._carried = ""
        self._write_floats()

    def _write_paragraph(self, paragraph: Any) -> None:
        read = self._read_paragraph(paragraph)
        if read is None:
            return
        text, label, level, properties, style = read
        heading = self._heading(properties, style)
        if style.is_code and label == NO_LABEL and heading is None:
            self.blocks.write_code(text)
        elif text.strip():
            self.blocks.write(text, label=label, heading=heading, level=max(level, style.step))
        self._write_floats()

    def _read_paragraph(self, paragraph: Any) -> tuple[str, Label, int, Any | None, ParagraphStyle] | None:
        """Return a paragraph's text, label, level in its list, properties and style.

        None where its text begins the next paragraph.
        """
        properties = paragraph.find(f"{W}pPr")
        style = self._styles.paragraph(value_of(properties, "pStyle"))
        own = self._reader.read(paragraph, style)
        if self._reader.notes:
            self._read_notes()
        mark = frame = None
        if properties is not None:
            mark, frame = properties.find(f"{W}rPr"), properties.find(f"{W}framePr")
        is_initial = frame is not None and frame.get(f"{W}dropCap") in ("drop", "margin")
        if is_initial or (mark is not None and any(mark.find(tag) is not None for tag in DELETED)):
            self._carried += own
            return None
        text, self._carried = self._carried + own, ""
        is_hidden = not text.strip() and (style.is_hidden or is_on(mark, "vanish"))
        list_id, level = (None, 0) if is_hidden else self._list_level(properties, style)
        label = self._numbering.count(list_id, level) if list_id is not None else NO_LABEL
        return text, label, level, properties, style

    def _heading(self, properties: Any | None, style: ParagraphStyle) -> int | None:
        """Return the level of a heading, from 1; None for text."""
        outline = integer(value_of(properties, "outlineLvl"))
        if outline is None or outline < 0:
            return style.heading
        return outline + 1 if outline < _BODY_TEXT else None

    def _list_level(self, properties: Any | None, style: ParagraphStyle) -> tuple[str | None, int]:
        """Return the list of a paragraph, None where it is in none, and its level in that."""
        list_id, level = numbering_of(properties)
        style_list, style_level = style.numbering
        if list_id is None:
            list_id = style_list
        if list_id is None or list_id == "0":
            return None, 0
        return list_id, self._numbering.level(list_id, level, style.names, style_level)

    def _write_floats(self) -> None:
        """Write what stands beside the last paragraph: text boxes, charts, diagrams."""
        if not self._reader.floats:
            return
        floats, self._reader.floats = self._reader.floats, []
        for one in floats:
            self.blocks.end_block()
            if one.box is not None:
                self.write_blocks(one.box)
                self.blocks.end_block()
                continue
            if one.title:
                self.blocks.write(one.title)
            if one.rows:
                self.blocks.write_table(one.rows, 1)
            for line in one.lines:
                self.blocks.write(line, label=BULLET)

    def _write_table(self, table: Any) -> None:
        rows = [row for row in _descend(table, f"{W}tr") if not _is_dropped(row)]
        cells = [[cell for cell in _descend(row, f"{W}tc") if not _is_deleted_cell(cell)] for row in rows]
        if self._is_layout(cells):
            for cell in (cell for row in cells for cell in row):
                if not _is_continued(cell):
                    self.write_blocks(cell)
                    self.blocks.end_block()
            return
        grid = TableGrid(self._spans)
        for row, found in zip(rows, cells, strict=True):
            properties = row.find(f"{W}trPr")
            grid.begin_row(n_before=integer(value_of(properties, "gridBefore")) or 0)
            for cell in found:
                span = integer(value_of(cell.find(f"{W}tcPr"), "gridSpan")) or 1
                if _is_continued(cell):
                    grid.add_continued(span)
                else:
                    grid.add(self._flat_text(cell), span, is_row=len(found) == 1)
        self.blocks.write_table(grid.rows, _header_rows(table, rows))

    def _is_layout(self, rows: list[list[Any]]) -> bool:
        """Whether a table places blocks on the page: a column of cells, or cells with headings or tables in one row."""
        if all(len(row) < 2 for row in rows):
            return True
        cells = [cell for row in rows for cell in row]
        blocks = [[block for block in _blocks(cell) if not _is_blank(block)] for cell in cells]
        if len(rows) == 1 and any(len(found) > 1 for found in blocks):
            return True
        return any(len(found) > 1 and any(map(self._is_heading, found)) for found in blocks)

    def _is_heading(self, block: Any) -> bool:
        if block.tag != f"{W}p":
            return False
        properties = block.find(f"{W}pPr")
        return self._heading(properties, self._styles.paragraph(value_of(properties, "pStyle"))) is not None

    def _flat_text(self, parent: Any) -> str:
        """Return the blocks below `parent` in one line, tables row by row."""
        parts: list[str] = []
        carried, self._carried = self._carried, ""
        for block in _blocks(parent):
            if block.tag == f"{W}tbl":
                parts.append("; ".join(filter(None, map(self._flat_row, _descend(block, f"{W}tr")))))
            elif block.tag == f"{W}p":
                parts.append(self._flat_paragraph(block))
            else:
                self._losses.append(("a part of another format", "stands in a cell of a table: not read"))
        parts.append(self._carried)
        self._carried = carried
        return " ".join(filter(None, (part.strip() for part in parts)))

    def _flat_row(self, row: Any) -> str:
        cells = () if _is_dropped(row) else _descend(row, f"{W}tc")
        return " ".join(filter(None, map(self._flat_text, cells)))

    def _flat_paragraph(self, paragraph: Any) -> str:
        read = self._read_paragraph(paragraph)
        if read is None:
            return ""
        text, label, *_ = read
        floats, self._reader.floats = self._reader.floats, []
        shown = label.before(text) if text.strip() else text
        return " ".join([shown, *map(self._flat_float, floats)])

    def _flat_float(self, one: Float) -> str:
        if one.box is not None:
            return self._flat_text(one.box)
        return "; ".join(filter(None, [one.title, *map(" ".join, one.rows), *one.lines]))

    def _read_notes(self) -> None:
        """Read the notes that the last paragraph refers to; each once, however often it is referred to."""
        if self._in_note:
            return
        self._in_note = True
        before, floats, carried = self._reader.part, self._reader.floats, self._carried
        while self._reader.notes:
            notes, self._reader.notes = self._reader.notes, []
            for note in notes:
                self._reader.part, bodies = self._note_bodies(note.kind)
                body = bodies.pop(note.name, None)
                if body is not None:
                    self._reader.floats = []
                    text = self._flat_text(body)
                    text = text.removeprefix(note.mark).lstrip() if note.is_custom else text
                    self.blocks.add_note(note.mark, text, is_endnote=note.kind == "endnote")
        self._reader.part, self._reader.floats, self._carried = before, floats, carried
        self._in_note = False

    def _note_bodies(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Return the name of the part with the notes of that kind, and their content by id."""
        if kind not in self._notes:
            part, root = next(self._package.related(f"{kind}s"), ("", None))
            found = root.iterchildren(f"{W}{kind}") if root is not None else ()
            self._notes[kind] = part, {str(note.get(f"{W}id")): note for note in found}
        return self._notes[kind]

    def _write_margins(self, kind: str) -> None:
        """Write the page headers or footers of all sections, each text once, page numbers left out."""
        seen: set[str] = set()
        self._reader.drops_page_numbers = True
        for part in self._margin_parts(kind):
            root = self._package.xml(part)
            self._reader.part = part
            lines: list[str] = []
            for block in _blocks(root) if root is not None else ():
                if block.tag == f"{W}p":
                    lines.append(self._margin_line(self._flat_paragraph(block)))
                elif block.tag == f"{W}tbl":
                    lines += [self._margin_line(self._flat_row(row)) for row in _descend(block, f"{W}tr")]
            self._reader.end_story()
            whole = "\n".join(filter(None, lines))
            if whole and whole not in seen:
                seen.add(whole)
                self.blocks.write(whole)
        self._reader.part = self._package.main_name
        self._reader.drops_page_numbers = False

    def _margin_line(self, text: str) -> str:
        had_number, self._reader.has_page_number = self._reader.has_page_number, False
        return "" if had_number and around_page_number(text) else text.strip()

    def _margin_parts(self, kind: str) -> dict[str, None]:
        """Return the names of the page headers or footers that are shown, in their order."""
        relationships = self._package.relationships(self._package.main_name)
        settings = next((root for _, root in self._package.related("settings")), None)
        parts: dict[str, None] = {}
        for section in self._package.main.iter(f"{W}sectPr"):
            shown = {"first": is_on(section, "titlePg"), "even": is_on(settings, "evenAndOddHeaders")}
            for reference in section.iterchildren(f"{W}{kind}Reference"):
                one = relationships.get(str(reference.get(f"{_R}id")))
                if (
                    one is not None
                    and not one.is_external
                    and shown.get(str(reference.get(f"{W}type")), True)
                ):
                    parts[one.target] = None
        return parts

    def _write_chunk(self, chunk: Any) -> None:
        """Write a part of another format that Word would read in here."""
        one = self._package.relationships(self._package.main_name).get(str(chunk.get(f"{_R}id")))
        data = self._package.read(one.target) if one is not None and not one.is_external else None
        if one is None or data is None or self._parse_part is None:
            self._losses.append(("a part of another format", "not read"))
            return
        try:
            parsed = self._parse_part(one.target.rpartition("/")[2], data)
        except UnreadableError as error:
            self._losses.append((f"part {one.target}", error.reason))
            return
        self._losses += [(f"part {one.target}, {where}", why) for where, why in parsed.losses]
        self.blocks.write_lines(parsed.text)


def _blocks(parent: Any) -> Iterator[Any]:
    """Yield paragraphs, tables and parts of other formats, looking into content controls and tracked insertions."""
    for child in parent:
        if child.tag in (f"{W}p", f"{W}tbl", f"{W}altChunk"):
            yield child
        elif child.tag in _CONTAINERS:
            yield from _blocks(child)
        elif child.tag == _ALTERNATIVES:
            branch = chosen(child)
            if branch is not None:
                yield from _blocks(branch)


def _descend(parent: Any, tag: str) -> Iterator[Any]:
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _descend(child, tag)


def _is_blank(block: Any) -> bool:
    return block.tag == f"{W}p" and next(block.iter(f"{W}t", f"{W}drawing", f"{W}pict"), None) is None


def _is_dropped(row: Any) -> bool:
    """Whether a row is deleted or hidden."""
    properties = row.find(f"{W}trPr")
    return properties is not None and (
        properties.find(f"{W}del") is not None or bool(is_on(properties, "hidden"))
    )


def _is_deleted_cell(cell: Any) -> bool:
    return cell.find(f"{W}tcPr/{W}cellDel") is not None


def _is_continued(cell: Any) -> bool:
    """Whether a cell goes on from the one above."""
    merge = cell.find(f"{W}tcPr/{W}vMerge")
    return merge is not None and merge.get(f"{W}val") in (None, "continue")


def _header_rows(table: Any, rows: list[Any]) -> int:
    """Return how many rows are the header: those that Word repeats on each page, else the first that looks so."""
    n_header = 0
    while n_header < len(rows) and is_on(rows[n_header].find(f"{W}trPr"), "tblHeader"):
        n_header += 1
    look = table.find(f"{W}tblPr/{W}tblLook")
    if n_header == 0 and look is not None:
        bits = str(look.get(f"{W}val") or "0")
        try:
            is_first = is_true(look.get(f"{W}firstRow")) or bool(int(bits, 16) & _FIRST_ROW)
        except ValueError:
            is_first = False
        n_header = int(is_first)
    return n_header if n_header < len(rows) else 0
