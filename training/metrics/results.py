"""Results of the suites of `training.evaluation`: one row a question, and figures that follow from the rows.

Every figure can be computed again from the rows, so that two systems can be compared question by question
(`training.evaluation.gains.compare_results`). `to_dict()` is JSON-ready; `format_table` lays results side by side.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from prep.errors import DataError
from training.metrics.answer_metrics import abstention_scores

__all__ = [
    "CORRECT_F1",
    "AnswerRow",
    "AnswerScores",
    "AnswersResult",
    "ChunkingResult",
    "ChunkingRow",
    "Result",
    "RetrievalResult",
    "RetrievalRow",
    "format_table",
    "score_answers",
]

#: An answer with at least this F1 is called correct: it shares more with an accepted answer than it adds or
#: leaves out, so that "308" passes for "308 points" and a sentence around the answer does not.
CORRECT_F1 = 0.5


@dataclass(frozen=True, slots=True)
class ChunkingRow:
    """One question's figures; definitions in `training.metrics.chunking_metrics`."""

    question_id: str
    document_id: str  # of its first excerpt
    kind: str
    recall: float
    precision: float
    iou: float
    precision_omega: float
    precision_omega_touching: float


@dataclass(frozen=True, slots=True)
class ChunkingResult:
    """The chunking suite: means over the questions, over one pool of all documents."""

    suite: ClassVar[str] = "chunking"
    metrics: ClassVar[tuple[str, ...]] = (
        "recall",
        "precision",
        "precision_omega",
        "iou",
        "precision_omega_touching",
    )

    dataset: str
    label: str
    k: int
    n_chunks: int
    mean_tokens: float
    mean_characters: float
    rows: tuple[ChunkingRow, ...]

    def mean(self, metric: str) -> float:
        """Return the mean of one of `metrics` over the questions."""
        return _mean(self.rows, metric)

    def by_document(self) -> dict[str, dict[str, float]]:
        """Return the means over the questions of each document (Chroma's corpora)."""
        return {name: _means(rows, self.metrics) for name, rows in _groups(self.rows, "document_id").items()}

    def columns(self) -> dict[str, float]:
        """Return the figures a table shows."""
        return {"n": len(self.rows), "chunks": self.n_chunks, "tokens per chunk": self.mean_tokens} | {
            f"{_SHORT.get(metric, metric)}@{self.k}" if "omega" not in metric else _SHORT[metric]: self.mean(
                metric
            )
            for metric in self.metrics
        }

    def to_dict(self, *, rows: bool = True) -> dict[str, Any]:
        """Return everything as JSON-ready values; rows=False leaves the single questions out."""
        return _result_dict(self, rows) | {
            "k": self.k,
            "n_chunks": self.n_chunks,
            "mean_tokens": self.mean_tokens,
            "mean_characters": self.mean_characters,
            "metrics": _means(self.rows, self.metrics),
            "by_document": self.by_document(),
        }


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    """One question's figures. Documents rank by their best chunk; evidence figures are of chunks."""

    question_id: str
    document_id: str
    kind: str
    ndcg_at_10: float
    recall: float  # of relevant documents, in the first k
    reciprocal_rank: float
    evidence_recall: float  # share of the evidence that the first evidence_k chunks hold
    evidence_hit: float  # 1.0 if these hold any of it
    evidence_recall_in_budget: float  # share of the evidence in the first budget_tokens retrieved


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """The retrieval suite: means over the questions that have evidence."""

    suite: ClassVar[str] = "retrieval"
    metrics: ClassVar[tuple[str, ...]] = (
        "ndcg_at_10",
        "recall",
        "reciprocal_rank",
        "evidence_recall",
        "evidence_hit",
        "evidence_recall_in_budget",
    )

    dataset: str
    label: str
    k: int
    evidence_k: int
    budget_tokens: int
    n_chunks: int
    mean_tokens: float
    rows: tuple[RetrievalRow, ...]

    def mean(self, metric: str) -> float:
        """Return the mean of one of `metrics` over the questions."""
        return _mean(self.rows, metric)

    def by_kind(self) -> dict[str, dict[str, float]]:
        """Return the means over the questions of each kind."""
        return {name: _means(rows, self.metrics) for name, rows in _groups(self.rows, "kind").items()}

    def columns(self) -> dict[str, float]:
        """Return the figures a table shows."""
        return {
            "n": len(self.rows),
            "chunks": self.n_chunks,
            "tokens per chunk": self.mean_tokens,
            "nDCG@10": self.mean("ndcg_at_10"),
            f"recall@{self.k}": self.mean("recall"),
            "MRR": self.mean("reciprocal_rank"),
            f"evidence recall@{self.evidence_k}": self.mean("evidence_recall"),
            f"evidence hit@{self.evidence_k}": self.mean("evidence_hit"),
            f"evidence recall@{self.budget_tokens} tokens": self.mean("evidence_recall_in_budget"),
        }

    def to_dict(self, *, rows: bool = True) -> dict[str, Any]:
        """Return everything as JSON-ready values; rows=False leaves the single questions out."""
        return _result_dict(self, rows) | {
            "k": self.k,
            "evidence_k": self.evidence_k,
            "budget_tokens": self.budget_tokens,
            "n_chunks": self.n_chunks,
            "mean_tokens": self.mean_tokens,
            "metrics": _means(self.rows, self.metrics),
            "by_kind": self.by_kind(),
        }


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One question, what was answered, and how it is judged.

    expects_answer: the set has an answer and its evidence was not withheld. statements: of the answer, one for each
    finding; none for an abstention. f1 and exact_match are 0.0 for an abstention. Citations count every quote;
    supported: one that the answer rests on overlaps evidence. correct: f1 of at least CORRECT_F1. word_right: of a
    question of yes or no, whether the answer begins with the right word; items_found: of a list, the share of its items
    that the answer or its quotes name; None for other questions.
    """

    question_id: str
    document_id: str
    kind: str
    expects_answer: bool
    withheld: bool
    abstained: bool
    prediction: str
    statements: tuple[str, ...]
    exact_match: float
    f1: float
    citation_precision: float
    citation_recall: float
    n_quotes: int
    n_inexact_quotes: int
    quoted_characters: int
    supported: bool
    prompt_tokens: int
    completion_tokens: int
    n_searches: int
    seconds: float
    word_right: bool | None = None
    items_found: float | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AnswerRow:
        """Read what `dataclasses.asdict` gave, through JSON. Raises KeyError, TypeError for other fields."""
        return cls(**{**values, "statements": tuple(values["statements"])})

    @property
    def correct(self) -> bool:
        """Whether the answer is close enough to an accepted one."""
        return self.expects_answer and not self.abstained and self.f1 >= CORRECT_F1


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Figures of a list of answer rows.

    exact_match, f1, citation_recall: over questions that expect an answer, an abstention counting 0.
    f1_answered, citation_precision: over those of them that were answered; an answer without a quote has
    citation precision 0. abstention_*: over all questions, `unanswerable` being those that expect no answer.
    Tokens, searches and seconds are over all questions, and so is the rate of correct supported answers:
    right abstentions cost tokens there and do not count as answers. n_right_though_withheld: answers that
    agree with an accepted one although its evidence was withheld, so that it stands elsewhere too or was
    guessed; abstention figures count them as wrong. supported, wrongly_refused: over questions that expect an answer;
    refused: of the others. words_right, items_found: over the rows that have them, an abstention counting 0.
    """

    n: int
    n_unanswerable: int
    exact_match: float
    f1: float
    f1_answered: float
    citation_precision: float
    citation_recall: float
    abstention_precision: float
    abstention_recall: float
    abstention_f1: float
    correct_supported: float
    correct_supported_per_1000_tokens: float
    tokens_per_question: float
    prompt_tokens_per_question: float
    completion_tokens_per_question: float
    searches_per_question: float
    seconds_p50: float
    seconds_p95: float
    n_inexact_quotes: int
    n_right_though_withheld: int
    supported: float
    wrongly_refused: float
    refused: float
    words_right: float
    items_found: float


def score_answers(rows: Sequence[AnswerRow]) -> AnswerScores:
    """Return the figures of the rows; a mean over nothing is 0.0."""
    expecting = [row for row in rows if row.expects_answer]
    answered = [row for row in expecting if not row.abstained]
    abstention = abstention_scores([row.abstained for row in rows], [not row.expects_answer for row in rows])
    good = sum(row.correct and row.supported for row in rows)
    prompt_tokens, completion_tokens = (
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
    )
    tokens = prompt_tokens + completion_tokens
    n = max(1, len(rows))
    return AnswerScores(
        n=len(rows),
        n_unanswerable=len(rows) - len(expecting),
        exact_match=_mean(expecting, "exact_match"),
        f1=_mean(expecting, "f1"),
        f1_answered=_mean(answered, "f1"),
        citation_precision=_mean(answered, "citation_precision"),
        citation_recall=_mean(expecting, "citation_recall"),
        abstention_precision=abstention.precision,
        abstention_recall=abstention.recall,
        abstention_f1=abstention.f1,
        correct_supported=good / len(expecting) if expecting else 0.0,
        correct_supported_per_1000_tokens=1000 * good / tokens if tokens else 0.0,
        tokens_per_question=tokens / n,
        prompt_tokens_per_question=prompt_tokens / n,
        completion_tokens_per_question=completion_tokens / n,
        searches_per_question=_mean(rows, "n_searches"),
        seconds_p50=_quantile([row.seconds for row in rows], 0.5),
        seconds_p95=_quantile([row.seconds for row in rows], 0.95),
        n_inexact_quotes=sum(row.n_inexact_quotes for row in rows),
        n_right_though_withheld=sum(
            row.withheld and not row.abstained and row.f1 >= CORRECT_F1 for row in rows
        ),
        supported=_mean(expecting, "supported"),
        wrongly_refused=_mean(expecting, "abstained"),
        refused=_mean([row for row in rows if not row.expects_answer], "abstained"),
        words_right=_mean([row for row in expecting if row.word_right is not None], "word_right"),
        items_found=_mean([row for row in expecting if row.items_found is not None], "items_found"),
    )


@dataclass(frozen=True, slots=True)
class AnswersResult:
    """The answers suite: figures overall and for each kind of question."""

    suite: ClassVar[str] = "answers"

    dataset: str
    label: str
    withhold_every: int
    rows: tuple[AnswerRow, ...]

    def overall(self) -> AnswerScores:
        """Return the figures over all questions."""
        return score_answers(self.rows)

    def by_kind(self) -> dict[str, AnswerScores]:
        """Return the figures over the questions of each kind, withheld ones among their own kind."""
        return {name: score_answers(rows) for name, rows in _groups(self.rows, "kind").items()}

    def kind_table(self) -> str:
        """Return the figures of each kind of question that tell whether people are served, as a Markdown table."""
        header = ["kind", "n", *_OF_KINDS.values()]
        lines = [
            [kind, str(scores.n), *(f"{getattr(scores, name):.3f}" for name in _OF_KINDS)]
            for kind, scores in [*self.by_kind().items(), ("all", self.overall())]
        ]
        return _markdown([header, *lines])

    def columns(self) -> dict[str, float]:
        """Return the figures a table shows."""
        scores = self.overall()
        return {
            "n": scores.n,
            "supported": scores.supported,
            "wrongly refused": scores.wrongly_refused,
            "EM": scores.exact_match,
            "F1": scores.f1,
            "cite P": scores.citation_precision,
            "cite R": scores.citation_recall,
            "abstain P": scores.abstention_precision,
            "abstain R": scores.abstention_recall,
            "abstain F1": scores.abstention_f1,
            "tokens": scores.tokens_per_question,
            "searches": scores.searches_per_question,
            "p50 s": scores.seconds_p50,
            "p95 s": scores.seconds_p95,
            "correct supported / 1k tokens": scores.correct_supported_per_1000_tokens,
        }

    def to_dict(self, *, rows: bool = True) -> dict[str, Any]:
        """Return everything as JSON-ready values; rows=False leaves the single questions out."""
        return _result_dict(self, rows) | {
            "withhold_every": self.withhold_every,
            "correct_f1": CORRECT_F1,
            "metrics": asdict(self.overall()),
            "by_kind": {kind: asdict(scores) for kind, scores in self.by_kind().items()},
        }


_OF_KINDS = {
    "supported": "supported",
    "wrongly_refused": "wrongly refused",
    "refused": "rightly refused",
    "words_right": "yes/no right",
    "items_found": "items found",
    "f1": "F1",
}

Result = ChunkingResult | RetrievalResult | AnswersResult

_SHORT = {
    "iou": "IoU",
    "precision_omega": "precision-Ω",
    "precision_omega_touching": "precision-Ω (touching)",
}


def format_table(results: Sequence[Result]) -> str:
    """Return the results as aligned Markdown tables, one for each suite and set of columns, in order."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for result in results:
        columns = result.columns()
        rows = tables.setdefault((result.suite, "set", *columns), [])
        rows.append(
            [result.label, result.dataset, *(_figure(name, value) for name, value in columns.items())]
        )
    return "\n\n".join(_markdown([list(header), *rows]) for header, rows in tables.items())


def _markdown(lines: list[list[str]]) -> str:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]

    def show(line: list[str]) -> str:
        shown = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(shown)} |"

    rule = "|".join("-" * (width + 2) if i < 2 else "-" * (width + 1) + ":" for i, width in enumerate(widths))
    return "\n".join([show(cells[0]), f"|{rule}|", *(show(line) for line in cells[1:])])


def _figure(name: str, value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if name in {"tokens", "tokens per chunk"}:
        return f"{value:.0f}"
    return f"{value:.2f}" if name in {"p50 s", "p95 s", "searches"} else f"{value:.3f}"


def _result_dict(result: Result, rows: bool) -> dict[str, Any]:
    head: dict[str, Any] = {
        "suite": result.suite,
        "dataset": result.dataset,
        "label": result.label,
        "n_questions": len(result.rows),
    }
    return head | ({"rows": [asdict(row) for row in result.rows]} if rows else {})


def _groups(rows: Sequence[Any], attribute: str) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(getattr(row, attribute), []).append(row)
    return groups


def _means(rows: Sequence[Any], metrics: Sequence[str]) -> dict[str, float]:
    return {metric: _mean(rows, metric) for metric in metrics}


def _mean(rows: Sequence[Any], metric: str) -> float:
    try:
        return statistics.fmean(getattr(row, metric) for row in rows) if rows else 0.0
    except AttributeError as error:
        raise DataError(f"there is no metric {metric!r} in these rows") from error


def _quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    if not values:
        return 0.0
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
