"""What one system gains on another, metric by metric, with paired bootstrap intervals.

Of two policies: the mean reward, and the figures that must not fall with it.
"""

from __future__ import annotations

from typing import TypeVar

from prep.errors import ConfigError, DataError
from training.metrics.results import (
    AnswerRow,
    AnswersResult,
    ChunkingResult,
    RetrievalResult,
    score_answers,
)
from training.metrics.significance import Difference, paired_bootstrap, paired_bootstrap_of
from training.rewards import Prices, reward

__all__ = ["compare_results", "figures_of", "gains_of"]

_HEADLINE = ("f1", "citation_precision", "citation_recall", "abstention_f1")
# Means over the rows that expect an answer; the rest of AnswerScores needs all rows.
_ROW_METRICS = frozenset({"exact_match", "f1", "citation_recall"})

R = TypeVar("R", ChunkingResult, RetrievalResult, AnswersResult)


def compare_results(
    first: R, second: R, metric: str, *, by_document: bool = True, seed: int = 0, confidence: float = 0.95
) -> Difference:
    """Return how much better the second system is on `metric`, with a paired bootstrap interval.

    metric: one of the result's `metrics`, or a field of `AnswerScores`. by_document: resample documents, not
    single questions. Raises DataError where the two were not measured on the same questions.
    """
    a = {row.question_id: row for row in first.rows}
    b = {row.question_id: row for row in second.rows}
    if a.keys() != b.keys():
        raise DataError(
            f"{first.label!r} and {second.label!r} answered different questions "
            f"({len(a.keys() ^ b.keys())} are in one only); compare runs on the same set and limit"
        )
    ids = list(a)
    if isinstance(first, AnswersResult) and isinstance(second, AnswersResult):
        if [a[i].expects_answer for i in ids] != [b[i].expects_answer for i in ids]:
            raise DataError("the two runs withheld different questions; use the same withhold_every")
        if metric in _ROW_METRICS:
            ids = [i for i in ids if a[i].expects_answer]
        else:
            return _compare_scores(
                [a[i] for i in ids], [b[i] for i in ids], metric, by_document, seed, confidence
            )
    elif metric not in first.metrics:
        raise ConfigError(
            f"there is no metric {metric!r} in the {first.suite} suite: {', '.join(first.metrics)}"
        )
    return paired_bootstrap(
        [getattr(a[i], metric) for i in ids],
        [getattr(b[i], metric) for i in ids],
        groups=[a[i].document_id or i for i in ids] if by_document else None,
        seed=seed,
        confidence=confidence,
    )


def _compare_scores(
    first: list[AnswerRow],
    second: list[AnswerRow],
    metric: str,
    by_document: bool,
    seed: int,
    confidence: float,
) -> Difference:
    if not hasattr(score_answers([]), metric):
        raise ConfigError(f"there is no metric {metric!r} in the answers suite; see AnswerScores")
    return paired_bootstrap_of(
        lambda rows: float(getattr(score_answers(rows), metric)),
        first,
        second,
        groups=[row.document_id or row.question_id for row in first] if by_document else None,
        seed=seed,
        confidence=confidence,
    )


def figures_of(result: AnswersResult, prices: Prices) -> dict[str, float]:
    """Return the mean reward and the figures that must not fall."""
    scores = score_answers(result.rows)
    rewards = [reward(row, prices) for row in result.rows]
    return {
        "reward": sum(rewards) / len(rewards),
        **{name: float(getattr(scores, name)) for name in _HEADLINE},
    }


def gains_of(first: AnswersResult, second: AnswersResult, prices: Prices) -> dict[str, Difference]:
    """Return how much the second gains on the first in each of them, resampled by document.

    Raises DataError where they did not answer the same questions.
    """
    others = {name: compare_results(first, second, name) for name in _HEADLINE}
    worth = {row.question_id: reward(row, prices) for row in second.rows}
    gain = paired_bootstrap(
        [reward(row, prices) for row in first.rows],
        [worth[row.question_id] for row in first.rows],
        groups=[row.document_id or row.question_id for row in first.rows],
    )
    return {"reward": gain, **others}
