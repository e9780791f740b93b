"""RTF to text with its structure in Markdown form (Rich Text Format Specification 1.9.1).

Headings by outline level, list items with the labels that the file stores, tables with spans written out, results of
fields, text boxes, equations, notes behind the block that refers to them, each page header and footer once. Hidden and
deleted text, comments and pictures are left out. Groups are kept on a stack: nesting costs no recursion.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lxml import etree

from prep.parsing.formats.word.block_writer import (
    NO_LABEL,
    BlockWriter,
    around_page_number,
    is_code_style,
)
from prep.parsing.formats.word.equations import M, omml_text
from prep.parsing.formats.word.field_codes import field_name, field_text, link_address
from prep.parsing.formats.word.links import address_after
from prep.parsing.formats.word.rtf.rtf_groups import (
    CHARACTERS,
    FOOTERS,
    HEADERS,
    INFO,
    MATH,
    MATH_VALUES,
    SKIPPED,
    SYMBOLS,
    TIMES,
    RtfField,
    RtfGroup,
    iso_time,
    joined,
    set_math,
    stored_label,
)
from prep.parsing.formats.word.rtf.rtf_tables import RtfTable
from prep.parsing.formats.word.rtf.rtf_tokens import Token, charset_codec, codec_name, tokens
from prep.parsing.formats.word.symbol_fonts import symbol_character
from prep.parsing.formats.word.table_grid import SpanBudget
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title

__all__ = ["parse_rtf"]

_HEADING_NAME = re.compile(r"heading (\d)\Z", re.I)
_SMALL_EXPONENT = re.compile(r"[-−+]?\d{1,3}|[nxkm]")
_MAX_DEPTH = 5000
_MAX_MATH_DEPTH = 200
_MAX_PROPERTY_CHARACTERS = 1000
_MAX_BASE_STYLES = 20
_MAX_MARK_CHARACTERS = 5
_PRIVATE = range(0xF000, 0xF100)
_BODY_TEXT = 9


def parse_rtf(data: bytes) -> Parsed:
    """Return text, title (of the information group, else the first heading) and properties. Raises UnreadableError."""
    start = data[:1024].find(b"{\\rtf")
    if start < 0:
        raise UnreadableError("is damaged or no RTF: it does not begin like one")
    reader = _RtfReader()
    for token in tokens(data[start:]):
        reader.take(token)
    reader.end()
    return reader.parsed()


class _RtfReader:
    """Takes the tokens of one document and writes its blocks."""

    def __init__(self) -> None:
        self._body: list[str] = []
        self._state = RtfGroup(self._body)
        self._stack: list[RtfGroup] = []
        self._blocks = BlockWriter()
        self._codec = "cp1252"
        self._bytes = bytearray()
        self._n_to_skip = 0
        self._table: RtfTable | None = None
        self._label = ""
        self._spans = SpanBudget()
        self._boxes: list[str] = []
        self._fonts: dict[int, tuple[str | None, bool, str]] = {}
        self._styles: dict[int, int] = {}  # levels of headings
        self._base_styles: dict[int, int] = {}
        self._code_styles: set[int] = set()
        self._margins: dict[str, dict[str, None]] = {"header": {}, "footer": {}}
        self._has_page_number = False
        self._n_notes = 0
        self._mark = ""  # of the note that comes next
        self._properties: dict[str, str] = {}
        self._unread: Counter[tuple[str, str]] = Counter()
        self._math: list[Any] = []
        self._time_values: dict[str, int] = {}
        self._endnote = [False]  # whether the note that is read is one

    def parsed(self) -> Parsed:
        """Return what was read."""
        self._blocks.end_body()
        for text in self._margins["footer"]:
            self._blocks.write(text)
        headers = BlockWriter()
        for text in self._margins["header"]:
            headers.write(text)
        text = "\n".join(filter(None, (headers.text(), self._blocks.text())))
        title = clean_title(self._properties.get("title")) or clean_title(self._blocks.first_heading)
        losses = [(where, f"{why} ({n})" if n > 1 else why) for (where, why), n in self._unread.items()]
        return Parsed(title, text, tuple(losses), metadata=self._properties)

    def take(self, token: Token) -> None:
        """Read one token."""
        if token.text:
            text = token.text
            if self._n_to_skip:
                n_skipped = min(self._n_to_skip, len(text))
                self._n_to_skip -= n_skipped
                text = text[n_skipped:]
            self._bytes += text
            return
        if token.symbol == "group {":
            self._flush()
            self._n_to_skip = 0
            if len(self._stack) >= _MAX_DEPTH:
                raise UnreadableError("is nested too deeply")
            self._stack.append(self._state)
            self._state = replace(self._state, at_end=None, is_optional=False)
        elif token.symbol == "group }":
            self._flush()
            self._n_to_skip = 0
            self._close()
        elif token.symbol:
            self._symbol(token.symbol)
        else:
            self._word(token.word, token.number)

    def end(self) -> None:
        """Close the groups that are open and write what is left."""
        self._flush()
        while self._stack:
            self._close()
        self._end_paragraph(is_last=True)
        self._end_table()

    def _close(self) -> None:
        at_end = self._state.at_end
        if at_end is not None:
            at_end()
        if self._stack:
            self._state = self._stack.pop()

    def _symbol(self, symbol: str) -> None:
        if self._n_to_skip:
            self._n_to_skip -= 1
            return
        if symbol == "*":
            self._state.is_optional = True
        elif symbol in "\r\n":
            self._word("par", None)
        elif symbol in SYMBOLS:
            self._flush()
            self._emit(SYMBOLS[symbol])

    def _flush(self) -> None:
        """Write the bytes that were collected, in the code page of their font."""
        if not self._bytes:
            return
        data, self._bytes = bytes(self._bytes), bytearray()
        state = self._state
        if state.is_symbol:
            self._emit("".join(symbol_character(code, state.font) if code >= 0x20 else "" for code in data))
        else:
            self._emit(data.decode(state.codec, "replace"))

    def _emit(self, text: str) -> None:
        state = self._state
        if state.parts is None or state.is_hidden or state.is_deleted or not text:
            return
        if state.is_struck and text.strip():
            text = f"\0~~{text}\0~~"
        elif state.is_raised and _SMALL_EXPONENT.fullmatch(text.strip()):
            text = f"^{text}"
        state.parts.append(text)

    def _word(self, word: str, number: int | None) -> None:
        if self._n_to_skip and word in CHARACTERS:
            self._n_to_skip -= 1
            return
        self._n_to_skip = 0
        self._flush()
        is_optional, self._state.is_optional = self._state.is_optional, False
        handler = _WORDS.get(word)
        if word in CHARACTERS:
            self._emit(CHARACTERS[word])
        elif word == "u":
            self._unicode(number or 0)
        elif handler is not None:
            handler(self, number)
        elif word in SKIPPED:
            self._state.parts = None
        elif word in HEADERS or word in FOOTERS:
            self._margin("header" if word in HEADERS else "footer")
        elif word in INFO and self._state.parts is None:
            self._capture(lambda text: self._property(INFO[word], text))
        elif self._math and word in MATH:
            self._math_element(word)
        elif is_optional and word not in ("shpinst", "shpgrp", "moMathPara", "fldrslt"):
            self._state.parts = None

    def _unicode(self, number: int) -> None:
        code = number & 0xFFFF
        font = self._state.font if self._state.is_symbol else "Symbol"
        self._emit(symbol_character(code, font) if code in _PRIVATE else chr(code))
        self._n_to_skip = self._state.n_fallback

    def _capture(self, at_end: Callable[[str], None]) -> None:
        """Collect the text of this group for `at_end`."""
        parts: list[str] = []
        self._state.parts = parts
        self._state.is_hidden = False
        self._state.at_end = lambda: at_end(joined(parts))

    def _property(self, name: str, text: str) -> None:
        value = " ".join(text.split())[:_MAX_PROPERTY_CHARACTERS]
        if value:
            self._properties.setdefault(name, value)

    # Destinations.

    def _font_table(self, _: int | None) -> None:
        self._state.parts = None
        self._state.table_of = "fonts"

    def _font(self, number: int | None) -> None:
        state = self._state
        index = number or 0
        if state.table_of == "fonts":
            self._fonts.setdefault(index, (None, False, ""))
            if state.entry is None:
                self._capture(lambda text: self._name_font(index, text))
            state.entry = index
            return
        codec, is_symbol, name = self._fonts.get(index, (None, False, ""))
        state.codec, state.is_symbol, state.font = codec or self._codec, is_symbol, name

    def _name_font(self, index: int, text: str) -> None:
        codec, is_symbol, _ = self._fonts[index]
        self._fonts[index] = codec, is_symbol, text.split(";")[0].strip()

    def _charset(self, number: int | None) -> None:
        if self._state.table_of == "fonts" and self._state.entry is not None:
            self._fonts[self._state.entry] = charset_codec(number or 0), number == 2, ""

    def _font_page(self, number: int | None) -> None:
        entry = self._state.entry
        if self._state.table_of == "fonts" and entry is not None and self._fonts[entry][0] is None:
            self._fonts[entry] = codec_name(number), self._fonts[entry][1], ""

    def _style_sheet(self, _: int | None) -> None:
        self._state.parts = None
        self._state.table_of = "styles"

    def _style(self, number: int | None) -> None:
        state = self._state
        state.style = number or 0
        if state.table_of == "styles":
            self._capture(lambda text: self._name_style(state, text))

    def _name_style(self, state: RtfGroup, text: str) -> None:
        name = text.split(";")[0].strip()
        match = _HEADING_NAME.match(name)
        if is_code_style(name):
            self._code_styles.add(state.style)
        if state.outline is not None and state.outline < _BODY_TEXT:
            self._styles[state.style] = state.outline + 1
        elif match is not None and match.group(1) != "0":
            self._styles[state.style] = int(match.group(1))
        elif name.lower() == "title":
            self._styles[state.style] = 1

    def _base_style(self, number: int | None) -> None:
        if self._state.table_of == "styles" and number is not None:
            self._base_styles[self._state.style] = number

    def _information(self, _: int | None) -> None:
        self._state.parts = None

    def _time(self, name: str) -> None:
        values: dict[str, int] = {}
        self._time_values = values
        self._state.at_end = lambda: self._property(name, iso_time(values))

    def _time_part(self, name: str, number: int | None) -> None:
        self._time_values[name] = number or 0

    def _margin(self, kind: str) -> None:
        if self._state.parts is None:
            return
        self._has_page_number = False

        def keep(text: str) -> None:
            lines = [line.strip() for line in text.split("\n")]
            had_number = self._has_page_number
            kept = [line for line in lines if line and not (had_number and around_page_number(line))]
            if kept:
                self._margins[kind]["\n".join(kept)] = None

        self._capture(keep)

    def _note(self, _: int | None) -> None:
        if self._state.parts is None:
            return
        mark, self._mark = self._mark, ""
        is_custom = not mark
        if is_custom:  # the mark is the text before
            before = next((part.strip(" ^\0~") for part in reversed(self._state.parts) if part.strip()), "")
            mark = before if 0 < len(before) <= _MAX_MARK_CHARACTERS else "*"
        self._endnote = is_endnote = [False]

        def keep(text: str) -> None:
            line = " ".join(text.split())
            line = line.removeprefix("^").removeprefix(mark).lstrip() if is_custom else line
            self._blocks.add_note(mark, line, is_endnote=is_endnote[0])

        self._capture(keep)

    def _note_mark(self, _: int | None) -> None:
        if self._state.parts is self._body:
            self._n_notes += 1
            self._mark = str(self._n_notes)
            self._emit(f"[{self._mark}]")

    def _label_text(self, _: int | None) -> None:
        if self._state.parts is not None:
            self._capture(self._set_label)

    def _set_label(self, text: str) -> None:
        self._label = text

    def _box(self, _: int | None) -> None:
        if self._state.parts is not None:
            self._capture(self._boxes.append)

    def _object(self, _: int | None) -> None:
        if self._state.parts is not None:
            self._unread["embedded objects", "not read"] += 1

    def _page_number(self, _: int | None) -> None:
        self._has_page_number = True

    # Fields.

    def _begin_field(self, _: int | None) -> None:
        state = self._state
        one = RtfField(first=len(state.parts) if state.parts is not None else 0, parts=state.parts)
        state.field = one
        state.at_end = lambda: self._end_field(one)

    def _instruction(self, _: int | None) -> None:
        one = self._state.field
        if one is None:
            self._state.parts = None
            return

        def keep(text: str) -> None:
            one.instruction += text

        self._capture(keep)

    def _result(self, _: int | None) -> None:
        one = self._state.field
        if one is not None:
            one.has_result = True
            self._state.parts = one.parts
            if field_name(one.instruction) in ("PAGE", "NUMPAGES", "SECTIONPAGES"):
                self._has_page_number = True
                if one.parts is not self._body:
                    self._state.parts = None

    def _end_field(self, one: RtfField) -> None:
        if one.parts is None:
            return
        before, self._state.parts = self._state.parts, one.parts
        shown = "".join(one.parts[one.first :])
        name = field_name(one.instruction)
        if name == "HYPERLINK":
            self._emit(address_after(link_address(one.instruction), shown.replace("\0", "")))
        elif one.kind == 1:
            self._emit("[x] " if (one.default if one.value in (None, 25) else one.value) else "[ ] ")
        elif one.kind == 2:
            at = one.default if one.value in (None, 25) else one.value
            self._emit(one.choices[at] if at is not None and 0 <= at < len(one.choices) else "")
        elif not one.has_result:
            self._emit(field_text(one.instruction))
        self._state.parts = before

    def _form_field(self, _: int | None) -> None:
        self._state.parts = None

    def _choice(self, _: int | None) -> None:
        if self._state.field is not None:
            self._capture(self._state.field.choices.append)

    # Equations: the names of OMML's elements after an "m".

    def _equation(self, _: int | None) -> None:
        if self._state.parts is None and self._math:
            return
        root = etree.Element(f"{M}oMath")
        parts = self._state.parts
        self._math.append(root)
        self._state.parts = None

        def write() -> None:
            self._math.pop()
            if parts is not None:
                parts.append(" ".join(omml_text(root).split()))

        self._state.at_end = write

    def _math_element(self, word: str) -> None:
        if self._state.at_end is not None or len(self._math) > _MAX_MATH_DEPTH:
            return
        element = etree.SubElement(self._math[-1], f"{M}{word[1:]}")
        if word in ("mr", *MATH_VALUES):
            self._capture(lambda text: set_math(element, word, text))
            return
        self._math.append(element)
        self._state.parts = None
        self._state.at_end = self._end_math_element

    def _end_math_element(self) -> None:
        self._math.pop()

    # Paragraphs and tables.

    def _paragraph(self, _: int | None) -> None:
        if self._state.parts is self._body:
            self._end_paragraph()
        elif self._state.parts is not None:
            self._state.parts.append("\n")

    def _end_paragraph(self, *, is_last: bool = False) -> None:
        text = joined(self._body)
        self._body.clear()
        label, self._label = stored_label(self._label), ""
        boxes, self._boxes = self._boxes, []
        state = self._state
        if not is_last and (state.in_table or (self._table is not None and self._table.is_in_row())):
            table = self._open_table()
            table.add_text(label.before(text) if text.strip() else "")
            for box in boxes:
                table.add_text(box)
            return
        self._end_table()
        if text.strip():
            heading = self._heading(state)
            if state.style in self._code_styles and heading is None and label == NO_LABEL:
                self._blocks.write_code(text)
            else:
                self._blocks.write(text, label=label, heading=heading, level=state.level)
        for line in (line for box in boxes for line in box.split("\n")):
            if line.strip():
                self._blocks.write(line)

    def _heading(self, state: RtfGroup) -> int | None:
        if state.outline is not None:
            return state.outline + 1 if state.outline < _BODY_TEXT else None
        style = state.style
        for _ in range(_MAX_BASE_STYLES):
            if style in self._styles or style not in self._base_styles:
                break
            style = self._base_styles[style]
        return self._styles.get(style)

    def _open_table(self) -> RtfTable:
        if self._table is None:
            self._blocks.end_block()
            self._table = RtfTable()
        return self._table

    def _cell(self, _: int | None) -> None:
        if self._state.parts is not self._body:
            if self._state.parts is not None:
                self._state.parts.append(" ")
            return
        self._state.in_table = True
        self._end_paragraph()
        self._open_table().end_cell()

    def _row(self, _: int | None) -> None:
        if self._state.parts is self._body:
            self._open_table().end_row()
        elif self._state.parts is not None:
            self._state.parts.append("\n")

    def _nested_cell(self, _: int | None) -> None:
        self._state.in_table = True
        self._end_paragraph()

    def _nested_row(self, _: int | None) -> None:
        self._open_table().add_text(";")

    def _end_table(self) -> None:
        table, self._table = self._table, None
        if table is None:
            return
        if table.is_column():
            for row in table.texts():
                for text in row:
                    self._blocks.write(text)
            return
        self._blocks.write_table(*table.rows(self._spans))

    def _row_definition(self, name: str, number: int | None) -> None:
        if self._state.parts is self._body:
            self._open_table().define(name, number)

    # Formatting.

    def _reset_paragraph(self, _: int | None) -> None:
        state = self._state
        state.style, state.outline, state.level, state.in_table = 0, None, 0, False

    def _reset_characters(self, _: int | None) -> None:
        state = self._state
        state.is_hidden = state.is_deleted = state.is_struck = state.is_raised = False
        state.codec, state.is_symbol, state.font = self._codec, False, ""

    def _set(self, name: str, number: int | None) -> None:
        setattr(self._state, name, number != 0)

    def _lower(self, _: int | None) -> None:
        self._state.is_raised = False

    def _set_number(self, name: str, number: int | None) -> None:
        setattr(self._state, name, max(number or 0, 0))

    def _page(self, codec: str | None) -> None:
        self._codec = codec or self._codec
        self._state.codec = self._codec
        for state in self._stack:
            state.codec = self._codec

    def _set_endnote(self, _: int | None) -> None:
        self._endnote[0] = self._state.parts is not self._body

    def _set_field(self, name: str, number: int | None) -> None:
        if self._state.field is not None:
            setattr(self._state.field, name, number or 0)


def _flag(name: str) -> Callable[[_RtfReader, int | None], None]:
    return lambda reader, number: reader._set(name, number)


def _row_word(name: str) -> Callable[[_RtfReader, int | None], None]:
    return lambda reader, number: reader._row_definition(name, number)


def _time_word(name: str) -> Callable[[_RtfReader, int | None], None]:
    return lambda reader, number: reader._time_part(name, number)


_WORDS: dict[str, Callable[[_RtfReader, int | None], None]] = {
    "fonttbl": _RtfReader._font_table,
    "f": _RtfReader._font,
    "fcharset": _RtfReader._charset,
    "cpg": _RtfReader._font_page,
    "stylesheet": _RtfReader._style_sheet,
    "s": _RtfReader._style,
    "sbasedon": _RtfReader._base_style,
    "info": _RtfReader._information,
    "creatim": lambda reader, number: reader._time("created"),
    "revtim": lambda reader, number: reader._time("modified"),
    "footnote": _RtfReader._note,
    "ftnalt": _RtfReader._set_endnote,
    "chftn": _RtfReader._note_mark,
    "listtext": _RtfReader._label_text,
    "pntext": _RtfReader._label_text,
    "shptxt": _RtfReader._box,
    "object": _RtfReader._object,
    "field": _RtfReader._begin_field,
    "fldinst": _RtfReader._instruction,
    "fldrslt": _RtfReader._result,
    "formfield": _RtfReader._form_field,
    "ffl": _RtfReader._choice,
    "fftype": lambda reader, number: reader._set_field("kind", number),
    "ffres": lambda reader, number: reader._set_field("value", number),
    "ffdefres": lambda reader, number: reader._set_field("default", number),
    "moMath": _RtfReader._equation,
    "par": _RtfReader._paragraph,
    "sect": _RtfReader._paragraph,
    "cell": _RtfReader._cell,
    "row": _RtfReader._row,
    "nestcell": _RtfReader._nested_cell,
    "nestrow": _RtfReader._nested_row,
    **{name: _row_word(name) for name in ("trowd", "trhdr", "clmrg", "clvmrg", "cellx")},
    **{name: _time_word(name) for name in TIMES},
    "chpgn": _RtfReader._page_number,
    "pard": _RtfReader._reset_paragraph,
    "plain": _RtfReader._reset_characters,
    "intbl": lambda reader, number: reader._set("in_table", 1),
    "outlinelevel": lambda reader, number: reader._set_number("outline", number),
    "ilvl": lambda reader, number: reader._set_number("level", number),
    "uc": lambda reader, number: reader._set_number("n_fallback", number),
    "v": _flag("is_hidden"),
    "deleted": _flag("is_deleted"),
    "mvf": _flag("is_deleted"),
    "strike": _flag("is_struck"),
    "striked": _flag("is_struck"),
    "super": _flag("is_raised"),
    "sub": _RtfReader._lower,
    "nosupersub": _RtfReader._lower,
    "ansicpg": lambda reader, number: reader._page(codec_name(number)),
    "mac": lambda reader, number: reader._page("mac_roman"),
    "pc": lambda reader, number: reader._page("cp437"),
    "pca": lambda reader, number: reader._page("cp850"),
}
