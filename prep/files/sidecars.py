"""`metadata.jsonl` beside files: a JSON object on each line, with the `path` that it is about and any other keys.

    {"path": "travel.pdf", "author": "Ada", "reviewed": "2026-03-01"}
    {"path": "minutes/**/*.md", "kind": "minutes"}

`path` is a file's path from the folder that holds the `metadata.jsonl`, or a glob pattern. A later line wins over an
earlier one, and a file nearer to the document over one above it. A `metadata.jsonl` whose first line has no `path` is
a document like others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from re import Pattern
from typing import Any

from prep.document import Rejected
from prep.errors import ConfigError
from prep.files.globs import compile_glob, is_glob

__all__ = ["SIDECAR_NAME", "Sidecars"]

SIDECAR_NAME = "metadata.jsonl"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _SidecarRow:
    number: int
    pattern: Pattern[str] | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Sidecar:
    """by_path: rows about a path, in order; patterns: rows about a pattern, in order."""

    by_path: Mapping[str, list[_SidecarRow]]
    patterns: list[_SidecarRow]

    def of(self, path: str) -> dict[str, Any]:
        rows = [row for row in self.patterns if row.pattern is not None and row.pattern.fullmatch(path)]
        rows += self.by_path.get(path, [])
        metadata: dict[str, Any] = {}
        for row in sorted(rows, key=lambda row: row.number):
            metadata |= row.values
        return metadata


class Sidecars:
    """The `metadata.jsonl` of all folders, each read when it is first needed."""

    def __init__(self) -> None:
        self._read: dict[Path, _Sidecar | None] = {}
        self.rejected: list[Rejected] = []

    def is_sidecar(self, path: Path) -> bool:
        """Whether a file holds metadata of others and is no document."""
        return path.name == SIDECAR_NAME and self._of(path.parent) is not None

    def metadata(self, root: Path, name: str) -> dict[str, Any]:
        """Return what the folders from `root` to the file's own say of it. name: of the file inside `root`."""
        parts = name.split("/")
        metadata: dict[str, Any] = {}
        for n in range(len(parts)):
            sidecar = self._of(root.joinpath(*parts[:n]))
            if sidecar is not None:
                metadata |= sidecar.of("/".join(parts[n:]))
        return metadata

    def _of(self, folder: Path) -> _Sidecar | None:
        if folder not in self._read:
            self._read[folder] = self._load(folder / SIDECAR_NAME)
        return self._read[folder]

    def _load(self, path: Path) -> _Sidecar | None:
        try:
            if path.is_symlink() or not path.is_file():  # a link may lead out of the folders given
                return None
            if path.stat().st_size > _MAX_BYTES:
                self.rejected.append(Rejected(str(path), f"has more than {_MAX_BYTES:,} bytes of metadata"))
                return None
            lines = path.read_bytes().decode("utf-8-sig", "replace").split("\n")
        except OSError as error:
            self.rejected.append(Rejected(str(path), f"cannot be read: {error.strerror or error}"))
            return None
        numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
        if not numbered or not isinstance(_parse(numbered[0][1]), dict):
            return None
        by_path: dict[str, list[_SidecarRow]] = {}
        patterns: list[_SidecarRow] = []
        for number, line in numbered:
            values = _parse(line)
            where = f"{path} (line {number})"
            if isinstance(values, str):
                self.rejected.append(Rejected(where, values))
                continue
            name = os.path.normpath(values.pop("path")).replace(os.sep, "/")
            kept = {key: value for key, value in values.items() if value is not None}
            if not is_glob(name) or (path.parent / name).exists():
                by_path.setdefault(name, []).append(_SidecarRow(number, None, kept))
                if not (path.parent / name).exists():
                    self.rejected.append(Rejected(where, f"is about a file that does not exist: {name!r}"))
                continue
            try:
                patterns.append(_SidecarRow(number, compile_glob(name), kept))
            except ConfigError as error:
                self.rejected.append(Rejected(where, str(error)))
        return _Sidecar(by_path, patterns)


def _parse(line: str) -> dict[str, Any] | str:
    """Return the object on a line, or why it is none."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    if (
        not isinstance(values, dict)
        or not isinstance(values.get("path"), str)
        or not values["path"].strip("/. ")
    ):
        return 'is no JSON object with a "path"'
    return values
