"""ZIP archives of XML parts, as Office and OpenDocument files are: parts are read within limits, XML without entities.

Neither an archive that would unpack to more than the limit nor XML that declares entities is expanded. XML is nested at
most 256 deep (libxml2's limit), so that what walks it may recurse.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Any

from lxml import etree

from prep.parsing.parsed import UnreadableError

__all__ = ["DamagedPartError", "ZippedXml", "parse_xml"]

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_DECLARATION = re.compile(r"\A\ufeff?\s*<\?xml[^>]*\?>")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class DamagedPartError(Exception):
    """A part of the archive cannot be read; the message says why."""


class ZippedXml:
    """The parts of an archive, by name without regard to case.

    kind: as messages name it ("Word document"); suffix: what an old Office file is to be saved as. Raises
    UnreadableError for what is no such archive, needs a password, or unpacks to more than the limit.
    """

    def __init__(self, data: bytes, memory_limit_bytes: int, kind: str, suffix: str = ".docx") -> None:
        if data.startswith(_OLE):
            if "EncryptedPackage".encode("utf-16-le") in data:
                raise UnreadableError("is encrypted and needs a password")
            raise UnreadableError(f"is an old Office file under a new name: save it as {suffix}")
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except _ZIP_ERRORS as error:
            raise UnreadableError(f"is damaged or no {kind}: {_message(error)}") from error
        entries = self._archive.infolist()
        if any(entry.flag_bits & 1 for entry in entries):
            raise UnreadableError("is encrypted and needs a password")
        n_bytes = sum(entry.file_size for entry in entries)
        if n_bytes > memory_limit_bytes:
            raise UnreadableError(
                f"unpacks to {n_bytes / 2**30:.1f} GiB, more than the {memory_limit_bytes / 2**30:.1f} GiB of "
                "memory_limit_bytes"
            )
        self._entries = {_key(entry.filename): entry for entry in entries}

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._entries

    @property
    def names(self) -> dict[str, str]:
        """The parts' names as links give them, in lower case → as they are."""
        return {key: entry.filename for key, entry in self._entries.items()}

    def read(self, name: str) -> bytes:
        """Return the content of a part. Raises DamagedPartError."""
        entry = self._entries.get(_key(name))
        if entry is None:
            raise DamagedPartError("is missing")
        try:
            return self._archive.read(entry)
        except _ZIP_ERRORS as error:
            raise DamagedPartError(f"is damaged: {_message(error)}") from error

    def xml(self, name: str) -> Any:
        """Return the root of an XML part. Raises DamagedPartError."""
        return parse_xml(self.read(name))


def parse_xml(data: bytes) -> Any:
    """Return the root element. Raises DamagedPartError, MemoryError."""
    data = _utf8(data)
    if b"<!ENTITY" in data:
        raise DamagedPartError("declares XML entities, which documents do not have")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        message = _message(error)
        if "memory allocation" in message.lower():
            raise MemoryError from error
        raise DamagedPartError(f"is damaged: {message}") from error


def _utf8(data: bytes) -> bytes:
    """Return XML that is in UTF-16 as UTF-8."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data
    return _DECLARATION.sub("", data.decode("utf-16", "replace")).encode("utf-8", "replace")


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _message(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
