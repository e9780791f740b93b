"""The frame of an SVG chart: its scales, grid and ticks, and the shapes that were placed in it.

`flows.pages.charts` draws in a frame, and `templates/figure.html.jinja` writes its shapes as SVG. No library, no
script. Colours come from the page's custom properties, so that charts follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = [
    "LARGE",
    "SMALL",
    "ChartFrame",
    "ChartSize",
    "Shape",
    "format_number",
    "round_ticks",
    "value_range",
]

_LEAST = 1e-300  # a range that is smaller cannot be divided into steps


@dataclass(frozen=True, slots=True)
class ChartSize:
    """The size of a chart and of its margins, in the units of its view box."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


SMALL = ChartSize(340, 190, left=48, right=12, top=12, bottom=26)
LARGE = ChartSize(400, 220, left=50, right=14, top=14, bottom=28)


@dataclass(frozen=True, slots=True)
class Shape:
    """An SVG element: its attributes, its text, and the tooltip that is shown over it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    tooltip: str = ""


@dataclass(slots=True)
class ChartFrame:
    """The scales of one chart, and its shapes in the order in which they are drawn.

    y_ticks: ascending; the first and the last are the ends of the vertical scale.
    """

    size: ChartSize
    x_low: float
    x_high: float
    y_ticks: Sequence[float]
    shapes: list[Shape] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Return where a value lies across the chart."""
        width = self.size.width - self.size.left - self.size.right
        return self.size.left + width * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        """Return where a value lies down the chart."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        height = self.size.height - self.size.top - self.size.bottom
        return self.size.top + height * (high - value) / (high - low)

    def draw_grid(self) -> None:
        """Draw a line across at every tick, with its number."""
        left, right = self.size.left, self.size.width - self.size.right
        for tick in self.y_ticks:
            y = self.y(tick)
            self._add("line", "grid", x1=left, x2=right, y1=y, y2=y)
            self._add("text", "left", x=left - 7, y=y, text=format_number(tick))

    def draw_ends(self, first: str, last: str) -> None:
        """Name the ends of the horizontal scale; equal names are written once."""
        y = self.size.height - 8
        self._add("text", "first", x=self.size.left, y=y, text=first)
        if last != first:
            self._add("text", "last", x=self.size.width - self.size.right, y=y, text=last)

    def draw_line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw a line through the points."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.shapes.append(Shape("polyline", {"class": kind, "points": path}))

    def draw_vertical(self, x: float, low: float, high: float, kind: str) -> None:
        """Draw a vertical line at x from low to high."""
        self._add("line", kind, x1=self.x(x), x2=self.x(x), y1=self.y(low), y2=self.y(high))

    def draw_point(self, x: float, y: float, kind: str, *, radius: float, tooltip: str = "") -> None:
        """Draw a dot."""
        self._add("circle", kind, cx=self.x(x), cy=self.y(y), r=radius, tooltip=tooltip)

    def draw_bar(
        self, left: float, right: float, low: float, high: float, kind: str, *, tooltip: str = ""
    ) -> None:
        """Draw a rectangle between two values across and two down."""
        x, y = self.x(left), self.y(high)
        width, height = self.x(right) - x, self.y(low) - y
        self._add("rect", kind, x=x, y=y, width=width, height=height, tooltip=tooltip)

    def draw_limit(self, x: float, name: str) -> None:
        """Draw a vertical line over the whole height, with its name on its left."""
        self.draw_vertical(x, self.y_ticks[0], self.y_ticks[-1], "limit")
        self._add("text", "last limit-name", x=self.x(x) - 5, y=self.size.top + 10, text=name)

    def _add(self, tag: str, kind: str, *, text: str = "", tooltip: str = "", **numbers: float) -> None:
        attributes = {"class": kind} | {name: f"{number:.1f}" for name, number in numbers.items()}
        self.shapes.append(Shape(tag, attributes, text, tooltip))


def format_number(value: float) -> str:
    """Return `value` in three significant figures with thousands apart; zero and whole numbers plain."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0 or abs(value) >= 0.001:
        return f"{value:.3g}"
    return f"{value:.0e}"


def value_range(low: float, high: float, *, pad: bool) -> tuple[float, float]:
    """Return a range that is neither empty nor too small to be divided."""
    if high - low < _LEAST:
        room = abs(low) * 0.1 if pad and abs(low) > _LEAST else 1.0
        return low - room, high + room
    return low, high


def round_ticks(low: float, high: float) -> list[float]:
    """Return three to six round values that cover low..high."""
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [index * step for index in range(first, last + 1)]
    return ticks if all(a < b for a, b in pairwise(ticks)) else [low, high]
