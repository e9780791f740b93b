"""Makes training data from a workspace's documents: synthetic questions, and feedback examples from the log.

Synthetic questions on every n-th document are held out. Feedback examples are all trained on, whatever document they
are about: the gate has documents and questions of its own (`training.data.gate_set`). A data set that was made before
from the same documents and settings is found by its digest (`flows.candidates.dataset_folder`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from flows.candidates.dataset_folder import (
    CORPUS,
    HELD_OUT,
    QUESTIONS_PAGE,
    Dataset,
    document_formats,
    gate_set_path,
    new_dataset,
    read_dataset,
)
from flows.candidates.question_sets import (
    generation_pool,
    local_generator,
    trainable_documents,
    writer_and_reader,
)
from flows.candidates.training_settings import TrainingSettings
from prep.document import Document
from prep.errors import DataError
from prep.manifest import MANIFEST_NAME, json_digest
from prep.store.workspace import Workspace
from training.data.dataset import FROM_LOG, LabelledSet, Question, held_out_documents, save_set
from training.data.gate_set import GateSet, read_gate_set

if TYPE_CHECKING:
    from prep.store.generation import Generation
    from training.questions.generated_questions import BatchGenerator, GeneratedQuestions
    from training.questions.teacher import TeacherConfig

__all__ = ["synthesize_data"]

_LOG = logging.getLogger(__name__)
#: Raise it when what is synthesised from the same documents changes.
FORMAT = 3


def synthesize_data(
    workspace: Workspace,
    settings: TrainingSettings,
    *,
    feedback_examples: Sequence[Question] = (),
    teacher: TeacherConfig | None = None,
    generator: Callable[[str, TeacherConfig | None], BatchGenerator] | None = None,
) -> Dataset:
    """Make questions with known evidence from the documents of the current generation, and add feedback examples.

    Documents and questions of the gate set (`training.data.gate_set`) are left out, of the feedback examples too.
    feedback_examples: questions from the experience log, their evidence in documents as they are now. teacher: an
    outside model that writes questions instead of our own. generator: returns the writer of questions for a
    generation's id; by default they are written in this process. Goes on where it was interrupted. Raises EmptyStore
    before anything was ingested, DataError where the documents give no question, TeacherError.
    """
    from flows.models.serving import serving_prep
    from training.questions.generated_questions import QuestionGenerationConfig, generate_questions

    gate_set = read_gate_set(gate_set_path(workspace))
    n_generated = min(settings.n_generated, settings.n_examples)
    with workspace.open_generation() as generation:
        made_of: dict[str, Any] = {
            "format": FORMAT,
            "documents": generation.content_hashes(),
            "n_examples": settings.n_examples,
            "held_out_every": settings.held_out_every,
            "seed": settings.seed,
            "gate_set": gate_set.digest if gate_set.layers else None,
            "feedback_examples": [asdict(example) for example in feedback_examples],
            "generated": {
                "n": n_generated,
                "prep": generation.prep_version,
                **writer_and_reader(teacher),
            }
            if n_generated
            else None,
        }
        folder = workspace.path / "datasets" / json_digest(made_of)[:12]

        def generate(documents: Mapping[str, Document]) -> GeneratedQuestions | None:
            if not n_generated:
                return None
            pool = generation_pool(generation, documents, serving_prep(workspace).encoder)
            batches = generator(generation.id, teacher) if generator else local_generator(pool, teacher)
            config = QuestionGenerationConfig(n=n_generated, seed=settings.seed)
            return generate_questions(pool, batches, config, notes=_notes(folder))

        with _dataset_lock(folder):
            if not (exists := (folder / MANIFEST_NAME).is_file()):
                _make(folder, generation, gate_set, settings, feedback_examples, generate)
    return read_dataset(folder, reused=exists)


@contextmanager
def _dataset_lock(folder: Path) -> Iterator[None]:
    """Let one process make this data set; another one waits, and finds it made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _LOG.warning("another process makes the same training data, %s: waiting until it is through", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _notes(folder: Path) -> Path:
    """Return the file that holds the questions written so far, until the data set is complete."""
    return folder.with_name(f".generated-{folder.name}.jsonl")


def _make(
    folder: Path,
    generation: Generation,
    gate_set: GateSet,
    settings: TrainingSettings,
    feedback_examples: Sequence[Question],
    generate: Callable[[Mapping[str, Document]], GeneratedQuestions | None],
) -> None:
    """Make the questions, divide them into those to train on and those held out, and write both."""
    from training.data.cloze_questions import synthesize_cloze
    from training.questions.questions_page import write_questions_page

    documents = trainable_documents(generation, gate_set)
    generated = generate(documents)
    synthetic = list(generated.questions) if generated else []
    synthetic += synthesize_cloze(
        documents.values(), n=settings.n_examples - len(synthetic), seed=settings.seed
    )
    examples = [
        example
        for example in feedback_examples
        if all(span.document_id in documents for span in example.evidence)
    ]
    questions = [
        question for question in (*synthetic, *examples) if not gate_set.holds_question(question.question)
    ]
    if not questions:
        raise DataError(f"{len(documents)} documents gave no question to train on: ingest more prose")
    whole = LabelledSet(dict(documents), document_formats(documents), questions, CORPUS)
    parts = _divide(whole, settings.held_out_every)
    if not parts[CORPUS]:
        raise DataError(f"all {len(questions)} questions are on held-out documents: ingest more documents")
    counts = {"documents": len(documents), **{name: len(part) for name, part in parts.items()}}
    counts["feedback_examples"] = sum(question.source == FROM_LOG for question in questions)
    about = {
        "kind": "dataset",
        "held_out_every": settings.held_out_every,
        "counts": counts,
        "generated": generated.describe() if generated else {},
    }
    with new_dataset(folder, about) as temporary:
        for name, part in parts.items():
            save_set(replace(whole, questions=part, name=name), temporary / name)
        if generated:
            write_questions_page(temporary / QUESTIONS_PAGE, generated, whole.documents)
    _notes(folder).unlink(missing_ok=True)


def _divide(whole: LabelledSet, held_out_every: int) -> dict[str, list[Question]]:
    """Return the questions to train on, and the synthetic ones on every n-th document."""
    chosen = held_out_documents(whole, held_out_every)
    parts: dict[str, list[Question]] = {CORPUS: [], HELD_OUT: []}
    for question in whole.questions:
        on_held_out = any(span.document_id in chosen for span in question.evidence)
        parts[HELD_OUT if on_held_out and question.source != FROM_LOG else CORPUS].append(question)
    return parts
