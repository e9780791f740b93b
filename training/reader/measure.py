"""Measure a reader on a labelled set: what search finds, how the reader ranks it, quotes, refuses and answers.

Two steps, so that several readers are measured on the same candidates: `find_candidates` prepares a set's documents
and searches them for every question; `read_candidates` reads what was found. Figures follow from the rows
(`reader_figures`), with a report made of the reader alone: its best sentences as quotes, its best span as the answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prep.document import Span
from prep.store.bm25 import CANDIDATES, header_of
from prep.store.ranking import Headed, Ranker
from retrieve.episode.episode import Passage
from retrieve.reader.reader import Reader
from retrieve.reader.selection import Selection, rank_passages, select_sentences
from training.data.dataset import LabelledSet, Question
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import exact_match, f1

__all__ = [
    "Candidates",
    "ReadRow",
    "find_candidates",
    "load_candidates",
    "read_candidates",
    "reader_figures",
    "save_candidates",
]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A question and the passages that search found for it, best first, with their scores."""

    question: Question
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A question with what the reader made of its candidates; spans and sentences in the documents' code points.

    passages: where each stands, its search score, its relevance. sentences: passage, span, logit, best first; spans:
    text and probability.
    """

    question: Question
    passages: tuple[tuple[Span, float, float], ...]
    sentences: tuple[tuple[int, Span, float], ...]
    spans: tuple[tuple[str, Span, float], ...]
    types: Mapping[str, float]
    signals: tuple[float, ...]
    seconds: float


def find_candidates(
    labelled: LabelledSet, pool: PassagePool, questions: Sequence[Question], *, k: int = 20
) -> list[Candidates]:
    """Return each question's k best passages by the store's ranking; what is withheld from it is not among them."""
    rows = np.arange(len(pool.passages))
    vectors = pool.encoder.encode_queries([question.question for question in questions])

    def read(wanted: Sequence[int]) -> list[Headed]:
        chosen = (pool.passages[row] for row in wanted)
        return [(header_of(one.title, one.headings), one.text) for one in chosen]

    ranker = Ranker(pool.lexical, read)
    found = []
    for question, vector in zip(questions, vectors, strict=True):
        words = pool.lexical.search(question.question, CANDIDATES)
        scores = ranker.scores(question.question, rows, pool.vectors @ vector, words)
        passages: list[Passage] = []
        for row in np.argsort(-scores, kind="stable"):
            passage = pool.passages[row]
            if question.withheld and any(span.overlaps(passage) for span in question.evidence):
                continue
            passages.append(replace(passage, score=float(scores[row])))
            if len(passages) == k:
                break
        found.append(Candidates(question, tuple(passages)))
    return found


def read_candidates(reader: Reader, candidates: Iterable[Candidates], *, k: int = 20) -> list[ReadRow]:
    """Read the first k passages of each question."""
    rows = []
    for one in candidates:
        passages = one.passages[:k]
        started = time.perf_counter()
        reading = reader.read(one.question.question, passages)
        seconds = time.perf_counter() - started

        def place(number: int, start: int, end: int, of: Sequence[Passage] = passages) -> Span:
            return Span(of[number].document_id, of[number].start + start, of[number].start + end)

        rows.append(
            ReadRow(
                one.question,
                tuple(
                    (Span(passage.document_id, passage.start, passage.end), passage.score, float(relevance))
                    for passage, relevance in zip(passages, reading.relevance, strict=True)
                ),
                tuple(
                    (best.passage, place(best.passage, best.start, best.end), best.logit)
                    for best in reading.sentences[:40]
                ),
                tuple(
                    (
                        passages[span.passage].text[span.start : span.end],
                        place(span.passage, span.start, span.end),
                        span.probability,
                    )
                    for span in reading.spans[:3]
                ),
                {str(name): share for name, share in reading.types.items()},
                reading.signals,
                seconds,
            )
        )
    return rows


def reader_figures(
    rows: Sequence[ReadRow], selection: Selection, *, threshold: float, confidences: Sequence[float]
) -> dict[str, float]:
    """Return what a report made of the reader alone would score; confidences: calibrated, one a row.

    evidence_3_search, evidence_3: a passage that holds evidence is among the first 3, of search and after ranking.
    supported: a quote overlaps evidence; wrongly_refused: both over the questions that expect an answer. refused: of
    those that do not. f1, exact_match: the best span, 0 where refused. sentence_1, sentence_3: supported by the best
    sentence and by the best three, whatever the confidence. type_right: of yes/no questions, the word is right.
    """
    expecting = [
        (row, sure) for row, sure in zip(rows, confidences, strict=True) if row.question.expects_answer
    ]
    others = [sure for row, sure in zip(rows, confidences, strict=True) if not row.question.expects_answer]
    sums: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        sums.setdefault(name, []).append(float(value))

    for row, sure in expecting:
        holds = [_overlaps(span, row.question.evidence) for span, _, _ in row.passages]
        scores, sentences = [score for _, score, _ in row.passages], [(p, x) for p, _, x in row.sentences]
        order = rank_passages(scores, [relevance for _, _, relevance in row.passages], sentences, selection)
        note("found", any(holds))
        note("evidence_3_search", any(holds[:3]))
        note("evidence_3", any(holds[number] for number in order[:3]))
        for name, quotes in (("sentence_1", 1), ("sentence_3", 3)):
            chosen = select_sentences(scores, sentences, replace(selection, quotes=quotes, margin=100.0))
            note(name, any(_overlaps(row.sentences[place][1], row.question.evidence) for place in chosen))
        quoted = select_sentences(scores, sentences, selection)
        right = [_overlaps(row.sentences[place][1], row.question.evidence) for place in quoted]
        answered = sure >= threshold
        note("supported", answered and any(right))
        note("wrongly_refused", not answered)
        note("citation_precision", float(np.mean(right)) if right else 0.0)
        prediction = row.spans[0][0] if row.spans else ""
        note("f1", f1(prediction, row.question.answers) if answered else 0.0)
        note("exact_match", exact_match(prediction, row.question.answers) if answered else 0.0)
        words = {answer.strip().lower() for answer in row.question.answers} & {"yes", "no"}
        if row.question.kind == "yesno" and len(words) == 1:
            note("yes_no_right", max(("yes", "no"), key=row.types.__getitem__) in words)
    figures = {name: float(np.mean(values)) for name, values in sums.items()}
    seconds = [row.seconds for row in rows]
    return {
        "n": len(rows),
        "n_unanswerable": len(others),
        **figures,
        "refused": float(np.mean([sure < threshold for sure in others])) if others else 0.0,
        "seconds_p50": float(np.median(seconds)) if seconds else 0.0,
        "seconds_p95": float(np.quantile(seconds, 0.95)) if seconds else 0.0,
    }


def save_candidates(candidates: Sequence[Candidates], path: Path) -> None:
    """Write candidates as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in candidates)
    path.write_text("".join(lines), encoding="utf-8")


def load_candidates(path: Path) -> list[Candidates]:
    """Read what `save_candidates` wrote."""
    return [_candidates(json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _candidates(row: Mapping[str, Any]) -> Candidates:
    asked = row["question"]
    evidence = tuple(Span(**span) for span in asked["evidence"])
    tuples = {name: tuple(asked[name]) for name in ("answers", "statements")}
    question = Question(**{**asked, **tuples, "evidence": evidence})
    passages = tuple(Passage(**{**one, "headings": tuple(one["headings"])}) for one in row["passages"])
    return Candidates(question, passages)


def _overlaps(span: Span, evidence: Iterable[Span]) -> bool:
    return any(one.overlaps(span) for one in evidence)
