"""Draws a training curve as inline SVG: points in, one small chart out, no library and no script.

Colours come from the page's custom properties, so that the chart follows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from retrieve.report.render_html import html_text
from training.runs.loss_curves import smooth

__all__ = ["draw_curve", "number", "round_ticks", "value_range"]

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 26
# Past this many points the single steps hide the trend: they are drawn thin, with a running mean over them.
MIN_POINTS_TO_SMOOTH = 40
MAX_POINTS = 600
_LEAST = 1e-300  # a range that is smaller cannot be divided into steps


def draw_curve(points: Sequence[tuple[float, float]], label: str) -> str:
    """Return a `<figure>` with `points` (step, value); values that are not finite are left out and counted.

    The caption gives the label and where the trend starts and ends, so that the figure reads unseen.
    """
    kept = sorted((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))
    lost = len(points) - len(kept)
    caption = f"<strong><bdi>{html_text(label)}</bdi></strong>"
    if lost:
        caption += f" <span>{lost} of {len(points)} values not finite</span>"
    if not kept:
        return f'<figure class="curve"><figcaption>{caption} <span>no points</span></figcaption></figure>'
    trend = smooth([y for _, y in kept]) if len(kept) >= MIN_POINTS_TO_SMOOTH else [y for _, y in kept]
    caption += f" <span>{number(trend[0])} → {number(trend[-1])}</span>"

    xs, ys = [x for x, _ in kept], [y for _, y in kept]
    x_low, x_high = value_range(min(xs), max(xs), pad=False)
    y_ticks = round_ticks(*value_range(min(ys), max(ys), pad=True))
    y_low, y_high = min(*ys, y_ticks[0]), max(*ys, y_ticks[-1])

    def place(x: float, y: float) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (x - x_low) / (x_high - x_low)
        down = TOP + (HEIGHT - TOP - BOTTOM) * (y_high - y) / (y_high - y_low)
        return f"{across:.1f},{down:.1f}"

    def line(values: Sequence[float], kind: str) -> str:
        step = max(1, math.ceil(len(xs) / MAX_POINTS))
        picked = [*range(0, len(xs) - 1, step), len(xs) - 1]
        path = " ".join(place(xs[i], values[i]) for i in picked)
        return f'<polyline class="{kind}" points="{path}"/>'

    parts = []
    for tick in y_ticks:
        down = place(x_low, tick).split(",")[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>')
        parts.append(f'<text class="left" x="{LEFT - 7}" y="{down}">{number(tick)}</text>')
    for x, anchor in ((x_low, "first"), (x_high, "last")):
        across = place(x, y_low).split(",")[0]
        parts.append(f'<text class="{anchor}" x="{across}" y="{HEIGHT - 8}">{number(x)}</text>')
    if trend != ys:
        parts.append(line(ys, "raw"))
    parts.append(line(trend, "trend"))
    across, down = place(xs[-1], trend[-1]).split(",")
    parts.append(f'<circle cx="{across}" cy="{down}" r="3.2"/>')
    drawing = "".join(parts)
    return (
        f'<figure class="curve"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html_text(label)}">{drawing}</svg>'
        "</figure>"
    )


def number(value: float) -> str:
    """Return `value` in three significant figures, thousands apart; zero and whole numbers plain."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0 or abs(value) >= 0.001:
        return f"{value:.3g}"
    return f"{value:.0e}"


def value_range(low: float, high: float, *, pad: bool) -> tuple[float, float]:
    """Return a range that is never empty, nor too small to be divided."""
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
