"""The page that shows what traces a mixture holds: counts by set and kind, what was refused and why, and samples.

One HTML file that fetches nothing. Words of documents and questions are shown as text.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrieve.report.render_html import COLOURS, html_text
from training.traces.traces import Trace

__all__ = ["plain_page", "plain_table", "render_traces", "write_traces_page"]

_STYLE = (
    f":root{{{COLOURS['light']}}}@media (prefers-color-scheme:dark){{:root{{{COLOURS['dark']}}}}}"
    """
body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:400 .95rem/1.5 system-ui,sans-serif;
  color:var(--ink);background:var(--paper)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .8rem .2rem 0;text-align:end;border-bottom:1px solid var(--line)}
td:first-child,th:first-child,.words td,.words th{text-align:start}
p{color:var(--soft);margin:1rem 0 .3rem} h2{margin-top:2rem}
pre{margin:0;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere;background:var(--wash);font-size:.85rem}
pre b{color:var(--accent)}
"""
)


def write_traces_page(
    path: Path,
    traces: Mapping[str, Sequence[Trace]],
    refused: Mapping[str, Mapping[str, int]],
    *,
    samples: int = 3,
    seed: int = 0,
) -> Path:
    """Write the page and return its path. traces, refused: by set; refused maps a reason to its count."""
    path.write_text(render_traces(traces, refused, samples=samples, seed=seed), encoding="utf-8")
    return path


def render_traces(
    traces: Mapping[str, Sequence[Trace]],
    refused: Mapping[str, Mapping[str, int]],
    *,
    samples: int = 3,
    seed: int = 0,
) -> str:
    """Return the page. samples: of every kind, drawn by the seed; what the model is trained to write stands out."""
    counts = {name: Counter(trace.kind for trace in some) for name, some in traces.items()}
    kinds = sorted({kind for count in counts.values() for kind in count})
    rows = [
        [name, *(str(count[kind]) for kind in kinds), str(count.total())] for name, count in counts.items()
    ]
    total = sum(counts.values(), Counter[str]())
    rows.append(["all", *(str(total[kind]) for kind in kinds), str(total.total())])
    reasons = [
        [name, reason, str(count)]
        for name, some in refused.items()
        for reason, count in sorted(some.items(), key=lambda item: -item[1])
    ]
    shown = []
    for kind in kinds:
        of_kind = [(name, trace) for name, some in traces.items() for trace in some if trace.kind == kind]
        drawn = random.Random(f"{seed}/{kind}").sample(of_kind, min(samples, len(of_kind)))
        shown.append(f"<h2>{html_text(kind)}</h2>" + "".join(_sample(name, trace) for name, trace in drawn))
    body = "\n".join(
        [
            "<h1>Traces</h1>",
            plain_table(["set", *kinds, "all"], rows),
            *(
                ["<h2>Refused</h2>", plain_table(["set", "why", "traces"], reasons, kind="words")]
                if reasons
                else []
            ),
            *shown,
        ]
    )
    return plain_page("Traces", body)


def plain_page(title: str, body: str) -> str:
    """Return a whole page that fetches nothing around a body of HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html_text(title)}</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "counts") -> str:
    """Return a table; kind: "counts" aligns numbers, "words" text."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html_text(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f'<table class="{kind}">' + f"{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _sample(name: str, trace: Trace) -> str:
    parts = [f"<b>{html_text(text)}</b>" if trained else html_text(text) for text, trained in trace.segments]
    return f'<p>{html_text(name)}, {html_text(trace.question_id)}</p><pre dir="auto">{"".join(parts)}</pre>'
