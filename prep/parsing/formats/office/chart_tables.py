"""Charts as tables: a row for each category, a column for each series, from the values stored with the chart.

The format is ECMA-376, part 1, chapter 21.2; the newer kinds of chart (waterfall, treemap, …) are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prep.parsing.formats.office.cell_formats import format_number

__all__ = ["chart_rows", "chart_title"]

_MAX_POINTS = 20_000


def chart_title(chart: Any) -> str:
    """Return the title written on a chart, "" where there is none. chart: the root of its part."""
    for title in chart.iterfind("{*}chart/{*}title"):
        return " ".join("".join(one.text or "" for one in title.iter("{*}t")).split())
    return ""


def chart_rows(chart: Any) -> list[list[str]]:
    """Return header and rows of a chart; empty where no value is stored."""
    columns: list[tuple[str, dict[int, str]]] = []
    categories: dict[int, str] = {}
    has_points = False
    for number, series in enumerate(chart.iter("{*}ser"), start=1):
        name = " ".join(next(iter(_points(series, "tx").values()), "").split()) or f"Series {number}"
        horizontal = _points(series, "xVal")
        if horizontal:  # points of their own on both axes
            has_points = True
            columns.append((f"{name} x", horizontal))
            columns.append((f"{name} y", _points(series, "yVal")))
            if sizes := _points(series, "bubbleSize"):
                columns.append((f"{name} size", sizes))
            continue
        values = _points(series, "val")
        categories = categories or _points(series, "cat")
        if values:
            columns.append((name, values))
    if not columns:
        return []
    indices = sorted({*categories, *(at for _, values in columns for at in values)})[:_MAX_POINTS]
    label = [] if has_points and not categories else [""]
    header = [*label, *(name for name, _ in columns)]
    rows = [
        [
            *([categories.get(at, str(at + 1))] if label else []),
            *(values.get(at, "") for _, values in columns),
        ]
        for at in indices
    ]
    return [header, *rows]


def _points(series: Any, role: str) -> dict[int, str]:
    """Return the stored texts or numbers of a series by their index, levels of categories joined."""
    held = next(series.iterfind(f"{{*}}{role}"), None)
    if held is None:
        return {}
    levels = list(held.iter("{*}lvl"))
    if levels:
        found: dict[int, str] = {}
        inner = [dict(_stored(level, "General")) for level in levels]
        shown = [""] * len(inner)
        for at in sorted({at for level in inner for at in level})[:_MAX_POINTS]:
            shown = [level.get(at, before) for level, before in zip(inner, shown, strict=True)]
            found[at] = " ".join(filter(None, reversed(shown)))
        return found
    code = next((one.text for one in held.iter("{*}formatCode") if one.text), "General")
    points = dict(_stored(held, code))
    if not points:
        literal = next((one.text for one in held.iterfind("{*}v") if one.text), None)
        return {0: literal} if literal is not None else {}
    return points


def _stored(parent: Any, code: str) -> Iterator[tuple[int, str]]:
    for point in parent.iter("{*}pt"):
        index = point.get("idx") or ""
        value = next((one.text for one in point.iterfind("{*}v") if one.text), "")
        if not index.isdecimal() or len(index) > 7 or not value:
            continue
        is_text = point.getparent().tag.rsplit("}", 1)[-1] in ("strCache", "strLit", "lvl")
        yield (
            int(index),
            " ".join(value.split()) if is_text else _shown(value, point.get("formatCode") or code),
        )


def _shown(value: str, code: str) -> str:
    try:
        return format_number(float(value), code)
    except ValueError:
        return " ".join(value.split())
