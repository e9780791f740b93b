"""DOCX to text with its structure in Markdown form, as Word shows it (ECMA-376, part 1, chapter 17).

The text includes body, tables, content controls, text boxes, charts, footnotes behind the block that refers to them,
endnotes at the end, and each page header and footer once, without page numbers. Tracked changes are accepted; hidden
text, comments and field codes are left out. Numbering is computed by `docx_numbering`, the text of a paragraph read by
`docx_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from prep.parsing.formats.word.docx_numbering import Label, Numbering
from prep.parsing.formats.word.docx_package import DocxPackage
from prep.parsing.formats.word.docx_styles import (
    ParagraphStyle,
    Styles,
    W,
    integer,
    is_on,
    is_true,
    numbering_of,
    value_of,
)
from prep.parsing.formats.word.docx_text import DELETED, Float, Note, TextReader, chosen
from prep.parsing.formats.word.table_grid import TableGrid
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.structured_text import StructuredText
from prep.parsing.titles import clean_title

__all__ = ["parse_docx"]

ParsePart: TypeAlias = Callable[[str, bytes], Parsed]

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_CONTAINERS = frozenset(
    f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag", "body")
)
_ALTERNATIVES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_BODY_TEXT = 9
# A longer paragraph in a heading's style is a clause, not a heading.
_MAX_HEADING_CHARACTERS = 300
_MAX_AROUND_PAGE_NUMBER = 16
_FIRST_ROW = 0x20
_MAX_DEPTH = 8


def parse_docx(data: bytes, memory_limit_bytes: int, parse_part: ParsePart | None = None) -> Parsed:
    """Return text, title (the core property, else the first heading) and core properties. Raises UnreadableError.

    An archive that would unpack to more than `memory_limit_bytes` is not unpacked. parse_part: reads a file of another
    format that is part of the text (`w:altChunk`), by its name; without it such a file is a loss.
    """
    package = DocxPackage(data, memory_limit_bytes)
    writer = _Writer(package, parse_part)
    writer.write_all()
    properties = package.properties()
    title = clean_title(properties.get("title")) or clean_title(writer.first_heading)
    return Parsed(title, writer.out.text(), tuple(writer.losses()), metadata=properties)


class _Writer:
    """Walks a document's XML and writes its blocks."""

    def __init__(self, package: DocxPackage, parse_part: ParsePart | None) -> None:
        self.out = StructuredText()
        self.first_heading = ""
        self._package = package
        self._parse_part = parse_part
        self._styles = Styles(next((root for _, root in package.related("styles")), None))
        self._numbering = Numbering(
            next((root for _, root in package.related("numbering")), None), self._styles
        )
        self._reader = TextReader(package, self._styles)
        self._losses: list[tuple[str, str]] = []
        self._carried = ""  # text of paragraphs whose end is deleted: it begins the next one
        self._in_list = False
        self._base = 0  # level of the outermost item of the list
        self._code: list[str] = []
        self._endnotes: list[Note] = []
        self._notes: dict[str, tuple[str, dict[str, Any]]] = {}

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
        self._end_block()
        self._reader.end_story()
        self._write_notes(is_end=True)
        self._write_margins("footer")

    def write_blocks(self, parent: Any) -> None:
        """Write the paragraphs and tables below `parent`, in order."""
        for block in _blocks(parent):
            if block.tag == f"{W}p":
                self._write_paragraph(block)
                continue
            self._write_carried()
            self._end_block()
            if block.tag == f"{W}tbl":
                self._write_table(block)
                self._write_notes()
            else:
                self._write_chunk(block)
        self._write_carried()

    def _write_carried(self) -> None:
        """Write the text of a paragraph whose end is deleted where no paragraph follows."""
        if self._carried.strip():
            self._end_block()
            self.out.separate(2)
            self._add_lines(self._carried)
            self.out.separate(2)
        self._carried = ""
        self._write_floats()

    def _end_block(self) -> None:
        """End the list and the block of code that are open."""
        if self._code:
            self.out.write_preformatted("\n".join(self._code))
            self._code.clear()
        if self._in_list:
            self._in_list = False
            self.out.separate(2)
            self._write_notes()

    def _write_paragraph(self, paragraph: Any) -> None:
        read = self._read_paragraph(paragraph)
        if read is None:
            return
        text, label, properties, style = read
        if style.is_code and label is None and self._heading(properties, style) is None:
            if not self._code:
                self._end_block()
            self._code.extend(text.split("\n"))
        elif text.strip():
            self._write_text(text, label, properties, style)
        self._write_floats()

    def _read_paragraph(self, paragraph: Any) -> tuple[str, Label | None, Any | None, ParagraphStyle] | None:
        """Return a paragraph's text, label, properties and style; None where its text begins the next paragraph."""
        properties = paragraph.find(f"{W}pPr")
        style = self._styles.paragraph(value_of(properties, "pStyle"))
        mark = properties.find(f"{W}rPr") if properties is not None else None
        own = self._reader.read(paragraph, style)
        frame = properties.find(f"{W}framePr") if properties is not None else None
        is_initial = frame is not None and frame.get(f"{W}dropCap") in ("drop", "margin")
        if is_initial or (mark is not None and any(mark.find(tag) is not None for tag in DELETED)):
            self._carried += own
            return None
        text, self._carried = self._carried + own, ""
        is_hidden = not text.strip() and (style.is_hidden or is_on(mark, "vanish"))
        return text, None if is_hidden else self._label(properties, style), properties, style

    def _write_text(
        self, text: str, label: Label | None, properties: Any | None, style: ParagraphStyle
    ) -> None:
        heading = self._heading(properties, style)
        shown = label.before(text) if label is not None else text
        if heading is not None and len(text) <= _MAX_HEADING_CHARACTERS:
            self._end_block()
            if not self.first_heading:
                self.first_heading = text
                for note in self._reader.notes:
                    self.first_heading = self.first_heading.replace(f"[{note.mark}]", "")
            self.out.separate(2)
            self._add_lines(shown)
            self.out.write_heading(heading)
        elif label is not None and (label.text or label.is_bullet):
            self._write_item(text, label, self._level(properties, style))
        else:
            self._end_block()
            self.out.separate(2)
            self._add_lines(shown)
            self.out.separate(2)
            self._write_notes()

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

    def _label(self, properties: Any | None, style: ParagraphStyle) -> Label | None:
        """Count a paragraph of a list and return its label."""
        list_id, level = self._list_level(properties, style)
        return self._numbering.count(list_id, level) if list_id is not None else None

    def _level(self, properties: Any | None, style: ParagraphStyle) -> int:
        return max(self._list_level(properties, style)[1], style.step)

    def _write_item(self, text: str, label: Label, level: int) -> None:
        if self._code:
            self._end_block()
        self._base = min(self._base, level) if self._in_list else level
        self.out.separate(1 if self._in_list else 2)
        self.out.open_indent("  " * min(level - self._base, _MAX_DEPTH))
        marker = "- " if label.is_bullet else label.before("")
        self.out.open_item(marker, is_first=not self._in_list)
        self._add_lines(text)
        self.out.close_indent()
        self.out.close_indent()
        self.out.separate(2)
        self._in_list = True

    def _write_floats(self) -> None:
        """Write what stands beside the last paragraph: text boxes, charts, diagrams."""
        floats, self._reader.floats = self._reader.floats, []
        for one in floats:
            self._end_block()
            if one.box is not None:
                carried, self._carried = self._carried, ""
                self.write_blocks(one.box)
                self._end_block()
                self._carried = carried
            else:
                self.out.separate(2)
                self._add_lines(one.title)
                self.out.separate(2)
                self.out.write_table(one.rows, n_header=1)
                for position, line in enumerate(one.lines):
                    self.out.open_item("- ", is_first=position == 0)
                    self.out.add(line)
                    self.out.close_indent()
                self.out.separate(2)

    def _write_table(self, table: Any) -> None:
        rows = [row for row in _descend(table, f"{W}tr") if not _is_dropped(row)]
        cells = [[cell for cell in _descend(row, f"{W}tc") if not _is_deleted_cell(cell)] for row in rows]
        if self._is_layout(cells):
            for cell in (cell for row in cells for cell in row):
                if not _is_continued(cell):
                    self.write_blocks(cell)
            return
        grid = TableGrid()
        for row, found in zip(rows, cells, strict=True):
            properties = row.find(f"{W}trPr")
            grid.begin_row(n_before=integer(value_of(properties, "gridBefore")) or 0)
            for cell in found:
                span = integer(value_of(cell.find(f"{W}tcPr"), "gridSpan")) or 1
                if _is_continued(cell):
                    grid.add_continued(span)
                else:
                    grid.add(self._flat_text(cell), span, is_row=len(found) == 1)
        self.out.write_table(grid.rows, n_header=_header_rows(table, rows))

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
                rows = (row for row in _descend(block, f"{W}tr") if not _is_dropped(row))
                texts = (
                    " ".join(filter(None, (self._flat_text(cell) for cell in _descend(row, f"{W}tc"))))
                    for row in rows
                )
                parts.append("; ".join(filter(None, texts)))
            elif block.tag == f"{W}p":
                parts.append(self._flat_paragraph(block))
            else:
                self._losses.append(("a part of another format", "stands in a cell of a table: not read"))
        parts.append(self._carried)
        self._carried = carried
        return " ".join(filter(None, (part.strip() for part in parts)))

    def _flat_paragraph(self, paragraph: Any) -> str:
        read = self._read_paragraph(paragraph)
        if read is None:
            return ""
        text, label, _, _ = read
        floats, self._reader.floats = self._reader.floats, []
        shown = label.before(text) if label is not None and text.strip() else text
        return " ".join([shown, *(self._flat_float(one) for one in floats)])

    def _flat_float(self, one: Float) -> str:
        if one.box is not None:
            return self._flat_text(one.box)
        return "; ".join(filter(None, [one.title, *(" ".join(row) for row in one.rows), *one.lines]))

    def _write_notes(self, *, is_end: bool = False) -> None:
        """Write the notes that the blocks before referred to, as `[1] text`; endnotes wait for the end."""
        while self._reader.notes or (is_end and self._endnotes):
            notes, self._reader.notes = self._reader.notes, []
            self._endnotes += [note for note in notes if note.kind == "endnote"]
            ready = [note for note in notes if note.kind == "footnote"]
            if is_end and not ready:
                ready, self._endnotes = self._endnotes, []
            for note in ready:
                part, bodies = self._note_bodies(note.kind)
                body = bodies.pop(note.name, None)  # written once, however often it is referred to
                if body is not None:
                    before, self._reader.part = self._reader.part, part
                    text = self._flat_text(body)
                    self._reader.part = before
                    if text:
                        self.out.separate(2)
                        self._add_lines(f"[{note.mark}] {text}")
                        self.out.separate(2)

    def _note_bodies(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Return the name of the part with the notes of that kind, and their content by id."""
        if kind not in self._notes:
            part, root = next(self._package.related(f"{kind}s"), ("", None))
            found = root.iterchildren(f"{W}{kind}") if root is not None else ()
            self._notes[kind] = part, {str(note.get(f"{W}id")): note for note in found}
        return self._notes[kind]

    def _write_margins(self, kind: str) -> None:
        """Write the page headers or footers of all sections, each text once, lines with page numbers left out."""
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
                    for row in _descend(block, f"{W}tr"):
                        texts = (self._margin_line(self._flat_text(cell)) for cell in _descend(row, f"{W}tc"))
                        lines.append(" ".join(filter(None, texts)))
            self._reader.end_story()
            whole = "\n".join(filter(None, lines))
            if whole and whole not in seen:
                seen.add(whole)
                self.out.separate(2)
                self._add_lines(whole)
                self.out.separate(2)
        self._reader.part = self._package.main_name
        self._reader.drops_page_numbers = False

    def _margin_line(self, text: str) -> str:
        """Return a line of a page header; "" for what stood around a page number alone ("Page of")."""
        plain = text.strip()
        is_around = self._reader.has_page_number and len(plain) <= _MAX_AROUND_PAGE_NUMBER
        return "" if is_around and not any(map(str.isdigit, plain)) else plain

    def _margin_parts(self, kind: str) -> dict[str, None]:
        """Return the names of the page headers or footers that are shown, in their order."""
        relationships = self._package.relationships(self._package.main_name)
        settings = next((root for _, root in self._package.related("settings")), None)
        parts: dict[str, None] = {}
        for section in self._package.main.iter(f"{W}sectPr"):
            shown = {
                "default": True,
                "first": is_on(section, "titlePg"),
                "even": is_on(settings, "evenAndOddHeaders"),
            }
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
        self.out.separate(2)
        self.out.write_lines(parsed.text)

    def _add_lines(self, text: str) -> None:
        for position, line in enumerate(text.split("\n")):
            if position:
                self.out.break_line()
            self.out.add(line)


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
