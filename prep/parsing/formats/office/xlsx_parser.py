"""Excel workbooks: each sheet under a heading with its name, its tables as rows.

Cells stand as their formats show them (`cell_formats`), formulas as the values that were stored with them. Sheets are
read as streams, so that memory goes by the cells that hold something. Hidden sheets, rows and columns are left out and
reported; charts, which show cells again, are left out. Where tables lie in a sheet, and which rows are headers,
`sheet_tables` decides. The format is ECMA-376, part 1, chapter 18, transitional or strict.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prep.parsing.formats.office.cell_formats import BUILT_IN_FORMATS, format_number
from prep.parsing.formats.office.sheet_tables import Area, Sheet, sheet_text
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title
from prep.parsing.zip_package import ZipPackage
from prep.places import Place

__all__ = ["parse_xlsx"]

_MAX_CELLS = 1_000_000
_MAX_CHARACTERS = 40_000_000
_MAX_ROWS = 1_048_576
_MAX_COLUMNS = 16_384
_MAX_SHEETS = 1000
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+)?Z?")


def parse_xlsx(data: bytes, memory_limit_bytes: int) -> Parsed:
    """Return the sheets' text; places are the sheets. Raises UnreadableError."""
    package = ZipPackage(data, memory_limit_bytes, what="Excel workbook", suffix=".xlsx")
    if package.read("xl/workbook.bin") is not None:
        raise UnreadableError("is a binary Excel workbook: save it as .xlsx")
    return _Workbook(package).parsed()


@dataclass(slots=True)
class _Budget:
    """How many cells and characters may still be read."""

    n_cells: int = _MAX_CELLS
    n_characters: int = _MAX_CHARACTERS

    def pays(self, text: str) -> bool:
        self.n_cells -= 1
        self.n_characters -= len(text)
        return self.n_cells >= 0 and self.n_characters >= 0


@dataclass(slots=True)
class _SheetLayout:
    """What a sheet's XML says beside its cells."""

    hidden_columns: list[tuple[int, int]] = field(default_factory=list)
    n_hidden_rows: int = 0
    uncomputed: list[str] = field(default_factory=list)
    n_uncomputed: int = 0
    is_cut_at: int | None = None


class _Workbook:
    def __init__(self, package: ZipPackage) -> None:
        self._package = package
        main = next((r for r in package.relations("").values() if r.kind == "officeDocument"), None)
        self._name = main.target if main is not None else "xl/workbook.xml"
        root = package.xml(self._name)
        if root is None or _local(root.tag) != "workbook":
            raise package.damaged("it has no workbook part")
        self._root = root
        self._relations = package.relations(self._name)
        settings = next(_children(root, "workbookPr"), None)
        self._is_1904 = settings is not None and settings.get("date1904") in ("1", "true")
        self._strings = self._shared_strings()
        self._codes = self._format_codes()
        self._budget = _Budget()
        self._losses: list[tuple[str, str]] = []

    def parsed(self) -> Parsed:
        """Return the text of all sheets that are shown."""
        blocks: list[str] = []
        places: list[Place] = []
        n_characters = 0
        sheets = [one for parent in _children(self._root, "sheets") for one in _children(parent, "sheet")]
        for one in sheets[:_MAX_SHEETS]:
            name = " ".join((one.get("name") or "").split()) or "Sheet"
            relation = self._relations.get(_relation_id(one))
            if one.get("state") in ("hidden", "veryHidden"):
                self._losses.append((f"sheet {name}", "is hidden and left out"))
                continue
            if relation is None or relation.kind not in ("worksheet", "chartsheet"):
                self._losses.append(
                    (f"sheet {name}", f"is no sheet of cells ({relation.kind if relation else 'missing'})")
                )
                continue
            lines = self._sheet_lines(name, relation.target)
            if lines:
                block = "\n".join([f"# {name}", "", *lines]) + "\n"
                places.append(Place(n_characters, "sheet", name))
                blocks.append(block)
                n_characters += len(block) + 1
        if len(sheets) > _MAX_SHEETS:
            self._losses.append(("sheets", f"only the first {_MAX_SHEETS:,} of {len(sheets):,} are read"))
        properties = self._package.properties()
        title = clean_title(properties.pop("title", ""))
        return Parsed(title, "\n".join(blocks), tuple(self._losses), tuple(places), properties)

    def _sheet_lines(self, name: str, part: str) -> list[str]:
        layout = _SheetLayout()
        sheet = Sheet()
        self._read_cells(part, sheet, layout)
        self._report(name, layout, sheet.drop_columns(layout.hidden_columns))
        texts: list[str] = []
        notes: list[tuple[str, str]] = []
        for relation in self._package.relations(part).values():
            root = None
            if relation.kind in ("table", "comments", "drawing"):
                root = self._package.xml(relation.target)
            if root is None:
                continue
            if relation.kind == "table":
                area = _area(root.get("ref") or "")
                if area is not None and root.get("headerRowCount") != "0":
                    sheet.headers.append(Area(area.top, area.left, area.top, area.right))
            elif relation.kind == "comments":
                notes += [(one.get("ref") or "", _text(one)) for one in _named(root, "comment")]
            else:
                texts += _box_texts(root)
        lines = sheet_text(sheet)
        for at, note in notes:
            if note:
                lines += ["", f"Note on {at}: {note}"]
        for text in texts:
            lines += ["", text]
        return lines[1:] if lines and not lines[0] else lines

    def _report(self, name: str, layout: _SheetLayout, n_columns: int) -> None:
        where = f"sheet {name}"
        hidden = []
        if layout.n_hidden_rows:
            hidden.append(f"{layout.n_hidden_rows:,} hidden row{'s' * (layout.n_hidden_rows > 1)}")
        if n_columns:
            hidden.append(f"{n_columns:,} hidden column{'s' * (n_columns > 1)}")
        if hidden:
            self._losses.append((where, f"{' and '.join(hidden)} left out"))
        if layout.n_uncomputed:
            cells = ", ".join(layout.uncomputed) + (
                ", …" if layout.n_uncomputed > len(layout.uncomputed) else ""
            )
            self._losses.append(
                (
                    where,
                    f"no value is stored for the formulas in {cells}: save it in a program that computes them",
                )
            )
        if layout.is_cut_at is not None:
            self._losses.append(
                (where, f"is cut at row {layout.is_cut_at:,}: the workbook has more cells than are read")
            )

    def _read_cells(self, part: str, sheet: Sheet, layout: _SheetLayout) -> None:
        """Read a sheet as a stream; each row is dropped from the tree once it is read."""
        from lxml import etree

        data = self._package.read(part)
        if data is None:
            raise self._package.damaged(f"{part} is missing")
        number = 0
        try:
            for _, element in etree.iterparse(
                io.BytesIO(data),
                events=("end",),
                tag=[f"{{*}}{name}" for name in ("row", "cols", "mergeCell", "autoFilter", "pane")],
                resolve_entities=False,
                no_network=True,
                load_dtd=False,
                huge_tree=False,
            ):
                kind = _local(element.tag)
                if kind == "row":
                    number = _whole(element.get("r"), number + 1)
                    is_hidden = element.get("hidden") in ("1", "true")
                    is_read = self._read_row(element, number, is_hidden, sheet, layout)
                    element.clear(keep_tail=False)
                    while element.getprevious() is not None:
                        del element.getparent()[0]
                    if not is_read:
                        layout.is_cut_at = number
                        return
                elif kind == "cols":
                    layout.hidden_columns += _hidden_columns(element)
                elif kind == "pane" and element.get("state") in ("frozen", "frozenSplit"):
                    sheet.n_frozen = _whole(element.get("ySplit"), 0)
                else:
                    area = _area(element.get("ref") or "")
                    if area is None:
                        continue
                    if kind == "mergeCell":
                        sheet.merged.append(area)
                    elif kind == "autoFilter":
                        sheet.headers.append(Area(area.top, area.left, area.top, area.right))
        except etree.XMLSyntaxError as error:
            if not sheet.rows:
                raise self._package.damaged(error) from None
            self._losses.append(
                (part, f"is damaged after row {number:,}: {' '.join(str(error).split())[:100]}")
            )

    def _read_row(self, row: Any, number: int, is_hidden: bool, sheet: Sheet, layout: _SheetLayout) -> bool:
        """Read the cells of a row; False where the budget has run out."""
        cells: dict[int, str] = {}
        column = 0
        for cell in _children(row, "c"):
            found = _REFERENCE.fullmatch(cell.get("r") or "")
            column = _column(found.group(1)) if found else column + 1
            if column > _MAX_COLUMNS or number > _MAX_ROWS:
                continue
            text = self._cell_text(cell)
            if not text:
                formula = next(_children(cell, "f"), None)
                if formula is not None and cell.get("t") != "str" and not is_hidden:
                    layout.n_uncomputed += 1
                    if len(layout.uncomputed) < 5:
                        layout.uncomputed.append(cell.get("r") or f"row {number}")
                    text = f"={formula.text.strip()}" if formula.text and formula.text.strip() else ""
            if text:
                if not self._budget.pays(text):
                    return False
                cells[column] = text
        if is_hidden:
            layout.n_hidden_rows += bool(cells)
            sheet.hidden_rows.add(number)
        elif cells:
            sheet.rows[number] = cells
        return True

    def _cell_text(self, cell: Any) -> str:
        """Return what a cell shows."""
        kind = cell.get("t") or "n"
        if kind == "inlineStr":
            return " ".join(_text(cell).split())
        value = next((one.text for one in cell if _local(one.tag) == "v"), None)
        if value is None or not value.strip():
            return ""
        if kind == "s":
            at = _whole(value, -1)
            return self._strings[at] if 0 <= at < len(self._strings) else ""
        if kind == "b":
            return "TRUE" if value.strip() == "1" else "FALSE"
        code = self._codes.get(_whole(cell.get("s"), 0), "General")
        if kind == "d":
            serial = _serial(value)
            return (
                str(value)
                if serial is None
                else format_number(serial, "yyyy-mm-dd" if code == "General" else code)
            )
        if kind != "n":
            return " ".join(_unescaped(value).split())
        number = _float(value)
        if number is None:
            return str(value).strip()
        return " ".join(format_number(number, code, is_1904=self._is_1904).split())

    def _shared_strings(self) -> list[str]:
        from lxml import etree

        relation = next((r for r in self._relations.values() if r.kind == "sharedStrings"), None)
        data = self._package.read(relation.target) if relation is not None else None
        strings: list[str] = []
        if data is None:
            return strings
        try:
            for _, element in etree.iterparse(
                io.BytesIO(data), tag="{*}si", resolve_entities=False, no_network=True, load_dtd=False
            ):
                strings.append(" ".join(_text(element).split()))
                element.clear(keep_tail=False)
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            raise self._package.damaged(error) from None
        return strings

    def _format_codes(self) -> dict[int, str]:
        """Return the number format of every style of cells."""
        relation = next((r for r in self._relations.values() if r.kind == "styles"), None)
        root = self._package.xml(relation.target) if relation is not None else None
        if root is None:
            return {}
        codes = dict(BUILT_IN_FORMATS)
        for one in _named(root, "numFmt"):
            codes[_whole(one.get("numFmtId"), -1)] = one.get("formatCode") or "General"
        styles = next(_children(root, "cellXfs"), ())
        return {
            number: codes.get(_whole(style.get("numFmtId"), 0), "General")
            for number, style in enumerate(styles)
        }


def _local(tag: Any) -> str:
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def _children(parent: Any, name: str) -> Iterator[Any]:
    return (child for child in parent if _local(child.tag) == name)


def _named(root: Any, name: str) -> Iterator[Any]:
    yield from root.iter(f"{{*}}{name}")


def _relation_id(element: Any) -> str:
    return next((value for key, value in element.attrib.items() if key.endswith("}id")), "")


def _text(element: Any) -> str:
    """Return the text of a string item or note, without its phonetic hints."""
    parts = (one.text or "" for one in _named(element, "t") if _local(one.getparent().tag) != "rPh")
    return _unescaped("".join(parts))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text) if "_x" in text else text


def _box_texts(drawing: Any) -> list[str]:
    """Return the paragraphs of the text boxes on a sheet."""
    paragraphs = (
        " ".join("".join(one.text or "" for one in _named(paragraph, "t")).split())
        for body in _named(drawing, "txBody")
        for paragraph in _children(body, "p")
    )
    return [text for text in paragraphs if text]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def _area(reference: str) -> Area | None:
    """Return the cells of a reference like `B2:D5`."""
    corners = [_REFERENCE.fullmatch(corner) for corner in reference.split(":")]
    first, last = corners[0], corners[-1]
    if len(corners) > 2 or first is None or last is None:
        return None
    rows = sorted((int(first.group(2)), int(last.group(2))))
    columns = sorted((_column(first.group(1)), _column(last.group(1))))
    return Area(rows[0], columns[0], rows[1], columns[1])


def _hidden_columns(columns: Any) -> list[tuple[int, int]]:
    found = []
    for one in _children(columns, "col"):
        first, last = _whole(one.get("min"), 0), _whole(one.get("max"), 0)
        is_hidden = one.get("hidden") in ("1", "true")
        if is_hidden and 0 < first <= last:
            found.append((first, min(last, _MAX_COLUMNS)))
    return found


def _whole(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.strip().isdecimal() and len(value) < 10 else default


def _float(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def _serial(value: str) -> float | None:
    """Return the serial number of a date in ISO form."""
    if not _DATE.fullmatch(value.strip()):
        return None
    try:
        moment = datetime.fromisoformat(value.strip().removesuffix("Z"))
    except ValueError:
        return None
    return (moment - datetime(1899, 12, 30)).total_seconds() / 86_400
