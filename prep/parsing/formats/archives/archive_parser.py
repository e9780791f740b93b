"""ZIP and TAR archives and compressed files: each member is read by the parser of its format.

Nothing is written to disk. What archives hold is bounded together, however they are nested: bytes unpacked, members,
depth. Members that need a password, links, devices, and names that lead out of the archive are reported and not read;
hidden files are passed over as in folders.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any

from prep.parsing.parsed import Parsed, UnreadableError

__all__ = ["ParseMember", "UnpackBudget", "parse_compressed", "parse_tar", "parse_zip"]

_MAX_DEPTH = 3
_MAX_MEMBERS = 10_000
_MAX_BYTES = 1 << 30
_MAX_LOSSES = 200
_MAX_NAME_CHARACTERS = 500
_PASSED_OVER = frozenset(
    {"__MACOSX", "CVS", "RCS", "SCCS", "_darcs", "__pycache__", "Thumbs.db", "desktop.ini"}
)
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
    ValueError, RuntimeError,
)  # fmt: skip
_SUFFIXES = re.compile(r"\.(?:gz|bz2|xz)\Z", re.I)
_OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
_UTF_8_NAME = 0x800  # of a ZIP member's flags: its name is UTF-8
_ENCRYPTED = 0x1

#: Reads a member by its name and content; the archives in it draw on the same budget.
ParseMember = Callable[[str, bytes, "UnpackBudget"], Parsed]


@dataclass(slots=True)
class UnpackBudget:
    """What may still be unpacked of one file. depth: of archives in archives."""

    n_bytes: int = _MAX_BYTES
    n_members: int = _MAX_MEMBERS
    depth: int = 0


@dataclass(slots=True)
class _Contents:
    """Members read so far, and what is not read."""

    members: list[tuple[str, Parsed]] = field(default_factory=list)
    losses: list[tuple[str, str]] = field(default_factory=list)

    def parsed(self) -> Parsed:
        """Return the members by name. Raises UnreadableError where none could be read."""
        if not self.members:
            first = f": {self.losses[0][0]} {self.losses[0][1]}" if self.losses else ""
            raise UnreadableError(f"is an archive that holds no file that can be read{first}")
        losses = self.losses[:_MAX_LOSSES]
        if len(self.losses) > len(losses):
            losses.append(("other members", f"{len(self.losses) - len(losses):,} more are not read"))
        members = sorted(self.members, key=lambda member: member[0].split("/"))
        return Parsed("", "", tuple(losses), members=tuple(members))


def parse_zip(data: bytes, parse: ParseMember, budget: UnpackBudget) -> Parsed:
    """Return the members of a ZIP archive. Raises UnreadableError."""
    _check_depth(budget)
    contents = _Contents()
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as error:
        raise UnreadableError(f"is damaged or no ZIP archive: {_message(error)}") from None
    with archive:
        for entry in archive.infolist():
            name = _zip_name(entry)
            mode = entry.external_attr >> 16
            if name.endswith("/") or _is_passed_over(name):
                continue
            reason = _refused(name)
            if reason is None and entry.flag_bits & _ENCRYPTED:
                reason = "is encrypted and needs a password"
            if reason is None and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                reason = "is a link or a device"
            if reason is not None:
                contents.losses.append((_shown(name), reason))
            elif not _read(name, entry.file_size, partial(archive.open, entry), parse, budget, contents):
                break
    return contents.parsed()


def parse_tar(data: bytes, parse: ParseMember, budget: UnpackBudget) -> Parsed:
    """Return the members of a TAR archive, compressed or not. Raises UnreadableError."""
    _check_depth(budget)
    contents = _Contents()
    opener = next((opener for magic, opener in _OPENERS if data.startswith(magic)), None)
    stream: Any = io.BytesIO(data)
    limited = _Limited(opener(stream) if opener is not None else stream, budget.n_bytes)
    try:
        with tarfile.open(fileobj=limited, mode="r|") as archive:
            for entry in archive:
                # Bytes that are no characters are written out, as in the names of files.
                name = os.fsencode(entry.name).decode("utf-8", "backslashreplace").removeprefix("./")
                if entry.isdir() or _is_passed_over(name):
                    continue
                reason = _refused(name)
                if reason is None and not entry.isreg():
                    reason = "is a link or a device"
                if reason is not None:
                    contents.losses.append((_shown(name), reason))
                elif not _read(
                    name, entry.size, partial(archive.extractfile, entry), parse, budget, contents
                ):
                    break
    except _TooLargeError:
        contents.losses.append(("other members", "unpack to more than is read"))
    except _DAMAGE as error:
        if not contents.members:
            raise UnreadableError(f"is damaged or no TAR archive: {_message(error)}") from None
        contents.losses.append(("other members", f"the archive is damaged: {_message(error)}"))
    return contents.parsed()


def parse_compressed(name: str, data: bytes, parse: ParseMember, budget: UnpackBudget) -> Parsed:
    """Return what a compressed file says; of an archive, its members. Raises UnreadableError."""
    _check_depth(budget)
    opener = next((opener for magic, opener in _OPENERS if data.startswith(magic)), None)
    if opener is None:
        raise UnreadableError("is damaged or not compressed: it does not begin like gzip, bzip2 or xz")
    inner_name = _SUFFIXES.sub("", name)
    try:
        with opener(io.BytesIO(data)) as stream:
            if _is_tar(stream.read(512)) or inner_name.lower().endswith(".tar"):
                return parse_tar(data, parse, budget)
            stream.seek(0)
            inner = stream.read(budget.n_bytes + 1)
    except _DAMAGE as error:
        raise UnreadableError(f"is damaged: {_message(error)}") from None
    if len(inner) > budget.n_bytes:
        raise UnreadableError("unpacks to more than is read")
    budget.n_bytes -= len(inner)
    if not inner:
        raise UnreadableError("is empty")
    return parse(inner_name, inner, _deeper(budget))


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _check_depth(budget: UnpackBudget) -> None:
    if budget.depth >= _MAX_DEPTH:
        raise UnreadableError(f"is an archive in an archive, more than {_MAX_DEPTH} deep")


def _deeper(budget: UnpackBudget) -> UnpackBudget:
    return UnpackBudget(budget.n_bytes, budget.n_members, budget.depth + 1)


def _read(
    name: str,
    size: int,
    opened: Callable[[], IO[bytes] | None],
    parse: ParseMember,
    budget: UnpackBudget,
    contents: _Contents,
) -> bool:
    """Read a member into `contents`; False where no more members may be read."""
    budget.n_members -= 1
    if budget.n_members < 0:
        contents.losses.append(("other members", f"are more than the {_MAX_MEMBERS:,} that are read"))
        return False
    if size > budget.n_bytes:
        contents.losses.append((name, f"unpacks to {size:,} bytes, more than is read"))
        return True
    if size == 0:
        contents.losses.append((name, "is empty"))
        return True
    inner = _deeper(budget)
    try:
        stream = opened()
        assert stream is not None  # of a regular file
        with stream:
            data = stream.read(size)
        budget.n_bytes -= len(data)
        inner.n_bytes = budget.n_bytes
        parsed = parse(name, data, inner)
    except _TooLargeError:
        raise
    except UnreadableError as error:
        contents.losses.append((name, error.reason))
    except _DAMAGE as error:
        contents.losses.append((name, f"is damaged: {_message(error)}"))
    else:
        held = [(f"{name}!/{inside}", part) for inside, part in parsed.members] or [(name, parsed)]
        contents.members += held
        contents.losses += [
            (f"{name}!/{where}" if parsed.members else f"{name}, {where}", why)
            for where, why in parsed.losses
        ]
    budget.n_bytes, budget.n_members = inner.n_bytes, inner.n_members
    return True


def _refused(name: str) -> str | None:
    """Return why a member of this name is not read, None where it may be."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        return "has a path that leads out of the archive"
    if not 0 < len(name) <= _MAX_NAME_CHARACTERS or not name.isprintable():
        return "has a name that no file has"
    return None


def _is_passed_over(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part not in ("..", ".")) or part in _PASSED_OVER for part in parts)


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name[:_MAX_NAME_CHARACTERS])


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return a member's name; UTF-8 that is not declared as such is read as what it is."""
    name = entry.orig_filename.replace("\\", "/") if "\\" in entry.orig_filename else entry.filename
    if not entry.flag_bits & _UTF_8_NAME and not name.isascii():
        try:
            return name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name


def _message(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _TooLargeError(Exception):
    """A stream gives more than the budget."""


class _Limited(io.RawIOBase):
    """A stream that may be read up to a number of bytes."""

    def __init__(self, stream: Any, n_bytes: int) -> None:
        self._stream = stream
        self._n_bytes = n_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._n_bytes + 1) if size >= 0 else self._n_bytes + 1)
        self._n_bytes -= len(data)
        if self._n_bytes < 0:
            raise _TooLargeError
        return bytes(data)
