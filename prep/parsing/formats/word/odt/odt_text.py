"""The text of OpenDocument paragraphs: spans, links, fields, formulas, notes' marks, forms' values.

Hidden text is left out, struck text stands between `~~`. Text boxes and shapes are not the paragraph's own text:
`OdtText.floats` holds them for whoever writes blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prep.parsing.formats.word.equations import mathml_text
from prep.parsing.formats.word.links import address_after
from prep.parsing.formats.word.odt.odt_elements import (
    BLOCKS,
    DRAW,
    DROPPED,
    FORM,
    OFFICE,
    SVG,
    TABLE,
    TEXT,
    number,
)
from prep.parsing.formats.word.odt.odt_styles import OdtStyles

__all__ = ["OdtNote", "OdtText"]

_XLINK = "{http://www.w3.org/1999/xlink}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_MATH = "{http://www.w3.org/1998/Math/MathML}math"
_PAGE_NUMBERS = (f"{TEXT}page-number", f"{TEXT}page-count")
_SMALL_EXPONENT = re.compile(r"[-−+]?\d{1,3}|[nxkm]")
_BLANKS = re.compile(r"[ \t\r\n]+")
_MAX_SPACES = 40


@dataclass(frozen=True, slots=True)
class OdtNote:
    """A note that a paragraph refers to by its mark."""

    mark: str
    body: Any
    is_endnote: bool


class OdtText:
    """Reads the paragraphs of one document in order.

    notes, floats: those met since they were last taken. unread: how many of each kind were not read. in_margin: page
    numbers are left out. has_page_number: whether one was met; the caller sets it back.
    """

    def __init__(self, body: Any, styles: OdtStyles, object_root: Callable[[str], Any | None]) -> None:
        self.notes: list[OdtNote] = []
        self.floats: list[Any] = []
        self.unread: Counter[tuple[str, str]] = Counter()
        self.in_margin = False
        self.has_page_number = False
        self._styles = styles
        self._object_root = object_root
        self._controls = _form_values(body)
        self._parts: list[str] = []
        self._handlers: dict[str, Callable[[Any], None]] = {
            f"{TEXT}s": lambda element: self._parts.append(
                " " * min(number(element.get(f"{TEXT}c")) or 1, _MAX_SPACES)
            ),
            f"{TEXT}tab": lambda element: self._parts.append("\t"),
            f"{TEXT}line-break": lambda element: self._parts.append("\n"),
            f"{TEXT}span": self._span,
            f"{TEXT}a": self._link,
            f"{TEXT}note": self._note,
            f"{TEXT}ruby-text": self._ruby,
            f"{DRAW}frame": self._frame,
            f"{DRAW}control": self._control,
            _MATH: lambda element: self._parts.append(mathml_text(element)),
        }

    def drawn(self, element: Any) -> str:
        """Return the text of a drawing that is anchored to a page."""
        self._parts = []
        self._draw(element)
        text, self._parts = "".join(self._parts), []
        return text

    def read(self, element: Any) -> str:
        """Return a paragraph's own text; "\\n" ends lines."""
        self._parts = []
        style = self._styles.of("paragraph", element.get(f"{TEXT}style-name"))
        if not style.is_hidden and not any(
            one.get(f"{TEXT}is-hidden") == "true" for one in element.iterchildren(f"{TEXT}hidden-paragraph")
        ):
            self._inline(element)
        text, self._parts = "".join(self._parts), []
        return text.replace("\0~~\0~~", "").replace("\0", "") if "\0" in text else text

    def _inline(self, parent: Any) -> None:
        self._characters(parent.text)
        for element in parent:
            tag = element.tag
            handler = self._handlers.get(tag)
            if handler is not None:
                handler(element)
            elif tag in _PAGE_NUMBERS:
                self.has_page_number = True
                if not self.in_margin:
                    self._inline(element)
            elif isinstance(tag, str) and tag.startswith(DRAW):
                self._draw(element)
            elif tag not in DROPPED and element.get(f"{TEXT}display") != "none":
                self._inline(element)
            self._characters(element.tail)

    def _characters(self, text: str | None) -> None:
        if text:
            self._parts.append(_BLANKS.sub(" ", text))

    def _span(self, element: Any) -> None:
        style = self._styles.of("text", element.get(f"{TEXT}style-name"))
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
        citation = element.find(f"{TEXT}note-citation")
        mark = " ".join("".join(citation.itertext()).split())[:40] if citation is not None else "*"
        body = element.find(f"{TEXT}note-body")
        self._parts.append(f"[{mark}]")
        if body is not None:
            self.notes.append(OdtNote(mark, body, element.get(f"{TEXT}note-class") == "endnote"))

    def _frame(self, frame: Any) -> None:
        """Read what a frame holds: a text box, a formula, or the description of a picture."""
        box = frame.find(f"{DRAW}text-box")
        held = frame.find(f"{DRAW}object")
        if box is not None:
            self.floats.append(box)
        elif held is not None:
            root = next(iter(held), None)
            if root is None:
                root = self._object_root(str(held.get(f"{_XLINK}href") or ""))
            if root is not None and root.tag == _MATH:
                self._parts.append(mathml_text(root))
            else:
                self.unread["embedded objects", "not read"] += 1
        elif frame.find(f"{DRAW}object-ole") is not None:
            self.unread["embedded objects", "not read"] += 1
        else:
            described = frame.find(f"{SVG}desc")
            described = described if described is not None else frame.find(f"{SVG}title")
            self._characters("".join(described.itertext()) if described is not None else None)
        for table in frame.iterchildren(f"{TABLE}table"):
            self.floats.append([table])

    def _draw(self, element: Any) -> None:
        """Read a shape or a group of them."""
        if element.tag == f"{DRAW}frame":
            self._frame(element)
        elif element.tag == f"{DRAW}control":
            self._control(element)
        elif any(child.tag in BLOCKS for child in element):
            self.floats.append(element)
        else:
            for child in element:
                if isinstance(child.tag, str) and child.tag.startswith(DRAW):
                    self._draw(child)

    def _control(self, element: Any) -> None:
        self._parts.append(self._controls.get(str(element.get(f"{DRAW}control")), ""))


def _form_values(body: Any) -> dict[str, str]:
    """Return what the controls of forms show, by their ids."""
    values: dict[str, str] = {}
    for forms in body.iterchildren(f"{OFFICE}forms"):
        for control in forms.iter():
            name = control.get(f"{_XML}id") or control.get(f"{FORM}id")
            if name is None or not isinstance(control.tag, str):
                continue
            label = str(control.get(f"{FORM}label") or "")
            kind = control.tag.removeprefix(FORM)
            if kind in ("checkbox", "radio"):
                state = control.get(f"{FORM}current-state") or control.get(f"{FORM}state")
                is_on = state == "checked" or "true" in (
                    control.get(f"{FORM}current-selected"),
                    control.get(f"{FORM}selected"),
                )
                values[str(name)] = f"{'[x]' if is_on else '[ ]'} {label} "
            elif kind != "password":
                value = control.get(f"{FORM}current-value") or control.get(f"{FORM}value")
                values[str(name)] = f" {value or label} "
    return values
