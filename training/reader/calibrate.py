"""Fit the reader's confidence on questions over documents that it was not trained on.

A logistic regression with a small ridge, by Newton's method; what it predicts is that a question expects an answer
and that the best sentences hold evidence. The threshold is where as many are refused as `refused_share` says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prep.errors import DataError
from retrieve.reader.calibration import Calibration
from retrieve.reader.selection import Selection, select_sentences
from training.reader.measure import ReadRow

__all__ = ["calibrate", "is_right"]

_RIDGE = 1.0
_ROUNDS = 30


def is_right(row: ReadRow, selection: Selection) -> bool:
    """Whether the row's question expects an answer, and a sentence that would be quoted holds evidence."""
    scores, sentences = [score for _, score, _ in row.passages], [(p, x) for p, _, x in row.sentences]
    chosen = select_sentences(scores, sentences, selection)
    return row.question.expects_answer and any(
        span.overlaps(row.sentences[place][1]) for place in chosen for span in row.question.evidence
    )


def calibrate(
    sets: Sequence[Sequence[ReadRow]], selection: Selection, *, wrongly_refused: float = 0.1
) -> Calibration:
    """Return a calibration fitted on the rows of several sets, each weighing the same.

    wrongly_refused: the share of the questions that expect an answer that the threshold refuses, a mean over the sets.
    Raises DataError where all rows are right, or none.
    """
    rows = [row for of_set in sets for row in of_set]
    shares = np.array([1 / len(of_set) for of_set in sets for _ in of_set])
    shares *= len(rows) / shares.sum()
    right = np.array([is_right(row, selection) for row in rows], dtype=np.float64)
    if not 0 < right.sum() < len(right):
        raise DataError("a calibration needs rows that are right and rows that are not")
    signals = np.array([row.signals for row in rows], dtype=np.float64)
    inputs = np.concatenate([signals, np.ones((len(rows), 1))], axis=1)
    ridge = _RIDGE * np.eye(inputs.shape[1])
    ridge[-1, -1] = 0.0
    weights = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        chances = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (shares * (chances - right)) + ridge @ weights
        curvature = (inputs * (shares * chances * (1 - chances))[:, None]).T @ inputs + ridge
        weights = weights - np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
    fitted = Calibration(weights=tuple(map(float, weights[:-1])), bias=float(weights[-1]), threshold=0.0)
    expecting = [
        (fitted.confidence(row.signals), share)
        for row, share in zip(rows, shares, strict=True)
        if row.question.expects_answer
    ]
    threshold = _weighted_quantile(expecting, wrongly_refused) if expecting else 0.5
    return Calibration(weights=fitted.weights, bias=fitted.bias, threshold=threshold)


def _weighted_quantile(values: Sequence[tuple[float, float]], share: float) -> float:
    """Return the smallest value with more than this share of the weights at or below it; values: (value, weight)."""
    ordered = sorted(values)
    wanted = share * sum(weight for _, weight in ordered)
    so_far = 0.0
    for value, weight in ordered:
        so_far += weight
        if so_far > wanted:
            return value
    return ordered[-1][0]
