"""Draws the charts of the pages: a training curve, bars, lines over days, and the decisions of the gate.

Each function returns a `<figure>` as markup whose caption carries the main numbers, so that it reads unseen. Where a
colour has a meaning, a shape or a word has it too. Scales and ticks are `flows.pages.chart_frame`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from flows.models.gate_decisions import GateDecision
from flows.pages.chart_frame import LARGE, SMALL, ChartFrame, format_number, round_ticks, value_range
from flows.pages.rendering import pages_environment
from training.runs.loss_curves import smooth

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Bar", "draw_bars", "draw_curve", "draw_decisions", "draw_lines"]

# From so many points on, single steps hide the trend: they are drawn thin, with a running mean over them.
MIN_POINTS_TO_SMOOTH = 40
MAX_POINTS = 600
# The newest decisions that a chart has room for.
MAX_DECISIONS = 40


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, the sizes of its parts from below, "a" then "b". is_over: drawn as a warning."""

    label: str
    parts: tuple[float, ...]
    is_over: bool = False


def draw_curve(points: Sequence[tuple[float, float]], label: str) -> Markup:
    """Return a figure with `points` (step, value); values that are not finite are left out and counted.

    The caption has the label and the values at which the trend starts and ends.
    """
    kept = sorted((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))
    n_lost = len(points) - len(kept)
    remarks = [f"{n_lost} of {len(points)} values not finite"] if n_lost else []
    if not kept:
        return _figure("curve", label, [*remarks, "no points"])
    xs, ys = [x for x, _ in kept], [y for _, y in kept]
    trend = smooth(ys) if len(ys) >= MIN_POINTS_TO_SMOOTH else ys
    remarks.append(f"{format_number(trend[0])} → {format_number(trend[-1])}")

    frame = ChartFrame(
        SMALL, *value_range(xs[0], xs[-1], pad=False), round_ticks(*value_range(min(ys), max(ys), pad=True))
    )
    frame.draw_grid()
    frame.draw_ends(format_number(frame.x_low), format_number(frame.x_high))
    drawn = [*range(0, len(xs) - 1, max(1, math.ceil(len(xs) / MAX_POINTS))), len(xs) - 1]
    if trend != ys:
        frame.draw_line([(xs[i], ys[i]) for i in drawn], "raw")
    frame.draw_line([(xs[i], trend[i]) for i in drawn], "trend")
    frame.draw_point(xs[-1], trend[-1], "end", radius=3.2)
    return _figure("curve", label, remarks, frame)


def draw_decisions(decisions: Sequence[GateDecision], figure: str, title: str) -> Markup | None:
    """Return a figure with one column a decision: the candidate with its interval, and a line through what served.

    decisions: oldest first; those that did not measure the figure are left out. The line breaks where the questions
    changed. None where no decision measured it.
    """
    measured = [
        one
        for one in decisions
        if all(figure in one.figures.get(side, {}) for side in ("current", "candidate"))
    ][-MAX_DECISIONS:]
    if not measured:
        return None
    values = [
        value
        for one in measured
        for value in (
            one.figures["current"][figure],
            one.figures["candidate"][figure],
            *_interval(one, figure),
        )
    ]
    y_ticks = round_ticks(*value_range(min(values), max(values), pad=True))
    frame = ChartFrame(LARGE, -0.6, len(measured) - 0.4, y_ticks)
    frame.draw_grid()
    frame.draw_ends(measured[0].created[:10], measured[-1].created[:10])
    n_sets = 0
    for _, group in groupby(enumerate(measured), key=lambda item: item[1].question_set):
        columns = list(group)
        first, decision = columns[0]
        if n_sets:
            frame.draw_vertical(first - 0.5, y_ticks[0], y_ticks[-1], "change")
        n_sets += 1
        start = (first - 0.5, decision.figures["current"][figure])
        frame.draw_line([start, *((x, one.served[figure]) for x, one in columns)], "trend")
    for x, one in enumerate(measured):
        value = one.figures["candidate"][figure]
        if interval := _interval(one, figure):
            frame.draw_vertical(x, *interval, "sure" if one.promoted else "unsure")
        kind, outcome = ("in", "promoted") if one.promoted else ("out", "refused")
        tooltip = f"{one.created[:10]} {one.candidate}: {format_number(value)}, {outcome}"
        frame.draw_point(x, value, kind, radius=4, tooltip=tooltip)
    legend = [("in", "promoted"), ("out", "refused"), ("line", "serving")]
    if n_sets > 1:
        legend.append(("dotted", "questions were added"))
    start_value, end_value = measured[0].figures["current"][figure], measured[-1].served[figure]
    return _chart(title, f"{format_number(start_value)} → {format_number(end_value)}", frame, legend)


def draw_bars(
    bars: Sequence[Bar],
    title: str,
    summary: str,
    *,
    names: Sequence[str] = (),
    limit: tuple[float, str] | None = None,
) -> Markup | None:
    """Return a figure of bars with their parts stacked; None where there are none.

    summary: stands beside the title. names: of the parts, for the legend. limit: after so many bars stands a vertical
    line with this name.
    """
    if not bars:
        return None
    highest = max(sum(bar.parts) for bar in bars)
    frame = ChartFrame(LARGE, 0, len(bars), round_ticks(*value_range(0, highest, pad=False)))
    frame.draw_grid()
    frame.draw_ends(bars[0].label, bars[-1].label)
    for place, bar in enumerate(bars):
        low = 0.0
        for kind, size in zip("ab", bar.parts, strict=False):
            if size > 0:
                kind = "over" if bar.is_over else kind
                tooltip = f"{bar.label}: {format_number(size)}"
                frame.draw_bar(place + 0.08, place + 0.92, low, low + size, kind, tooltip=tooltip)
            low += size
    if limit is not None:
        frame.draw_limit(*limit)
    return _chart(title, summary, frame, list(zip("ab", names, strict=False)))


def draw_lines(
    labels: Sequence[str], lines: Sequence[tuple[str, Sequence[float | None]]], title: str, summary: str
) -> Markup | None:
    """Return a figure of up to two lines over the same labels; a line spans the gap where a value is None.

    lines: name and values of each. None where there is no value at all.
    """
    every = [value for _, values in lines for value in values if value is not None]
    if not every:
        return None
    y_ticks = round_ticks(*value_range(0, max(every), pad=False))
    frame = ChartFrame(LARGE, *value_range(0, len(labels) - 1, pad=False), y_ticks)
    frame.draw_grid()
    frame.draw_ends(labels[0], labels[-1])
    for kind, (_, values) in zip("ab", lines, strict=False):
        points = [(float(x), value) for x, value in enumerate(values) if value is not None]
        if points:
            frame.draw_line(points, kind)
            frame.draw_point(*points[-1], kind, radius=3)
    legend = [(f"{kind} line", name) for kind, (name, _) in zip("ab", lines, strict=False)]
    return _chart(title, summary, frame, legend if len(lines) > 1 else [])


def _chart(title: str, summary: str, frame: ChartFrame, legend: Sequence[tuple[str, str]]) -> Markup:
    return _figure("curve chart", title, [summary], frame, legend)


def _figure(
    kind: str,
    title: str,
    remarks: Sequence[str],
    frame: ChartFrame | None = None,
    legend: Sequence[tuple[str, str]] = (),
) -> Markup:
    template: Any = pages_environment().get_template("pages/figure.html.jinja").module
    figure: Markup = template.figure(kind, title, remarks, frame, legend)
    return figure


def _interval(decision: GateDecision, figure: str) -> tuple[float, float] | tuple[()]:
    """Return the interval of the candidate's figure: the current one plus the gain's interval."""
    gain = decision.gains.get(figure)
    if gain is None:
        return ()
    current = decision.figures["current"][figure]
    return current + gain.low, current + gain.high
