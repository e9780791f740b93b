"""Draws what changes over time and how sizes are spread as inline SVG, in the look of `flows.pages.curve_svg`.

No library, no script. Colours come from the page's custom properties, so that charts follow light and dark; what a
colour tells, a shape or a word tells too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from flows.pages.curve_svg import number, round_ticks, value_range
from flows.retraining.gate_decisions import GateDecision
from retrieve.report.render_html import html_text

__all__ = ["CHART_STYLE", "Bar", "draw_bars", "draw_decisions", "draw_lines"]

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 14, 28
# The newest decisions that a chart has room for.
MAX_DECISIONS = 40

CHART_STYLE = """
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1.2rem;margin:0 0 1.4rem;
  align-items:start}
.charts .curve{padding-bottom:.7rem;max-width:34rem}
.chart text{font-size:12px}
.chart .a{fill:var(--accent)}
.chart .b{fill:var(--second)}
.chart .over{fill:var(--warn)}
.chart polyline.b{fill:none;stroke:var(--second);stroke-width:1.8}
.chart polyline.a{fill:none;stroke:var(--accent);stroke-width:1.8}
.chart circle.in{fill:var(--accent)}
.chart circle.out{fill:var(--card);stroke:var(--second);stroke-width:1.8}
.chart .sure{stroke:var(--accent);stroke-width:1.4;opacity:.55}
.chart .unsure{stroke:var(--second);stroke-width:1.4;opacity:.6}
.chart .change{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 4}
.chart .limit{stroke:var(--warn);stroke-width:1.4;stroke-dasharray:5 3}
.chart text.limit-name{fill:var(--warn);stroke:none}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;margin:.2rem 0 0;padding:0;list-style:none;font-size:.82rem;
  color:var(--soft)}
.legend li::before{content:"";display:inline-block;width:.65em;height:.65em;margin-inline-end:.45em;
  border-radius:50%;background:var(--accent)}
.legend .out::before{background:none;box-shadow:inset 0 0 0 2px var(--second)}
.legend .line::before{height:2px;width:1.1em;vertical-align:.25em;border-radius:0}
.legend .b::before{background:var(--second);border-radius:.12em}
.legend .a::before{border-radius:.12em}
.legend .dotted::before{background:none;border-radius:0;width:0;height:.9em;vertical-align:-.1em;
  border-inline-start:2px dotted var(--soft)}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it is, and the sizes of its parts from below, "a" then "b"; is_over: drawn as a warning."""

    label: str
    parts: tuple[float, ...]
    is_over: bool = False


@dataclass(slots=True)
class _Frame:
    """The axes of one chart, and what was drawn in it so far."""

    x_low: float
    x_high: float
    y_ticks: Sequence[float]
    parts: list[str] = field(default_factory=list)

    def across(self, x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - self.x_low) / (self.x_high - self.x_low)

    def down(self, y: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    def draw_grid(self) -> None:
        for tick in self.y_ticks:
            down = f"{self.down(tick):.1f}"
            self.parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>'
            )
            self.parts.append(f'<text class="left" x="{LEFT - 7}" y="{down}">{number(tick)}</text>')

    def draw_ends(self, first: str, last: str) -> None:
        """Name the ends of the horizontal axis; one that begins where it ends once."""
        self.parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">{html_text(first)}</text>')
        if last != first:
            self.parts.append(
                f'<text class="last" x="{WIDTH - RIGHT}" y="{HEIGHT - 8}">{html_text(last)}</text>'
            )

    def draw_line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def draw_upright(self, x: float, low: float, high: float, kind: str) -> None:
        across = f"{self.across(x):.1f}"
        self.parts.append(
            f'<line class="{kind}" x1="{across}" x2="{across}" y1="{self.down(low):.1f}" y2="{self.down(high):.1f}"/>'
        )

    def figure(self, title: str, told: str, legend: Sequence[tuple[str, str]]) -> str:
        """Return the whole figure. told: what the caption says beside the title; legend: class and words of each."""
        items = "".join(f'<li class="{kind}">{html_text(words)}</li>' for kind, words in legend)
        listed = f'<ul class="legend">{items}</ul>' if items else ""
        return (
            f'<figure class="curve chart"><figcaption><strong>{html_text(title)}</strong> '
            f"<span>{html_text(told)}</span></figcaption>"
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html_text(f"{title}: {told}")}">'
            f"{''.join(self.parts)}</svg>{listed}</figure>"
        )


def draw_decisions(decisions: Sequence[GateDecision], figure: str, title: str) -> str:
    """Return a figure with one column a decision: the candidate with its interval, and a line through what served.

    decisions: oldest first; those that did not measure the figure are left out. The line breaks where the questions
    changed. Empty where none is left.
    """
    measured = [
        one
        for one in decisions
        if all(figure in one.figures.get(side, {}) for side in ("current", "candidate"))
    ][-MAX_DECISIONS:]
    if not measured:
        return ""
    values = [
        value
        for one in measured
        for value in (
            one.figures["current"][figure],
            one.figures["candidate"][figure],
            *_interval(one, figure),
        )
    ]
    frame = _Frame(-0.6, len(measured) - 0.4, round_ticks(*value_range(min(values), max(values), pad=True)))
    frame.draw_grid()
    frame.draw_ends(measured[0].created[:10], measured[-1].created[:10])
    n_sets = 0
    for _, group in groupby(enumerate(measured), key=lambda item: item[1].question_set):
        columns = list(group)
        first = columns[0]
        if n_sets:
            frame.draw_upright(first[0] - 0.5, frame.y_ticks[0], frame.y_ticks[-1], "change")
        n_sets += 1
        begun = (first[0] - 0.5, first[1].figures["current"][figure])
        frame.draw_line([begun, *((x, one.served[figure]) for x, one in columns)], "trend")
    for x, one in enumerate(measured):
        value = one.figures["candidate"][figure]
        if interval := _interval(one, figure):
            frame.draw_upright(x, *interval, "sure" if one.promoted else "unsure")
        said = f"{one.created[:10]} {one.candidate}: {number(value)}, {'promoted' if one.promoted else 'refused'}"
        frame.parts.append(
            f'<circle class="{"in" if one.promoted else "out"}" cx="{frame.across(x):.1f}" '
            f'cy="{frame.down(value):.1f}" r="4"><title>{html_text(said)}</title></circle>'
        )
    legend = [("in", "promoted"), ("out", "refused"), ("line", "what served")]
    if n_sets > 1:
        legend.append(("dotted", "questions were added"))
    told = f"{number(measured[0].figures['current'][figure])} → {number(measured[-1].served[figure])}"
    return frame.figure(title, told, legend)


def draw_bars(
    bars: Sequence[Bar],
    title: str,
    told: str,
    *,
    names: Sequence[str] = (),
    limit: tuple[float, str] | None = None,
) -> str:
    """Return a figure of bars, their parts on one another.

    names: of the parts, for the legend. limit: a line across after so many bars, and what it is.
    """
    if not bars:
        return ""
    highest = max(sum(bar.parts) for bar in bars)
    frame = _Frame(0, len(bars), round_ticks(*value_range(0, highest, pad=False)))
    frame.draw_grid()
    frame.draw_ends(bars[0].label, bars[-1].label)
    for place, bar in enumerate(bars):
        left, right = frame.across(place + 0.08), frame.across(place + 0.92)
        below = 0.0
        for kind, size in zip("ab", bar.parts, strict=False):
            if size > 0:
                top, bottom = frame.down(below + size), frame.down(below)
                frame.parts.append(
                    f'<rect class="{"over" if bar.is_over else kind}" x="{left:.1f}" y="{top:.1f}" '
                    f'width="{right - left:.1f}" height="{bottom - top:.1f}">'
                    f"<title>{html_text(f'{bar.label}: {number(size)}')}</title></rect>"
                )
            below += size
    if limit is not None:
        place_of_limit, words = limit
        frame.draw_upright(place_of_limit, frame.y_ticks[0], frame.y_ticks[-1], "limit")
        frame.parts.append(
            f'<text class="last limit-name" x="{frame.across(place_of_limit) - 5:.1f}" y="{TOP + 10}">'
            f"{html_text(words)}</text>"
        )
    return frame.figure(title, told, list(zip("ab", names, strict=False)))


def draw_lines(
    labels: Sequence[str], lines: Sequence[tuple[str, Sequence[float | None]]], title: str, told: str
) -> str:
    """Return a figure of up to two lines over the same labels; None is a gap that the line spans.

    lines: name and values of each. Empty where there is no value.
    """
    values = [value for _, some in lines for value in some if value is not None]
    if not values:
        return ""
    frame = _Frame(
        *value_range(0, len(labels) - 1, pad=False), round_ticks(*value_range(0, max(values), pad=False))
    )
    frame.draw_grid()
    frame.draw_ends(labels[0], labels[-1])
    for kind, (_, some) in zip("ab", lines, strict=False):
        points = [(float(x), value) for x, value in enumerate(some) if value is not None]
        if points:
            frame.draw_line(points, kind)
            x, y = points[-1]
            frame.parts.append(
                f'<circle class="{kind}" cx="{frame.across(x):.1f}" cy="{frame.down(y):.1f}" r="3"/>'
            )
    legend = [(f"{kind} line", name) for kind, (name, _) in zip("ab", lines, strict=False)]
    return frame.figure(title, told, legend if len(lines) > 1 else [])


def _interval(decision: GateDecision, figure: str) -> tuple[float, float] | tuple[()]:
    """Return where the candidate's figure lies surely: what served plus the gain's interval."""
    gain = decision.gains.get(figure)
    if gain is None:
        return ()
    current = decision.figures["current"][figure]
    return current + gain.low, current + gain.high
