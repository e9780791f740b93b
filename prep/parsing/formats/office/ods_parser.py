"""OpenDocument spreadsheets: each sheet under a heading with its name, its tables as rows.

A cell holds the text that it shows. Hidden sheets, rows and columns are left out and reported. The format is OASIS
OpenDocument 1.3, part 3, chapter 9.
"""

from __future__ import annotations

import io
from typing import Any

from prep.parsing.formats.office.sheet_tables import Area, Sheet, sheet_text
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title
from prep.parsing.zip_package import ZipPackage
from prep.places import Place

__all__ = ["parse_ods"]

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_MAX_CELLS = 1_000_000
_MAX_COLUMNS = 16_384
_MAX_REPEATS = 1_048_576


def parse_ods(data: bytes, memory_limit_bytes: int) -> Parsed:
    """Return the sheets' text; places are the sheets. Raises UnreadableError."""
    package = ZipPackage(data, memory_limit_bytes, what="OpenDocument spreadsheet", suffix=".ods")
    content = package.read("content.xml")
    if content is None:
        raise package.damaged("it has no content part")
    manifest = package.read("META-INF/manifest.xml") or b""
    if b"encryption-data" in manifest:
        raise UnreadableError("is encrypted and needs a password")
    reader = _SheetReader(package)
    text = reader.text(content)
    properties = _properties(package)
    title = clean_title(properties.pop("title", ""))
    return Parsed(title, text, tuple(reader.losses), tuple(reader.places), properties)


class _SheetReader:
    """Reads the sheets as a stream; each row is dropped from the tree once it is read."""

    def __init__(self, package: ZipPackage) -> None:
        self.losses: list[tuple[str, str]] = []
        self.places: list[Place] = []
        self._package = package
        self._hidden_styles: set[str] = set()
        self._n_cells = _MAX_CELLS
        self._start()

    def _start(self) -> None:
        self._sheet = Sheet()
        self._notes: list[tuple[str, str]] = []
        self._boxes: list[str] = []
        self._row = 0
        self._column = 0
        self._hidden_columns: list[tuple[int, int]] = []
        self._n_hidden_rows = 0
        self._is_cut = False

    def text(self, content: bytes) -> str:
        """Return the text of all sheets that are shown."""
        from lxml import etree

        blocks: list[str] = []
        n_characters = 0
        tags = [f"{_TABLE}{name}" for name in ("table", "table-row", "table-column", "shapes")]
        try:
            for _, element in etree.iterparse(
                io.BytesIO(content),
                tag=[*tags, f"{_STYLE}style"],
                resolve_entities=False,
                no_network=True,
                load_dtd=False,
                huge_tree=False,
            ):
                name = element.tag.rsplit("}", 1)[-1]
                if name == "style":
                    self._read_style(element)
                elif name == "table-column":
                    self._read_column(element)
                elif name == "shapes":
                    self._boxes += _paragraphs(element)
                elif name == "table-row":
                    if next(element.iterancestors(f"{_TABLE}table-cell"), None) is None:
                        self._read_row(element)
                        element.clear(keep_tail=False)
                elif next(element.iterancestors(f"{_TABLE}table"), None) is None:
                    block = self._sheet_block(element)
                    if block:
                        label = block.split("\n", 1)[0][2:]
                        self.places.append(Place(n_characters, "sheet", label))
                        blocks.append(block)
                        n_characters += len(block) + 1
                    self._start()
                    element.clear(keep_tail=False)
        except etree.XMLSyntaxError as error:
            raise self._package.damaged(error) from None
        return "\n".join(blocks)

    def _read_style(self, style: Any) -> None:
        if any(one.get(f"{_TABLE}display") == "false" for one in style.iterfind(f"{_STYLE}table-properties")):
            self._hidden_styles.add(style.get(f"{_STYLE}name") or "")

    def _read_column(self, column: Any) -> None:
        n = _count(column, "number-columns-repeated")
        if column.get(f"{_TABLE}visibility") in ("collapse", "filter"):
            self._hidden_columns.append((self._column + 1, self._column + n))
        self._column += n

    def _read_row(self, row: Any) -> None:
        n_repeats = _count(row, "number-rows-repeated")
        is_hidden = row.get(f"{_TABLE}visibility") in ("collapse", "filter")
        cells: dict[int, str] = {}
        column = 0
        for cell in row:
            if cell.tag not in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                continue
            width = _count(cell, "number-columns-repeated")
            text = " ".join(_paragraphs(cell)) if len(cell) else ""
            for annotation in cell.iterfind(f"{_OFFICE}annotation"):
                note = " ".join(_paragraphs(annotation))
                if note and not is_hidden:
                    self._notes.append((_reference(self._row + 1, column + 1), note))
            if text and cell.tag == f"{_TABLE}table-cell":
                cells.update(dict.fromkeys(range(column + 1, min(column + width, _MAX_COLUMNS) + 1), text))
                right = column + _count(cell, "number-columns-spanned")
                bottom = self._row + _count(cell, "number-rows-spanned")
                if right > column + 1 or bottom > self._row + 1:
                    self._sheet.merged.append(Area(self._row + 1, column + 1, bottom, right))
            column += width
        numbers = range(self._row + 1, self._row + n_repeats + 1)
        self._row += n_repeats
        if is_hidden:
            self._n_hidden_rows += n_repeats if cells else 0
            self._sheet.hidden_rows.update(numbers)
        elif cells:
            for number in numbers:
                self._n_cells -= len(cells)
                if self._n_cells < 0:
                    self._is_cut = True
                    return
                self._sheet.rows[number] = dict(cells)

    def _sheet_block(self, table: Any) -> str:
        name = " ".join((table.get(f"{_TABLE}name") or "").split()) or "Sheet"
        where = f"sheet {name}"
        if table.get(f"{_TABLE}style-name") in self._hidden_styles:
            self.losses.append((where, "is hidden and left out"))
            return ""
        n_columns = self._sheet.drop_columns(self._hidden_columns)
        hidden = [
            f"{n:,} hidden {kind}{'s' * (n > 1)}"
            for n, kind in ((self._n_hidden_rows, "row"), (n_columns, "column"))
            if n
        ]
        if hidden:
            self.losses.append((where, f"{' and '.join(hidden)} left out"))
        if self._is_cut:
            self.losses.append((where, "is cut: the workbook has more cells than are read"))
        lines = sheet_text(self._sheet)
        for line in [*(f"Note on {at}: {note}" for at, note in self._notes), *self._boxes]:
            lines += [*([""] if lines else []), line]
        return "\n".join([f"# {name}", "", *lines]) + "\n" if lines else ""


def _count(element: Any, name: str) -> int:
    value = element.get(f"{_TABLE}{name}") or "1"
    return min(max(int(value), 1), _MAX_REPEATS) if value.isdecimal() and len(value) < 10 else 1


def _reference(row: int, column: int) -> str:
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def _paragraphs(parent: Any) -> list[str]:
    """Return the paragraphs in an element, without those of notes and pictures on a cell."""
    found: list[str] = []
    pending = list(reversed(parent))
    while pending:
        element = pending.pop()
        if element.tag == f"{_TEXT}p":
            text = " ".join("".join(_inline(element)).split())
            if text:
                found.append(text)
        elif element.tag != f"{_OFFICE}annotation":
            pending.extend(reversed(element))
    return found


def _inline(paragraph: Any) -> list[str]:
    parts: list[str] = [paragraph.text or ""]
    for child in paragraph:
        if child.tag in (f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break"):
            parts.append(" ")
        elif isinstance(child.tag, str) and child.tag != f"{_OFFICE}annotation":
            parts += _inline(child)
        parts.append(child.tail or "")
    return parts


def _properties(package: ZipPackage) -> dict[str, str]:
    root = package.xml("meta.xml")
    named = {f"{_DC}title": "title", f"{_META}initial-creator": "author", f"{_META}creation-date": "created"}
    named[f"{_DC}language"] = "language"
    found: dict[str, str] = {}
    for element in root.iter(*named) if root is not None else ():
        value = " ".join((element.text or "").split())
        if value:
            found[named[element.tag]] = value
    return found
