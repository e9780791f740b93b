"""ODT, also in one flat XML file (FODT), to text with its structure in Markdown form (OpenDocument 1.3).

As with DOCX the text is what the word processor shows: headings and list items with their computed labels, tables
with spans written out, text boxes and forms' values, formulas as lines, notes behind the block that refers to them,
each page header and footer once. Tracked changes are accepted; hidden text and comments are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prep.parsing.formats.word.block_writer import NO_LABEL, BlockWriter, Label, around_page_number
from prep.parsing.formats.word.equations import mathml_text
from prep.parsing.formats.word.links import address_after
from prep.parsing.formats.word.odt.odt_lists import ListCounter, ListStyle
from prep.parsing.formats.word.odt.odt_styles import OdtStyles
from prep.parsing.formats.word.table_grid import SpanBudget, TableGrid
from prep.parsing.formats.word.zipped_xml import DamagedPartError, ZippedXml, parse_xml
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title

__all__ = ["is_odt", "parse_flat_odt", "parse_odt"]

_URN = "urn:oasis:names:tc:opendocument:xmlns:"
_OFFICE, _TEXT, _TABLE, _DRAW, _FORM, _STYLE = (
    f"{{{_URN}{name}:1.0}}" for name in ("office", "text", "table", "drawing", "form", "style")
)
_SVG = f"{{{_URN}svg-compatible:1.0}}"
_META = f"{{{_URN}meta:1.0}}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XLINK = "{http://www.w3.org/1999/xlink}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_MATH = "{http://www.w3.org/1998/Math/MathML}math"
_PROPERTIES = (
    (f"{_DC}title", "title"),
    (f"{_META}initial-creator", "creator"),
    (f"{_DC}creator", "creator"),
    (f"{_META}creation-date", "created"),
    (f"{_DC}date", "modified"),
    (f"{_DC}subject", "subject"),
    (f"{_DC}description", "description"),
    (f"{_META}keyword", "keywords"),
)
_MAX_PROPERTY_CHARACTERS = 1000
_DROPPED = frozenset([
    *(f"{_OFFICE}{name}" for name in ("annotation", "annotation-end", "forms", "binary-data", "event-listeners")),
    *(f"{_TEXT}{name}" for name in (
        "tracked-changes", "sequence-decls", "user-field-decls", "variable-decls", "note-citation", "hidden-text",
        "table-of-content-source", "alphabetical-index-source", "illustration-index-source", "bibliography-source",
        "table-index-source", "user-index-source", "object-index-source", "script",
    )),
    f"{_SVG}title", f"{_SVG}desc", f"{_STYLE}section-properties",
])  # fmt: skip
_BLOCKS = frozenset(
    [f"{_TEXT}p", f"{_TEXT}h", f"{_TEXT}list", f"{_TABLE}table", f"{_TEXT}numbered-paragraph"]
)
_PAGE_NUMBERS = (f"{_TEXT}page-number", f"{_TEXT}page-count")
_SMALL_EXPONENT = re.compile(r"[-−+]?\d{1,3}|[nxkm]")
_BLANKS = re.compile(r"[ \t\r\n]+")
_MAX_REPEATS = 1000
_MAX_SPACES = 40


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
    body = roots[0].find(f"{_OFFICE}body/{_OFFICE}text")
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
            for entry in root.iterfind(f"{_OFFICE}meta/{tag}"):
                value = " ".join((entry.text or "").split())[:_MAX_PROPERTY_CHARACTERS]
                if value:
                    properties.setdefault(name, value)
    title = clean_title(properties.get("title")) or clean_title(writer.blocks.first_heading)
    counted = [(where, f"{why} ({n})" if n > 1 else why) for (where, why), n in writer.unread.items()]
    return Parsed(title, text, (*losses, *counted), metadata=properties)


class _OdtWriter:
    """Walks a document's XML and writes its blocks. unread: how many of each kind were not read."""

    def __init__(self, roots: list[Any], body: Any, object_root: Callable[[str], Any | None]) -> None:
        self.blocks = BlockWriter()
        self.unread: Counter[tuple[str, str]] = Counter()
        self._roots = roots
        self._styles = OdtStyles(roots)
        self._object_root = object_root
        self._spans = SpanBudget()
        self._controls = _form_values(body)
        self._outline = ListCounter()
        self._lists: dict[str, ListCounter] = {}
        self._lists_by_style: dict[str, ListCounter] = {}
        self._parts: list[str] = []
        self._floats: list[Any] = []
        self._notes: list[tuple[str, Any, bool]] = []
        self._in_note = False
        self._has_page_number = False
        self._in_margin = False
        self._handlers: dict[str, Callable[[Any], None]] = {
            f"{_TEXT}s": lambda element: self._parts.append(
                " " * min(_number(element.get(f"{_TEXT}c")) or 1, _MAX_SPACES)
            ),
            f"{_TEXT}tab": lambda element: self._parts.append("\t"),
            f"{_TEXT}line-break": lambda element: self._parts.append("\n"),
            f"{_TEXT}span": self._span,
            f"{_TEXT}a": self._link,
            f"{_TEXT}note": self._note,
            f"{_TEXT}ruby-text": self._ruby,
            f"{_DRAW}frame": self._frame,
            f"{_DRAW}control": self._control,
            _MATH: lambda element: self._parts.append(mathml_text(element)),
        }

    def write_blocks(self, parent: Any) -> None:
        """Write the blocks below `parent`, in order."""
        for element in parent:
            tag = element.tag
            if tag in (f"{_TEXT}p", f"{_TEXT}h"):
                self._write_paragraph(element, NO_LABEL, 0)
            elif tag == f"{_TEXT}list":
                self._write_list(element, 0, None, None)
            elif tag == f"{_TEXT}numbered-paragraph":
                self._write_numbered(element)
            elif tag == f"{_TABLE}table":
                self._write_table(element)
            elif tag.startswith(_DRAW):  # anchored to a page
                self._parts.clear()
                self._draw(element)
                text = "".join(self._parts)
                self._parts.clear()
                if text.strip():
                    self.blocks.write(text)
                self._write_floats()
            elif tag not in _DROPPED and not self._is_hidden_block(element):
                self.write_blocks(element)

    def write_margins(self, kind: str) -> None:
        """Write the page headers or footers, each text once, page numbers left out."""
        seen: set[str] = set()
        self._in_margin = True
        for root in self._roots:
            for page in root.iterfind(f"{_OFFICE}master-styles/{_STYLE}master-page"):
                for name in (kind, f"{kind}-first", f"{kind}-left"):
                    margin = page.find(f"{_STYLE}{name}")
                    if margin is None or margin.get(f"{_STYLE}display") == "false":
                        continue
                    lines: list[str] = []
                    for block in _inner_blocks(margin):
                        self._has_page_number = False
                        line = self._flat_block(block).strip()
                        lines.append("" if self._has_page_number and around_page_number(line) else line)
                    whole = "\n".join(filter(None, lines))
                    if whole and whole not in seen:
                        seen.add(whole)
                        self.blocks.write(whole)
        self._in_margin = False

    def _is_hidden_block(self, element: Any) -> bool:
        if element.tag != f"{_TEXT}section":
            return False
        is_hidden = element.get(f"{_TEXT}display") == "none" or element.get(f"{_TEXT}is-hidden") == "true"
        return is_hidden or self._styles.of("section", element.get(f"{_TEXT}style-name")).is_hidden

    def _write_paragraph(self, element: Any, label: Label, depth: int) -> None:
        style = self._styles.of("paragraph", element.get(f"{_TEXT}style-name"))
        text = self._paragraph_text(element)
        heading = _heading_level(element) or (1 if style.is_title else None)
        if label == NO_LABEL:
            label = self._outline_label(element)
        if style.is_code and heading is None and label == NO_LABEL:
            self.blocks.write_code(text)
        elif text.strip():
            self.blocks.write(text, label=label, heading=heading, level=depth)
        self._write_floats()

    def _outline_label(self, element: Any) -> Label:
        """Count a heading that stands in no list."""
        level = _heading_level(element)
        if level is None or element.get(f"{_TEXT}is-list-header") == "true" or _is_in_list(element):
            return NO_LABEL
        named = self._styles.of("paragraph", element.get(f"{_TEXT}style-name")).list_style
        if named == "":
            return NO_LABEL
        style = self._styles.list_styles.get(named, {}) if named else self._styles.outline
        counter = self._lists_by_style.setdefault(named, ListCounter()) if named else self._outline
        is_anew = element.get(f"{_TEXT}restart-numbering") == "true"
        start = _number(element.get(f"{_TEXT}start-value"))
        return counter.count(style, level - 1, start if start is not None else 1 if is_anew else None)

    def _write_list(self, element: Any, depth: int, counter: ListCounter | None, style: str | None) -> None:
        for paragraph, label, level in self._items(element, depth, counter, style):
            if paragraph.tag == f"{_TABLE}table":
                self._write_table(paragraph)
            else:
                self._write_paragraph(paragraph, label, level)

    def _items(
        self, element: Any, depth: int, counter: ListCounter | None, style_name: str | None
    ) -> Iterator[tuple[Any, Label, int]]:
        """Yield the blocks of a list with their labels and levels; the first of an item has its label."""
        style_name = element.get(f"{_TEXT}style-name") or style_name
        if counter is None:
            counter = self._counter(element, style_name)
        for item in element:
            is_counted = item.tag == f"{_TEXT}list-item"
            start = _number(item.get(f"{_TEXT}start-value"))
            for block in _inner_blocks(item):
                if block.tag == f"{_TEXT}list":
                    yield from self._items(block, depth + 1, counter, style_name)
                    continue
                label = NO_LABEL
                if is_counted and block.tag != f"{_TABLE}table":
                    label = counter.count(self._list_style(block, style_name), depth, start)
                    is_counted = False
                yield block, label, depth

    def _counter(self, element: Any, style_name: str | None) -> ListCounter:
        """Return the counter of a list: that of the list which it continues, or a new one."""
        continued = element.get(f"{_TEXT}continue-list")
        counter = self._lists.get(str(continued)) if continued is not None else None
        if counter is None and element.get(f"{_TEXT}continue-numbering") == "true":
            counter = self._lists_by_style.get(str(style_name))
        counter = counter or ListCounter()
        self._lists_by_style[str(style_name)] = counter
        name = element.get(f"{_XML}id")
        if name is not None:
            self._lists[str(name)] = counter
        return counter

    def _list_style(self, block: Any, style_name: str | None) -> ListStyle:
        if style_name is None:
            style_name = self._styles.of("paragraph", block.get(f"{_TEXT}style-name")).list_style
        return self._styles.list_styles.get(str(style_name), {})

    def _write_numbered(self, element: Any) -> None:
        """Write a paragraph that carries its list and level itself."""
        style_name = element.get(f"{_TEXT}style-name")
        name = str(element.get(f"{_TEXT}list-id"))
        counter = self._lists.setdefault(name, ListCounter())
        depth = (_number(element.get(f"{_TEXT}level")) or 1) - 1
        for block in _inner_blocks(element):
            start = _number(element.get(f"{_TEXT}start-value"))
            self._write_paragraph(
                block, counter.count(self._list_style(block, style_name), depth, start), depth
            )

    def _write_floats(self) -> None:
        """Write the text boxes and shapes beside the last paragraph."""
        floats, self._floats = self._floats, []
        for box in floats:
            self.blocks.end_block()
            self.write_blocks(box)
            self.blocks.end_block()

    def _write_table(self, table: Any) -> None:
        rows, n_header = _rows(table)
        cells = [[cell for cell in row if cell.tag == f"{_TABLE}table-cell"] for row, _ in rows]
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
        cells = list(row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"))
        n_own = sum(cell.tag == f"{_TABLE}table-cell" for cell in cells)
        for cell in cells:
            n_times = _number(cell.get(f"{_TABLE}number-columns-repeated")) or 1
            if cell.tag == f"{_TABLE}covered-table-cell":
                n_left = max(n_times - n_covered, 0)
                n_covered = max(n_covered - n_times, 0)
                for _ in range(min(n_left, _MAX_REPEATS)):
                    _hang(grid, hanging)
                continue
            while hanging.get(len(grid.rows[-1]), 0):  # some producers write no covered cells
                _hang(grid, hanging)
            text = self._flat_text(cell)
            span = _number(cell.get(f"{_TABLE}number-columns-spanned")) or 1
            n_covered = span - 1
            first = len(grid.rows[-1])
            grid.add(text, max(n_times, span), is_row=n_own == 1 and span > 1)  # a repeated cell spans none
            n_rows = _number(cell.get(f"{_TABLE}number-rows-spanned")) or 1
            hanging.update(dict.fromkeys(range(first, len(grid.rows[-1])), n_rows - 1))

    def _is_heading_row(self, row: Any) -> bool:
        """Whether all paragraphs of a row are styled as headings of columns."""
        paragraphs = [one for one in row.iter(f"{_TEXT}p") if next(one.itertext(), "").strip()]
        styles = (self._styles.of("paragraph", one.get(f"{_TEXT}style-name")) for one in paragraphs)
        return bool(paragraphs) and all(style.is_table_heading for style in styles)

    def _is_layout(self, rows: list[list[Any]]) -> bool:
        """Whether a table places blocks on the page: a column of cells, or cells with headings or lists in one row."""
        if all(len(row) < 2 for row in rows):
            return True
        blocks = [list(_inner_blocks(cell)) for row in rows for cell in row]
        if len(rows) == 1 and any(len(found) > 1 for found in blocks):
            return True
        return any(len(found) > 1 and any(one.tag == f"{_TEXT}h" for one in found) for found in blocks)

    def _flat_text(self, parent: Any) -> str:
        """Return the blocks below `parent` in one line, tables row by row."""
        return " ".join(filter(None, (self._flat_block(block).strip() for block in _inner_blocks(parent))))

    def _flat_block(self, block: Any) -> str:
        if block.tag == f"{_TABLE}table":
            rows = (filter(None, map(self._flat_text, row)) for row, _ in _rows(block)[0])
            return "; ".join(filter(None, map(" ".join, rows)))
        if block.tag == f"{_TEXT}list":
            items = (
                label.before(self._flat_block(one)) for one, label, _ in self._items(block, 0, None, None)
            )
            return " ".join(items)
        if block.tag == f"{_TEXT}numbered-paragraph":
            return self._flat_text(block)
        text = self._paragraph_text(block)
        floats, self._floats = self._floats, []
        return " ".join([text, *map(self._flat_text, floats)])

    def _paragraph_text(self, element: Any) -> str:
        """Return a paragraph's own text, and read the notes that it refers to."""
        outer, self._parts = self._parts, []
        style = self._styles.of("paragraph", element.get(f"{_TEXT}style-name"))
        if not style.is_hidden and not any(
            one.get(f"{_TEXT}is-hidden") == "true" for one in element.iterchildren(f"{_TEXT}hidden-paragraph")
        ):
            self._inline(element)
        text = "".join(self._parts)
        self._parts = outer
        self._read_notes()
        return text.replace("\0~~\0~~", "").replace("\0", "") if "\0" in text else text

    def _inline(self, parent: Any) -> None:
        self._characters(parent.text)
        for element in parent:
            tag = element.tag
            handler = self._handlers.get(tag)
            if handler is not None:
                handler(element)
            elif tag in _PAGE_NUMBERS:
                self._has_page_number = True
                if not self._in_margin:
                    self._inline(element)
            elif isinstance(tag, str) and tag.startswith(_DRAW):
                self._draw(element)
            elif tag not in _DROPPED and element.get(f"{_TEXT}display") != "none":
                self._inline(element)
            self._characters(element.tail)

    def _characters(self, text: str | None) -> None:
        if text:
            self._parts.append(_BLANKS.sub(" ", text))

    def _span(self, element: Any) -> None:
        style = self._styles.of("text", element.get(f"{_TEXT}style-name"))
        if style.is_hidden:
            return
        first = len(self._parts)
        self._inline(element)
        text = "".join(self._parts[first:]) if style.is_struck or style.is_raised else ""
        if style.is_struck and text.strip():
            self._parts[first:] = [f"\0~~{text}\0~~"]
        elif style.is_raised and _SMALL_EXPONENT.fullmatch(text.strip()):
            self._parts.insert(first, "^")

    def _link(self, element: Any) -> None:
        first = len(self._parts)
        self._inline(element)
        address = str(element.get(f"{_XLINK}href") or "")
        self._parts.append(address_after(address, "".join(self._parts[first:])))

    def _ruby(self, element: Any) -> None:
        self._parts.append("(")
        self._inline(element)
        self._parts.append(")")

    def _note(self, element: Any) -> None:
        citation = element.find(f"{_TEXT}note-citation")
        mark = " ".join("".join(citation.itertext()).split())[:40] if citation is not None else "*"
        body = element.find(f"{_TEXT}note-body")
        self._parts.append(f"[{mark}]")
        if body is not None:
            self._notes.append((mark, body, element.get(f"{_TEXT}note-class") == "endnote"))

    def _read_notes(self) -> None:
        if self._in_note:
            return
        self._in_note = True
        floats = self._floats
        while self._notes:
            notes, self._notes = self._notes, []
            for mark, body, is_endnote in notes:
                self._floats = []
                self.blocks.add_note(mark, self._flat_text(body), is_endnote=is_endnote)
        self._floats = floats
        self._in_note = False

    def _frame(self, frame: Any) -> None:
        """Read what a frame holds: a text box, a formula, or the description of a picture."""
        box = frame.find(f"{_DRAW}text-box")
        held = frame.find(f"{_DRAW}object")
        if box is not None:
            self._floats.append(box)
        elif held is not None:
            root = next(iter(held), None)
            if root is None:
                root = self._object_root(str(held.get(f"{_XLINK}href") or ""))
            if root is not None and root.tag == _MATH:
                self._parts.append(mathml_text(root))
            else:
                self.unread["embedded objects", "not read"] += 1
        elif frame.find(f"{_DRAW}object-ole") is not None:
            self.unread["embedded objects", "not read"] += 1
        else:
            described = frame.find(f"{_SVG}desc")
            described = described if described is not None else frame.find(f"{_SVG}title")
            self._characters("".join(described.itertext()) if described is not None else None)
        for table in frame.iterchildren(f"{_TABLE}table"):
            self._floats.append([table])

    def _draw(self, element: Any) -> None:
        """Read a shape or a group of them."""
        if element.tag == f"{_DRAW}frame":
            self._frame(element)
        elif element.tag == f"{_DRAW}control":
            self._control(element)
        elif any(child.tag in _BLOCKS for child in element):
            self._floats.append(element)
        else:
            for child in element:
                if isinstance(child.tag, str) and child.tag.startswith(_DRAW):
                    self._draw(child)

    def _control(self, element: Any) -> None:
        self._parts.append(self._controls.get(str(element.get(f"{_DRAW}control")), ""))


def _hang(grid: TableGrid, hanging: dict[int, int]) -> None:
    """Add a cell that one above or to the left spans."""
    column = len(grid.rows[-1])
    hanging[column] = max(hanging.get(column, 0) - 1, 0)
    grid.add_continued()


def _rows(table: Any) -> tuple[list[tuple[Any, int]], int]:
    """Return the rows that a table shows, with how often each stands there, and how many are its header."""
    rows: list[tuple[Any, int]] = []
    n_header = 0
    pending = [(child, False) for child in reversed(table)]
    while pending:
        element, in_header = pending.pop()
        if element.tag == f"{_TABLE}table-row":
            if element.get(f"{_TABLE}visibility") in ("collapse", "filter"):
                continue
            n = min(_number(element.get(f"{_TABLE}number-rows-repeated")) or 1, _MAX_REPEATS)
            n = n if next(element.iter(f"{_TEXT}p", f"{_TEXT}h"), None) is not None else 1
            rows.append((element, n))
            n_header += n if in_header else 0
        elif element.tag in (f"{_TABLE}table-header-rows", f"{_TABLE}table-rows", f"{_TABLE}table-row-group"):
            is_header = in_header or element.tag == f"{_TABLE}table-header-rows"
            pending.extend((child, is_header) for child in reversed(element))
    return rows, n_header if n_header < len(rows) else 0


def _inner_blocks(parent: Any) -> Iterator[Any]:
    """Yield the blocks below `parent`, looking into sections and whatever else holds some."""
    for child in parent:
        if child.tag in _BLOCKS:
            yield child
        elif child.tag not in _DROPPED and child.tag != f"{_TABLE}table-row":
            yield from _inner_blocks(child)


def _heading_level(element: Any) -> int | None:
    """Return the level of a heading, from 1; None for other paragraphs."""
    if element.tag != f"{_TEXT}h":
        return None
    return max(_number(element.get(f"{_TEXT}outline-level")) or 1, 1)


def _is_in_list(element: Any) -> bool:
    parent = element.getparent()
    return parent is not None and parent.tag in (
        f"{_TEXT}list-item",
        f"{_TEXT}list-header",
        f"{_TEXT}numbered-paragraph",
    )


def _form_values(body: Any) -> dict[str, str]:
    """Return what the controls of forms show, by their ids."""
    values: dict[str, str] = {}
    for forms in body.iterchildren(f"{_OFFICE}forms"):
        for control in forms.iter():
            name = control.get(f"{_XML}id") or control.get(f"{_FORM}id")
            if name is None or not isinstance(control.tag, str):
                continue
            label = str(control.get(f"{_FORM}label") or "")
            kind = control.tag.removeprefix(_FORM)
            if kind in ("checkbox", "radio"):
                state = control.get(f"{_FORM}current-state") or control.get(f"{_FORM}state")
                is_on = state == "checked" or "true" in (
                    control.get(f"{_FORM}current-selected"),
                    control.get(f"{_FORM}selected"),
                )
                values[str(name)] = f"{'[x]' if is_on else '[ ]'} {label} "
            elif kind != "password":
                value = control.get(f"{_FORM}current-value") or control.get(f"{_FORM}value")
                values[str(name)] = f" {value or label} "
    return values


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None
