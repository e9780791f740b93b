"""A data set of a workspace: questions with known evidence, in a folder named by the digest of what it is made from.

    datasets/<digest>/   manifest.json  corpus/ and held-out/: all documents but the gate set's, questions apart
                         generated-questions.html: a sample of the questions that the model wrote

A data set never changes, but for the feedback examples that people delete (`flows.candidates.deletion`).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from prep.document import Document
from prep.manifest import read_manifest, sync_folder, verify_folder, write_manifest
from prep.store.workspace import Workspace
from training.data.dataset import FROM_LOG, LabelledSet, held_out_documents, load_set

__all__ = [
    "CORPUS",
    "HELD_OUT",
    "QUESTIONS_PAGE",
    "REMOVED",
    "Dataset",
    "document_formats",
    "find_dataset",
    "gate_set_path",
    "new_dataset",
    "read_dataset",
    "read_training",
]

CORPUS = "corpus"
HELD_OUT = "held-out"
#: In a data set's folder: a sample of the generated questions, to check by hand.
QUESTIONS_PAGE = "generated-questions.html"
# What readers leave of a file: text formats as they are, all others in Markdown form.
_FORMATS = {".rst": "rst", ".rest": "rst", ".txt": "text", ".text": "text", "": "text"}
#: What the names begin with of folders that were replaced, and not yet removed.
REMOVED = ".removed-"
_PARTIAL = ".partial-"
_LOGGED_ID = "log:"  # before questions had a source, the report's id followed this


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training data made from one generation, in its folder. n_questions: to train on; n_held_out: to measure.

    n_feedback_examples: how many of those to train on came from the experience log; n_deleted: how many more did, whose
    rows people have deleted since. generated: what came of writing questions, see
    `training.questions.generated_questions.AskedQuestions.describe`; empty where none were to be written.
    """

    digest: str
    folder: Path
    held_out_every: int
    n_documents: int
    n_questions: int
    n_held_out: int
    reused: bool
    n_feedback_examples: int = 0
    n_deleted: int = 0
    generated: dict[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> Path:
        """A labelled set: all documents, with the questions made on those that are held out."""
        return self.folder / HELD_OUT

    def training(self) -> LabelledSet:
        """Read all documents with the questions to train on. Raises DataError."""
        return read_training(self.folder)

    def trained_documents(self) -> dict[str, Document]:
        """Return by id the documents that training reads or learns an answer of. Raises DataError."""
        training = self.training()
        read = training.documents.keys() - held_out_documents(training, self.held_out_every)
        answered = {span.document_id for question in training.questions for span in question.evidence}
        return {name: training.documents[name] for name in read | answered}

    def describe(self) -> dict[str, Any]:
        """Return its digest and counts, as a version's lineage has them."""
        return {
            "digest": self.digest,
            "documents": self.n_documents,
            "questions": self.n_questions,
            "held_out": self.n_held_out,
            "feedback_examples": self.n_feedback_examples,
        }


def find_dataset(workspace: Workspace, digest: str) -> Dataset:
    """Return a data set that was made before. Raises StoreError where it is not there, ChecksumMismatch."""
    return read_dataset(workspace.path / "datasets" / digest, reused=True)


def read_dataset(folder: Path, *, reused: bool, check_files: bool = True) -> Dataset:
    """Return the data set in a folder, its files checked. Raises StoreError, ChecksumMismatch.

    Older data sets say "lessons" for feedback examples, "struck" for deleted, and "asked" for generated.
    """
    manifest = verify_folder(folder) if check_files else read_manifest(folder)
    counts = manifest["counts"]
    return Dataset(
        digest=folder.name,
        folder=folder,
        held_out_every=manifest["held_out_every"],
        n_documents=counts["documents"],
        n_questions=counts[CORPUS],
        n_held_out=counts[HELD_OUT],
        reused=reused,
        n_feedback_examples=counts.get("feedback_examples", counts.get("lessons", 0)),
        n_deleted=manifest.get("deleted", manifest.get("struck", 0)),
        generated=manifest.get("generated", manifest.get("asked", {})),
    )


def read_training(folder: Path) -> LabelledSet:
    """Return all documents with the questions to train on from a data set's folder. Raises DataError.

    A feedback example has the source FROM_LOG and the id of its report. In older data sets "log:" before that id was
    the only mark.
    """
    training = load_set(folder / CORPUS)
    questions = [
        replace(question, id=question.id.removeprefix(_LOGGED_ID), source=FROM_LOG)
        if question.id.startswith(_LOGGED_ID)
        else question
        for question in training.questions
    ]
    return replace(training, questions=questions)


@contextmanager
def new_dataset(folder: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """Yield an empty folder to write a data set's files into; afterwards it takes its name, and an older one's place.

    about: what the manifest says besides the files.
    """
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary, removed = (folder.with_name(f"{prefix}{token}") for prefix in (_PARTIAL, REMOVED))
    temporary.mkdir(parents=True)
    try:
        yield temporary
        write_manifest(temporary, about)
        if folder.exists():
            os.rename(folder, removed)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    finally:
        for path in (temporary, removed):
            shutil.rmtree(path, ignore_errors=True)


def gate_set_path(workspace: Workspace) -> Path:
    """Return where the gate set of a workspace is; see `training.data.gate_set`. Older workspaces call it "frozen"."""
    older = workspace.path / "frozen"
    return older if older.is_dir() else workspace.path / "gate-set"


def document_formats(documents: Mapping[str, Document]) -> dict[str, str]:
    """Return the form of each document's text, by its file's name."""
    return {
        name: _FORMATS.get(PurePath(document.source or name).suffix.lower(), "markdown")
        for name, document in documents.items()
    }
