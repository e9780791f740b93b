"""A labelled set of a document and a question for each of some words."""

from __future__ import annotations

from collections.abc import Sequence

from prep.document import Document, Span
from training.data.dataset import LabelledSet, Question


def words_set(words: Sequence[str]) -> LabelledSet:
    """Three sentences a document, the first of which is the evidence."""
    documents, questions = {}, []
    for word in words:
        first = f"{word} is old."
        documents[word] = Document(word, word, f"{first} It is {word}. Nobody knows {word}.\n")
        questions.append(Question(word, f"what is {word}", (word,), (Span(word, 0, len(first)),)))
    return LabelledSet(documents=documents, formats={}, questions=questions, name="small")
