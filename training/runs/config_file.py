"""Settings of a training stage, from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from prep.errors import ConfigError

__all__ = ["RENAMED_SETTINGS", "read_config", "rename_settings"]

#: Old names of settings, still read → the names now.
RENAMED_SETTINGS = {
    "frozen": "gate_set",
    "lesson_weights": "feedback_weights",
    "lessons": "feedback_examples",
    "n_asked": "n_generated",
    "share": "interpolation",
    "sheet_questions": "questions_per_context",
}

T = TypeVar("T")


def read_config(
    kind: type[T],
    path: str | Path,
    *,
    nested: Mapping[str, Callable[[Any], Any]] | None = None,
) -> T:
    """Return the dataclass `kind` with the file's settings; an unknown key or a file that is no TOML is a ConfigError.

    nested: how to read the settings that are tables of their own. Old names of settings are read as the new ones.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    values = rename_settings(kind, values, str(path))
    unknown = set(values) - {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise ConfigError(f"unknown settings in {path}: {sorted(unknown)}")
    for name, read in (nested or {}).items():
        if name in values:
            values[name] = read(values[name])
    return kind(**values)


def rename_settings(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a dataclass's settings under the names of today. Raises ConfigError where one has its old name as well."""
    renamed = dict(values)
    known = {field.name for field in fields(kind)}
    for old, new in RENAMED_SETTINGS.items():
        if old in renamed and new in known and old not in known:
            if new in renamed:
                raise ConfigError(f"{where} has {new} twice: {old} is its old name")
            renamed[new] = renamed.pop(old)
    return renamed
