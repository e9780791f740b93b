"""What one policy gains on another: mean reward, and the figures that must not fall with it."""

from __future__ import annotations

from training.evaluation.suites import compare
from training.metrics.results import AnswersResult, score_answers
from training.metrics.significance import Difference, paired_bootstrap
from training.rewards import Prices, reward

__all__ = ["figures_of", "gains_of"]

_HEADLINE = ("f1", "citation_precision", "citation_recall", "abstention_f1")


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
    others = {name: compare(first, second, name) for name in _HEADLINE}
    worth = {row.question_id: reward(row, prices) for row in second.rows}
    gain = paired_bootstrap(
        [reward(row, prices) for row in first.rows],
        [worth[row.question_id] for row in first.rows],
        groups=[row.document_id or row.question_id for row in first.rows],
    )
    return {"reward": gain, **others}
