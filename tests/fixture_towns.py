"""Towns and what stands there since when, with questions: a labelled set made up for traces."""

from __future__ import annotations

import random
import re

from prep.document import Document, Span
from retrieve.episode.episode import Episode, EpisodeLimits, Passage
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.traces.traces import Trace

NAMES = [
    f"{first}{last}"
    for first in ("Bar", "Tol", "Mer", "Sud", "Ken", "Ral")
    for last in ("lin", "gate", "mot")
]
NUMBER = re.compile("⟦[0-9]+⟧")
THINGS = ["bridge", "library", "garden", "station"]


def make_set() -> tuple[list[Document], list[Question]]:
    """Towns and what stands there since when: every year is said once, in one sentence."""
    rng = random.Random(4)
    documents, questions = [], []
    years = iter(rng.sample(range(1100, 1999), len(NAMES) * len(THINGS)))
    for name in NAMES:
        text = ""
        for thing in THINGS:
            year = str(next(years))
            text += f"The {thing} of {name} is known to all <report>. "
            start = len(text) + len(f"People say the {thing} of {name} was built in ")
            text += f"People say the {thing} of {name} was built in {year}. Nobody has a doubt about the {thing}.\n"
            span = Span(name, start, start + 4)
            questions.append(
                Question(f"{name}-{thing}", f"When was the {thing} of {name} built?", (year,), (span,))
            )
        documents.append(Document(name, name, text))
    for number, name in enumerate(NAMES[:6]):
        questions.append(Question(f"no-{number}", f"Who painted {name}?", answerable=False))
    for number, question in enumerate(questions[: len(NAMES) * len(THINGS) : 3]):
        asked = f"Since when, {number}?"  # so vague that no words find the one meant
        questions.append(Question(f"vague-{question.id}", asked, question.answers, question.evidence))
    return documents, questions


DOCUMENTS, QUESTIONS = make_set()
TEXTS = {document.id: document.text for document in DOCUMENTS}
BY_ID = {question.id: question for question in QUESTIONS}


def replayed(trace: Trace, pool: PassagePool) -> Episode:
    """Run the trace's own actions over the passages that its results show, and expect the same text."""
    question = BY_ID[trace.question_id]
    episode = Episode(question.question, EpisodeLimits(passages_per_search=100))
    for text, trained in trace.segments:
        if text.startswith("<results>"):
            plain = NUMBER.sub("", text)
            shown = [passage for passage in pool.passages if block(passage) in plain]
            episode.give(sorted(shown, key=lambda passage: plain.index(block(passage))))
        elif trained:
            episode.act(text)
    assert episode.prompt == trace.text
    return episode


def block(passage: Passage) -> str:
    """How a passage is shown, without its numbers."""
    episode = Episode("")
    episode.give([passage])
    return NUMBER.sub("", episode.segments[0][0]).removeprefix("<results>").removesuffix("</results>\n")
