"""The parts of a DOCX archive and how they refer to each other (ECMA-376, part 2); Strict Open XML reads the same.

Strict documents (ISO 29500) name their namespaces and relationships differently: the names are made those of the
transitional form, which all that follows knows.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prep.parsing.parsed import UnreadableError
from prep.parsing.zipped_xml import DamagedPartError, ZippedXml, parse_xml

__all__ = ["DocxPackage", "Relationship", "is_docx"]

_STRICT = re.compile(rb"""(?<==["'])http://purl\.oclc\.org/ooxml/(\w+)/(\w+)""")
_TRANSITIONAL = rb"http://schemas.openxmlformats.org/\1/2006/\2"
_PACKAGE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
_CORE = {
    "{http://purl.org/dc/elements/1.1/}title": "title",
    "{http://purl.org/dc/elements/1.1/}creator": "creator",
    "{http://purl.org/dc/elements/1.1/}subject": "subject",
    "{http://purl.org/dc/elements/1.1/}description": "description",
    "{http://purl.org/dc/terms/}created": "created",
    "{http://purl.org/dc/terms/}modified": "modified",
    "{http://schemas.openxmlformats.org/package/2006/metadata/core-properties}keywords": "keywords",
    "{http://schemas.openxmlformats.org/package/2006/metadata/core-properties}category": "category",
}
_MAX_PROPERTY_CHARACTERS = 1000
_WORD_PARTS = ("word/document.xml", "word/document2.xml")


@dataclass(frozen=True, slots=True)
class Relationship:
    """How a part refers to another (`target` is its name) or to an address. kind: "hyperlink", "header", …"""

    kind: str
    target: str
    is_external: bool


def is_docx(data: bytes) -> bool:
    """Whether these are the bytes of a ZIP archive that holds a Word document."""
    try:
        archive = ZippedXml(data, 1 << 40, "Word document")
    except UnreadableError:
        return False
    return any(name in archive for name in _WORD_PARTS)


class DocxPackage:
    """The parts of one document. losses: parts that could not be read. Raises UnreadableError."""

    def __init__(self, data: bytes, memory_limit_bytes: int) -> None:
        self.losses: list[tuple[str, str]] = []
        self._archive = ZippedXml(data, memory_limit_bytes, "Word document")
        self._relationships: dict[str, dict[str, Relationship]] = {}
        self.main_name = next(
            (one.target for one in self.relationships("").values() if one.kind == "officeDocument"),
            _WORD_PARTS[0],
        )

    @cached_property
    def main(self) -> Any:
        """The root of the main part. Raises UnreadableError."""
        try:
            root = self._xml(self.main_name)
        except DamagedPartError as error:
            raise UnreadableError(
                f"is damaged or no Word document: its part {self.main_name} {error}"
            ) from error
        if not str(root.tag).endswith("}document"):
            raise UnreadableError("is damaged or no Word document: its main part holds no document")
        return root

    def relationships(self, name: str) -> dict[str, Relationship]:
        """Return what the part `name` refers to, by id; "" is the archive itself."""
        if name not in self._relationships:
            folder, _, file = name.rpartition("/")
            source = posixpath.join(folder, "_rels", f"{file}.rels")
            root = self.xml(source) if source in self._archive else None
            found = root.iter(f"{_PACKAGE}Relationship") if root is not None else ()
            self._relationships[name] = {
                str(entry.get("Id")): _relationship(entry, folder) for entry in found
            }
        return self._relationships[name]

    def related(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield name and root of the parts of that kind that the main part refers to."""
        for one in self.relationships(self.main_name).values():
            if one.kind == kind and not one.is_external:
                root = self.xml(one.target)
                if root is not None:
                    yield one.target, root

    def xml(self, name: str) -> Any | None:
        """Return the root of a part, None with a loss where it cannot be read."""
        try:
            return self._xml(name)
        except DamagedPartError as error:
            self.losses.append((f"part {name}", str(error)))
            return None

    def read(self, name: str) -> bytes | None:
        """Return the content of a part, None with a loss where it cannot be read."""
        try:
            return self._archive.read(name)
        except DamagedPartError as error:
            self.losses.append((f"part {name}", str(error)))
            return None

    def properties(self) -> dict[str, str]:
        """Return what the document says of itself: title, creator, created, modified, …; empty ones are left out."""
        found: dict[str, str] = {}
        for one in self.relationships("").values():
            if one.kind == "core-properties" and one.target in self._archive:
                root = self.xml(one.target)
                for entry in root if root is not None else ():
                    value = " ".join((entry.text or "").split())[:_MAX_PROPERTY_CHARACTERS]
                    if entry.tag in _CORE and value:
                        found.setdefault(_CORE[entry.tag], value)
        return found

    def _xml(self, name: str) -> Any:
        data = self._archive.read(name)
        return parse_xml(_STRICT.sub(_TRANSITIONAL, data) if b"purl.oclc.org/ooxml/" in data else data)


def _relationship(entry: Any, folder: str) -> Relationship:
    target = str(entry.get("Target") or "")
    is_external = entry.get("TargetMode") == "External"
    if not is_external:
        target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
    return Relationship(str(entry.get("Type") or "").rpartition("/")[2], target, is_external)
