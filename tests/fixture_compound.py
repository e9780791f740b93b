"""Compound files ([MS-CFB]), which Outlook messages and old Office files are, made in memory for tests."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

Tree: TypeAlias = Mapping[str, "bytes | Tree"]

_SECTOR, _MINI, _CUTOFF = 512, 64, 4096
_END, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF


def compound_bytes(tree: Tree) -> bytes:
    """Return a compound file with these storages (mappings) and streams (bytes)."""
    entries: list[list[object]] = [["Root Entry", 5, _NONE, 0, b""]]  # name, type, child, sibling, content
    _add(entries, 0, tree)
    mini = b"".join(_padded(e[4], _MINI) for e in entries[1:] if len(e[4]) < _CUTOFF)  # type: ignore[arg-type]
    sectors: list[bytes] = []
    table: list[int] = []

    def store(data: bytes) -> int:
        if not data:
            return _END
        first = len(sectors)
        blocks = [data[at : at + _SECTOR].ljust(_SECTOR, b"\0") for at in range(0, len(data), _SECTOR)]
        sectors.extend(blocks)
        table.extend([*range(first + 1, first + len(blocks)), _END])
        return first

    mini_first = store(mini)
    mini_table: list[int] = []
    directory = b""
    for number, (name, kind, child, sibling, content) in enumerate(entries):
        assert isinstance(content, bytes)
        first, size = 0, len(content)
        if number == 0:
            first, size = mini_first, len(mini)
        elif kind == 2 and size >= _CUTOFF:
            first = store(content)
        elif kind == 2 and size:
            first, n = len(mini_table), -(-size // _MINI)
            mini_table.extend([*range(first + 1, first + n), _END])
        encoded = f"{name}\0".encode("utf-16-le")
        directory += encoded.ljust(64, b"\0") + struct.pack(
            "<HBBIII16xI8x8xIII", len(encoded), kind, 1, _NONE, sibling, child, 0, first, size, 0
        )
    mini_table_first = store(struct.pack(f"<{len(mini_table)}I", *mini_table))
    n_mini_sectors = len(sectors) - (mini_table_first if mini_table else len(sectors))
    directory_first = store(directory)
    n_fat = 1
    while n_fat * (_SECTOR // 4) < len(sectors) + n_fat:
        n_fat += 1
    fat_first = len(sectors)
    table.extend([0xFFFFFFFD] * n_fat)
    table.extend([_FREE] * (n_fat * (_SECTOR // 4) - len(table)))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, n_fat, directory_first, 0, _CUTOFF,
        mini_table_first, n_mini_sectors, _END, 0,
    )  # fmt: skip
    listed = [*range(fat_first, fat_first + n_fat), *[_FREE] * (109 - n_fat)]
    return header + struct.pack("<109I", *listed) + b"".join(sectors) + struct.pack(f"<{len(table)}I", *table)


def _add(entries: list[list[object]], parent: int, tree: Tree) -> None:
    previous = None
    for name, held in tree.items():
        entries.append(
            [
                name,
                2 if isinstance(held, bytes) else 1,
                _NONE,
                _NONE,
                held if isinstance(held, bytes) else b"",
            ]
        )
        number = len(entries) - 1
        if previous is None:
            entries[parent][2] = number
        else:
            entries[previous][3] = number
        previous = number
        if not isinstance(held, bytes):
            _add(entries, number, held)
    if parent == 0:
        entries[0][3] = _NONE


def _padded(data: bytes, size: int) -> bytes:
    return data.ljust(-(-len(data) // size) * size, b"\0")
