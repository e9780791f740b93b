"""Which labelled sets the reader learns from, and how much of each."""

from __future__ import annotations

import json
import logging
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prep.document import Span
from prep.model.encoder import Encoder
from retrieve.reader.inputs import InputLimits
from training.data.dataset import Question, held_out_documents, load_set
from training.reader.examples import ExampleFiles, ExampleOptions, LexicalCorpus, make_examples
from training.reader.text_windows import cut_windows

__all__ = ["FIRST_MIXTURE", "SECOND_MIXTURE", "Portion", "make_mixture", "near_spans"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """So many questions of a set. joined: a set of further questions on the same documents, and how many of them.

    n_documents: of so many documents, at most. kind: instead of the kinds that the questions have. least, most:
    characters of a passage (`cut_windows`).
    """

    dataset: str
    n_questions: int
    options: ExampleOptions = field(default_factory=ExampleOptions)
    joined: str = ""
    n_joined: int = 0
    kind: str = ""
    n_documents: int = 1_000_000
    least: int = 250
    most: int = 800


_WITHIN = ExampleOptions(same_document=True)

FIRST_MIXTURE = (
    Portion(dataset="squad_train", n_questions=5500, n_documents=180, joined="squad_nearmiss", n_joined=1600),
    Portion(dataset="nq", n_questions=1900),
    Portion(dataset="doc2dial", n_questions=1900, kind="conversation", most=700),
    Portion(dataset="mtrag", n_questions=916, most=900),
    Portion(dataset="boolq", n_questions=1500),
    Portion(dataset="multispan", n_questions=653),
    Portion(dataset="clapnq_dev", n_questions=599),
    Portion(dataset="bioasq", n_questions=700),
    Portion(dataset="orsharc", n_questions=600),
    Portion(dataset="integreat_en", n_questions=240),
    Portion(dataset="selqa", n_questions=1100),
    Portion(dataset="qasper_uda", n_questions=453, options=_WITHIN),
    Portion(dataset="policyqa_dev", n_questions=400, options=_WITHIN),
    Portion(dataset="privacy_qa", n_questions=131),
    Portion(dataset="tatqa", n_questions=350, options=_WITHIN),
    Portion(dataset="fairytale", n_questions=350, options=_WITHIN),
    Portion(dataset="quoref", n_questions=250),
    Portion(dataset="afriqa_en", n_questions=300),
    Portion(dataset="pubmedqa", n_questions=200),
    Portion(dataset="new_wiki", n_questions=700),
)

# Beside questions as people ask them (`training.data.user_questions`): more near misses, more yes and no.
SECOND_MIXTURE = (
    Portion(dataset="squad_train", n_questions=1000, n_documents=60, joined="squad_nearmiss", n_joined=1500),
    Portion(dataset="boolq", n_questions=900),
    Portion(dataset="nq", n_questions=300),
    Portion(dataset="doc2dial", n_questions=300, kind="conversation", most=700),
    Portion(dataset="mtrag", n_questions=250, most=900),
    Portion(dataset="multispan", n_questions=250),
    Portion(dataset="clapnq_dev", n_questions=250),
    Portion(dataset="orsharc", n_questions=150),
    Portion(dataset="selqa", n_questions=150),
    Portion(dataset="bioasq", n_questions=150),
    Portion(dataset="qasper_uda", n_questions=100, options=_WITHIN),
    Portion(dataset="tatqa", n_questions=100, options=_WITHIN),
)


def make_mixture(
    data: Path,
    portions: tuple[Portion, ...],
    encoder: Encoder,
    *,
    limits: InputLimits,
    seed: int = 0,
) -> ExampleFiles:
    """Return the examples of all portions, shuffled; what every sixth document holds is left out."""
    files = ExampleFiles()
    for portion in portions:
        rng = random.Random(f"{seed} {portion.dataset}")
        labelled = load_set(data / portion.dataset)
        held_out = held_out_documents(labelled)
        if (rest := [name for name in labelled.documents if name not in held_out])[portion.n_documents :]:
            held_out |= set(rest) - set(rng.sample(rest, portion.n_documents))
        questions = _sample(labelled.questions, held_out, portion.n_questions, rng)
        if portion.kind:
            questions = [replace(question, kind=portion.kind) for question in questions]
        near: dict[str, list[Span]] = {}
        if portion.joined:
            path = data / portion.joined / "questions.jsonl"
            near, rows = near_spans(path), _questions(path)
            rows = [
                row for row in rows if not any(span.document_id in held_out for span in near.get(row.id, ()))
            ]
            questions += rng.sample(rows, min(portion.n_joined, len(rows)))
        passages = [
            passage
            for document in labelled.documents.values()
            if document.id not in held_out
            for passage in cut_windows(document, rng, least=portion.least, most=portion.most)
        ]
        n = make_examples(
            questions,
            LexicalCorpus(passages),
            encoder,
            files,
            dataset=portion.dataset,
            options=portion.options,
            limits=limits,
            near=near,
            rng=rng,
        )
        _LOG.info("%s: %d examples of %d questions", portion.dataset, n, len(questions))
    random.Random(seed).shuffle(files.examples)
    return files


def near_spans(path: Path) -> dict[str, list[Span]]:
    """Return by question id the spans that almost answer the unanswerable questions of a file."""
    found: dict[str, list[Span]] = {}
    for row in _rows(path):
        near = row.get("near") or []
        spans = near if isinstance(near, list) else [near]
        found[row["id"]] = [Span(span["document_id"], span["start"], span["end"]) for span in spans]
    return found


def _questions(path: Path) -> list[Question]:
    """Return the unanswerable questions of a set that has no documents of its own."""
    return [Question(row["id"], row["question"], answerable=False, kind=row["kind"]) for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def _sample(
    questions: list[Question], held_out: frozenset[str], n: int, rng: random.Random
) -> list[Question]:
    kept = [
        question
        for question in questions
        if not any(span.document_id in held_out for span in question.evidence)
    ]
    return rng.sample(kept, min(n, len(kept)))
