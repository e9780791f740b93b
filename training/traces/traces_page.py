"""The page on a mixture of traces: counts by set and kind, refused traces with their reasons, and samples.

One HTML file that fetches nothing. Words of documents and questions are shown as text. The markup is
`training/templates/traces.html.jinja`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrieve.report.render_html import html_environment, render_template
from training.traces.traces import Trace

__all__ = ["render_traces", "write_traces_page"]


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
    """Return the page. samples: of every kind, drawn by the seed; the words that the model is trained on are bold."""
    by_set = {name: Counter(trace.kind for trace in some) for name, some in traces.items()}
    total = sum(by_set.values(), Counter[str]())
    kinds = sorted({kind for count in by_set.values() for kind in count})
    drawn = {}
    for kind in kinds:
        of_kind = [(name, trace) for name, some in traces.items() for trace in some if trace.kind == kind]
        drawn[kind] = random.Random(f"{seed}/{kind}").sample(of_kind, min(samples, len(of_kind)))
    return render_template(
        html_environment(training="training"),
        "training/traces.html.jinja",
        title="Traces",
        kinds=kinds,
        counts=[
            [name, *(count[kind] for kind in kinds), count.total()]
            for name, count in [*by_set.items(), ("all", total)]
        ],
        refused=[
            (name, reason, count)
            for name, some in refused.items()
            for reason, count in sorted(some.items(), key=lambda item: -item[1])
        ],
        samples=drawn,
    )
