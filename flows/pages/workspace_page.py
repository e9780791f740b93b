"""The page `diptych report` writes: gate decisions, serving models, failed questions, usage, corpus.

One HTML file: nothing fetched, no script, light and dark. Questions, answers and names are shown as text. The same
workspace gives the same bytes: the page has no time of its own. `flows.pages.overview` gathers the content,
`templates/workspace.html.jinja` is the markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.models.gate_decisions import GateDecision
from flows.models.registry import ModelVersion
from flows.pages.charts import Bar, draw_bars, draw_curve, draw_decisions, draw_lines
from flows.pages.corpus_health import CorpusHealth
from flows.pages.overview import GateHistory, Overview, helpful_trend, read_overview
from flows.pages.rendering import counted, format_seconds, render_page, share_of, write_html
from flows.pages.usage import DayUsage, UsageSummary
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["WrittenPage", "render_workspace", "write_workspace_page"]

#: Where the page is written in a workspace.
PAGE = Path("reports") / "index.html"
MAX_FAILURES = 12
MAX_DAYS = 42
MAX_DECISIONS_SHOWN = 100
MAX_REJECTED = 20
MAX_TRACE_CHARACTERS = 6000
N_BARS = 24
# Beside the headline, these say whether one figure rose at the cost of another.
_FIGURES = ("evidence_recall_in_budget", "f1", "citation_precision", "seconds_p95", "abstention_f1")
MAX_FIGURES = 4
_MARKS = {"better": "▲", "worse": "▼", "same": "●", "unknown": "○"}


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """Where the page is, and the verdict that it opens with."""

    path: str
    word: str
    verdict: str
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A number at the top of the page. remark: small print below it."""

    name: str
    value: str
    remark: str


@dataclass(frozen=True, slots=True)
class ShownHistory:
    """The decisions on one kind of model: charts, and the newest decisions, newest first."""

    kind: str
    chart: Markup | None
    curves: tuple[Markup, ...]
    newest: tuple[GateDecision, ...]
    n_decisions: int


@dataclass(frozen=True, slots=True)
class ShownTrace:
    """An episode as text and whether the model wrote it. is_cut: its beginning is left out."""

    steps: tuple[tuple[str, bool], ...]
    is_cut: bool


def write_workspace_page(workspace: Workspace, out: str | Path | None = None) -> WrittenPage:
    """Write the page on a workspace, to its reports/index.html by default. Raises StoreError."""
    overview = read_overview(workspace)
    path = write_html(workspace.path / PAGE if out is None else out, render_workspace(overview))
    verdict = overview.verdict
    return WrittenPage(str(path), verdict.word, verdict.sentence, verdict.details)


def render_workspace(overview: Overview) -> str:
    """Return the whole page as HTML."""
    return render_page(
        "workspace.html.jinja",
        title=f"Diptych: {overview.name}",
        overview=overview,
        usage=overview.usage,
        health=overview.health,
        mark=_MARKS[overview.verdict.word],
        tiles=_tiles(overview.usage, overview.health),
        histories=[_shown_history(history) for history in overview.histories if history.decisions],
        trained_on={version.kind: _trained_on(version) for version in overview.versions},
        failed=[
            (failure, _shown_trace(failure.last.trace)) for failure in overview.usage.failures[:MAX_FAILURES]
        ],
        charts=_usage_charts(overview.usage),
        histogram=_histogram(overview.health),
        max_rejected=MAX_REJECTED,
    )


# The first look


def _tiles(usage: UsageSummary, health: CorpusHealth) -> list[Tile]:
    p95 = f"95th percentile: {format_seconds(usage.seconds_p95)}"
    return [
        Tile("Questions", f"{usage.n_asked:,}", _recent(usage)),
        Tile("Marked as helpful", share_of(usage.n_helpful, usage.n_rated), _trend(usage)),
        Tile("Not answered", share_of(usage.n_abstained, usage.n_asked), "the sources did not say"),
        Tile("Seconds per answer, median", format_seconds(usage.seconds_p50), p95),
        Tile("Documents", f"{health.n_documents:,}", counted(health.n_chunks, "chunk")),
    ]


def _recent(usage: UsageSummary) -> str:
    if not usage.days:
        return "none was logged"
    n_recent = sum(day.n_asked for day in usage.days[-7:])
    return f"{n_recent:,} in the seven days to {usage.days[-1].day}"


def _trend(usage: UsageSummary) -> str:
    marked = f"of {usage.n_rated:,} marked"
    trend = helpful_trend(usage.days)
    if trend is None:
        return marked
    before, recent, differs = trend
    change = ("up" if recent > before else "down") if differs else "no significant change"
    return f"{marked}; last four weeks {100 * recent:.0f}%, before {100 * before:.0f}%: {change}"


# Gate decisions and serving models


def _shown_history(history: GateHistory) -> ShownHistory:
    headline, decisions = history.headline, history.decisions
    curves = [
        draw_curve(points, _figure_name(figure))
        for figure in _FIGURES
        if figure != headline and len(points := _serving_figures(decisions, figure)) > 1
    ]
    return ShownHistory(
        kind=history.kind,
        chart=draw_decisions(decisions, headline, _figure_name(headline)) if headline else None,
        curves=tuple(curves[:MAX_FIGURES]),
        newest=decisions[::-1][:MAX_DECISIONS_SHOWN],
        n_decisions=len(decisions),
    )


def _serving_figures(decisions: Sequence[GateDecision], figure: str) -> list[tuple[float, float]]:
    return [
        (float(n), one.served[figure]) for n, one in enumerate(decisions, start=1) if figure in one.served
    ]


def _figure_name(figure: str) -> str:
    return figure.replace("_", " ").replace("seconds p95", "seconds, 95th percentile")


def _trained_on(version: ModelVersion) -> str:
    dataset = version.lineage.get("dataset") or {}
    words = f"data set {dataset['digest']}" if dataset.get("digest") else "—"
    n_questions, n_logged = dataset.get("questions"), dataset.get("feedback_examples")
    if isinstance(n_questions, int):
        words += f": {counted(n_questions, 'question')}"
        words += f", {n_logged:,} of them from the log" if isinstance(n_logged, int) and n_logged else ""
    return words


# Failed questions


def _shown_trace(trace: Sequence[Any]) -> ShownTrace:
    """Return the end of an episode, up to a length, as the model read and wrote it."""
    room = MAX_TRACE_CHARACTERS
    steps: list[tuple[str, bool]] = []
    for step in reversed(trace):
        text, is_written = _step_text(step)
        if len(text) > room:
            text = f"… {text[len(text) - room :]}"
        room = max(0, room - len(text))
        steps.append((text, is_written))
        if not room:
            break
    return ShownTrace(tuple(reversed(steps)), is_cut=not room)


def _step_text(step: Any) -> tuple[str, bool]:
    """Return a step's words, and whether the model wrote them."""
    if isinstance(step, list | tuple) and len(step) == 2 and isinstance(step[0], str):
        return step[0], bool(step[1])
    return json.dumps(step, ensure_ascii=False), False


# Usage


def _usage_charts(usage: UsageSummary) -> list[Markup | None]:
    if not usage.days:
        return []
    days = usage.days[-MAX_DAYS:]
    asked = draw_bars(
        [Bar(str(day.day), (day.n_asked - day.n_abstained, day.n_abstained)) for day in days],
        "Questions per day",
        f"{sum(day.n_asked for day in days) / len(days):.1f} on average",
        names=("answered", "not answered"),
    )
    seconds = draw_lines(
        [str(day.day) for day in days],
        [
            ("median", [day.seconds_p50 for day in days]),
            ("95th percentile", [day.seconds_p95 for day in days]),
        ],
        "Seconds per answer, by day",
        f"{format_seconds(usage.seconds_p50)} and {format_seconds(usage.seconds_p95)} over all",
    )
    return [asked, seconds, *_weekly_charts(days)]


def _weekly_charts(days: Sequence[DayUsage]) -> Iterator[Markup | None]:
    """Yield the shares of whole weeks, the newest of which ends with the last day; none for less than two weeks."""
    weeks = [days[start : start + 7] for start in range(len(days) % 7, len(days), 7)]
    if len(weeks) < 2:
        return
    labels = [f"week to {week[-1].day}" for week in weeks]
    for title, counts in (
        ("Helpful, of those marked", [_sums(week, "n_helpful", "n_rated") for week in weeks]),
        ("Not answered, of those asked", [_sums(week, "n_abstained", "n_asked") for week in weeks]),
    ):
        shares = [part / whole if whole else None for part, whole in counts]
        summary = f"{sum(part for part, _ in counts):,} of {sum(whole for _, whole in counts):,}"
        yield draw_lines(labels, [(title, shares)], title, summary)


def _sums(days: Sequence[DayUsage], part: str, whole: str) -> tuple[int, int]:
    return sum(getattr(day, part) for day in days), sum(getattr(day, whole) for day in days)


# Corpus


def _histogram(health: CorpusHealth) -> Markup | None:
    lengths = health.searched_lengths()
    if not lengths:
        return None
    longest = max(max(lengths), health.max_tokens or 0)
    width = max(1, -(-longest // N_BARS))
    bars = []
    for low in range(0, longest, width):
        n_chunks = sum(lengths[tokens] for tokens in range(low + 1, low + width + 1))
        is_over = health.max_tokens is not None and low >= health.max_tokens
        bars.append(Bar(f"{low + 1} to {low + width} tokens", (n_chunks,), is_over))
    median = sorted(lengths.elements())[lengths.total() // 2]
    limit = None if health.max_tokens is None else (health.max_tokens / width, f"limit {health.max_tokens}")
    return draw_bars(bars, "Lengths of chunks that are searched", f"median {median} tokens", limit=limit)
