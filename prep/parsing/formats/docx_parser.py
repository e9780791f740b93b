"""DOCX to text with its structure in Markdown form, by python-docx and the XML it gives access to.

The text includes body, tables, content controls, text boxes, footnotes, endnotes, page headers and footers, and tracked
insertions. Tracked deletions, comments, field codes and pictures are left out. The format is ECMA-376, part 1,
chapter 17.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import docx

from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.structured_text import StructuredText
from prep.parsing.titles import clean_title

__all__ = ["is_docx", "parse_docx"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_NOTES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_CONTAINERS = frozenset(
    f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag")
)
# Elements with deleted text, or with text that stands elsewhere too.
_SKIPPED = frozenset(
    [f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}rPr", f"{_W}pPr", f"{_MC}Fallback"]
)
_CHARACTERS = {
    f"{_W}tab": "\t",
    f"{_W}ptab": "\t",
    f"{_W}noBreakHyphen": "-",
    f"{_W}br": "\n",
    f"{_W}cr": "\n",
}
_HEADING_NAME = re.compile(r"heading (\d)\Z", re.I)
_LIST_NAME = re.compile(r"list (?:bullet|number) ([1-9])\Z", re.I)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def is_docx(data: bytes) -> bool:
    """Whether these are the bytes of a ZIP archive that holds a Word document."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "word/document.xml" in archive.namelist()
    except Exception:  # zipfile raises many kinds for other bytes
        return False


def parse_docx(data: bytes, memory_limit_bytes: int) -> Parsed:
    """Return text and title (the core property, else the first heading). Raises UnreadableError.

    An archive that would unpack to more than `memory_limit_bytes` is not unpacked.
    """
    try:
        _check_archive(data, memory_limit_bytes)
        document = docx.Document(io.BytesIO(data))
        writer = _Writer(document)
        writer.write_all()
        return Parsed(_property_title(document) or clean_title(writer.first_heading), writer.out.text())
    except (MemoryError, RecursionError, UnreadableError):
        raise
    except Exception as error:  # the error depends on the damaged part
        plain = re.sub(r"'?<_io\.BytesIO[^>]*>'?", "it", str(error))  # an address would differ every time
        message = " ".join(plain.split())[:200] or type(error).__name__
        if "memory allocation" in message.lower():  # as lxml puts it
            raise MemoryError from error
        raise UnreadableError(f"is damaged or no Word document: {message}") from error


def _check_archive(data: bytes, memory_limit_bytes: int) -> None:
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise UnreadableError("is encrypted and needs a password")
        raise UnreadableError("is an old Word file under a new name: save it as .docx")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        n_bytes = sum(entry.file_size for entry in archive.infolist())
        is_locked = any(entry.flag_bits & 1 for entry in archive.infolist())
    if is_locked:
        raise UnreadableError("is encrypted and needs a password")
    if n_bytes > memory_limit_bytes:
        raise UnreadableError(
            f"unpacks to {n_bytes / 2**30:.1f} GiB, more than the {memory_limit_bytes / 2**30:.1f} GiB of "
            "memory_limit_bytes"
        )


def _property_title(document: Any) -> str:
    try:
        return clean_title(document.core_properties.title)
    except Exception:  # damaged properties do not make the text unreadable
        return ""


class _Writer:
    """Walks a document's XML and writes its blocks."""

    def __init__(self, document: Any) -> None:
        self.out = StructuredText()
        self.first_heading = ""
        self._document = document
        self._levels, self._style_numbering = _read_styles(document)
        self._formats = _read_numbering(document)
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)
        self._in_list = False

    def write_all(self) -> None:
        """Write the document: page headers, body, notes, page footers."""
        self.write_margins("header")
        if self._document.element.body is not None:
            self.write_blocks(self._document.element.body)
        self.write_notes()
        self.write_margins("footer")

    def write_blocks(self, parent: Any) -> None:
        """Write the paragraphs and tables below `parent`, in order."""
        for block in _blocks(parent):
            if block.tag == f"{_W}p":
                self._write_paragraph(block)
            else:
                self._write_table(block)

    def write_margins(self, kind: str) -> None:
        """Write the page headers or footers of all sections, each text once."""
        seen: set[str] = set()
        for part in _related_parts(self._document, kind):
            texts = [
                text for paragraph in part.iter(f"{_W}p") if (text := _paragraph_text(paragraph).strip())
            ]
            whole = "\n".join(texts)
            if whole and whole not in seen:
                seen.add(whole)
                self.out.separate(2)
                for text in texts:
                    self._add_lines(text)
                    self.out.separate(1)
                self.out.separate(2)

    def write_notes(self) -> None:
        """Write footnotes and endnotes as `[1] text`, in the order of their numbers."""
        for kind in ("footnotes", "endnotes"):
            for part in _related_parts(self._document, kind):
                notes = [note for note in part if note.get(f"{_W}type") in (None, "normal")]
                for note in notes:
                    text = " ".join(_paragraph_text(p).strip() for p in note.iter(f"{_W}p")).strip()
                    if text:
                        self.out.separate(2)
                        self.out.add(f"[{note.get(f'{_W}id')}] {text}")
                        self.out.separate(2)

    def _write_paragraph(self, paragraph: Any) -> None:
        text = _paragraph_text(paragraph)
        properties = paragraph.find(f"{_W}pPr")
        style = _value(properties, "pStyle")
        level = _value(properties, "outlineLvl")
        heading = (
            int(level) + 1
            if level is not None and level.isdigit() and int(level) < 9
            else self._levels.get(style)
        )
        numbering = _numbering(properties) or self._style_numbering.get(style)
        if text.strip():
            if heading is not None:
                self.first_heading = self.first_heading or text
                self.out.separate(2)
                self._add_lines(text)
                self.out.write_heading(heading)
                self._in_list = False
            elif numbering is not None and numbering[0] != "0":
                self._write_item(text, *numbering)
            else:
                self.out.separate(2)
                self._in_list = False
                self._add_lines(text)
                self.out.separate(2)
        for box in paragraph.iter(f"{_W}txbxContent"):
            if not any(ancestor.tag == f"{_MC}Fallback" for ancestor in box.iterancestors()):
                self.write_blocks(box)

    def _write_item(self, text: str, numbering_id: str, depth: int) -> None:
        counts = self._counts[numbering_id]
        counts[depth] = counts.get(depth, 0) + 1
        for deeper in [level for level in counts if level > depth]:
            del counts[deeper]
        is_bullet = self._formats.get((numbering_id, depth), "bullet") in ("bullet", "none")
        self.out.separate(1 if self._in_list else 2)
        self.out.open_indent("  " * min(depth, 8))
        self.out.open_item("- " if is_bullet else f"{counts[depth]}. ", is_first=not self._in_list)
        self._add_lines(text)
        self.out.close_indent()
        self.out.close_indent()
        self.out.separate(2)
        self._in_list = True

    def _write_table(self, table: Any) -> None:
        self._in_list = False
        rows = [_row_cells(row) for row in _descend(table, f"{_W}tr")]
        if sum(len(row) for row in rows) == 1 and rows[0]:  # a frame around text
            self.write_blocks(rows[0][0])
            return
        texts = [[_cell_text(cell) for cell in row] for row in rows]
        first = next(_descend(table, f"{_W}tr"), None)
        has_header = first is not None and first.find(f"{_W}trPr/{_W}tblHeader") is not None
        look = table.find(f"{_W}tblPr/{_W}tblLook")
        has_header = has_header or (look is not None and look.get(f"{_W}firstRow") == "1")
        self.out.write_table(texts, n_header=int(has_header))

    def _add_lines(self, text: str) -> None:
        for position, line in enumerate(text.split("\n")):
            if position:
                self.out.break_line()
            self.out.add(line)


def _blocks(parent: Any) -> Iterator[Any]:
    """Yield paragraphs and tables, looking into content controls and tracked insertions."""
    for child in parent:
        if child.tag in (f"{_W}p", f"{_W}tbl"):
            yield child
        elif child.tag in _CONTAINERS:
            yield from _blocks(child)


def _descend(parent: Any, tag: str) -> Iterator[Any]:
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _descend(child, tag)


def _row_cells(row: Any) -> list[Any]:
    """Return the row's cells, None where one is continued from the left or from above."""
    cells: list[Any] = []
    for cell in _descend(row, f"{_W}tc"):
        properties = cell.find(f"{_W}tcPr")
        merge = properties.find(f"{_W}vMerge") if properties is not None else None
        is_continued = merge is not None and merge.get(f"{_W}val") in (None, "continue")
        cells.append(None if is_continued else cell)
        span = _value(properties, "gridSpan")
        cells.extend([None] * (min(int(span), 64) - 1 if span is not None and span.isdigit() else 0))
    return cells


def _cell_text(cell: Any) -> str:
    return "" if cell is None else " ".join(_paragraph_text(p).strip() for p in cell.iter(f"{_W}p"))


def _paragraph_text(paragraph: Any) -> str:
    """Return the paragraph's own text; that of text boxes in it is not its own."""
    parts: list[str] = []
    pending = list(reversed(paragraph))
    while pending:
        element = pending.pop()
        tag = element.tag
        if tag in _SKIPPED or tag == f"{_W}txbxContent" or not isinstance(tag, str):
            continue
        if tag == f"{_W}t":
            parts.append(element.text or "")
        elif tag in _CHARACTERS:
            parts.append(_CHARACTERS[tag] if element.get(f"{_W}type") != "page" else " ")
        elif tag in (f"{_W}footnoteReference", f"{_W}endnoteReference"):
            parts.append(f"[{element.get(f'{_W}id')}]")
        elif tag == f"{_W}sym":
            parts.append("•")
        else:
            pending.extend(reversed(element))
    return "".join(parts)


def _value(properties: Any, name: str) -> str | None:
    found = properties.find(f"{_W}{name}") if properties is not None else None
    return None if found is None else found.get(f"{_W}val")


def _numbering(properties: Any) -> tuple[str, int] | None:
    found = properties.find(f"{_W}numPr") if properties is not None else None
    identifier = _value(found, "numId")
    if identifier is None:
        return None
    depth = _value(found, "ilvl")
    return identifier, int(depth) if depth is not None and depth.isdigit() else 0


def _read_styles(document: Any) -> tuple[dict[str | None, int], dict[str | None, tuple[str, int]]]:
    """Return the heading level and the numbering of every paragraph style that has one, by style id.

    Styles inherit both. Names are English in the file whatever Word's language is.
    """
    try:
        root = document.styles.element
    except (KeyError, ValueError, AttributeError):
        return {}, {}
    styles = {style.get(f"{_W}styleId"): style for style in root.iter(f"{_W}style")}
    levels: dict[str | None, int] = {}
    numberings: dict[str | None, tuple[str, int]] = {}
    for identifier in styles:
        seen: set[str | None] = set()
        current: str | None = identifier
        while current in styles and current not in seen:
            seen.add(current)
            style = styles[current]
            properties = style.find(f"{_W}pPr")
            name = _value(style, "name") or ""
            match = _HEADING_NAME.match(name)
            outline = _value(properties, "outlineLvl")
            if identifier not in levels:
                if match is not None or name.lower() == "title":
                    levels[identifier] = int(match.group(1)) if match is not None else 1
                elif outline is not None and outline.isdigit() and int(outline) < 9:
                    levels[identifier] = int(outline) + 1
            numbering = _numbering(properties)
            if identifier not in numberings and numbering is not None:
                named = _LIST_NAME.match(name)  # "List Bullet 2" is a list of its own, drawn one step in
                step = int(named.group(1)) - 1 if named is not None else 0
                numberings[identifier] = (numbering[0], max(numbering[1], step))
            current = _value(style, "basedOn")
    return levels, numberings


def _read_numbering(document: Any) -> dict[tuple[str, int], str]:
    """Return the number format ("bullet", "decimal", …) by numbering id and depth."""
    formats: dict[tuple[str, int], str] = {}
    for root in _related_parts(document, "numbering"):
        abstract = {entry.get(f"{_W}abstractNumId"): entry for entry in root.iter(f"{_W}abstractNum")}
        for entry in root.iter(f"{_W}num"):
            definition = abstract.get(_value(entry, "abstractNumId"))
            if definition is None:
                continue
            for level in definition.iter(f"{_W}lvl"):
                depth = level.get(f"{_W}ilvl")
                name = _value(level, "numFmt")
                if depth is not None and depth.isdigit() and name is not None:
                    formats[str(entry.get(f"{_W}numId")), int(depth)] = name
    return formats


def _related_parts(document: Any, kind: str) -> list[Any]:
    """Return the XML roots of the document's parts of that kind, in the order of their relationships."""
    from docx.oxml.parser import parse_xml

    roots: list[Any] = []
    for relationship in document.part.rels.values():
        if relationship.reltype != _NOTES + kind or relationship.is_external:
            continue
        part = relationship.target_part
        element = getattr(part, "element", None)
        roots.append(element if element is not None else parse_xml(part.blob))
    return roots
