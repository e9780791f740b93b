"""The text of DOCX paragraphs as Word shows it: runs, fields, links, equations, notes' marks, pictures' descriptions.

Tracked changes are accepted, hidden text is left out, struck text stands between `~~`. Of alternatives for one content
the first with text is read. Text boxes, charts and diagrams are not the paragraph's own text: `TextReader.floats` holds
them for whoever writes blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prep.parsing.formats.word.docx.docx_drawings import chart_rows, chart_title, diagram_lines
from prep.parsing.formats.word.docx.docx_package import DocxPackage
from prep.parsing.formats.word.docx.docx_styles import (
    ParagraphStyle,
    Styles,
    W,
    integer,
    is_on,
    is_true,
    value_of,
)
from prep.parsing.formats.word.equations import M, omml_text
from prep.parsing.formats.word.field_codes import COMPUTED_FIELDS, field_name, field_text, link_address
from prep.parsing.formats.word.links import MAX_ADDRESS_CHARACTERS, address_after
from prep.parsing.formats.word.number_formats import format_number
from prep.parsing.formats.word.symbol_fonts import symbol_character, symbol_text

__all__ = ["DELETED", "Float", "Note", "TextReader", "chosen"]

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/picture}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_VML = "{urn:schemas-microsoft-com:vml}"
_OLE = "{urn:schemas-microsoft-com:office:office}OLEObject"
_BOX = f"{W}txbxContent"
# What is deleted, or moved away.
DELETED = frozenset([f"{W}del", f"{W}moveFrom"])
_SKIPPED = DELETED | frozenset(
    f"{W}{name}"
    for name in (
        "rPr", "pPr", "sdtPr", "sdtEndPr", "fldData", "delText", "delInstrText", "ffData", "softHyphen", "customXmlPr",
        "smartTagPr", "rubyPr", "tblPr", "tblGrid", "pgNum",
    )
)  # fmt: skip
_WITH_TEXT = (f"{W}t", f"{M}t", _BOX, _CHART, _DIAGRAM, f"{W}sym", f"{W}instrText", f"{_VML}textpath")
_SMALL_EXPONENT = re.compile(r"[-−+]?\d{1,3}|[nxkm]")
_GENERATED = re.compile(
    r"\s*(?:(?:Description|Beschreibung) (?:automatically generated|automatisch generiert)[^.]*|"
    r"AI-generated content may be incorrect)\.?\s*\Z",
    re.I,
)
_MAX_OPEN_FIELDS = 50
_MAX_SHOWN_CHARACTERS = 2 * MAX_ADDRESS_CHARACTERS


@dataclass(frozen=True, slots=True)
class Note:
    """A reference to a footnote or endnote, and the mark that stands in the text. kind: "footnote", "endnote"."""

    kind: str
    name: str
    mark: str
    is_custom: bool = False  # the mark stands in the text, and in the note too


@dataclass(frozen=True, slots=True)
class Float:
    """What stands beside a paragraph: the content of a text box, the rows of a chart, the lines of a diagram."""

    box: Any | None = None
    title: str = ""
    rows: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _OpenField:
    instruction: list[str] = field(default_factory=list)
    in_result: bool = False
    shown: str = ""  # the end of the result
    first: int = 0  # of the paragraph's parts


class TextReader:
    """Reads the paragraphs of one document in order.

    part: the name of the part whose paragraphs are read. notes, floats: those met since they were last taken.
    unread: how many of each kind were not read. drops_page_numbers: as in page headers. has_page_number: whether one
    was met; the caller sets it back.
    """

    def __init__(self, package: DocxPackage, styles: Styles) -> None:
        self.part = package.main_name
        self.notes: list[Note] = []
        self.floats: list[Float] = []
        self.unread: Counter[tuple[str, str]] = Counter()
        self.drops_page_numbers = False
        self.has_page_number = False
        self._package = package
        self._styles = styles
        self._parts: list[str] = []
        self._fields: list[_OpenField] = []
        self._style_hides = False
        self._is_hidden = False
        self._font = ""
        self._note_formats = _note_formats(package)
        self._n_notes = {kind: start - 1 for kind, (start, _) in self._note_formats.items()}
        self._handlers: dict[str, Callable[[Any], None]] = {
            f"{W}r": self._run,
            _BOX: lambda element: self.floats.append(Float(box=element)),
            f"{_MC}AlternateContent": self._alternatives,
            f"{W}t": self._text,
            f"{W}tab": lambda element: self._add("\t"),
            f"{W}ptab": lambda element: self._add("\t"),
            f"{W}noBreakHyphen": lambda element: self._add("-"),
            f"{W}br": self._break,
            f"{W}cr": self._break,
            f"{W}sym": self._symbol,
            f"{W}rt": self._ruby,
            f"{W}fldChar": self._field_mark,
            f"{W}fldSimple": self._simple_field,
            f"{W}instrText": self._instruction,
            f"{W}hyperlink": self._link,
            f"{W}footnoteReference": lambda element: self._note("footnote", element),
            f"{W}endnoteReference": lambda element: self._note("endnote", element),
            f"{W}drawing": self._drawing,
            f"{W}pict": self._drawing,
            f"{W}object": self._drawing,
            f"{W}subDoc": lambda element: self._lose("documents inside", "linked, and not read"),
            f"{M}oMath": lambda element: self._add(" ".join(omml_text(element).split())),
            f"{M}oMathPara": self._equations,
        }

    def read(self, paragraph: Any, style: ParagraphStyle) -> str:
        """Return the paragraph's own text; "\\n" ends lines."""
        self._parts = []
        self._style_hides = style.is_hidden
        for one in self._fields:
            one.first = 0
        self._children(paragraph)
        text = "".join(self._parts)
        self._parts = []
        return text.replace("\0~~\0~~", "").replace("\0", "") if "\0" in text else text

    def end_story(self) -> None:
        """Forget fields that the body, a note or a page header left open; those without a result are reported."""
        for one in self._fields:
            if not one.in_result:
                self._lose("fields", f"{field_name(''.join(one.instruction)) or 'one'} has no end")
        self._fields.clear()

    def _children(self, parent: Any) -> None:
        handlers = self._handlers
        for element in parent:
            handler = handlers.get(element.tag)
            if handler is not None:
                handler(element)
            elif element.tag not in _SKIPPED and isinstance(element.tag, str):
                self._children(element)

    def _alternatives(self, element: Any) -> None:
        branch = chosen(element)
        if branch is not None:
            self._children(branch)

    def _add(self, text: str) -> None:
        if not text or self._is_hidden:
            return
        if self._fields:
            if any(not one.in_result for one in self._fields[:-1]):
                return
            self._fields[-1].shown = (self._fields[-1].shown + text)[-_MAX_SHOWN_CHARACTERS:]
        self._parts.append(text)

    def _lose(self, where: str, why: str) -> None:
        if not self._is_hidden:
            self.unread[where, why] += 1

    def _run(self, run: Any) -> None:
        was_hidden = self._is_hidden
        self._is_hidden, self._font = self._style_hides, ""
        properties = run.find(f"{W}rPr")
        is_struck = is_raised = False
        if properties is not None and len(properties):
            is_struck, is_raised = self._format(properties)
        first = len(self._parts)
        self._children(run)
        if is_struck or is_raised:
            text = "".join(self._parts[first:])
            if is_struck and text.strip():
                self._parts[first:] = [f"\0~~{text}\0~~"]
            elif is_raised and _SMALL_EXPONENT.fullmatch(text.strip()):
                self._parts.insert(first, "^")
        self._is_hidden = was_hidden

    def _format(self, properties: Any) -> tuple[bool, bool]:
        """Set what a run's properties hide and its font; return whether they strike it through and raise it."""
        style_hides = style_strikes = style_raises = False
        raised: bool | None = None
        hidden: bool | None = None
        struck: bool | None = None
        for one in properties:
            tag = one.tag
            if tag == f"{W}rStyle":
                style_hides, style_strikes, style_raises = self._styles.run_toggles(str(one.get(f"{W}val")))
            elif tag == f"{W}vanish":
                hidden = is_true(one.get(f"{W}val", "true"))
            elif tag in (f"{W}strike", f"{W}dstrike"):
                struck = bool(struck) or is_true(one.get(f"{W}val", "true"))
            elif tag == f"{W}vertAlign":
                raised = one.get(f"{W}val") == "superscript"
            elif tag == f"{W}rFonts":
                self._font = str(one.get(f"{W}ascii") or one.get(f"{W}hAnsi") or "")
        self._is_hidden = (self._style_hides != style_hides) if hidden is None else hidden
        return style_strikes if struck is None else struck, style_raises if raised is None else raised

    def _text(self, element: Any) -> None:
        text = element.text or ""
        if "\n" in text:
            text = text.replace("\n", " ")
        self._add(symbol_text(text, self._font) if self._font else text)

    def _break(self, element: Any) -> None:
        self._add("\n" if element.get(f"{W}type") in (None, "textWrapping") else " ")

    def _symbol(self, element: Any) -> None:
        font = str(element.get(f"{W}font") or "")
        try:
            character = symbol_character(int(str(element.get(f"{W}char")), 16), font)
        except ValueError:
            character = "\ufffd"
        if character == "\ufffd":
            self._lose(f"symbols of the font {font[:40]}", "not known: written as U+FFFD")
        self._add(character)

    def _ruby(self, element: Any) -> None:
        self._add("(")
        self._children(element)
        self._add(")")

    def _equations(self, element: Any) -> None:
        """Write equations that stand apart, a line each."""
        equations = (" ".join(omml_text(one).split()) for one in element.iterchildren(f"{M}oMath"))
        self._add("\n".join(["", *equations, ""]))

    def _link(self, element: Any) -> None:
        first = len(self._parts)
        self._children(element)
        name = element.get(f"{_R}id")
        if name is not None and len(self._parts) > first:
            one = self._package.relationships(self.part).get(str(name))
            if one is not None and one.is_external:
                self._add_address(one.target, "".join(self._parts[first:]))

    def _add_address(self, address: str, shown: str) -> None:
        if len(address) > MAX_ADDRESS_CHARACTERS:
            self._lose("links", f"an address of more than {MAX_ADDRESS_CHARACTERS} characters is left out")
        self._add(address_after(address, shown))

    def _field_mark(self, element: Any) -> None:
        kind = element.get(f"{W}fldCharType")
        if kind == "begin":
            if len(self._fields) >= _MAX_OPEN_FIELDS:
                self.end_story()
            self._fields.append(_OpenField(first=len(self._parts)))
            self._form_field(element)
        elif kind == "separate" and self._fields:
            self._fields[-1].in_result = True
        elif kind == "end" and self._fields:
            one = self._fields.pop()
            self._end_field(one)
            if self._fields:
                outer = self._fields[-1]
                outer.shown = (outer.shown + one.shown)[-_MAX_SHOWN_CHARACTERS:]

    def _end_field(self, one: _OpenField) -> None:
        instruction = "".join(one.instruction)
        name = field_name(instruction)
        if name in ("PAGE", "NUMPAGES", "SECTIONPAGES"):
            self.has_page_number = True
            if self.drops_page_numbers:
                del self._parts[one.first :]
        elif name == "HYPERLINK":
            self._add_address(link_address(instruction), one.shown)
        elif not one.in_result:
            if name in COMPUTED_FIELDS:
                self._lose("numbers", f"those of {name} fields are not computed")
            self._add(field_text(instruction))

    def _simple_field(self, element: Any) -> None:
        one = _OpenField([str(element.get(f"{W}instr") or "")], in_result=True, first=len(self._parts))
        self._fields.append(one)
        self._children(element)
        self._fields.pop()
        one.in_result = len(self._parts) > one.first
        self._end_field(one)

    def _form_field(self, element: Any) -> None:
        """Write what a field of a form shows where it is no text: a tick, a choice."""
        box = element.find(f"{W}ffData/{W}checkBox")
        choices = element.find(f"{W}ffData/{W}ddList")
        if box is not None:
            checked = is_on(box, "checked")
            self._add("[x] " if (is_on(box, "default") if checked is None else checked) else "[ ] ")
        elif choices is not None:
            entries = [str(entry.get(f"{W}val") or "") for entry in choices.iterchildren(f"{W}listEntry")]
            default = integer(value_of(choices, "default")) or 0
            result = integer(value_of(choices, "result"))
            at = default if result is None else result
            self._add(entries[at] if 0 <= at < len(entries) else "")

    def _instruction(self, element: Any) -> None:
        if self._fields and not self._fields[-1].in_result:
            self._fields[-1].instruction.append(str(element.text or ""))

    def _note(self, kind: str, element: Any) -> None:
        if self._is_hidden:
            return
        name = str(element.get(f"{W}id"))
        if is_true(element.get(f"{W}customMarkFollows")):
            mark = "".join(str(one.text or "") for one in element.itersiblings(f"{W}t")).strip()
            self.notes.append(Note(kind, name, mark or "*", is_custom=True))
            self._add(f"[{mark or '*'}]")
            self._is_hidden = True  # the mark as it stands in the rest of the run
            return
        self._n_notes[kind] += 1
        mark = format_number(self._n_notes[kind], self._note_formats[kind][1])
        self.notes.append(Note(kind, name, mark))
        self._add(f"[{mark}]")

    def _drawing(self, drawing: Any) -> None:
        if self._is_hidden:
            return
        has_box = False
        description = ""
        has_picture = False
        pending = [drawing]
        while pending:
            element = pending.pop()
            tag = element.tag
            if tag == _BOX:
                has_box = True
                self.floats.append(Float(box=element))
                continue
            if tag == f"{_MC}AlternateContent":
                branch = chosen(element)
                pending.extend([branch] if branch is not None else [])
                continue
            if tag == f"{_WP}docPr":
                if is_true(element.get("hidden")):
                    return
                description = description or str(element.get("descr") or "")
            elif tag == f"{_PICTURE}pic" or tag == f"{_VML}imagedata":
                has_picture = True
            elif tag == f"{_VML}shape":
                description = description or str(element.get("alt") or "")
            elif tag == f"{_VML}textpath":
                self._add(str(element.get("string") or ""))
            elif tag == _CHART:
                self._chart(element)
            elif tag == _DIAGRAM:
                self._diagram(element)
            elif tag == _OLE:
                self._lose("embedded objects", f"of the kind {element.get('ProgID') or 'unknown'}: not read")
            elif tag == f"{W}control":
                self._lose("controls of forms", "not read")
            pending.extend(reversed(element))
        if description and has_picture and not has_box:
            self._add(_GENERATED.sub("", " ".join(description.split()))[:MAX_ADDRESS_CHARACTERS])

    def _chart(self, element: Any) -> None:
        root = self._drawn_part(element.get(f"{_R}id"))
        if root is not None:
            self.floats.append(Float(title=chart_title(root), rows=chart_rows(root)))

    def _diagram(self, element: Any) -> None:
        root = self._drawn_part(element.get(f"{_R}dm"))
        if root is not None:
            self.floats.append(Float(lines=diagram_lines(root)))

    def _drawn_part(self, name: str | None) -> Any | None:
        one = self._package.relationships(self.part).get(str(name))
        if one is None or one.is_external:
            self._lose("drawings", "their part is missing")
            return None
        return self._package.xml(one.target)


def chosen(alternatives: Any) -> Any | None:
    """Return the alternative to read: the first with text, else the first. None where there is none."""
    branches = [one for one in alternatives if one.tag in (f"{_MC}Choice", f"{_MC}Fallback")]
    with_text = (one for one in branches if next(one.iter(*_WITH_TEXT), None) is not None)
    return next(with_text, branches[0] if branches else None)


def _note_formats(package: DocxPackage) -> dict[str, tuple[int, str]]:
    """Return the first number of footnotes and of endnotes, and how it is written."""
    formats = {"footnote": (1, "decimal"), "endnote": (1, "lowerRoman")}
    for kind in formats:
        for properties in _note_properties(package, f"{W}{kind}Pr"):
            name, start = value_of(properties, "numFmt"), integer(value_of(properties, "numStart"))
            if name is not None or start is not None:
                formats[kind] = (start if start is not None else 1, name or formats[kind][1])
                break
    return formats


def _note_properties(package: DocxPackage, tag: str) -> Iterator[Any]:
    for section in package.main.iter(f"{W}sectPr"):
        yield from section.iterchildren(tag)
    for _, settings in package.related("settings"):
        yield from settings.iterchildren(tag)
