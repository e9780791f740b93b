"""The answers suite: reports judged by accepted answers and evidence, a part of the evidence being withheld.

Anything with `ask_many` can be the system here; `training.evaluation.baseline_rag` has the usual one. Definitions of
the metrics live in `training.metrics.answer_metrics`, figures in `training.metrics.results`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tqdm import tqdm

from prep.document import Span
from prep.errors import DataError
from retrieve.report.report import Report
from training.data.dataset import LabelledSet, Question, sample
from training.data.dataset import withhold_every as mark_withheld
from training.metrics.answer_metrics import (
    ALTERNATIVE_KINDS,
    citation_precision,
    citation_recall,
    exact_match,
    f1,
    has_cjk,
    normalise_answer,
)
from training.metrics.results import AnswerRow, AnswersResult
from training.runs.resumable_rows import KeptRows

__all__ = ["Answerer", "answer_blocks", "evaluate_answers", "judge_report"]

_BLOCK_QUESTIONS = 32


class Answerer(Protocol):
    """An answering system, such as `retrieve.Researcher` or `BaselineRAG`."""

    @property
    def ask_many(self) -> Callable[..., list[Report]]:
        """Called with the questions, withheld=, progress= and whatever options are passed on."""
        ...


def evaluate_answers(
    dataset: LabelledSet,
    system: Answerer,
    *,
    withhold_every: int = 5,
    limit: int | None = None,
    label: str | None = None,
    progress: bool = False,
    kept: KeptRows | None = None,
    **options: Any,
) -> AnswersResult:
    """Ask the system every question and judge its reports.

    The system must already hold the set's documents, with the same ids and texts. withhold_every: of every
    n-th answerable question the evidence is withheld (chunks that overlap it are never shown), and abstaining
    is then right; that the same fact may stand elsewhere is not looked into. limit: ask so many questions,
    evenly spread, before withholding. kept: rows of an earlier run; new ones are added as they
    come, and questions that have one are not asked again. options: passed on to `ask_many`. Raises DataError.
    """
    if not dataset.questions:
        raise DataError(f"the set {dataset.name!r} has no questions; this suite needs questions.jsonl")
    questions = mark_withheld(sample(dataset.questions, limit), withhold_every)

    def answer(block: Sequence[Question]) -> list[AnswerRow]:
        reports = system.ask_many(
            [question.question for question in block],
            withheld=[question.evidence if question.withheld else () for question in block],
            **options,
        )
        if len(reports) != len(block):
            raise DataError(f"the system gave {len(reports)} reports for {len(block)} questions")
        return [
            judge_report(question, report, dataset) for question, report in zip(block, reports, strict=True)
        ]

    return AnswersResult(
        dataset=dataset.name,
        label=label or type(system).__name__,
        withhold_every=withhold_every,
        rows=answer_blocks(
            questions, answer, size=_BLOCK_QUESTIONS, label=label or "answers", progress=progress, kept=kept
        ),
    )


def answer_blocks(
    questions: Sequence[Question],
    answer: Callable[[Sequence[Question]], list[AnswerRow]],
    *,
    size: int,
    label: str,
    progress: bool = False,
    kept: KeptRows | None = None,
) -> tuple[AnswerRow, ...]:
    """Return each question's row, `size` questions answered at a time; those that `kept` holds are not asked again."""
    rows = kept.read() if kept is not None else {}
    waiting = [question for question in questions if question.id not in rows]
    with tqdm(
        total=len(questions),
        initial=len(questions) - len(waiting),
        desc=label,
        unit="question",
        disable=not progress,
    ) as bar:
        for start in range(0, len(waiting), size):
            new = answer(waiting[start : start + size])
            rows.update((row.question_id, row) for row in new)
            if kept is not None:
                kept.add(new)
            bar.update(len(new))
    return tuple(rows[question.id] for question in questions)


def judge_report(question: Question, report: Report, dataset: LabelledSet) -> AnswerRow:
    """Return one question's row: the report against the question's answers and evidence."""
    prediction = report.answer or ""
    refused = report.answer is None  # out of time is no answer, too
    by_character = has_cjk(question.question, *question.answers)
    quotes = report.quotes
    spans = [Span(quote.document_id, quote.start, quote.end) for quote in quotes]
    exact = [_is_exact(dataset, quote.document_id, quote.start, quote.end, quote.text) for quote in quotes]
    honest = [span for span, is_exact in zip(spans, exact, strict=True) if is_exact]
    alternatives = question.kind in ALTERNATIVE_KINDS
    precision = citation_precision(honest, question.evidence) * len(honest) / max(1, len(spans))
    rests_on = {(quote.document_id, quote.start, quote.end) for quote in report.answer_quotes}
    resting = [span for span in honest if (span.document_id, span.start, span.end) in rests_on]
    return AnswerRow(
        question_id=question.id,
        document_id=question.evidence[0].document_id if question.evidence else "",
        kind=question.kind,
        expects_answer=question.expects_answer,
        withheld=question.withheld,
        abstained=refused,
        prediction=prediction,
        statements=() if refused else report.statements,
        exact_match=_unless(refused, exact_match(prediction, question.answers, by_character=by_character)),
        f1=_unless(refused, f1(prediction, question.answers, by_character=by_character)),
        citation_precision=precision,
        citation_recall=citation_recall(honest, question.evidence, alternatives=alternatives),
        n_quotes=len(quotes),
        n_inexact_quotes=len(quotes) - len(honest),
        quoted_characters=sum(span.end - span.start for span in spans),
        supported=citation_precision(resting, question.evidence) > 0,
        prompt_tokens=report.usage.prompt_tokens,
        completion_tokens=report.usage.completion_tokens,
        n_searches=report.usage.n_searches,
        seconds=report.usage.seconds,
        word_right=_word_right(question, prediction),
        items_found=_items_found(question, report),
    )


def _word_right(question: Question, prediction: str) -> bool | None:
    """Whether the answer to a question of yes or no begins with the word that the accepted ones begin with."""
    words = {_first_word(answer) for answer in question.answers} & {"yes", "no"}
    if not question.expects_answer or question.kind != "yesno" or len(words) != 1:
        return None
    return _first_word(prediction) in words


def _first_word(text: str) -> str:
    return (normalise_answer(text).split() or [""])[0]


def _items_found(question: Question, report: Report) -> float | None:
    """Return the share of a list's items that are named in what is said: three fifths of an item's words are."""
    if not question.expects_answer or question.kind != "list" or not question.answers:
        return None
    said = " ".join(
        [*report.statements, report.answer or "", *(quote.text for quote in report.answer_quotes)]
    )
    held = set(normalise_answer(said).split())
    shares = []
    for answer in question.answers:
        words = normalise_answer(answer).split()
        shares.append(bool(words) and sum(word in held for word in words) >= 0.6 * len(words))
    return sum(shares) / len(shares)


def _is_exact(dataset: LabelledSet, document_id: str, start: int, end: int, text: str) -> bool:
    document = dataset.documents.get(document_id)
    return document is not None and document.text[start:end] == text


def _unless(abstained: bool, score: float) -> float:
    return 0.0 if abstained else score
