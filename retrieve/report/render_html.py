"""Shows a report as HTML: one `<article>` that carries its style and needs nothing else.

No script, nothing fetched, no form, no link: content is text in escaped form only. It reads in order
without the style (a notebook may strip it), keeps the headings and lists that assistive software reads,
follows the reader's light or dark setting, and leaves quotes in their own writing direction.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable

from retrieve.report.data import Finding, Quote, Report, Source
from retrieve.report.render_text import ABSTAINED, ALTERNATIVE, OPEN, usage_line

__all__ = ["COLOURS", "STYLE", "html_text", "render_report"]

# Controls but tab and line feed, lone surrogates and non-characters: HTML allows none of them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_LINE_END = re.compile("\r\n?")

#: Custom properties of the light and the dark palette, for any rule that shows something beside a report.
COLOURS = {
    "light": (
        "--ink:#1d2326;--soft:#586268;--line:#dcdfdc;--paper:#fbfaf7;--card:#ffffff;--wash:#f1f1ec;"
        "--accent:#0b6658;--accent-wash:#e4efeb;--second:#96591a;--second-wash:#f7ecdd;--warn:#9c3324;"
    ),
    "dark": (
        "--ink:#e6e7e3;--soft:#a0a9a8;--line:#343b3d;--paper:#15191a;--card:#1c2122;--wash:#242a2b;"
        "--accent:#6fc7b4;--accent-wash:#1d3530;--second:#dda568;--second-wash:#3a2d1c;--warn:#ee9583;"
    ),
}

#: The style of a report, all of it under `.diptych-report`.
STYLE = (
    f".diptych-report{{{COLOURS['light']}}}"
    f"@media (prefers-color-scheme:dark){{.diptych-report{{{COLOURS['dark']}}}}}"
    """
.diptych-report{box-sizing:border-box;max-width:50rem;margin:1rem 0;padding:1.5rem 1.75rem;
  font:400 .95rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
  color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:.6rem;
  overflow-wrap:anywhere;text-align:start}
.diptych-report *{box-sizing:border-box}
.diptych-report .question{margin:0;font-size:1.02rem;font-weight:600;line-height:1.4;color:var(--soft)}
.diptych-report .answer{margin:.35rem 0 0;font:400 1.5rem/1.35 ui-serif,Charter,"Iowan Old Style",Georgia,
  "Noto Serif",serif;color:var(--ink)}
.diptych-report .answer.none{color:var(--second);font-style:italic}
.diptych-report .note{margin:.6rem 0 0;color:var(--warn)}
.diptych-report .part{margin:1.4rem 0 .5rem;font-size:.82rem;font-weight:600;color:var(--soft)}
.diptych-report ol,.diptych-report ul{margin:0;padding-inline-start:1.25rem}
.diptych-report li{margin:.3rem 0;color:inherit}
.diptych-report .statement{margin:0 0 .4rem;font-weight:600}
.diptych-report figure{margin:.5rem 0 1rem;padding:.1rem 0 .1rem .9rem;
  border-inline-start:3px solid var(--accent)}
.diptych-report blockquote{margin:0;padding:0;border:0;color:var(--ink);white-space:pre-wrap;
  font:400 1.04rem/1.55 ui-serif,Charter,"Iowan Old Style",Georgia,"Noto Serif",serif}
.diptych-report figcaption{margin-top:.3rem;font-size:.82rem;color:var(--soft);text-align:start}
.diptych-report .offsets{font-variant-numeric:tabular-nums;white-space:nowrap}
.diptych-report details{margin-top:1.2rem;border-top:1px solid var(--line);padding-top:.8rem}
.diptych-report summary{cursor:pointer;font-size:.88rem;color:var(--accent);width:fit-content}
.diptych-report summary:focus-visible{outline:2px solid var(--accent);outline-offset:3px}
.diptych-report .wide{overflow-x:auto}
.diptych-report table{width:100%;margin:0;border-collapse:collapse;font-size:.86rem;border:0}
.diptych-report th,.diptych-report td{padding:.4rem .8rem .4rem 0;text-align:start;vertical-align:top;
  border:0;border-bottom:1px solid var(--line);background:none;color:inherit;white-space:normal}
.diptych-report thead th{font-weight:600;color:var(--soft)}
.diptych-report tbody th{font-weight:400}
.diptych-report tbody td:first-child,.diptych-report .number{white-space:nowrap}
.diptych-report .number{text-align:end;font-variant-numeric:tabular-nums}
.diptych-report tr>:last-child{padding-inline-end:0}
.diptych-report .used td:first-child{color:var(--accent);font-weight:600}
.diptych-report .aside{margin:0;color:var(--soft)}
.diptych-report .cost{margin:1rem 0 0;font-size:.82rem;color:var(--soft);font-variant-numeric:tabular-nums}
"""
)


def html_text(text: str) -> str:
    """Return `text` escaped for HTML, as content or in a quoted attribute; what HTML forbids is replaced."""
    return html.escape(_FORBIDDEN.sub("\ufffd", _LINE_END.sub("\n", text)), quote=True)


def render_report(report: Report, *, heading_level: int = 2, with_style: bool = True) -> str:
    """Return `report` as one `<article>`; its headings start at `heading_level` (1 to 5).

    `with_style=False` leaves the style out, for a page that has `STYLE` once.
    """
    top = min(max(heading_level, 1), 5)
    anchor = "report-" + hashlib.sha256(report.id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    if report.answer is None:
        answer = f'<p class="answer none">{ABSTAINED}</p>'
    else:
        answer = f'<p class="answer" dir="auto">{html_text(report.answer)}</p>'
    parts = [
        # Notebooks typeset anything between dollar signs, unless told not to.
        f'<article class="diptych-report tex2jax_ignore mathjax_ignore" aria-labelledby="{anchor}">',
        f"<style>{STYLE}</style>" if with_style else "",
        f'<h{top} class="question" id="{anchor}" dir="auto">{html_text(report.question)}</h{top}>',
        answer,
        f'<p class="note" dir="auto">{html_text(report.note)}</p>' if report.note else "",
        _findings(report, top + 1),
        _source_analysis(report, top + 1),
        f'<p class="cost">{html_text(usage_line(report.usage))}</p>',
        "</article>",
    ]
    return "\n".join(part for part in parts if part)


def _findings(report: Report, level: int) -> str:
    if not report.findings:
        return ""
    only = report.findings[0] if len(report.findings) == 1 else None
    if only is not None and only.statement.strip() == (report.answer or "").strip():
        # The answer has just said it.
        return f'<h{level} class="part">Evidence</h{level}>\n{_quotes(report, only)}'
    items = "\n".join(
        f"<li>{_statement(finding)}{_quotes(report, finding)}</li>" for finding in report.findings
    )
    return f'<h{level} class="part">Findings</h{level}>\n<ol>\n{items}\n</ol>'


def _statement(finding: Finding) -> str:
    said = f'<p class="statement" dir="auto">{html_text(finding.statement)}</p>'
    return f'<p class="aside">{ALTERNATIVE}:</p>{said}' if finding.alternative else said


def _quotes(report: Report, finding: Finding) -> str:
    if not finding.quotes:
        return '<p class="aside">No quote was given for this.</p>'
    return "".join(_quote(report, quote) for quote in finding.quotes)


def _quote(report: Report, quote: Quote) -> str:
    source = report.source_of(quote)
    place = _path(source.path if source else (quote.document_id,))
    return (
        f'<figure><blockquote dir="auto">{html_text(quote.text)}</blockquote>'
        f'<figcaption>{place} <span class="offsets">· characters {quote.start}–{quote.end}</span>'
        "</figcaption></figure>"
    )


def _source_analysis(report: Report, level: int) -> str:
    n_used = sum(source.used for source in report.sources)
    summary = f"{len(report.sources)} read, {n_used} used, {len(report.sources) - n_used} set aside"
    parts = []
    if report.searches:
        queries = "".join(f'<li dir="auto">{html_text(query)}</li>' for query in report.searches)
        parts.append(f'<h{level} class="part">Searched for</h{level}>\n<ul>{queries}</ul>')
    if words := report.open_words:
        shown = ", ".join(f"<bdi>{html_text(word)}</bdi>" for word in words)
        parts.append(f'<p class="aside">{OPEN}: {shown}</p>')
    if report.sources:
        rows = "\n".join(_row(source) for source in report.sources)
        parts.append(
            f'<h{level} class="part">Read, in the order shown to the model</h{level}>\n'
            '<div class="wide"><table><thead><tr>'
            '<th scope="col">Role</th><th scope="col">Passage</th>'
            '<th scope="col" class="number">Characters</th>'
            f'<th scope="col" class="number">Score</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
        )
    else:
        parts.append("<p>Nothing was found to read.</p>")
    body = "\n".join(parts)
    return f"<details>\n<summary>Source analysis: {summary}</summary>\n{body}\n</details>"


def _row(source: Source) -> str:
    kind, word = ("used", "used") if source.used else ("aside", "set aside")
    return (
        f'<tr class="{kind}"><td>{word}</td><th scope="row">{_path(source.path)}</th>'
        f'<td class="number">{source.start}–{source.end}</td><td class="number">{source.score:.2f}</td></tr>'
    )


def _path(path: Iterable[str]) -> str:
    return " › ".join(f"<bdi>{html_text(part)}</bdi>" for part in path)
