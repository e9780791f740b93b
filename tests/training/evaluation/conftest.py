"""A small labelled set, and a splitter by sentences with the real frozen encoder."""

from __future__ import annotations

import pytest

from prep.document import Document, Span
from prep.model.encoder import Encoder
from training.data.dataset import LabelledSet, Question
from training.evaluation.splitters import FrozenEncoderSystem

TEXTS = {
    "bees": "Bees make honey from nectar. Honey keeps for years because it holds little water.",
    "glass": "Glass is made by melting sand with soda and lime. It cools without becoming a crystal.",
    "kestrel": "The kestrel hovers while it looks for voles. It nests in holes of trees.",
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


@pytest.fixture
def labelled() -> LabelledSet:
    def span(name: str, words: str) -> Span:
        start = TEXTS[name].index(words)
        return Span(name, start, start + len(words))

    questions = [
        Question(
            "q1", "What do bees make honey from?", ("nectar",), (span("bees", "nectar"),), kind="factoid"
        ),
        Question("q2", "What is sand melted with?", ("soda and lime",), (span("glass", "soda and lime"),)),
        Question(
            "q3", "Which bird nests in holes?", ("holes of trees",), (span("kestrel", "holes of trees"),)
        ),
        Question("q4", "Who was the first king?", answerable=False, kind="near-miss"),
    ]
    documents = {name: Document(name, name.title(), text) for name, text in TEXTS.items()}
    return LabelledSet(documents, dict.fromkeys(TEXTS, "text"), questions, "small")


def sentences(text: str) -> list[tuple[int, int]]:
    half = text.index(". ") + 2
    return [(0, half), (half, len(text))]


@pytest.fixture(scope="module")
def by_sentence(encoder: Encoder) -> FrozenEncoderSystem:
    return FrozenEncoderSystem(sentences, encoder, name="sentences")
