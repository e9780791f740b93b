"""PDF to text by pypdf: the lines of every page as extracted, with a blank line between pages."""

from __future__ import annotations

import io
from typing import Any

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError, PyPdfError

from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title

__all__ = ["parse_pdf"]


def parse_pdf(data: bytes) -> Parsed:
    """Return the text, and the metadata's title where it is usable.

    Pages that cannot be read, or that are pictures, are losses. Raises UnreadableError for a file without any text and
    for an encrypted one.
    """
    if b"%PDF-" not in data[:1024]:
        raise UnreadableError("is damaged: it does not begin like a PDF")
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted:
            _unlock(reader)
        n_pages = len(reader.pages)
    except PyPdfError as error:
        raise UnreadableError(f"is damaged: {_message(error)}") from error
    if n_pages == 0:
        raise UnreadableError("is damaged or empty: it has no pages")
    pages: list[str] = []
    damaged: dict[str, list[int]] = {}
    pictures: list[int] = []
    for position in range(n_pages):
        try:
            page = reader.pages[position]
            text = page.extract_text()
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # pypdf raises many kinds for a damaged page
            damaged.setdefault(_message(error), []).append(position + 1)
            continue
        if text.strip():
            pages.append(text.strip("\n"))
        elif _has_picture(page):
            pictures.append(position + 1)
    if not pages:
        if damaged:
            raise UnreadableError(f"is damaged: no page can be read ({next(iter(damaged))})")
        raise UnreadableError("has no text: it may be scanned images, which need text recognition first")
    losses = [(_page_names(numbers), f"cannot be read: {reason}") for reason, numbers in damaged.items()]
    if pictures:
        losses.append((_page_names(pictures), "no text: may be scanned images"))
    return Parsed(_title(reader), "\n\n".join(pages) + "\n", tuple(losses))


def _unlock(reader: PdfReader) -> None:
    """Open with the empty password, as every viewer does; many files only restrict printing."""
    try:
        opened = reader.decrypt("") != PasswordType.NOT_DECRYPTED
    except DependencyError as error:
        raise UnreadableError(
            "is encrypted with AES, which needs the package cryptography to read"
        ) from error
    if not opened:
        raise UnreadableError("is encrypted and needs a password")


def _title(reader: PdfReader) -> str:
    try:
        metadata = reader.metadata
        return clean_title(metadata.title if metadata is not None else None)
    except Exception:  # damaged metadata does not make the pages unreadable
        return ""


def _has_picture(page: Any) -> bool:
    try:
        resources = page["/Resources"]
        objects = resources.get("/XObject", {})
        return any(entry.get_object().get("/Subtype") == "/Image" for entry in objects.values())
    except Exception:  # a page with neither text nor readable resources has no picture either
        return False


def _message(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _page_names(numbers: list[int]) -> str:
    """Return page numbers with runs joined: "pages 1-3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    names = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"page{'s' if len(numbers) > 1 else ''} {shown}"
