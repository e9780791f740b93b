"""ODT, also in one flat XML file (FODT), to text with its structure in Markdown form (OpenDocument 1.3).

As with DOCX the text is what the word processor shows: headings and list items with their computed labels, tables
with spans written out, text boxes and forms' values, formulas as lines, notes behind the block that refers to them,
each page header and footer once. Tracked changes are accepted; hidden text and comments are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prep.parsing.formats.word.block_writer import NO_LABEL, BlockWriter, Label, around_page_number
from prep.parsing.formats.word.odt.odt_elements import (
    DRAW,
    DROPPED,
    META,
    OFFICE,
    STYLE,
    TABLE,
    TEXT,
    heading_level,
    inner_blocks,
    is_in_list,
    number,
    table_rows,
)
from prep.parsing.formats.word.odt.odt_lists import ListCounter, ListStyle
from prep.parsing.formats.word.odt.odt_styles import OdtStyles
from prep.parsing.formats.word.odt.odt_text import OdtText
from prep.parsing.formats.word.table_grid import SpanBudget, TableGrid
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title
from prep.parsing.zipped_xml import DamagedPartError, ZippedXml, parse_xml

__all__ = ["is_odt", "parse_flat_odt", "parse_odt"]

_DC = "{http://purl.org/dc/elements/1.1/}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_PROPERTIES = (
    (f"{_DC}title", "title"),
    (f"{META}initial-creator", "creator"),
    (f"{_DC}creator", "creator"),
    (f"{META}creation-date", "created"),
    (f"{_DC}date", "modified"),
    (f"{_DC}subject", "subject"),
    (f"{_DC}description", "description"),
    (f"{META}keyword", "keywords"),
)
_MAX_PROPERTY_CHARACTERS = 1000
_MAX_REPEATS = 1000


def is_odt(data: bytes) -> bool:
    """Whether these are the bytes of a ZIP archive that holds an OpenDocument text."""
    try:
        return (
            ZippedXml(data, 1 << 40, "OpenDocument text")
            .read("mimetype")
            .startswith(b"application/vnd.oasis.opendocument.text")
        )
    except (DamagedPartError, UnreadableError):
        return False


def parse_odt(data: bytes, memory_limit_bytes: int) -> Parsed:
    """Return text, title (the property, else the first heading) and properties. Raises UnreadableError.

    An archive that would unpack to more than `memory_limit_bytes` is not unpacked.
    """
    archive = ZippedXml(data, memory_limit_bytes, "OpenDocument text")
    if "META-INF/manifest.xml" in archive and b"encryption-data" in _part_bytes(
        archive, "META-INF/manifest.xml"
    ):
        raise UnreadableError("is encrypted and needs a password")
    losses: list[tuple[str, str]] = []
    try:
        content = archive.xml("content.xml")
    except DamagedPartError as error:
        raise UnreadableError(f"is damaged or no OpenDocument text: its part content.xml {error}") from error
    roots = [content]
    for name in ("styles.xml", "meta.xml"):
        if name in archive:
            try:
                roots.append(archive.xml(name))
            except DamagedPartError as error:
                losses.append((f"part {name}", str(error)))

    def object_root(name: str) -> Any | None:
        part = f"{name.removeprefix('./').rstrip('/')}/content.xml"
        if part not in archive:
            return None
        try:
            return archive.xml(part)
        except DamagedPartError as error:
            losses.append((f"part {part}", str(error)))
            return None

    return _parse(roots, losses, object_root)


def parse_flat_odt(data: bytes) -> Parsed:
    """Return text, title and properties of a document in one XML file. Raises UnreadableError."""
    try:
        root = parse_xml(data)
    except DamagedPartError as error:
        raise UnreadableError(f"is damaged or no OpenDocument text: it {error}") from error
    return _parse([root], [], lambda name: None)


def _part_bytes(archive: ZippedXml, name: str) -> bytes:
    try:
        return archive.read(name)
    except DamagedPartError:
        return b""


def _parse(
    roots: list[Any], losses: list[tuple[str, str]], object_root: Callable[[str], Any | None]
) -> Parsed:
    body = roots[0].find(f"{OFFICE}body/{OFFICE}text")
    if body is None:
        raise UnreadableError("is damaged or no OpenDocument text: it has no text body")
    writer = _OdtWriter(roots, body, object_root)
    writer.write_margins("header")
    writer.write_blocks(body)
    writer.blocks.end_body()
    writer.write_margins("footer")
    text = writer.blocks.text()
    properties: dict[str, str] = {}
    for root in roots:
        for tag, name in _PROPERTIES:
            for entry in root.iterfind(f"{OFFICE}meta/{tag}"):
                value = " ".join((entry.text or "").split())[:_MAX_PROPERTY_CHARACTERS]
                if value:
                    properties.setdefault(name, value)
    title = clean_title(properties.get("title")) or clean_title(writer.blocks.first_heading)
    counted = [(where, f"{why} ({n})" if n > 1 else why) for (where, why), n in writer.reader.unread.items()]
    return Parsed(title, text, (*losses, *counted), metadata=properties)


class _OdtWriter:
    """Walks a document's XML and writes its blocks."""

    def __init__(self, roots: list[Any], body: Any, object_root: Callable[[str], Any | None]) -> None:
        self.blocks = BlockWriter()
        self._roots = roots
        self._styles = OdtStyles(roots)
        self.reader = OdtText(body, self._styles, object_root)
        self._spans = SpanBudget()
        self._outline = ListCounter()
        self._lists: dict[str, ListCounter] = {}
        self._lists_by_style: dict[str, ListCounter] = {}
        self._in_note = False

    def write_blocks(self, parent: Any) -> None:
        """Write the blocks below `parent`, in order."""
        for element in parent:
            tag = element.tag
            if tag in (f"{TEXT}p", f"{TEXT}h"):
                self._write_paragraph(element, NO_LABEL, 0)
            elif tag == f"{TEXT}list":
                self._write_list(element, 0, None, None)
            elif tag == f"{TEXT}numbered-paragraph":
                self._write_numbered(element)
            elif tag == f"{TABLE}table":
                self._write_table(element)
            elif tag.startswith(DRAW):  # anchored to a page
                text = self.reader.drawn(element)
                if text.strip():
                    self.blocks.write(text)
                self._write_floats()
            elif tag not in DROPPED and not self._is_hidden_block(element):
                self.write_blocks(element)

    def write_margins(self, kind: str) -> None:
        """Write the page headers or footers, each text once, page numbers left out."""
        seen: set[str] = set()
        self.reader.in_margin = True
        for root in self._roots:
            for page in root.iterfind(f"{OFFICE}master-styles/{STYLE}master-page"):
                for name in (kind, f"{kind}-first", f"{kind}-left"):
                    margin = page.find(f"{STYLE}{name}")
                    if margin is None or margin.get(f"{STYLE}display") == "false":
                        continue
                    lines: list[str] = []
                    for block in inner_blocks(margin):
                        self.reader.has_page_number = False
                        line = self._flat_block(block).strip()
                        lines.append("" if self.reader.has_page_number and around_page_number(line) else line)
                    whole = "\n".join(filter(None, lines))
                    if whole and whole not in seen:
                        seen.add(whole)
                        self.blocks.write(whole)
        self.reader.in_margin = False

    def _is_hidden_block(self, element: Any) -> bool:
        if element.tag != f"{TEXT}section":
            return False
        is_hidden = element.get(f"{TEXT}display") == "none" or element.get(f"{TEXT}is-hidden") == "true"
        return is_hidden or self._styles.of("section", element.get(f"{TEXT}style-name")).is_hidden

    def _write_paragraph(self, element: Any, label: Label, depth: int) -> None:
        style = self._styles.of("paragraph", element.get(f"{TEXT}style-name"))
        text = self._read(element)
        heading = heading_level(element) or (1 if style.is_title else None)
        if label == NO_LABEL:
            label = self._outline_label(element)
        if style.is_code and heading is None and label == NO_LABEL:
            self.blocks.write_code(text)
        elif text.strip():
            self.blocks.write(text, label=label, heading=heading, level=depth)
        self._write_floats()

    def _outline_label(self, element: Any) -> Label:
        """Count a heading that stands in no list."""
        level = heading_level(element)
        if level is None or element.get(f"{TEXT}is-list-header") == "true" or is_in_list(element):
            return NO_LABEL
        named = self._styles.of("paragraph", element.get(f"{TEXT}style-name")).list_style
        if named == "":
            return NO_LABEL
        style = self._styles.list_styles.get(named, {}) if named else self._styles.outline
        counter = self._lists_by_style.setdefault(named, ListCounter()) if named else self._outline
        is_anew = element.get(f"{TEXT}restart-numbering") == "true"
        start = number(element.get(f"{TEXT}start-value"))
        return counter.count(style, level - 1, start if start is not None else 1 if is_anew else None)

    def _write_list(self, element: Any, depth: int, counter: ListCounter | None, style: str | None) -> None:
        for paragraph, label, level in self._items(element, depth, counter, style):
            if paragraph.tag == f"{TABLE}table":
                self._write_table(paragraph)
            else:
                self._write_paragraph(paragraph, label, level)

    def _items(
        self, element: Any, depth: int, counter: ListCounter | None, style_name: str | None
    ) -> Iterator[tuple[Any, Label, int]]:
        """Yield the blocks of a list with their labels and levels; the first of an item has its label."""
        style_name = element.get(f"{TEXT}style-name") or style_name
        if counter is None:
            counter = self._counter(element, style_name)
        for item in element:
            is_counted = item.tag == f"{TEXT}list-item"
            start = number(item.get(f"{TEXT}start-value"))
            for block in inner_blocks(item):
                if block.tag == f"{TEXT}list":
                    yield from self._items(block, depth + 1, counter, style_name)
                    continue
                label = NO_LABEL
                if is_counted and block.tag != f"{TABLE}table":
                    label = counter.count(self._list_style(block, style_name), depth, start)
                    is_counted = False
                yield block, label, depth

    def _counter(self, element: Any, style_name: str | None) -> ListCounter:
        """Return the counter of a list: that of the list which it continues, or a new one."""
        continued = element.get(f"{TEXT}continue-list")
        counter = self._lists.get(str(continued)) if continued is not None else None
        if counter is None and element.get(f"{TEXT}continue-numbering") == "true":
            counter = self._lists_by_style.get(str(style_name))
        counter = counter or ListCounter()
        self._lists_by_style[str(style_name)] = counter
        name = element.get(f"{_XML}id")
        if name is not None:
            self._lists[str(name)] = counter
        return counter

    def _list_style(self, block: Any, style_name: str | None) -> ListStyle:
        if style_name is None:
            style_name = self._styles.of("paragraph", block.get(f"{TEXT}style-name")).list_style
        return self._styles.list_styles.get(str(style_name), {})

    def _write_numbered(self, element: Any) -> None:
        """Write a paragraph that carries its list and level itself."""
        style_name = element.get(f"{TEXT}style-name")
        name = str(element.get(f"{TEXT}list-id"))
        counter = self._lists.setdefault(name, ListCounter())
        depth = (number(element.get(f"{TEXT}level")) or 1) - 1
        for block in inner_blocks(element):
            start = number(element.get(f"{TEXT}start-value"))
            self._write_paragraph(
                block, counter.count(self._list_style(block, style_name), depth, start), depth
            )

    def _write_floats(self) -> None:
        """Write the text boxes and shapes beside the last paragraph."""
        floats, self.reader.floats = self.reader.floats, []
        for box in floats:
            self.blocks.end_block()
            self.write_blocks(box)
            self.blocks.end_block()

    def _write_table(self, table: Any) -> None:
        rows, n_header = table_rows(table)
        cells = [[cell for cell in row if cell.tag == f"{TABLE}table-cell"] for row, _ in rows]
        if self._is_layout(cells):
            for cell in (cell for row in cells for cell in row):
                self.write_blocks(cell)
                self.blocks.end_block()
            return
        grid = TableGrid(self._spans)
        hanging: dict[int, int] = {}
        for row, n_times in rows:
            self._add_row(grid, row, hanging)
            grid.repeat_row(n_times - 1)
        if n_header == 0 and len(rows) > 1 and self._is_heading_row(rows[0][0]):
            n_header = 1
        self.blocks.write_table(grid.rows, n_header)

    def _add_row(self, grid: TableGrid, row: Any, hanging: dict[int, int]) -> None:
        """Add a row. hanging: by column, how many rows a cell above still spans."""
        grid.begin_row()
        n_covered = 0  # cells to the right that the last one spans
        cells = list(row.iterchildren(f"{TABLE}table-cell", f"{TABLE}covered-table-cell"))
        n_own = sum(cell.tag == f"{TABLE}table-cell" for cell in cells)
        for cell in cells:
            n_times = number(cell.get(f"{TABLE}number-columns-repeated")) or 1
            if cell.tag == f"{TABLE}covered-table-cell":
                n_left = max(n_times - n_covered, 0)
                n_covered = max(n_covered - n_times, 0)
                for _ in range(min(n_left, _MAX_REPEATS)):
                    _hang(grid, hanging)
                continue
            while hanging.get(len(grid.rows[-1]), 0):  # some producers write no covered cells
                _hang(grid, hanging)
            text = self._flat_text(cell)
            span = number(cell.get(f"{TABLE}number-columns-spanned")) or 1
            n_covered = span - 1
            first = len(grid.rows[-1])
            grid.add(text, max(n_times, span), is_row=n_own == 1 and span > 1)  # a repeated cell spans none
            n_rows = number(cell.get(f"{TABLE}number-rows-spanned")) or 1
            hanging.update(dict.fromkeys(range(first, len(grid.rows[-1])), n_rows - 1))

    def _is_heading_row(self, row: Any) -> bool:
        """Whether all paragraphs of a row are styled as headings of columns."""
        paragraphs = [one for one in row.iter(f"{TEXT}p") if next(one.itertext(), "").strip()]
        styles = (self._styles.of("paragraph", one.get(f"{TEXT}style-name")) for one in paragraphs)
        return bool(paragraphs) and all(style.is_table_heading for style in styles)

    def _is_layout(self, rows: list[list[Any]]) -> bool:
        """Whether a table places blocks on the page: a column of cells, or cells with headings or lists in one row."""
        if all(len(row) < 2 for row in rows):
            return True
        blocks = [list(inner_blocks(cell)) for row in rows for cell in row]
        if len(rows) == 1 and any(len(found) > 1 for found in blocks):
            return True
        return any(len(found) > 1 and any(one.tag == f"{TEXT}h" for one in found) for found in blocks)

    def _flat_text(self, parent: Any) -> str:
        """Return the blocks below `parent` in one line, tables row by row."""
        return " ".join(filter(None, (self._flat_block(block).strip() for block in inner_blocks(parent))))

    def _flat_block(self, block: Any) -> str:
        if block.tag == f"{TABLE}table":
            rows = (filter(None, map(self._flat_text, row)) for row, _ in table_rows(block)[0])
            return "; ".join(filter(None, map(" ".join, rows)))
        if block.tag == f"{TEXT}list":
            items = (
                label.before(self._flat_block(one)) for one, label, _ in self._items(block, 0, None, None)
            )
            return " ".join(items)
        if block.tag == f"{TEXT}numbered-paragraph":
            return self._flat_text(block)
        text = self._read(block)
        floats, self.reader.floats = self.reader.floats, []
        return " ".join([text, *map(self._flat_text, floats)])

    def _read(self, paragraph: Any) -> str:
        """Return a paragraph's own text, and read the notes that it refers to."""
        text = self.reader.read(paragraph)
        if self.reader.notes and not self._in_note:
            self._in_note = True
            floats = self.reader.floats
            while self.reader.notes:
                notes, self.reader.notes = self.reader.notes, []
                for note in notes:
                    self.reader.floats = []
                    self.blocks.add_note(note.mark, self._flat_text(note.body), is_endnote=note.is_endnote)
            self.reader.floats = floats
            self._in_note = False
        return text


def _hang(grid: TableGrid, hanging: dict[int, int]) -> None:
    """Add a cell that one above or to the left spans."""
    column = len(grid.rows[-1])
    hanging[column] = max(hanging.get(column, 0) - 1, 0)
    grid.add_continued()
