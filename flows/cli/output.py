"""Printing that commands share: JSON, columns, and text without what a terminal would act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

__all__ = ["format_moment", "format_value", "plain", "print_columns", "print_json"]


def print_json(value: Any) -> None:
    """Print dataclasses, lists and mappings as indented JSON, with characters of every script as they are."""
    from retrieve.report.data import dump_json

    print(dump_json(_json_ready(value), indent=2, allow_nan=True))


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with their cells under one another, the last of each as long as it is."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)] if lines else []
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True) if width)
        print("   ".join(padded).rstrip())


def format_moment(created: Any) -> str:
    """Return a time in ISO 8601 to the minute; empty where there is none."""
    return plain(str(created)[:16].replace("T", " ")) if created else ""


def format_value(value: Any) -> str:
    """Return a value in a table's cell: "none", four digits of a float, anything else as plain text."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def plain(value: Any) -> str:
    """Return the value as text of one line without control characters."""
    from retrieve.report.render_text import plain_text

    return plain_text(str(value))


def _json_ready(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _json_ready(asdict(value))
    if isinstance(value, dict):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
