"""Metrics of segmentation: Pk, WindowDiff and boundary F1, over the breaks between items (lines, sentences).

A division of n items is the set of items after which a segment ends, the last one not counted. Pk: Beeferman, Berger
and Lafferty, https://doi.org/10.1023/A:1007506220214; WindowDiff: Pevzner and Hearst,
https://aclanthology.org/J02-1002. Both are error rates (0 is right), with a window of half the mean length of a true
segment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from prep.errors import DataError

__all__ = ["BoundaryScores", "boundary_scores", "nearest_items"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryScores:
    """Of one text. pk, window_diff: errors. precision, recall, f1: of breaks at exactly the right item."""

    pk: float
    window_diff: float
    precision: float
    recall: float
    f1: float


def boundary_scores(true: Collection[int], found: Collection[int], n_items: int) -> BoundaryScores:
    """Compare a division of n_items with the true one. Raises DataError for breaks outside 0..n_items - 2."""
    for name, breaks in (("true", true), ("found", found)):
        if any(not 0 <= item < n_items - 1 for item in breaks):
            raise DataError(f"{name} breaks must lie in 0..{n_items - 2}: {sorted(breaks)}")
    real, guessed = set(true), set(found)
    hits = len(real & guessed)
    precision = hits / len(guessed) if guessed else float(not real)
    recall = hits / len(real) if real else float(not guessed)
    window = max(1, round(n_items / (len(real) + 1) / 2))
    pk, window_diff = _window_errors(real, guessed, n_items, min(window, n_items - 1))
    f1 = 2 * precision * recall / (precision + recall) if hits else float(precision == recall == 1)
    return BoundaryScores(pk=pk, window_diff=window_diff, precision=precision, recall=recall, f1=f1)


def _window_errors(true: set[int], found: set[int], n_items: int, window: int) -> tuple[float, float]:
    if window < 1:
        return 0.0, 0.0
    counts = []
    for breaks in (true, found):
        marked = np.zeros(n_items, dtype=np.int64)
        marked[sorted(breaks)] = 1
        before = np.concatenate([[0], np.cumsum(marked)])
        # Breaks between item i and item i + window.
        counts.append(before[window:n_items] - before[: n_items - window])
    real, guessed = counts
    return float(((real == 0) != (guessed == 0)).mean()), float((real != guessed).mean())


def nearest_items(cuts: Sequence[int], ends: Sequence[int]) -> set[int]:
    """Return the breaks that cuts at these characters mean: each at the item whose end is nearest.

    ends: where the items end, ascending. A cut nearest to the last end is none.
    """
    breaks = set()
    for cut in cuts:
        at = bisect_left(ends, cut)
        if at > 0 and (at == len(ends) or cut - ends[at - 1] <= ends[at] - cut):
            at -= 1
        if at < len(ends) - 1:
            breaks.add(at)
    return breaks
