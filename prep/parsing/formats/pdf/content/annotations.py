"""The annotations of a PDF page through PDFium: values of form fields, notes, addresses of links.

Push buttons, signatures, passwords and hidden fields are left out. The text of a FreeText annotation is on the page for
every reader; the text of other notes is what a reader wrote.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass, field
from typing import Any

import pypdfium2.raw as pdfium

from prep.parsing.formats.pdf.content.page_content import Frame
from prep.parsing.formats.pdf.content.pdf_file import PdfFile, utf16_string

__all__ = ["CHECKS", "AnnotationReader", "Field", "Link", "PageAnnotations"]

# A box to tick, with its cross and without.
CHECKS = ("[x]", "[ ]")

_MAX_ANNOTATIONS = 5000
_MAX_ADDRESS_CHARACTERS = 300
_ADDRESS = re.compile(r"(?:https?|ftp|mailto|tel):", re.I)
_HIDDEN = 1 << 1 | 1 << 5  # annotation flags Hidden and NoView
_PASSWORD = 1 << 13
_NOTES = {
    pdfium.FPDF_ANNOT_TEXT, pdfium.FPDF_ANNOT_HIGHLIGHT, pdfium.FPDF_ANNOT_UNDERLINE, pdfium.FPDF_ANNOT_STRIKEOUT,
    pdfium.FPDF_ANNOT_SQUIGGLY, pdfium.FPDF_ANNOT_CARET, pdfium.FPDF_ANNOT_SQUARE, pdfium.FPDF_ANNOT_CIRCLE,
    pdfium.FPDF_ANNOT_LINE, pdfium.FPDF_ANNOT_STAMP, pdfium.FPDF_ANNOT_INK, pdfium.FPDF_ANNOT_POLYGON,
}  # fmt: skip


Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that shows something. value: text, or "[x]" and "[ ]"; box: left, top, right, bottom in points."""

    value: str
    name: str
    box: Box

    @property
    def is_check(self) -> bool:
        """Whether it is a box to tick."""
        return self.value in CHECKS


@dataclass(frozen=True, slots=True)
class Link:
    """An address behind a rectangle of the page: left, top, right, bottom in points."""

    address: str
    box: Box


@dataclass(slots=True)
class PageAnnotations:
    """The annotations of a page. notes: what readers wrote on it."""

    fields: list[Field] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


class AnnotationReader:
    """Reads the annotations of a file's pages; close it before the file."""

    def __init__(self, file: PdfFile) -> None:
        self.is_xfa = pdfium.FPDF_GetFormType(file.handle) == pdfium.FORMTYPE_XFA_FULL
        self._form: Any = None
        if pdfium.FPDF_GetFormType(file.handle) != pdfium.FORMTYPE_NONE:
            self._info = pdfium.FPDF_FORMFILLINFO(version=2)  # PDFium keeps the address
            self._form = pdfium.FPDFDOC_InitFormFillEnvironment(file.handle, self._info)

    def close(self) -> None:
        """Release what PDFium holds for the form."""
        if self._form:
            pdfium.FPDFDOC_ExitFormFillEnvironment(self._form)
            self._form = None

    def read(self, file: PdfFile, page: Any, frame: Frame) -> PageAnnotations:
        """Return the annotations of a loaded page; `frame` is how its content was read."""
        found = PageAnnotations()
        if self._form:
            pdfium.FORM_OnAfterLoadPage(page, self._form)
        try:
            self._read_all(file, page, frame, found)
        finally:
            if self._form:
                pdfium.FORM_OnBeforeClosePage(page, self._form)
        return found

    def _read_all(self, file: PdfFile, page: Any, frame: Frame, found: PageAnnotations) -> None:
        for i in range(min(pdfium.FPDFPage_GetAnnotCount(page), _MAX_ANNOTATIONS)):
            annotation = pdfium.FPDFPage_GetAnnot(page, i)
            if not annotation:
                continue
            try:
                self._read_one(file, annotation, frame, found)
            finally:
                pdfium.FPDFPage_CloseAnnot(annotation)

    def _read_one(self, file: PdfFile, annotation: Any, frame: Frame, found: PageAnnotations) -> None:
        if pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
            return
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        rect = pdfium.FS_RECTF()
        pdfium.FPDFAnnot_GetRect(annotation, rect)
        box = frame.box(rect.left, rect.bottom, rect.right, rect.top)
        if kind == pdfium.FPDF_ANNOT_LINK:
            address = _address(file, annotation)
            if address:
                found.links.append(Link(address, box))
        elif kind == pdfium.FPDF_ANNOT_WIDGET:
            value = self._value(annotation)
            if value:
                found.fields.append(Field(value, self._name(annotation), box))
        elif kind == pdfium.FPDF_ANNOT_FREETEXT:
            text = _says(annotation, b"Contents")
            if text:
                found.fields.append(Field(text, "", box))
        elif kind in _NOTES:
            text = _says(annotation, b"Contents")
            if text:
                author = _says(annotation, b"T")
                found.notes.append(f"Note ({author}): {text}" if author else f"Note: {text}")

    def _value(self, annotation: Any) -> str:
        """Return what a field shows: its text, its choice, or a box with or without a cross."""
        if not self._form:
            return ""
        kind = pdfium.FPDFAnnot_GetFormFieldType(self._form, annotation)
        flags = pdfium.FPDFAnnot_GetFormFieldFlags(self._form, annotation)
        if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
            is_on = _says(annotation, b"AS") not in ("", "Off")
            return CHECKS[0] if is_on or pdfium.FPDFAnnot_IsChecked(self._form, annotation) else CHECKS[1]
        if kind == pdfium.FPDF_FORMFIELD_TEXTFIELD and not flags & _PASSWORD:
            return self._ask(pdfium.FPDFAnnot_GetFormFieldValue, annotation)
        if kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
            return self._choice(annotation) or self._ask(pdfium.FPDFAnnot_GetFormFieldValue, annotation)
        return ""

    def _choice(self, annotation: Any) -> str:
        """Return the labels of the chosen options."""
        chosen = []
        for i in range(min(pdfium.FPDFAnnot_GetOptionCount(self._form, annotation), 1000)):
            if pdfium.FPDFAnnot_IsOptionSelected(self._form, annotation, i):
                label = utf16_string(pdfium.FPDFAnnot_GetOptionLabel, self._form, annotation, i)
                chosen.append(" ".join(label.split()))
        return ", ".join(filter(None, chosen))

    def _ask(self, function: Any, annotation: Any) -> str:
        value = utf16_string(function, self._form, annotation)
        return " ".join(value.split())

    def _name(self, annotation: Any) -> str:
        """Return the name a field is shown under, else the name it has in the file."""
        return self._ask(pdfium.FPDFAnnot_GetFormFieldAlternateName, annotation) or self._ask(
            pdfium.FPDFAnnot_GetFormFieldName, annotation
        )


def _says(annotation: Any, name: bytes) -> str:
    value = utf16_string(pdfium.FPDFAnnot_GetStringValue, annotation, name)
    return " ".join(value.split())


def _address(file: PdfFile, annotation: Any) -> str:
    link = pdfium.FPDFAnnot_GetLink(annotation)
    action = pdfium.FPDFLink_GetAction(link) if link else None
    if not action or pdfium.FPDFAction_GetType(action) != pdfium.PDFACTION_URI:
        return ""
    size = pdfium.FPDFAction_GetURIPath(file.handle, action, None, 0)
    if not 1 < size <= _MAX_ADDRESS_CHARACTERS:
        return ""
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFAction_GetURIPath(file.handle, action, buffer, size)
    address = buffer.value.decode("utf-8", "replace").strip()
    return address if _ADDRESS.match(address) else ""
