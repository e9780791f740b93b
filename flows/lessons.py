"""Lessons of the experience log: questions to train on, from what people said of the answers.

    corrected    the answer someone gave instead, where a sentence that was shown holds it
    helpful      the answer and its quotes, where the documents still say so; a refusal that helped teaches to refuse
    otherwise    nothing is learned: an answer that did not help is no example of anything

What is newest on a question counts alone. Frozen documents and questions are left out (`training.frozen`): what
candidates are judged by cannot be reached through feedback.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prep.document import Document, Span
from prep.text import split_sentences, strip_span
from prep.workspace import Workspace
from retrieve.experience import Experience, ExperienceLog
from training.dataset import Question
from training.frozen import FrozenSet
from training.metrics_answers import normalise_answer

__all__ = ["LOG_NAME", "LogLessons", "learn_from", "log_lessons"]

LOG_NAME = "experience.sqlite"


@dataclass(frozen=True, slots=True)
class LogLessons:
    """What the log teaches, oldest question first; how many of each kind, and why others were left out."""

    questions: tuple[Question, ...] = ()
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def log_lessons(workspace: Workspace, frozen: FrozenSet) -> LogLessons:
    """Return the lessons of a workspace's log on its documents as they are now. Raises StoreError, EmptyStore."""
    with workspace.open_generation() as generation:
        documents = {document.id: document for document in generation.documents()}
    return learn_from(ExperienceLog(workspace.path / LOG_NAME).rows(), documents, frozen)


def learn_from(
    rows: Iterable[Experience], documents: Mapping[str, Document], frozen: FrozenSet
) -> LogLessons:
    """Return what the rows, oldest first, teach. Deterministic: the same rows give the same lessons."""
    newest: dict[str, Experience] = {}
    left_out: Counter[str] = Counter()
    for row in rows:
        if row.helpful is None and row.corrected_answer is None:
            left_out["nobody said anything"] += 1
            continue
        key = normalise_answer(row.report.question)
        left_out["asked again later"] += key in newest
        newest.pop(key, None)
        newest[key] = row
    questions: list[Question] = []
    for row in newest.values():
        found = _lesson(row, documents, frozen)
        if isinstance(found, Question):
            questions.append(found)
        else:
            left_out[found] += 1
    kinds = Counter(question.kind for question in questions)
    return LogLessons(tuple(questions), kinds, +left_out)


def _lesson(row: Experience, documents: Mapping[str, Document], frozen: FrozenSet) -> Question | str:
    """Return what a row teaches, or why nothing."""
    report = row.report
    if frozen.holds_question(report.question):
        return "a frozen question"
    name = f"log:{report.id}"
    if row.corrected_answer is not None:
        answer, evidence = row.corrected_answer, _sentences_with(row.corrected_answer, row, documents)
        kind, missing = "corrected", "no sentence shown holds the corrected answer"
    elif not row.helpful:
        return "did not help, and nobody said what would"
    elif report.answer is None:
        return Question(name, report.question, answerable=False, kind="refused rightly")
    else:
        answer, kind, missing = report.answer, "helpful", "the documents do not say it any more"
        quotes = [quote for finding in report.findings for quote in finding.quotes]
        evidence = tuple(
            Span(quote.document_id, quote.start, quote.end)
            for quote in quotes
            if (document := documents.get(quote.document_id)) is not None
            and document.text[quote.start : quote.end] == quote.text
        )
    if not evidence:
        return missing
    if any(frozen.holds_document(documents[span.document_id]) for span in evidence):
        return "on a frozen document"
    return Question(name, report.question, (answer,), evidence, kind=kind)


def _sentences_with(answer: str, row: Experience, documents: Mapping[str, Document]) -> tuple[Span, ...]:
    """Return the first sentence that was shown and holds the answer, word for word, in one span; none otherwise."""
    wanted = f" {normalise_answer(answer)} "
    for source in row.report.sources:
        document = documents.get(source.document_id)
        if document is None or not wanted.strip():
            continue
        end = min(source.end, len(document.text))
        for left, right in split_sentences(document.text, min(source.start, end), end):
            if wanted in f" {normalise_answer(document.text[left:right])} ":
                return (Span(document.id, *strip_span(document.text, left, right)),)
    return ()
