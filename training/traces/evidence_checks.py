"""Checks of passages against a question's evidence and answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from prep.document import Span
from retrieve.episode.episode import EpisodeLimits, Passage, sentence_spans
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import has_cjk, normalise_answer

__all__ = ["evidence_of", "may_answer", "mentions", "shows", "touches", "with_duplicates", "without_evidence"]


def evidence_of(question: Question, answer: str, pool: PassagePool) -> list[Span]:
    """Return the first evidence span whose text is the answer; all evidence where there is none."""
    matching = [
        span
        for span in question.evidence
        for passage in pool.passages_of(span.document_id)
        if passage.start <= span.start
        and span.end <= passage.end
        and passage.text[span.start - passage.start : span.end - passage.start].strip() == answer.strip()
    ]
    return matching[:1] or list(question.evidence)


def may_answer(passages: Iterable[Passage], question: Question) -> bool:
    """Whether a passage overlaps the question's evidence or mentions one of its answers."""
    return any(
        touches(passage, question.evidence) or mentions(passage.text, question.answers)
        for passage in passages
    )


def without_evidence(passages: Iterable[Passage], evidence: Sequence[Span]) -> list[Passage]:
    """Return the passages that overlap none of the evidence."""
    return [passage for passage in passages if not touches(passage, evidence)]


def touches(passage: Passage, spans: Iterable[Span]) -> bool:
    """Whether the passage overlaps one of the spans."""
    return any(span.overlaps(passage) for span in spans)


def shows(passage: Passage, spans: Iterable[Span]) -> bool:
    """Whether a numbered sentence of the passage overlaps the evidence (a long passage is cut off)."""
    wanted = list(spans)
    return any(
        sentence.overlaps(span) for sentence in sentence_spans(passage, EpisodeLimits()) for span in wanted
    )


def mentions(text: str, answers: Iterable[str]) -> bool:
    """Whether one of the answers stands in the text: as whole words, or as characters where it has no blanks."""
    plain = f" {normalise_answer(text)} "
    keys = [normalise_answer(answer) for answer in answers]
    return any(len(key) > 1 and (key if has_cjk(key) else f" {key} ") in plain for key in keys)


def with_duplicates(questions: Sequence[Question]) -> list[Question]:
    """Return each question with the answers and the evidence of all questions in the same words.

    A question is withheld rightly only where none of these is shown.
    """
    same: dict[str, list[Question]] = {}
    for question in questions:
        same.setdefault(normalise_answer(question.question), []).append(question)
    return [
        replace(
            question,
            answers=tuple(dict.fromkeys(answer for one in duplicates for answer in one.answers)),
            evidence=tuple(dict.fromkeys(span for one in duplicates for span in one.evidence)),
        )
        for question in questions
        for duplicates in [same[normalise_answer(question.question)]]
    ]
