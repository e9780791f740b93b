"""Fit the reader's confidence on questions over documents that it was not trained on.

A logistic regression with a small ridge, by Newton's method; what it predicts is that a question expects an answer
and that the best sentences hold evidence. The threshold wrongly refuses few questions of any of several sets: on
documents of another kind the confidence is lower, and a threshold fitted on one set alone refuses far more there.
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
    rows: Sequence[ReadRow],
    selection: Selection,
    *,
    others: Sequence[Sequence[ReadRow]] = (),
    wrongly_refused: float = 0.03,
) -> Calibration:
    """Return a calibration fitted on the rows. Raises DataError where all of them are right, or none.

    wrongly_refused: of the questions that expect an answer at most this share is below the threshold, of these rows and
    of each of the other sets.
    """
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
        slope = inputs.T @ (chances - right) + ridge @ weights
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + ridge
        weights = weights - np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
    fitted = Calibration(weights=tuple(map(float, weights[:-1])), bias=float(weights[-1]), threshold=0.0)
    thresholds = []
    for of_set in (rows, *others):
        expecting = [fitted.confidence(row.signals) for row in of_set if row.question.expects_answer]
        thresholds.append(float(np.quantile(expecting, wrongly_refused)))
    return Calibration(weights=fitted.weights, bias=fitted.bias, threshold=min(thresholds))
