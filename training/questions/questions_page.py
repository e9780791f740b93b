"""The page that shows what was asked on a corpus: yield and speed, kinds, why others were left out, and samples.

One HTML file that fetches nothing, to check the questions by hand.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from prep.document import Document
from retrieve.report.render_html import html_text
from training.data.dataset import Question
from training.questions.generated_questions import GeneratedQuestions
from training.questions.round_trip import kind_of
from training.traces.traces_page import plain_page, plain_table

__all__ = ["render_asked", "write_asked_page"]

_AROUND = 160  # characters shown on each side of an answer


def write_asked_page(
    path: Path,
    asked: GeneratedQuestions,
    documents: Mapping[str, Document],
    *,
    samples: int = 30,
    seed: int = 0,
) -> Path:
    """Write the page and return its path."""
    path.write_text(render_asked(asked, documents, samples=samples, seed=seed), encoding="utf-8")
    return path


def render_asked(
    asked: GeneratedQuestions, documents: Mapping[str, Document], *, samples: int = 30, seed: int = 0
) -> str:
    """Return the page. samples: of the kept, and as many of the others; drawn by the seed."""
    about = asked.describe()
    rng = random.Random(seed)
    kept = rng.sample(asked.questions, min(samples, len(asked.questions)))
    others = rng.sample(asked.left_out, min(samples, len(asked.left_out)))
    share = f"{100 * about['yield']:.0f}%" if about["yield"] is not None else "none"
    speed = (
        f"{about['kept_per_minute']:.1f} a minute" if about["kept_per_minute"] is not None else "not timed"
    )
    body = [
        "<h1>Questions asked on the corpus</h1>",
        f"<p>{about['kept']:,} kept of {about['written']:,} written ({share}), {speed}.</p>",
        plain_table(["kind", "kept"], [[kind, str(n)] for kind, n in about["kinds"].items()]),
        "<h2>Left out</h2>",
        plain_table(
            ["why", "questions"], [[why, str(n)] for why, n in about["refused"].items()], kind="words"
        ),
        "<h2>Kept, a sample</h2>",
        *(_kept(question, documents) for question in kept),
        "<h2>Left out, a sample</h2>",
        plain_table(["question", "answer", "why"], [list(row) for row in others if row[0]], kind="words"),
    ]
    return plain_page("Questions asked on the corpus", "\n".join(body))


def _kept(question: Question, documents: Mapping[str, Document]) -> str:
    (span,) = question.evidence
    document = documents[span.document_id]
    before = document.text[max(0, span.start - _AROUND) : span.start]
    after = document.text[span.end : span.end + _AROUND]
    answer = document.text[span.start : span.end]
    return (
        f"<p>{html_text(document.title or document.id)}, {html_text(kind_of(question.question))}</p>"
        f'<pre dir="auto">{html_text(question.question)}\n'
        f"… {html_text(before)}<b>{html_text(answer)}</b>{html_text(after)} …</pre>"
    )
