"""The page on the questions generated from a corpus: yield, speed, kinds, reasons for refusing, and samples.

One HTML file that fetches nothing, to check the questions by hand. The markup is
`training/templates/questions.html.jinja`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prep.document import Document
from retrieve.report.render_html import html_environment, render_template
from training.data.dataset import Question
from training.questions.generated_questions import GeneratedQuestions
from training.questions.round_trip import kind_of

__all__ = ["render_questions", "write_questions_page"]

_AROUND = 160  # characters shown on each side of an answer


@dataclass(frozen=True, slots=True)
class QuestionSample:
    """A question with its answer in the text around it. document: its title."""

    document: str
    kind: str
    question: str
    before: str
    answer: str
    after: str


def write_questions_page(
    path: Path,
    generated: GeneratedQuestions,
    documents: Mapping[str, Document],
    *,
    samples: int = 30,
    seed: int = 0,
) -> Path:
    """Write the page and return its path."""
    path.write_text(render_questions(generated, documents, samples=samples, seed=seed), encoding="utf-8")
    return path


def render_questions(
    generated: GeneratedQuestions, documents: Mapping[str, Document], *, samples: int = 30, seed: int = 0
) -> str:
    """Return the page. samples: of the kept questions, and as many of the refused ones; drawn by the seed."""
    rng = random.Random(seed)
    kept = rng.sample(generated.questions, min(samples, len(generated.questions)))
    refused = rng.sample(generated.left_out, min(samples, len(generated.left_out)))
    return render_template(
        html_environment(training="training"),
        "training/questions.html.jinja",
        title="Questions generated from the corpus",
        about=generated.describe(),
        kept=[_sample(question, documents) for question in kept],
        refused=[row for row in refused if row[0]],
    )


def _sample(question: Question, documents: Mapping[str, Document]) -> QuestionSample:
    (span,) = question.evidence
    document = documents[span.document_id]
    return QuestionSample(
        document=document.title or document.id,
        kind=kind_of(question.question),
        question=question.question,
        before=document.text[max(0, span.start - _AROUND) : span.start],
        answer=document.text[span.start : span.end],
        after=document.text[span.end : span.end + _AROUND],
    )
