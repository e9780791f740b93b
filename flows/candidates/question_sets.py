"""What questions on a workspace's documents are made from: documents, passages, and the model that writes them.

The shipped model writes and checks questions, or a teacher where one is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prep.document import Document
from prep.errors import DataError
from prep.manifest import read_manifest
from prep.store.generation import Generation
from training.data.dataset import Question
from training.data.gate_set import GateSet

if TYPE_CHECKING:
    from training.data.passage_pool import PassagePool
    from training.questions.generated_questions import BatchGenerator
    from training.questions.teacher import TeacherConfig

__all__ = [
    "generation_pool",
    "limit_cloze",
    "local_generator",
    "trainable_documents",
    "writer_and_reader",
]

# Cloze questions: one to so many others, or enough to make up few others (LOG.md, 2026-11-27).
_CLOZE_EVERY, _FEW = 4, 60


def writer_and_reader(teacher: TeacherConfig | None) -> dict[str, Any]:
    """Return what questions depend on beside the documents: who writes them and who reads them back.

    Both come with the package, so that nothing that was learned from use decides what is trained on.
    """
    from retrieve.model import shipped_question_generator, shipped_retrieve

    writer = (
        read_manifest(shipped_question_generator())["version"]
        if teacher is None
        else f"{teacher.url} {teacher.model}"
    )
    return {"writer": writer, "reader": read_manifest(shipped_retrieve())["version"]}


def local_generator(pool: PassagePool, teacher: TeacherConfig | None = None) -> BatchGenerator:
    """Return what writes and judges questions on the pool's passages in this process. Raises BaseModelError."""
    from retrieve.model import RetrieveModel
    from training.questions.generated_questions import LocalGenerator
    from training.questions.question_generator import ModelQuestionGenerator
    from training.questions.round_trip import AnsweringModel, RoundTrip
    from training.questions.teacher import Teacher

    writer = ModelQuestionGenerator.load() if teacher is None else Teacher(teacher)
    return LocalGenerator(writer, RoundTrip(pool, AnsweringModel(RetrieveModel.load())))


def trainable_documents(generation: Generation, gate_set: GateSet) -> dict[str, Document]:
    """Return a generation's documents that may be trained on, by id."""
    return {
        document.id: document for document in generation.documents() if not gate_set.holds_document(document)
    }


def generation_pool(generation: Generation, documents: Mapping[str, Document], encoder: Any) -> PassagePool:
    """Return the indexed chunks of those documents that are still as the generation has them. Raises DataError."""
    import numpy as np

    from retrieve.episode.episode import Passage
    from training.data.passage_pool import PassagePool

    chunks = [
        chunk
        for chunk in generation.chunks(range(generation.counts["indexed"]))
        if (document := documents.get(chunk.document_id)) is not None
        and document.text[chunk.start : chunk.end] == chunk.text
    ]
    if not chunks:
        raise DataError("none of the documents has a chunk in the current generation: ingest them again")
    titles = {document_id: document.title for document_id, document in documents.items()}
    return PassagePool(
        [Passage.of(chunk, titles.get(chunk.document_id, ""), 0.0) for chunk in chunks],
        np.stack([chunk.vector for chunk in chunks]),
        encoder,
    )


def limit_cloze(questions: Sequence[Question]) -> list[Question]:
    """Return the questions without most of the cloze questions, if there are others.

    Their answers are a word or two: a model that is trained on many of them answers people's questions like that.
    """
    others = [question for question in questions if question.kind != "cloze"]
    cloze = [question for question in questions if question.kind == "cloze"]
    n_answered = sum(question.answerable for question in others)
    if not n_answered:
        return [*others, *cloze]
    return [*others, *cloze[: max(n_answered // _CLOZE_EVERY, _FEW - n_answered)]]
