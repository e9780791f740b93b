"""Writes the page a person looks at after a run: reports, metrics, chunks in their text, curves, rejections.

One HTML file that needs nothing else: no script, nothing fetched (its own content policy forbids both),
styles and drawings inline, light and dark. Whatever comes from documents, questions or file names is shown as
text.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.pages.curve_svg import draw_curve
from prep.document import Chunk, Document, Rejected
from prep.errors import StoreError
from retrieve.report.data import Report
from retrieve.report.render_html import COLOURS, STYLE, html_text, render_report

__all__ = ["Curves", "Metrics", "counted", "frame_page", "render_page", "write_html", "write_page"]

#: Table title -> system -> metric -> value (None: not measured). The first system is ours.
Metrics = Mapping[str, Mapping[str, Mapping[str, float | str | None]]]
#: Stage -> curve -> points (step, value).
Curves = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

# A document is shown up to here, and what is left out is counted on the page.
MAX_CHARACTERS_PER_DOCUMENT = 8000
# Metrics whose names hold one of these are better when smaller; other fractions when larger; other counts are
# neither.
SMALLER_IS_BETTER = ("second", "token", "latency", "search", "loss", "memory", "cost")
# "precision of tokens" is a share, not a count.
SHARES = ("precision", "recall", "per 1,000", "per 1000", "iou", "f1")


def write_page(
    path: str | Path,
    *,
    title: str,
    reports: Sequence[Report] = (),
    documents: Sequence[tuple[Document, Sequence[Chunk]]] = (),
    metrics: Metrics | None = None,
    training: Curves | None = None,
    rejected: Sequence[Rejected] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write the page and return its path. It appears whole or not at all; parts that are empty are left out.

    documents: samples with all their chunks, in order. Raises StoreError if the file cannot be written.
    """
    page = render_page(
        title=title,
        reports=reports,
        documents=documents,
        metrics=metrics or {},
        training=training or {},
        rejected=rejected,
        notes=notes,
    )
    return write_html(path, page)


def write_html(path: str | Path, page: str) -> Path:
    """Write a page, whole or not at all, and return its path. Raises StoreError."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StoreError(f"the page {target} cannot be written: {error}") from error
    return target


def render_page(
    *,
    title: str,
    reports: Sequence[Report],
    documents: Sequence[tuple[Document, Sequence[Chunk]]],
    metrics: Metrics,
    training: Curves,
    rejected: Sequence[Rejected],
    notes: Sequence[str],
) -> str:
    """Return the whole page as HTML; see `write_page`."""
    sections = [
        ("answers", "Answers", _answers(reports)),
        ("measured", "Measured", "".join(_metrics_table(name, systems) for name, systems in metrics.items())),
        ("chunks", "Chunks in their text", _documents(documents)),
        ("training", "Training", "".join(_stage(name, curves) for name, curves in training.items())),
        ("rejected", "Files that could not be read", _rejected(rejected)),
        ("notes", "Notes", "".join(f'<p dir="auto">{html_text(note)}</p>' for note in notes)),
    ]
    return frame_page(title, sections)


def frame_page(
    title: str, sections: Sequence[tuple[str, str, str]], *, lead: str = "", style: str = ""
) -> str:
    """Return a whole page of sections (anchor, name, HTML), those that are empty left out.

    lead: HTML that stands before them. style: rules beside those that all pages have.
    """
    shown = [(anchor, name, body) for anchor, name, body in sections if body]
    links = "".join(f'<li><a href="#{anchor}">{name}</a></li>' for anchor, name, _ in shown)
    body = "\n".join(
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{name}</h2>\n{content}\n</section>'
        for anchor, name, content in shown
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html_text(title)}</title>\n<style>{STYLE}{_PAGE_STYLE}{style}</style>\n</head>\n<body>\n"
        f'<header><h1 dir="auto">{html_text(title)}</h1>\n'
        f'<nav aria-label="Parts"><ul>{links}</ul></nav></header>\n'
        f"<main>\n{lead}{body or '<p>There is nothing to show.</p>'}\n</main>\n</body>\n</html>\n"
    )


def _answers(reports: Sequence[Report]) -> str:
    if not reports:
        return ""
    n_answered = sum(not report.abstained for report in reports)
    n_quotes = sum(len(report.quotes) for report in reports)
    lead = (
        f"{counted(len(reports), 'question')}: {n_answered} answered with {counted(n_quotes, 'quote')}, "
        f"{len(reports) - n_answered} left unanswered because the sources do not say."
    )
    articles = "\n".join(render_report(report, heading_level=3, with_style=False) for report in reports)
    return f'<p class="lead">{lead}</p>\n{articles}'


def _metrics_table(title: str, systems: Mapping[str, Mapping[str, float | str | None]]) -> str:
    names = list(dict.fromkeys(metric for values in systems.values() for metric in values))
    head = "".join(
        f'<th scope="col" class="number"><bdi>{html_text(system)}</bdi></th>' for system in systems
    )
    rows = "\n".join(_metrics_row(name, [values.get(name) for values in systems.values()]) for name in names)
    return (
        f'<div class="wide"><table class="metrics"><caption dir="auto">{html_text(title)}</caption>'
        f'<thead><tr><th scope="col">Metric</th>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>\n"
    )


def _metrics_row(name: str, values: Sequence[float | str | None]) -> str:
    word = name.lower()
    smaller = any(mark in word for mark in SMALLER_IS_BETTER) and not any(mark in word for mark in SHARES)
    numbers = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    is_count = not smaller and all(isinstance(value, int) for value in numbers)
    best = (min if smaller else max)(numbers) if len(set(numbers)) > 1 and not is_count else None
    cells = []
    for value in values:
        kind = ' class="number best"' if best is not None and value == best else ' class="number"'
        bar = ""
        if isinstance(value, float) and 0 <= value <= 1 and not smaller:
            bar = f'<span class="bar" aria-hidden="true"><i style="width:{100 * value:.1f}%"></i></span>'
        cells.append(f"<td{kind}>{_value(value)}{bar}</td>")
    hint = " <small>smaller is better</small>" if smaller else ""
    return f'<tr><th scope="row"><bdi>{html_text(name)}</bdi>{hint}</th>{"".join(cells)}</tr>'


def _value(value: float | str | None) -> str:
    if value is None:
        return '<span title="not measured">—</span>'
    if isinstance(value, str):
        return html_text(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "—"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _documents(documents: Sequence[tuple[Document, Sequence[Chunk]]]) -> str:
    if not documents:
        return ""
    lead = (
        "Each band is one chunk, where the prep model cut it. Beside it: what it took the stretch for, its "
        "size in tokens with its header, and the headings it is found under. Boilerplate is not searched."
    )
    samples = "\n".join(
        _document(document, chunks, is_open=place == 0) for place, (document, chunks) in enumerate(documents)
    )
    return f'<p class="lead">{lead}</p>\n{samples}'


def _document(document: Document, chunks: Sequence[Chunk], *, is_open: bool) -> str:
    bands: list[str] = []
    cursor, place = 0, 0
    for place, chunk in enumerate(chunks, start=1):
        if chunk.start >= MAX_CHARACTERS_PER_DOCUMENT:
            place -= 1
            break
        if chunk.start > cursor:
            bands.append(_band("gap", "", ["in no chunk"], document.text[cursor : chunk.start]))
        bands.append(_chunk_band(document, chunk, place))
        cursor = max(cursor, chunk.end)
    shown = min(cursor, MAX_CHARACTERS_PER_DOCUMENT)
    rest = ""
    if shown < len(document.text):
        rest = (
            f'<p class="rest">Not shown: the last {counted(len(document.text) - shown, "character")}'
            f" ({counted(len(chunks) - place, 'whole chunk')}).</p>"
        )
    name = document.title.strip() or document.id
    size = f"{counted(len(chunks), 'chunk')}, {counted(len(document.text), 'character')}"
    source = f'<p class="path"><bdi>{html_text(document.source)}</bdi></p>' if document.source else ""
    return (
        f'<details class="document"{" open" if is_open else ""}><summary>'
        f'<h3 dir="auto">{html_text(name)}</h3> <span>{size}</span></summary>\n{source}'
        f'<div class="bands">\n{"".join(bands)}</div>{rest}</details>'
    )


def _chunk_band(document: Document, chunk: Chunk, place: int) -> str:
    text = document.text[chunk.start : min(chunk.end, MAX_CHARACTERS_PER_DOCUMENT)]
    margin = [f"{counted(chunk.n_tokens, 'token')}"]
    if chunk.headings:
        margin.append(" › ".join(chunk.headings))
    shade = "odd" if place % 2 else "even"
    return _band(f"{shade} {chunk.role}", f"{place} · {chunk.role}", margin, text)


def _band(kind: str, label: str, margin: Sequence[str], text: str) -> str:
    notes = "".join(f'<span dir="auto">{html_text(line)}</span>' for line in margin)
    strong = f"<b>{html_text(label)}</b>" if label else ""
    return (
        f'<div class="band {html_text(kind)}"><div class="margin">{strong}{notes}</div>'
        f'<div class="words" dir="auto">{html_text(text.strip(chr(10)))}</div></div>\n'
    )


def _stage(name: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    drawings = "".join(draw_curve(points, label) for label, points in curves.items())
    return f'<h3 dir="auto">{html_text(name)}</h3>\n<div class="curves">{drawings}</div>\n'


def _rejected(rejected: Sequence[Rejected]) -> str:
    if not rejected:
        return ""
    rows = "\n".join(
        f'<tr><th scope="row"><bdi>{html_text(item.path)}</bdi></th>'
        f'<td dir="auto">{html_text(item.reason)}</td></tr>'
        for item in rejected
    )
    return (
        f'<p class="lead">{counted(len(rejected), "file")} left out; everything else was read.</p>\n'
        '<div class="wide"><table><thead><tr><th scope="col">File</th><th scope="col">Why</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def counted(amount: int, noun: str) -> str:
    """Return an amount with its noun, in the plural where it is not one.

    >>> counted(1200, "question")
    '1,200 questions'
    """
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


_PAGE_STYLE = (
    f":root{{{COLOURS['light']}color-scheme:light dark}}"
    f"@media (prefers-color-scheme:dark){{:root{{{COLOURS['dark']}}}}}"
    """
*{box-sizing:border-box}
html{scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;
  font:400 1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
header,main{max-width:66rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:3rem}
h1{margin:0;max-width:22em;font:400 2.3rem/1.2 ui-serif,Charter,"Iowan Old Style",Georgia,"Noto Serif",serif;
  text-wrap:balance}
h2{margin:0 0 .6rem;font:400 1.6rem/1.25 ui-serif,Charter,"Iowan Old Style",Georgia,"Noto Serif",serif}
h3{margin:1.6rem 0 .6rem;font-size:1rem;font-weight:600}
nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;margin:1rem 0 0;padding:0;
  list-style:none;font-size:.92rem}
a{color:var(--accent);text-underline-offset:.2em}
a:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:3px}
section{margin:2.8rem 0;padding-top:1.6rem;border-top:1px solid var(--line)}
.lead{max-width:46rem;margin:0 0 1.2rem;color:var(--soft)}
section>p:not(.lead){max-width:46rem}
.diptych-report{max-width:none}
.wide{overflow-x:auto}
table{overflow-wrap:break-word;border-collapse:collapse;width:100%;margin:0 0 2rem;font-size:.93rem}
caption{padding:.2rem 0 .5rem;text-align:start;font-weight:600}
th,td{padding:.45rem 1.4rem .45rem 0;border-bottom:1px solid var(--line);text-align:start;vertical-align:top}
thead th{color:var(--soft);font-weight:600;vertical-align:bottom}
tbody th{font-weight:400}
th small{color:var(--soft);white-space:nowrap}
.number{text-align:end;font-variant-numeric:tabular-nums}
tr>:last-child{padding-inline-end:0}
.metrics{max-width:46rem}
.metrics td{width:11rem;min-width:6.5rem;white-space:nowrap}
.metrics td:last-child{width:9.6rem}
.metrics tbody th{min-width:9rem}
.best{font-weight:700}
.bar{display:block;height:3px;margin-top:.3rem;background:var(--line)}
.bar i{display:block;height:100%;background:var(--soft)}
.best .bar i{background:var(--accent)}
.document{margin:0 0 .9rem;border:1px solid var(--line);border-radius:.6rem;
  background:var(--card);overflow:hidden}
.document summary{padding:.75rem 1.1rem;cursor:pointer}
.document h3{display:inline;margin:0}
.document summary span,.path{color:var(--soft);font-size:.87rem}
.document summary span{margin-inline-start:.5rem}
.path{margin:0;padding:0 1.1rem .7rem}
.bands{border-top:1px solid var(--line)}
.band{display:grid;grid-template-columns:13rem minmax(0,1fr)}
.band.odd{background:var(--accent-wash)}
.band.even{background:var(--card)}
.band.boilerplate,.band.gap{background:var(--wash);color:var(--soft)}
.band+.band{border-top:1px solid var(--line)}
.margin{padding:.65rem 1.1rem;font-size:.79rem;line-height:1.45;color:var(--soft)}
.margin b,.margin span{display:block}
.margin b{color:var(--accent)}
.boilerplate .margin b{color:var(--second)}
.words{padding:.55rem 1.1rem .65rem;border-inline-start:1px solid var(--line);white-space:pre-wrap;
  font-size:.92rem;line-height:1.55;tab-size:4}
.code .words,.table .words{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Noto Sans Mono",monospace;
  font-size:.84rem}
.title .words,.heading .words{font-weight:600}
.rest{margin:0;padding:.8rem 1.1rem;border-top:1px dashed var(--second);color:var(--second);font-size:.9rem}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr));gap:1.2rem}
.curve{margin:0;padding:.8rem 1rem .4rem;border:1px solid var(--line);border-radius:.6rem;
  background:var(--card)}
.curve figcaption{font-size:.87rem}
.curve figcaption span{color:var(--soft);font-variant-numeric:tabular-nums;margin-inline-start:.4rem}
.curve svg{display:block;width:100%;height:auto;margin-top:.3rem}
.curve text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
.curve text.left{text-anchor:end;dominant-baseline:middle}
.curve text.last{text-anchor:end}
.curve .grid{stroke:var(--line);stroke-width:1}
.curve polyline{fill:none;stroke:var(--accent);stroke-linejoin:round;stroke-linecap:round}
.curve .trend{stroke-width:1.8}
.curve .raw{stroke-width:1;opacity:.35}
.curve circle{fill:var(--accent)}
@media (max-width:44rem){
  header{padding-top:1.6rem}h1{font-size:1.75rem}
  .band{grid-template-columns:minmax(0,1fr)}
  .margin{padding-bottom:0}.margin b,.margin span{display:inline;margin-inline-end:.6rem}
  .words{border:0}
}
@media print{.document{break-inside:auto}.diptych-report,.curve{break-inside:avoid}nav{display:none}}
"""
)
