"""Text of charts and diagrams that a DOCX keeps in parts of their own: a chart's numbers as rows, a diagram's boxes."""

from __future__ import annotations

from typing import Any

__all__ = ["chart_rows", "chart_title", "diagram_lines"]

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_MAX_SERIES = 50
_MAX_POINTS = 2000


def chart_title(root: Any) -> str:
    """Return the title of a chart, "" where it has none."""
    title = root.find(f"{_C}chart/{_C}title")
    return _drawn_text(title) if title is not None else ""


def chart_rows(root: Any) -> list[list[str]]:
    """Return the numbers that a chart shows: the names of its series in the first row, a category in each other."""
    series = list(root.iter(f"{_C}ser"))[:_MAX_SERIES]
    names: list[str] = []
    categories: dict[int, str] = {}
    columns: list[dict[int, str]] = []
    for one in series:
        names.append(" ".join(_points(one.find(f"{_C}tx")).values()))
        for kind in ("cat", "xVal"):
            for position, value in _points(one.find(f"{_C}{kind}")).items():
                categories.setdefault(position, value)
        values = one.find(f"{_C}val")
        columns.append(_points(values if values is not None else one.find(f"{_C}yVal")))
    positions = sorted(categories.keys() | {position for column in columns for position in column})
    if not positions:
        return []
    rows = [
        [categories.get(position, ""), *(column.get(position, "") for column in columns)]
        for position in positions
    ]
    return [["", *names], *rows]


def diagram_lines(root: Any) -> list[str]:
    """Return the texts of a diagram's boxes (SmartArt), in their order."""
    texts = (_drawn_text(text) for text in root.iter(f"{_DIAGRAM}t"))
    return [text for text in texts if text]


def _points(parent: Any | None) -> dict[int, str]:
    """Return the stored values below `parent` by position; of several levels of categories the innermost."""
    if parent is None:
        return {}
    level = parent.find(f".//{_C}lvl")
    values: dict[int, str] = {}
    for point in (parent if level is None else level).iter(f"{_C}pt"):
        position = str(point.get("idx"))
        if position.isdigit() and len(position) < 9 and len(values) < _MAX_POINTS:
            values[int(position)] = " ".join((point.findtext(f"{_C}v") or "").split())
    if not values:
        literal = parent.findtext(f"{_C}v")
        return {0: " ".join(literal.split())} if literal else {}
    return values


def _drawn_text(element: Any) -> str:
    paragraphs = ("".join(text.text or "" for text in one.iter(f"{_A}t")) for one in element.iter(f"{_A}p"))
    return " ".join(" ".join(paragraphs).split())
