"""The promotion gate: whether a candidate may replace the serving version, by both results on the same questions.

    headline    mean reward of the answers (`training.rewards`); of a prep version, the share of evidence found
    floors      citation precision, abstention F1, answer F1 on old topics, seconds of the slowest answers; of a
                prep version also answer F1, and the evidence in the first tokens found, so that larger chunks
                alone gain nothing
    enough      questions and documents for a decision

The headline's gain must be sure: its whole bootstrap interval lies above `least_gain`. At zero a change would be as
likely harm as help, and a swap is never free: a new prep version prepares every document again. A floor holds where the
candidate has not surely fallen and has not fallen far. Too few questions refuse the candidate, and so do figures that
are not numbers. `training.data.gate_set` chooses the questions, `flows.retraining.gate_trial` measures and promotes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prep.checks import check_counts
from prep.errors import ConfigError, DataError
from training.evaluation.gains import compare_results
from training.metrics.results import AnswerRow, AnswersResult, RetrievalResult, score_answers
from training.metrics.significance import Difference, paired_bootstrap, paired_bootstrap_of
from training.rewards import reward

__all__ = ["ANSWER_FLOORS", "Decision", "GateConfig", "Trial", "decide"]

#: Figures of the answers that must not fall.
ANSWER_FLOORS = ("citation_precision", "abstention_f1")
_ANSWER_FIGURES = ("f1", "exact_match", "citation_recall", *ANSWER_FLOORS, "seconds_p95")
_RETRIEVAL_FLOOR = "evidence_recall_in_budget"
_RETRIEVAL_FIGURES = ("evidence_recall", _RETRIEVAL_FLOOR, "ndcg_at_10")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """Thresholds that a candidate must meet.

    least_gain: the lower bound of the headline's gain must lie above it. most_fall: a floor's figure may fall by so
    much at most, and not surely at all. latency_ratio: how many times as slow the slowest answers (95th percentile)
    may be, unless they are within quick_s, which nobody waits for. min_documents: that the questions are on; they
    are what is resampled, as questions on one document hang together. n_resamples: for figures that are no means.
    """

    min_questions: int = 40
    min_documents: int = 5
    confidence: float = 0.95
    least_gain: float = 0.0
    most_fall: float = 0.05
    latency_ratio: float = 1.3
    quick_s: float = 0.1
    n_resamples: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "min_questions", "min_documents", "n_resamples")
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(f"confidence={self.confidence!r} must lie in 0.5..1, 1 left out")
        if not -1 <= self.least_gain <= 1:
            raise ConfigError(f"least_gain={self.least_gain!r} must lie in -1..1: figures are shares")
        if not 0 <= self.most_fall <= 1:
            raise ConfigError(f"most_fall={self.most_fall!r} must lie in 0..1")
        if not self.latency_ratio >= 1 or not self.quick_s >= 0:
            raise ConfigError(
                f"latency_ratio={self.latency_ratio!r} must be at least 1 and quick_s={self.quick_s!r} not negative"
            )


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of one version on the gate set.

    retrieval: for a prep version, whose headline it holds. old: ids of the questions on old topics; empty where none
    are older than others, and answer F1 is then held over all.
    """

    version: str
    answers: AnswersResult
    retrieval: RetrievalResult | None = None
    old: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the candidate is promoted, and why.

    figures: "current" and "candidate" → figure → value. gains: figure → candidate minus current, with its interval.
    """

    promoted: bool
    reasons: tuple[str, ...]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    gains: dict[str, Difference] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values: promoted, reasons, figures, gains as mean, low and high."""
        gains = {
            name: {"mean": gain.difference, "low": gain.low, "high": gain.high}
            for name, gain in self.gains.items()
        }
        return {
            "promoted": self.promoted,
            "reasons": list(self.reasons),
            "figures": self.figures,
            "gains": gains,
        }


def decide(current: Trial, candidate: Trial, config: GateConfig | None = None) -> Decision:
    """Return whether `candidate` may serve instead of `current`. Deterministic by the seed.

    Raises DataError where the two were not measured on the same questions.
    """
    config = config or GateConfig()
    if (current.retrieval is None) != (candidate.retrieval is None) or current.old != candidate.old:
        raise DataError(
            f"{current.version} and {candidate.version} were not measured alike: measure both again on one set"
        )
    gains = _gains(current, candidate, config)
    figures = {"current": _figures(current), "candidate": _figures(candidate)}
    headline = "reward" if candidate.retrieval is None else "evidence_recall"
    against = [
        *_too_few(candidate, config),
        *_headline(headline, gains[headline], config),
        *(
            reason
            for name, gain in gains.items()
            if name in _floors(candidate) and name != headline
            for reason in _floor(name, gain, config)
        ),
        *_latency(figures, config),
    ]
    if against:
        return Decision(False, tuple(against), figures, gains)
    gain = gains[headline]
    enough = "better for sure" if gain.is_gain else f"not worse than is allowed ({config.least_gain:+.3f})"
    said = f"{headline} {_interval(gain)}: {enough}, and no floor is broken"
    return Decision(True, (said,), figures, gains)


def _floors(trial: Trial) -> tuple[str, ...]:
    of_retrieval = () if trial.retrieval is None else ("f1", _RETRIEVAL_FLOOR)
    return (*ANSWER_FLOORS, "old_f1", *of_retrieval)


def _gains(current: Trial, candidate: Trial, config: GateConfig) -> dict[str, Difference]:
    about: dict[str, Any] = {"seed": config.seed, "confidence": config.confidence}
    # First, because it checks that both answered the same questions.
    gains = {"f1": compare_results(current.answers, candidate.answers, "f1", **about)}
    rows = _paired(current.answers.rows, candidate.answers.rows)
    gains["reward"] = _gain([[reward(row) for row in side] for side in rows], rows[0], about)
    for name in ANSWER_FLOORS:
        gains[name] = paired_bootstrap_of(
            _score(name), *rows, groups=_documents(rows[0]), n_resamples=config.n_resamples, **about
        )
    old = [[row for row in side if row.expects_answer and _is_old(row, candidate)] for side in rows]
    if old[0]:
        gains["old_f1"] = _gain([[row.f1 for row in side] for side in old], old[0], about)
    if current.retrieval is not None and candidate.retrieval is not None:
        for name in _RETRIEVAL_FIGURES:
            gains[name] = compare_results(current.retrieval, candidate.retrieval, name, **about)
    return gains


def _is_old(row: AnswerRow, trial: Trial) -> bool:
    return not trial.old or row.question_id in trial.old


def _paired(first: Sequence[AnswerRow], second: Sequence[AnswerRow]) -> list[list[AnswerRow]]:
    """Return both sides' rows in the order of the first."""
    found = {row.question_id: row for row in second}
    return [list(first), [found[row.question_id] for row in first]]


def _gain(sides: list[list[float]], rows: Sequence[AnswerRow], about: dict[str, Any]) -> Difference:
    return paired_bootstrap(sides[0], sides[1], groups=_documents(rows), **about)


def _score(name: str) -> Callable[[Sequence[AnswerRow]], float]:
    return lambda rows: float(getattr(score_answers(rows), name))


def _documents(rows: Sequence[AnswerRow]) -> list[str]:
    return [row.document_id or row.question_id for row in rows]


def _figures(trial: Trial) -> dict[str, float]:
    rows = trial.answers.rows
    scores = score_answers(rows)
    figures = {"reward": sum(map(reward, rows)) / len(rows)}
    figures |= {name: float(getattr(scores, name)) for name in _ANSWER_FIGURES}
    figures["old_f1"] = score_answers([row for row in rows if _is_old(row, trial)]).f1
    if trial.retrieval is not None:
        figures |= {name: trial.retrieval.mean(name) for name in _RETRIEVAL_FIGURES}
    return figures


def _too_few(trial: Trial, config: GateConfig) -> list[str]:
    rows = trial.answers.rows
    n_documents = len({row.document_id for row in rows if row.document_id})
    if len(rows) >= config.min_questions and n_documents >= config.min_documents:
        return []
    return [
        f"{len(rows)} questions on {n_documents} documents cannot tell: {config.min_questions} on "
        f"{config.min_documents} are wanted; ingest more documents, or name a labelled set"
    ]


def _headline(name: str, gain: Difference, config: GateConfig) -> list[str]:
    if gain.low > config.least_gain:
        return []
    if gain.high < 0:
        return [f"{name} {_interval(gain)}: worse for sure"]
    above = "" if config.least_gain == 0 else f" above {config.least_gain:+.3f}"
    return [
        f"{name} {_interval(gain)}: the gain{above} is not sure, and a change that may be luck is not made"
    ]


def _floor(name: str, gain: Difference, config: GateConfig) -> list[str]:
    # Said so that a figure that is not a number breaks the floor.
    if gain.high >= 0 and gain.difference >= -config.most_fall:
        return []
    why = "it fell for sure" if gain.high < 0 else f"it fell by more than {config.most_fall:g}"
    return [f"{name} {_interval(gain)}: {why}"]


def _latency(figures: dict[str, dict[str, float]], config: GateConfig) -> list[str]:
    before, after = (figures[system]["seconds_p95"] for system in ("current", "candidate"))
    if after <= max(config.latency_ratio * before, config.quick_s):
        return []
    return [
        f"seconds_p95 {before:.2f} to {after:.2f}: more than {config.latency_ratio:g} times as slow as what serves"
    ]


def _interval(gain: Difference) -> str:
    share = f"{100 * gain.confidence:g}%"
    return (
        f"{gain.difference:+.3f}, {share} interval {gain.low:+.3f} to {gain.high:+.3f} on {gain.n} questions"
    )
