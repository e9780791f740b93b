"""The rows of a table of metrics: each value as text, and which one is the best.

A value is marked as the best only where the metric's name says in which direction it is better. A name that does not
say is shown without a mark, so that nothing worse is ever marked as better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Metrics", "MetricsTable", "better_direction", "metrics_tables"]

#: Table title → system → metric → value (None: not measured).
Metrics = Mapping[str, Mapping[str, Mapping[str, float | str | None]]]

# The words of a metric's name that give its direction; the first set that holds one of them decides.
_FAULTS = frozenset("loss losses error errors wrong inexact missed forgotten".split())
_QUALITY = frozenset(
    "accuracy precision recall f1 p r em exact match iou mrr ndcg map hit hits reciprocal reward correct supported "
    "helpful faithfulness coverage".split()
)
_COSTS = frozenset(
    "s ms second seconds minutes latency token tokens search searches memory bytes cost".split()
)
# What stands behind one of these is not measured: "correct / 1k tokens", "recall@500 tokens", "tokens_per_question".
_DENOMINATOR = re.compile(r"\bper\b|\bin\b|[/@]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# The size of a chunk is neither good nor bad.
_NEUTRAL = frozenset("chunk chunks".split())


@dataclass(frozen=True, slots=True)
class MetricCell:
    """One value. text: None where it was not measured. share: the length of its bar in 0..1, None without a bar."""

    text: str | None
    is_best: bool
    share: float | None


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric, and its value of each system. better: as `better_direction` returns it."""

    metric: str
    better: Literal["larger", "smaller"] | None
    cells: tuple[MetricCell, ...]


@dataclass(frozen=True, slots=True)
class MetricsTable:
    """A table: one column a system, one row a metric."""

    title: str
    systems: tuple[str, ...]
    rows: tuple[MetricRow, ...]


def metrics_tables(metrics: Metrics) -> list[MetricsTable]:
    """Return the tables, their metrics in the order in which the systems name them."""
    tables = []
    for title, systems in metrics.items():
        names = dict.fromkeys(metric for values in systems.values() for metric in values)
        rows = tuple(_row(name, [values.get(name) for values in systems.values()]) for name in names)
        tables.append(MetricsTable(title, tuple(systems), rows))
    return tables


def better_direction(metric: str) -> Literal["larger", "smaller"] | None:
    """Return whether a metric is better when larger or when smaller; None where its name does not say.

    >>> better_direction("p95 s"), better_direction("correct supported / 1k tokens"), better_direction("chunks")
    ('smaller', 'larger', None)
    """
    name = metric.lower().replace("_", " ")
    if _NEUTRAL & set(_WORD.findall(name)):
        return None
    words = set(_WORD.findall(_DENOMINATOR.split(name, maxsplit=1)[0]))
    if words & _FAULTS:
        return "smaller"
    if words & _QUALITY:
        return "larger"
    return "smaller" if words & _COSTS else None


def _row(metric: str, values: Sequence[float | str | None]) -> MetricRow:
    better = better_direction(metric)
    numbers = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    best = None
    if better is not None and len(set(numbers)) > 1:
        best = min(numbers) if better == "smaller" else max(numbers)
    cells = tuple(
        MetricCell(
            text=_text(value),
            is_best=best is not None and value == best,
            share=value if better != "smaller" and isinstance(value, float) and 0 <= value <= 1 else None,
        )
        for value in values
    )
    return MetricRow(metric, better, cells)


def _text(value: float | str | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "—"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
