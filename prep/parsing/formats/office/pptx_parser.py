"""PowerPoint presentations: slides in order, each under its title, with tables, charts and the speaker's notes.

Shapes are read from above and from the left (`reading_order`), groups as wholes; SmartArt is read as the list that it
was made from. Slide numbers are left out, footers stand once at the end; hidden slides are left out and reported. The
format is ECMA-376, part 1, chapter 19.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from prep.parsing.formats.office.chart_tables import chart_rows, chart_title
from prep.parsing.formats.office.reading_order import Box, in_reading_order
from prep.parsing.list_labels import list_label
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.structured_text import StructuredText
from prep.parsing.titles import clean_title
from prep.parsing.zip_package import ZipPackage
from prep.places import Place

__all__ = ["parse_pptx"]

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_STRICT = b"http://purl.oclc.org/ooxml/presentationml/main"
_MAX_DEPTH = 50
_MAX_CELLS = 100_000
_BULLETS = frozenset(f"{_A}{name}" for name in ("buNone", "buChar", "buAutoNum", "buBlip"))
_TITLES = ("title", "ctrTitle")
_FOOTERS = ("ftr", "hdr", "dt")
_NUMBERING = {"alphaLc": "a", "alphaUc": "A", "romanLc": "i", "romanUc": "I"}


def parse_pptx(data: bytes, memory_limit_bytes: int) -> Parsed:
    """Return the slides' text and the presentation's title; places are the slides. Raises UnreadableError."""
    package = ZipPackage(data, memory_limit_bytes, what="PowerPoint presentation", suffix=".pptx")
    main = package.read("ppt/presentation.xml")
    if main is None:
        raise package.damaged("it has no presentation part")
    if _STRICT in main[:4096]:
        raise UnreadableError("is a Strict Open XML presentation: save it as PowerPoint Presentation (.pptx)")
    from pptx.package import Package as PptxPackage

    try:
        # Opened by its package, since `pptx.Presentation` refuses shows and templates.
        presentation = PptxPackage.open(io.BytesIO(data)).presentation_part.presentation
        reader = _Deck(presentation)
        text, places = reader.text()
    except (MemoryError, RecursionError, UnreadableError):
        raise
    except Exception as error:  # the error depends on the damaged part
        if "memory allocation" in str(error).lower():  # as lxml puts it
            raise MemoryError from error
        raise package.damaged(error) from error
    properties = package.properties()
    title = clean_title(properties.pop("title", "")) or clean_title(reader.first_title)
    return Parsed(title, text, tuple(reader.losses), places, properties)


class _Deck:
    """Reads the slides of a presentation; `losses` are what is left out."""

    def __init__(self, presentation: Any) -> None:
        self.losses: list[tuple[str, str]] = []
        self.first_title = ""
        self._presentation = presentation
        self._footers: dict[str, None] = {}
        first = presentation.element.get("firstSlideNum") or ""
        self._first_number = int(first) if first.isdecimal() and len(first) < 6 else 1

    def text(self) -> tuple[str, tuple[Place, ...]]:
        """Return the text of all slides that are shown, and where each begins."""
        blocks: list[str] = []
        places: list[Place] = []
        n_characters = 0
        has_text = False
        for number, slide in enumerate(self._presentation.slides, start=self._first_number):
            if slide.element.get("show") in ("0", "false"):
                self.losses.append((f"slide {number}", "is hidden and left out"))
                continue
            writer = _SlideWriter(slide, number)
            try:
                block = writer.text()
            except (MemoryError, RecursionError):
                raise
            except Exception as error:  # the error depends on the damaged part
                message = " ".join(str(error).split())[:200] or type(error).__name__
                self.losses.append((f"slide {number}", f"is damaged: {message}"))
                continue
            self.losses += writer.losses
            self._footers.update(dict.fromkeys(writer.footers))
            if not self.first_title:
                self.first_title = writer.title
            places.append(Place(n_characters, "slide", str(number)))
            blocks.append(block)
            n_characters += len(block) + 1
            has_text = has_text or block.strip() != f"# Slide {number}"
        if places and not has_text:
            raise UnreadableError(
                "has no text: its slides may be pictures; save it as PDF, which OCR can read"
            )
        if self._footers:
            blocks.append("\n\n".join(self._footers) + "\n")
        return "\n".join(blocks), tuple(places)


class _SlideWriter:
    """Writes one slide: title, shapes, notes."""

    def __init__(self, slide: Any, number: int) -> None:
        self.losses: list[tuple[str, str]] = []
        self.footers: list[str] = []
        self.title = ""
        self._slide = slide
        self._number = number
        self._out = StructuredText()
        self._in_list = False

    def text(self) -> str:
        """Return the slide's text, its heading first."""
        shapes = list(self._shapes(self._slide.shapes, 0))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        self.title = " ".join(filter(None, (_plain(shape) for shape in titles)))
        self._out.add(self.title or f"Slide {self._number}")
        self._out.write_heading(1)
        for shape in shapes:
            if _placeholder(shape) not in _TITLES:
                self._write_shape(shape)
        if self._slide.has_notes_slide:
            self._write_notes(self._slide.notes_slide)
        if any(relation.reltype.endswith("/comments") for relation in self._slide.part.rels.values()):
            self._lose("comments are left out")
        return self._out.text()

    def _shapes(self, shapes: Any, depth: int) -> Iterator[Any]:
        """Yield the shapes in reading order, those of a group where the group stands."""
        boxes = [(_box(shape), shape) for shape in shapes]
        for shape in in_reading_order(boxes):
            if shape.element.tag == f"{_P}grpSp":
                if depth < _MAX_DEPTH:
                    yield from self._shapes(shape.shapes, depth + 1)
                else:
                    self._lose("groups nested deeper than any program makes them are left out")
            elif not _is_hidden(shape):
                yield shape

    def _write_shape(self, shape: Any) -> None:
        kind = _placeholder(shape)
        if kind in _FOOTERS:
            text = _plain(shape)
            if text and not list(shape.element.iter(f"{_A}fld")):
                self.footers.append(text)
        elif kind == "sldNum":
            return
        elif getattr(shape, "has_table", False):
            self._write_table(shape.table)
        elif getattr(shape, "has_chart", False):
            self._write_chart(shape)
        elif getattr(shape, "has_text_frame", False):
            self._write_paragraphs(shape)
        elif shape.element.tag == f"{_P}graphicFrame":
            self._write_graphic(shape)
        elif shape.element.tag == f"{_P}pic":
            self._write_line(shape.element.nvPicPr.cNvPr.get("descr") or "")

    def _write_line(self, text: str) -> None:
        self._out.separate(2)
        self._in_list = False
        for position, line in enumerate(text.split("\n")):
            if position:
                self._out.break_line()
            self._out.add(line)
        self._out.separate(2)

    def _write_paragraphs(self, shape: Any) -> None:
        self._in_list = False
        counts: dict[int, int] = defaultdict(int)
        for paragraph in shape.text_frame._txBody.iterfind(f"{_A}p"):
            text = _paragraph_text(paragraph)
            if not text.strip():
                continue
            depth = _level(paragraph)
            bullet = _bullet(shape, paragraph, depth)
            for deeper in [level for level in counts if level > depth]:
                del counts[deeper]
            if bullet is None or bullet.tag == f"{_A}buNone":
                counts.clear()
                self._write_line(text)
                continue
            marker = "- "
            if bullet.tag == f"{_A}buAutoNum":
                counts[depth] += 1
                marker = _numbered(bullet, counts[depth])
            else:
                counts.pop(depth, None)
            self._write_item(text, depth, marker)

    def _write_item(self, text: str, depth: int, marker: str) -> None:
        out = self._out
        out.separate(1 if self._in_list else 2)
        out.open_indent("  " * depth)
        out.open_item(marker, is_first=not self._in_list)
        for position, line in enumerate(text.split("\n")):
            if position:
                out.break_line()
            out.add(line)
        out.close_indent()
        out.close_indent()
        out.separate(1)
        self._in_list = True

    def _write_table(self, table: Any) -> None:
        n_rows, n_columns = len(table.rows), len(table.columns)
        if n_rows * n_columns > _MAX_CELLS:
            self._lose(f"a table of {n_rows:,} by {n_columns:,} cells is left out")
            return
        rows = [[""] * n_columns for _ in range(n_rows)]
        for y, row in enumerate(table._tbl.tr_lst):
            for x, cell in enumerate(row.tc_lst[:n_columns]):
                if cell.is_spanned:
                    continue
                text = " ".join(filter(None, (_paragraph_text(one).strip() for one in cell.iter(f"{_A}p"))))
                for down in range(y, min(y + cell.rowSpan, n_rows)):
                    for right in range(x, min(x + cell.gridSpan, n_columns)):
                        rows[down][right] = text
        self._in_list = False
        self._out.write_table(rows, n_header=int(table.first_row and n_rows > 1))

    def _write_chart(self, shape: Any) -> None:
        frame = next(shape.element.iter(f"{_C}chart"), None)
        identifier = frame.get(f"{_R}id") if frame is not None else None
        part = self._slide.part.related_part(identifier) if identifier else None
        root = getattr(part, "_element", None)
        rows = chart_rows(root) if root is not None else []
        if not rows:
            self._lose("a chart has no stored values")
            return
        self._write_line(chart_title(root))
        self._out.write_table(rows, n_header=1)

    def _write_graphic(self, shape: Any) -> None:
        """Write SmartArt, which a relation leads to; report an embedded file."""
        from lxml import etree

        for relation in shape.element.iter(f"{_DIAGRAM}relIds"):
            part = self._slide.part.related_part(relation.get(f"{_R}dm"))
            parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
            for point in etree.fromstring(part.blob, parser).iter(f"{_DIAGRAM}pt"):
                lines = [_paragraph_text(one).strip() for one in point.iter(f"{_A}p")]
                if any(lines):
                    self._write_item(" ".join(filter(None, lines)), 0, "- ")
            return
        self._lose(f"an embedded object is left out ({' '.join(shape.name.split())[:80]})")

    def _write_notes(self, notes: Any) -> None:
        frame = notes.notes_text_frame
        paragraphs = (
            [_paragraph_text(one) for one in frame._txBody.iterfind(f"{_A}p")] if frame is not None else []
        )
        if any(text.strip() for text in paragraphs):
            self._out.separate(2)
            self._out.add("Notes")
            self._out.write_heading(2)
            for text in paragraphs:
                self._write_line(text)

    def _lose(self, reason: str) -> None:
        self.losses.append((f"slide {self._number}", reason))


def _box(shape: Any) -> Box:
    """Return where a shape stands; one without a place of its own stands at the top."""
    return Box(*(int(one or 0) for one in (shape.left, shape.top, shape.width, shape.height)))


def _placeholder(shape: Any) -> str:
    """Return what a placeholder is for ("title", "body", …), "" for other shapes."""
    held = next(shape.element.iter(f"{_P}ph"), None)
    return "" if held is None else held.get("type") or "obj"


def _is_hidden(shape: Any) -> bool:
    properties = next(shape.element.iter(f"{_P}cNvPr"), None)
    return properties is not None and properties.get("hidden") in ("1", "true")


def _plain(shape: Any) -> str:
    if not getattr(shape, "has_text_frame", False):
        return ""
    texts = (_paragraph_text(one) for one in shape.text_frame._txBody.iterfind(f"{_A}p"))
    return " ".join(" ".join(texts).split())


def _paragraph_text(paragraph: Any) -> str:
    """Return a paragraph's text: runs, fields, line breaks, and equations as the signs they hold."""
    parts: list[str] = []
    for element in paragraph.iter():
        name = element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""
        if name == "t" and not _is_fallback(element, paragraph):
            parts.append(element.text or "")
        elif name == "br" and element.tag == f"{_A}br":
            parts.append("\n")
        elif name == "tab" and element.tag == f"{_A}tab":
            parts.append(" ")
    return "".join(parts).replace("\v", "\n").replace("\t", " ")


def _is_fallback(element: Any, paragraph: Any) -> bool:
    """Whether an element stands in what a program shows that does not know the other form of it."""
    parent = element.getparent()
    while parent is not None and parent is not paragraph:
        if parent.tag.endswith("}Fallback"):
            return True
        parent = parent.getparent()
    return False


def _level(paragraph: Any) -> int:
    properties = paragraph.find(f"{_A}pPr")
    value = properties.get("lvl") if properties is not None else None
    return min(int(value), 8) if value is not None and value.isdecimal() and len(value) < 3 else 0


def _bullet(shape: Any, paragraph: Any, level: int) -> Any | None:
    """Return the element that says which bullet a paragraph has, its own or that of the styles that it takes after."""
    for properties in _paragraph_styles(shape, paragraph, level):
        for element in properties:
            if element.tag in _BULLETS:
                return element
    return None


def _paragraph_styles(shape: Any, paragraph: Any, level: int) -> Iterator[Any]:
    """Yield the paragraph properties that hold, the nearest first."""
    yield from paragraph.iterfind(f"{_A}pPr")
    name = f"{_A}lvl{level + 1}pPr"
    current = shape
    for _ in range(3):  # slide, layout, master
        yield from current.element.iterfind(f"{_P}txBody/{_A}lstStyle/{name}")
        above = (
            getattr(current, "_base_placeholder", None) if getattr(current, "is_placeholder", False) else None
        )
        if above is None:
            break
        current = above
    if _placeholder(shape) in ("body", "obj"):
        part = shape.part
        master = getattr(getattr(part, "slide_layout", None), "slide_master", None)
        if master is not None:
            yield from master.element.iterfind(f"{_P}txStyles/{_P}bodyStyle/{name}")


def _numbered(bullet: Any, count: int) -> str:
    """Return the label of a numbered paragraph."""
    kind = bullet.get("type") or "arabicPeriod"
    start = bullet.get("startAt") or "1"
    number = count + (int(start) - 1 if start.isdecimal() and len(start) < 6 else 0)
    label = list_label(
        number, next((style for name, style in _NUMBERING.items() if kind.startswith(name)), "1")
    )
    if kind.endswith("ParenBoth"):
        return f"({label}) "
    return f"{label}) " if kind.endswith("ParenR") else f"{label}. "
