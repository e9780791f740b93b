"""The page `diptych report` writes: is it getting better, what serves, what failed, how it is used, how the corpus is.

One HTML file as `flows.pages.run_page` frames it: nothing fetched, no script, light and dark. Questions, answers and
names are shown as text. The same workspace gives the same bytes: it tells no time of its own. What it shows is
gathered by `flows.pages.overview`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.models.registry import ModelVersion
from flows.pages.charts import CHART_STYLE, Bar, draw_bars, draw_decisions, draw_lines
from flows.pages.corpus_page import render_health, share_of
from flows.pages.curve_svg import draw_curve, number
from flows.pages.overview import Overview, Progress, helpful_trend, read_overview
from flows.pages.run_page import counted, frame_page, write_html
from flows.pages.usage import Day, Failure, Usage
from flows.retraining.gate_decisions import GateDecision
from prep.store.workspace import Workspace
from retrieve.report.render_html import html_text, render_report

__all__ = ["WrittenReport", "render_overview", "write_report_page"]

#: Where the page is written in a workspace.
PAGE = Path("reports") / "index.html"
MAX_FAILURES = 12
MAX_DAYS = 42
MAX_DECISIONS_SHOWN = 100
MAX_TRACE_CHARACTERS = 6000
# Beside the headline, these say whether one thing was bought with another.
_FIGURES = ("evidence_recall_in_budget", "f1", "citation_precision", "seconds_p95", "abstention_f1")
MAX_FIGURES = 4
_MARKS = {"better": "▲", "worse": "▼", "same": "●", "unknown": "○"}


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where the page is, and what it says first."""

    path: str
    word: str
    verdict: str
    details: tuple[str, ...]


def write_report_page(workspace: Workspace, out: str | Path | None = None) -> WrittenReport:
    """Write the page on a workspace, to its reports/index.html by default. Raises StoreError."""
    overview = read_overview(workspace)
    path = write_html(workspace.path / PAGE if out is None else out, render_overview(overview))
    verdict = overview.verdict
    return WrittenReport(str(path), verdict.word, verdict.sentence, verdict.details)


def render_overview(overview: Overview) -> str:
    """Return the whole page as HTML."""
    sections = [
        ("progress", "Over the cycles", _progress(overview)),
        ("serving", "What serves", _serving(overview)),
        ("failed", "Questions that failed", _failures(overview.usage)),
        ("use", "Use", _use(overview.usage)),
        ("corpus", "Corpus", render_health(overview.health)),
    ]
    title = f"Diptych: {overview.name}"
    return frame_page(title, sections, lead=_lead(overview), style=CHART_STYLE + _STYLE)


# The first look


def _lead(overview: Overview) -> str:
    verdict, usage, health = overview.verdict, overview.usage, overview.health
    details = "".join(f'<li dir="auto">{html_text(detail)}</li>' for detail in verdict.details)
    tiles = [
        ("Questions", f"{usage.n_asked:,}", _recent(usage)),
        ("Marked as helpful", share_of(usage.n_helpful, usage.n_rated), _trend(usage)),
        ("Not answered", share_of(usage.n_abstained, usage.n_asked), "the sources did not say"),
        (
            "Seconds an answer",
            _seconds(usage.seconds_p50),
            f"the slowest twentieth {_seconds(usage.seconds_p95)}",
        ),
        ("Documents", f"{health.n_documents:,}", counted(health.n_chunks, "chunk")),
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><span>{told}</span></dd></div>" for name, value, told in tiles
    )
    return (
        f'<div class="verdict {verdict.word}"><p class="said"><span aria-hidden="true">{_MARKS[verdict.word]}</span> '
        f"{html_text(verdict.sentence)}</p>\n<ul>{details}</ul></div>\n"
        f'<dl class="tiles">{shown}</dl>\n'
    )


def _recent(usage: Usage) -> str:
    if not usage.days:
        return "none was logged"
    n_recent = sum(day.n_asked for day in usage.days[-7:])
    return f"{n_recent:,} in the seven days to {usage.days[-1].day}"


def _trend(usage: Usage) -> str:
    marked = f"of {usage.n_rated:,} marked"
    trend = helpful_trend(usage.days)
    if trend is None:
        return marked
    before, recent, differs = trend
    change = ("up" if recent > before else "down") if differs else "no sure change"
    return f"{marked}; last four weeks {100 * recent:.0f}%, before {100 * before:.0f}%: {change}"


# Over the cycles


def _progress(overview: Overview) -> str:
    parts = [_kind_progress(progress) for progress in overview.progress if progress.decisions]
    if overview.unreadable:
        names = ", ".join(overview.unreadable)
        parts.append(
            f"<p>{counted(len(overview.unreadable), 'decision')} could not be read: {html_text(names)}.</p>"
        )
    if not parts:
        return '<p class="lead">No candidate was put before the gate yet.</p>'
    lead = (
        "At every decision the candidate and what served answered the same frozen questions, which nothing is trained "
        "on. The bar on a candidate is its 95% interval: it is promoted where the whole bar lies above what served, "
        "and nothing else fell."
    )
    return f'<p class="lead">{lead}</p>\n' + "\n".join(parts)


def _kind_progress(progress: Progress) -> str:
    headline = progress.headline
    main = draw_decisions(progress.decisions, headline, _words(headline)) if headline else ""
    others = [
        draw_curve(points, _words(figure))
        for figure in _FIGURES
        if figure != headline and len(points := _served(progress.decisions, figure)) > 1
    ]
    smaller = f'<div class="small">{"".join(others[:MAX_FIGURES])}</div>' if others else ""
    return (
        f"<h3>The {progress.kind} model</h3>\n"
        f'<div class="cycle">{main}{smaller}</div>\n{_decisions(progress.decisions)}'
    )


def _decisions(decisions: Sequence[GateDecision]) -> str:
    """Return the newest decision as a sentence, and all of them in a table to open."""
    last = decisions[-1]
    shown = decisions[::-1][:MAX_DECISIONS_SHOWN]
    rows = "\n".join(map(_decision_row, shown))
    rest = len(decisions) - len(shown)
    older = f"<p>{counted(rest, 'older decision')} not shown.</p>" if rest else ""
    return (
        f'<p dir="auto">Last, on {_moment(last.created)}: <bdi>{html_text(last.candidate)}</bdi> was '
        f"{_became(last)}{html_text(': ' + last.reasons[0] if last.reasons else '')}.</p>\n"
        f"<details><summary>{counted(len(decisions), 'decision')}, and why</summary>"
        '<div class="wide"><table class="decisions"><thead><tr><th scope="col">Decided</th>'
        '<th scope="col">Candidate</th><th scope="col" class="number">Gain</th><th scope="col">Became</th>'
        f'<th scope="col">Why</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>{older}</details>'
    )


def _became(decision: GateDecision) -> str:
    return '<b class="in">promoted</b>' if decision.promoted else '<b class="out">refused</b>'


def _served(decisions: Sequence[GateDecision], figure: str) -> list[tuple[float, float]]:
    return [
        (float(n), one.served[figure]) for n, one in enumerate(decisions, start=1) if figure in one.served
    ]


def _decision_row(decision: GateDecision) -> str:
    gain = decision.gains.get(decision.headline or "")
    told = "—" if gain is None else f"{gain.mean:+.3f}<small>{gain.low:+.3f} to {gain.high:+.3f}</small>"
    reasons = "".join(f'<li dir="auto">{html_text(reason)}</li>' for reason in decision.reasons)
    asked = counted(decision.n_questions, "question")
    return (
        f"<tr><td>{_moment(decision.created)}<small>{asked}</small></td>"
        f'<th scope="row"><bdi>{html_text(decision.candidate)}</bdi></th><td class="number">{told}</td>'
        f"<td>{_became(decision)}</td><td><ul>{reasons}</ul></td></tr>"
    )


# What serves


def _serving(overview: Overview) -> str:
    rows = "\n".join(_version_row(version) for version in overview.versions)
    health = overview.health
    generation = (
        f"<p>Generation <bdi>{html_text(health.generation)}</bdi>, built {_moment(health.created)} by "
        f"<bdi>{html_text(health.prep_version)}</bdi>.</p>"
        if health.generation
        else ""
    )
    problems = "".join(
        f'<p class="problem" dir="auto">{html_text(problem)}</p>' for problem in overview.problems
    )
    return (
        '<div class="wide"><table class="serving"><thead><tr><th scope="col">Model</th><th scope="col">Version</th>'
        '<th scope="col">Kept</th><th scope="col">Goes on from</th><th scope="col">Trained on</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>{generation}{problems}"
    )


def _version_row(version: ModelVersion) -> str:
    lineage = version.lineage
    dataset = lineage.get("dataset") or {}
    questions, lessons = dataset.get("questions"), dataset.get("lessons")
    told = f"data set {dataset['digest']}" if dataset.get("digest") else "—"
    if isinstance(questions, int):
        told += f": {counted(questions, 'question')}"
        told += f", {lessons:,} of them from the log" if isinstance(lessons, int) and lessons else ""
    start = None if version.is_shipped else lineage.get("start")
    kept = "with the package" if version.is_shipped else _moment(version.created or "")
    return (
        f'<tr><td>{version.kind}</td><th scope="row"><bdi>{html_text(version.version)}</bdi></th><td>{kept}</td>'
        f"<td><bdi>{html_text(str(start)) if start else '—'}</bdi></td><td>{html_text(told)}</td></tr>"
    )


# Questions that failed


def _failures(usage: Usage) -> str:
    if not usage.failures:
        return '<p class="lead">None: nobody marked, corrected or repeated a question.</p>'
    open_ones = sum(not failure.is_mended for failure in usage.failures)
    lead = (
        f"{counted(len(usage.failures), 'question')} of {usage.n_asked:,} asked failed, {open_ones:,} without a good "
        "answer since. Those that weigh most come first: a mark or a correction counts in full, asking again soon "
        "after in part."
    )
    shown = usage.failures[:MAX_FAILURES]
    rest = len(usage.failures) - len(shown)
    more = f"<p>{counted(rest, 'more question')} failed; the log has them all.</p>" if rest else ""
    return f'<p class="lead">{lead}</p>\n' + "\n".join(map(_failure, shown)) + more


def _failure(failure: Failure) -> str:
    report = failure.last.report
    signs = ", ".join(f"{sign} {_times(n)}" for sign, n in failure.signs.items())
    mended = ' <b class="in">answered well since</b>' if failure.is_mended else ""
    correction = failure.last.corrected_answer
    corrected = (
        f'<p class="correction">Somebody answered instead: <q dir="auto">{html_text(correction)}</q></p>'
        if correction is not None
        else ""
    )
    return (
        f'<details class="document failure"><summary><h3 dir="auto">{html_text(failure.question)}</h3>'
        f"<span>{signs}; asked {_times(failure.n_asked)}{mended}</span></summary>\n"
        f'<div class="episode">{corrected}{render_report(report, heading_level=4, with_style=False)}'
        f"<p>Given {_moment(report.created)} by {_models(report.models)}.</p>\n"
        f"{_trace(failure.last.trace)}</div></details>"
    )


def _models(models: dict[str, str]) -> str:
    return (
        " and ".join(f"<bdi>{html_text(version)}</bdi>" for version in models.values()) or "models not noted"
    )


def _trace(trace: Sequence[Any]) -> str:
    """Show the episode as the model read and wrote it, what it wrote in bold; up to a length, from its end."""
    if not trace:
        return "<p>No trace was kept.</p>"
    room = MAX_TRACE_CHARACTERS
    parts: list[str] = []
    for step in reversed(trace):
        text, written = _step(step)
        if len(text) > room:
            text = f"… {text[len(text) - room :]}"
        room = max(0, room - len(text))
        parts.append(f"<b>{html_text(text)}</b>" if written else html_text(text))
        if not room:
            break
    cut = "" if room else "<small>The beginning is left out.</small>"
    return (
        '<details class="trace"><summary>Trace: what the model read, and in bold what it wrote</summary>'
        f'{cut}<pre dir="auto">{"".join(reversed(parts))}</pre></details>'
    )


def _step(step: Any) -> tuple[str, bool]:
    """Return a step's words, and whether the model wrote them."""
    if isinstance(step, list | tuple) and len(step) == 2 and isinstance(step[0], str):
        return step[0], bool(step[1])
    return json.dumps(step, ensure_ascii=False), False


# Use


def _use(usage: Usage) -> str:
    problem = f'<p class="problem" dir="auto">{html_text(usage.problem)}</p>' if usage.problem else ""
    if not usage.days:
        return problem or '<p class="lead">No question was logged yet.</p>'
    days = usage.days[-MAX_DAYS:]
    labels = [str(day.day) for day in days]
    asked = draw_bars(
        [Bar(str(day.day), (day.n_asked - day.n_abstained, day.n_abstained)) for day in days],
        "Questions a day",
        f"{sum(day.n_asked for day in days) / len(days):.1f} on average",
        names=("answered", "not answered"),
    )
    seconds = draw_lines(
        labels,
        [
            ("half took at most", [day.seconds_p50 for day in days]),
            ("95 in a hundred took at most", [day.seconds_p95 for day in days]),
        ],
        "Seconds an answer, by day",
        f"{_seconds(usage.seconds_p50)} and {_seconds(usage.seconds_p95)} over all",
    )
    return f'{problem}<div class="charts">{asked}{seconds}{_weekly(days)}</div>'


def _weekly(days: Sequence[Day]) -> str:
    """Return the shares of whole weeks, the newest of which ends with the last day; empty before there are two."""
    weeks = [days[start : start + 7] for start in range(len(days) % 7, len(days), 7)]
    if len(weeks) < 2:
        return ""
    labels = [f"week to {week[-1].day}" for week in weeks]
    charts = []
    for title, counts in (
        ("Helpful, of what was marked", [_sums(week, "n_helpful", "n_rated") for week in weeks]),
        ("Not answered, of what was asked", [_sums(week, "n_abstained", "n_asked") for week in weeks]),
    ):
        shares = [part / whole if whole else None for part, whole in counts]
        told = f"{sum(part for part, _ in counts):,} of {sum(whole for _, whole in counts):,}"
        charts.append(draw_lines(labels, [(title, shares)], title, told))
    return "".join(charts)


def _sums(days: Sequence[Day], part: str, whole: str) -> tuple[int, int]:
    return sum(getattr(day, part) for day in days), sum(getattr(day, whole) for day in days)


def _words(figure: str | None) -> str:
    return (figure or "").replace("_", " ").replace("seconds p95", "seconds, slowest")


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{number(value)} s"


def _times(amount: int) -> str:
    return {1: "once", 2: "twice"}.get(amount, f"{amount:,} times")


def _moment(created: str) -> str:
    """Return a time to the minute, in its own words where it is none."""
    return html_text(created[:16].replace("T", " ")) or "—"


_STYLE = """
.verdict{margin:2rem 0 1.4rem;padding:1.3rem 1.6rem;border-radius:.6rem;border:1px solid var(--line);
  background:var(--card);border-inline-start:.45rem solid var(--soft)}
.verdict .said{margin:0;font:400 1.75rem/1.25 ui-serif,Charter,"Iowan Old Style",Georgia,"Noto Serif",serif;
  text-wrap:balance}
.verdict .said span{font-size:.8em;margin-inline-end:.15em}
.verdict ul{margin:.5rem 0 0;padding:0;list-style:none;color:var(--soft);font-variant-numeric:tabular-nums}
.verdict.better{border-inline-start-color:var(--accent)}.verdict.better .said span{color:var(--accent)}
.verdict.worse{border-inline-start-color:var(--warn)}.verdict.worse .said span{color:var(--warn)}
.verdict.same .said span,.verdict.unknown .said span{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:1rem;margin:0}
.tiles div{padding:.85rem 1rem;border:1px solid var(--line);border-radius:.6rem;background:var(--card)}
.tiles dt{font-size:.85rem;color:var(--soft)}
.tiles dd{margin:0}
.tiles b{display:block;font:400 1.9rem/1.2 ui-serif,Charter,"Iowan Old Style",Georgia,"Noto Serif",serif;
  font-variant-numeric:tabular-nums}
.tiles span{font-size:.8rem;line-height:1.35;display:block;color:var(--soft)}
section h3{font-size:1.05rem}
.cycle{display:grid;grid-template-columns:minmax(0,1.1fr) minmax(0,1fr);gap:1rem;align-items:start;margin:0 0 1.2rem}
.small{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
.small .curve{padding:.6rem .8rem .3rem}
.small .curve text{font-size:17px}
.small .curve .trend{stroke-width:2.4}
td small{display:block;color:var(--soft);white-space:nowrap}
td ul{margin:0;padding:0;list-style:none}
b.in{color:var(--accent);font-weight:600;white-space:nowrap}
b.out{color:var(--second);font-weight:600;white-space:nowrap}
.decisions td:last-child{min-width:16rem}
.decisions td:first-child,.decisions th,.serving td,.serving th{white-space:nowrap}
.serving td:last-child{white-space:normal;min-width:12rem}
.problem{color:var(--warn)}
.failure summary span{display:block;margin:.15rem 0 0}
.episode{padding:0 1.1rem 1rem;border-top:1px solid var(--line)}
.episode .diptych-report{border:0;padding:1rem 0 0;margin:0}
.episode>p{font-size:.87rem;color:var(--soft)}
.episode>.correction{margin:1rem 0 0;color:var(--ink);font-size:1rem}
.document .episode summary{padding:0}
.trace>summary{font-size:.88rem;color:var(--accent)}
pre{margin:.6rem 0 0;padding:.9rem 1rem;border-radius:.4rem;background:var(--wash);white-space:pre-wrap;
  font:400 .8rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Noto Sans Mono",monospace}
pre b{color:var(--accent)}
section>details>summary{cursor:pointer;color:var(--accent)}
section>details.document>summary{color:inherit}
.facts{max-width:34rem;align-self:start}
.facts .role th{padding-inline-start:1rem;color:var(--soft)}
.facts td{width:9rem}
@media (max-width:44rem){.verdict{padding:1rem 1.1rem}.verdict .said{font-size:1.4rem}
  .tiles{grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem}
  .cycle{grid-template-columns:minmax(0,1fr)}}
"""
