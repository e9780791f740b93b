"""CURRENT.json: the generation and the model versions that are current, and those that were before.

The file is replaced in one step, so a reader sees the old names or the new, never a mixture. Whether the names exist,
and the lock that keeps writers apart, are `prep.store.workspace`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from prep.errors import StoreError
from prep.fault_injection import fault_point
from prep.manifest import FORMAT, read_json, sync_folder, write_json

__all__ = ["CURRENT_NAME", "MODEL_KINDS", "POINTERS", "Current", "ModelKind", "read_current", "write_current"]

ModelKind: TypeAlias = Literal["prep", "retrieve"]
MODEL_KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
POINTERS = ("generation", *MODEL_KINDS)
CURRENT_NAME = "CURRENT.json"


@dataclass(frozen=True, slots=True)
class Current:
    """The current generation id and model versions; None for no generation, or for the shipped model.

    previous: the value that each pointer had before its last change, for those that ever changed.
    """

    generation: str | None = None
    prep: str | None = None
    retrieve: str | None = None
    previous: Mapping[str, str | None] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, str | None]) -> Current:
        """Return this with some pointers changed; the value before is kept for going back."""
        different = {name: target for name, target in changes.items() if target != getattr(self, name)}
        if not different:
            return self
        return Current(
            **{name: different.get(name, getattr(self, name)) for name in POINTERS},
            previous={**self.previous, **{name: getattr(self, name) for name in different}},
        )


def read_current(folder: Path) -> Current:
    """Return what the folder's CURRENT.json says; nothing but Nones where there is none. Raises StoreError."""
    path = folder / CURRENT_NAME
    try:
        content = read_json(path)
    except FileNotFoundError:
        return Current()
    if content.get("format") != FORMAT:
        raise StoreError(f"{path} has format {content.get('format')!r}; this version reads {FORMAT}")
    return Current(
        generation=content.get("generation"),
        prep=content.get("prep"),
        retrieve=content.get("retrieve"),
        previous=content.get("previous", {}),
    )


def write_current(folder: Path, current: Current) -> None:
    """Replace the folder's CURRENT.json in one step. The caller holds the workspace's lock."""
    path = folder / CURRENT_NAME
    content = {
        "format": FORMAT,
        **{name: getattr(current, name) for name in POINTERS},
        "previous": dict(current.previous),
        "changed_at": datetime.now(UTC).isoformat(),
    }
    temporary = write_json(path, content)
    fault_point("before-swap")
    os.replace(temporary, path)
    sync_folder(folder)
    fault_point("after-swap")
