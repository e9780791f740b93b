"""ZIP packages, as Office files, OpenDocument and EPUB are: what one holds, and its parts within limits."""

from __future__ import annotations

import io
import posixpath
import zipfile
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from prep.parsing.parsed import UnreadableError
from prep.parsing.zipped_xml import DamagedPartError, ZippedXml

__all__ = ["Relation", "ZipPackage", "package_kind"]

_MAX_SNIFFED_BYTES = 1 << 20
#: The type of the main part of an Office file, or the `mimetype` of a package, and the format.
_KINDS = (
    (b"wordprocessingml.document.main+xml", "docx"),
    (b"presentationml.presentation.main+xml", "pptx"),
    (b"presentationml.slideshow.main+xml", "pptx"),
    (b"presentationml.template.main+xml", "pptx"),
    (b"powerpoint.presentation.macroenabled.main+xml", "pptx"),
    (b"powerpoint.slideshow.macroenabled.main+xml", "pptx"),
    (b"spreadsheetml.sheet.main+xml", "xlsx"),
    (b"spreadsheetml.template.main+xml", "xlsx"),
    (b"excel.sheet.macroenabled.main+xml", "xlsx"),
    (b"excel.template.macroenabled.main+xml", "xlsx"),
)
_MIME_TYPES = {
    b"application/epub+zip": "epub",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.spreadsheet-template": "ods",
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.text-template": "odt",
}


def package_kind(data: bytes) -> str | None:
    """Return the format of a ZIP package by what it holds: docx, pptx, xlsx, ods, odt, epub, or zip for another.

    None for other bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "mimetype" in names:
                with archive.open("mimetype") as part:
                    kind = _MIME_TYPES.get(part.read(100).strip())
                if kind is not None:
                    return kind
            if "[Content_Types].xml" in names:
                with archive.open("[Content_Types].xml") as part:
                    types = part.read(_MAX_SNIFFED_BYTES).lower()
                return next((kind for mark, kind in _KINDS if mark in types), "zip")
            return "epub" if "META-INF/container.xml" in names else "zip"
    except Exception:  # zipfile raises many kinds for other bytes
        return None


@dataclass(frozen=True, slots=True)
class Relation:
    """A link of an Office part to another. kind: the end of its type ("slide", "notesSlide"). target: a part's name."""

    kind: str
    target: str


class ZipPackage:
    """The parts of a package. what: the format, as messages name it ("Excel workbook"); suffix: what to save it as."""

    def __init__(self, data: bytes, memory_limit_bytes: int, *, what: str, suffix: str) -> None:
        """Raises UnreadableError as `ZippedXml` does."""
        self._what = what
        self._parts = ZippedXml(data, memory_limit_bytes, what, suffix)
        self.names = self._parts.names

    def damaged(self, error: Exception | str) -> UnreadableError:
        """Return the error that says that the package is none of its format."""
        message = " ".join(str(error).split())[:200] or type(error).__name__
        return UnreadableError(f"is damaged or no {self._what}: {message}")

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a part, None where there is none. Raises UnreadableError for a damaged one."""
        try:
            return self._parts.read(name) if name in self._parts else None
        except DamagedPartError as error:
            raise self.damaged(f"{name} {error}") from None

    def xml(self, name: str) -> Any | None:
        """Return the root of a part of XML; None where there is none. Raises UnreadableError for a damaged one."""
        try:
            return self._parts.xml(name) if name in self._parts else None
        except DamagedPartError as error:
            raise self.damaged(f"{name} {error}") from None

    def relations(self, name: str) -> dict[str, Relation]:
        """Return the links of an Office part ("" for the package's own) by id, without those that lead outside."""
        folder, base = posixpath.split(name)
        root = self.xml(posixpath.join(folder, "_rels", f"{base}.rels"))
        found: dict[str, Relation] = {}
        for one in root if root is not None else ():
            if not isinstance(one.tag, str) or one.get("TargetMode") == "External":
                continue
            target = unquote(one.get("Target") or "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            kind = (one.get("Type") or "").rsplit("/", 1)[-1]
            found[one.get("Id") or ""] = Relation(kind, posixpath.normpath(path))
        return found

    def properties(self) -> dict[str, str]:
        """Return what an Office file says of itself: title, author, created, as far as they are filled in."""
        core = next((r for r in self.relations("").values() if r.kind == "core-properties"), None)
        root = self.xml(core.target) if core is not None else None
        named = {"title": "title", "creator": "author", "created": "created", "language": "language"}
        found: dict[str, str] = {}
        for element in root if root is not None else ():
            key = named.get(element.tag.rsplit("}", 1)[-1]) if isinstance(element.tag, str) else None
            value = " ".join((element.text or "").split())
            if key is not None and value:
                found[key] = value
        return found
