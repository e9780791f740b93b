"""API keys: a file that holds their SHA-256, and for each a name, what it may see, and whether it may write.

A key has 256 random bits, so that a plain hash cannot be searched. The file is read again where it has changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prep.errors import ConfigError

__all__ = ["EVERYTHING", "Access", "KeyFile"]

_PREFIX = "dpt_"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, and what they may. where: the filter that all their searches have. may_write: add and delete documents.

    name: None where the server has no keys.
    """

    name: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict, hash=False)
    may_write: bool = False


#: What everyone may where the server has no keys.
EVERYTHING = Access(may_write=True)


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    sha256: str
    created: str
    where: dict[str, Any]
    may_write: bool

    @property
    def access(self) -> Access:
        return Access(self.name, self.where, self.may_write)


class KeyFile:
    """The keys in a file. Safe for several threads; one process writes at a time."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._keys: tuple[_Key, ...] = ()
        self._read_at: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    def add(self, name: str, *, where: Mapping[str, Any] | None = None, may_write: bool = False) -> str:
        """Make a key and return it: it is kept nowhere else. Raises ConfigError for a name in use or blank."""
        keys = self._load() if self.path.exists() else ()
        if not name.strip() or not name.isprintable():
            raise ConfigError(f"{name!r} cannot be the name of a key: it must be printable")
        if any(key.name == name for key in keys):
            raise ConfigError(f"{self.path} has a key {name!r} already: `diptych keys remove` it first")
        if where and may_write:
            raise ConfigError(
                "a key that sees a part of the documents cannot write: give it a filter or the right"
            )
        secret = _PREFIX + secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._write((*keys, _Key(name, _digest(secret), created, dict(where or {}), may_write)))
        return secret

    def remove(self, name: str) -> None:
        """Remove a key. Raises ConfigError where there is none of this name."""
        keys = self._load()
        kept = tuple(key for key in keys if key.name != name)
        if len(kept) == len(keys):
            raise ConfigError(f"{self.path} has no key {name!r}: `diptych keys list` names all")
        self._write(kept)

    def accesses(self) -> list[tuple[Access, str]]:
        """Return every key's access and when it was made. Raises ConfigError for a file that is missing or damaged."""
        return [(key.access, key.created) for key in self._current()]

    def access(self, secret: str) -> Access | None:
        """Return what a key may, None for one that is not there. Takes the same time for every key that is wrong."""
        given = _digest(secret)
        found = None
        for key in self._current():
            if hmac.compare_digest(key.sha256, given):
                found = key
        return None if found is None else found.access

    def _current(self) -> tuple[_Key, ...]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be read ({error.strerror}): `diptych keys add` makes it"
            ) from error
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            if seen != self._read_at:
                self._keys, self._read_at = self._load(), seen
            return self._keys

    def _load(self) -> tuple[_Key, ...]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']!r}")
            return tuple(_Key(**key) for key in content["keys"])
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be read ({error.strerror}): `diptych keys add` makes it"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.path} is no file of keys, or is damaged") from error

    def _write(self, keys: tuple[_Key, ...]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "keys": [asdict(key) for key in keys]}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
