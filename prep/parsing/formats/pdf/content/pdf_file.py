"""A PDF file through PDFium: pages, what the file says of itself, its outline, the labels of its pages.

PDFium (`pypdfium2`) reads damaged files as browsers do. Its functions are called directly, since the text of a page is
a few thousand calls.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

import pypdfium2.raw as pdfium

from prep.parsing.parsed import UnreadableError

__all__ = ["PdfFile", "utf16_string"]

_MAX_OUTLINE_ENTRIES = 20_000
_MAX_OUTLINE_DEPTH = 20
_MAX_STRING_BYTES = 1 << 16
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([Zz+-])(\d\d)?'?(\d\d)?)?")


class PdfFile:
    """An open document; use as a context manager. Raises UnreadableError where it does not open."""

    def __init__(self, data: bytes) -> None:
        self._data = data  # PDFium reads from it until the file is closed
        self.handle: Any = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
        if not self.handle:
            raise UnreadableError(_REASONS.get(pdfium.FPDF_GetLastError(), "is damaged: it does not open"))
        self.n_pages: int = pdfium.FPDF_GetPageCount(self.handle)

    def __enter__(self) -> PdfFile:
        return self

    def __exit__(self, *error: object) -> None:
        pdfium.FPDF_CloseDocument(self.handle)

    def metadata(self) -> dict[str, str]:
        """Return title, author, dates as ISO 8601 and the number of pages; without those that the file lacks."""
        found = {
            "title": self._says("Title"),
            "author": self._says("Author"),
            "created": _iso_date(self._says("CreationDate")),
            "modified": _iso_date(self._says("ModDate")),
            "n_pages": str(self.n_pages),
        }
        return {name: value for name, value in found.items() if value}

    def page_label(self, position: int) -> str:
        """Return the label of a page as the file names it ("iv", "A-3"), else its number from 1."""
        label = utf16_string(pdfium.FPDF_GetPageLabel, self.handle, position)
        return " ".join(label.split()) or str(position + 1)

    def outline(self) -> list[tuple[int, str, int]]:
        """Return (level from 1, title, page position or -1) of the bookmarks, in order."""
        entries: list[tuple[int, str, int]] = []
        seen: set[int] = set()
        pending: list[tuple[Any, int]] = [(pdfium.FPDFBookmark_GetFirstChild(self.handle, None), 1)]
        while pending and len(entries) < _MAX_OUTLINE_ENTRIES:
            bookmark, level = pending.pop()
            address = _address(bookmark)
            if not address or address in seen:  # the chain of a hostile file may lead back
                continue
            seen.add(address)
            title = utf16_string(pdfium.FPDFBookmark_GetTitle, bookmark)
            destination = pdfium.FPDFBookmark_GetDest(self.handle, bookmark)
            position = pdfium.FPDFDest_GetDestPageIndex(self.handle, destination) if destination else -1
            entries.append((level, " ".join(title.split()), position))
            pending.append((pdfium.FPDFBookmark_GetNextSibling(self.handle, bookmark), level))
            if level < _MAX_OUTLINE_DEPTH:
                pending.append((pdfium.FPDFBookmark_GetFirstChild(self.handle, bookmark), level + 1))
        return entries

    def attachment_names(self) -> list[str]:
        """Return the names of the files embedded in this one."""
        names = []
        for i in range(min(max(pdfium.FPDFDoc_GetAttachmentCount(self.handle), 0), 1000)):
            attachment = pdfium.FPDFDoc_GetAttachment(self.handle, i)
            name = utf16_string(pdfium.FPDFAttachment_GetName, attachment)
            names.append(" ".join(name.split()) or "without a name")
        return names

    def _says(self, name: str) -> str:
        value = utf16_string(pdfium.FPDF_GetMetaText, self.handle, name.encode())
        return " ".join(value.replace("\x00", " ").split())


_REASONS = {
    pdfium.FPDF_ERR_PASSWORD: "is encrypted and needs a password",
    pdfium.FPDF_ERR_SECURITY: "is encrypted in a way that is not supported",
    pdfium.FPDF_ERR_FORMAT: "is damaged: it has no readable structure",
}


def utf16_string(function: Any, *arguments: Any) -> str:
    """Return a string of PDFium: `function` is asked for its size in bytes, then for its UTF-16 with an end mark."""
    size = function(*arguments, None, 0)
    if size <= 2 or size > _MAX_STRING_BYTES:
        return ""
    buffer = (pdfium.FPDF_WCHAR * (size // 2 + 1))()
    function(*arguments, buffer, size)
    return bytes(buffer)[: size - 2].decode("utf-16-le", "replace").rstrip("\x00")


def _address(handle: Any) -> int:
    return ctypes.addressof(handle.contents) if handle else 0


def _iso_date(value: str) -> str:
    """Return a PDF date (D:20310405120000+02'00') as ISO 8601, "" where it is none."""
    found = _DATE.match(value)
    if found is None:
        return ""
    year, month, day, hour, minute, second, sign, zone_hour, zone_minute = found.groups()
    date = "-".join(part for part in (year, month, day if month else None) if part)
    if not (day and hour):
        return date
    time = f"{hour}:{minute or '00'}:{second or '00'}"
    zone = "" if not sign else "Z" if sign in "Zz" else f"{sign}{zone_hour or '00'}:{zone_minute or '00'}"
    return f"{date}T{time}{zone}"
