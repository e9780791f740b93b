"""Training data made from a workspace's documents: questions with known evidence, in a folder found by its digest.

    datasets/<digest>/   manifest.json  corpus/ and held-out/: all documents but frozen ones, questions apart
                         asked.html: a sample of the questions that were written

Held out are questions that were made, on every n-th document. What people said is all trained on, whatever document
it is about: the gate has documents and questions of its own (`training.data.gate_set`).

What is finished is found again by what went into it, and not made twice. What is trained on it:
`flows.candidates.candidate_folder`.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from filelock import FileLock, Timeout

from prep.checks import check_counts
from prep.document import Document
from prep.errors import ConfigError, DataError
from prep.manifest import MANIFEST_NAME, json_digest, sync_folder, verify_folder, write_manifest
from prep.store.workspace import Workspace
from training.data.dataset import LabelledSet, Question, held_out_documents, load_set, save_set
from training.data.gate_set import GateSet, read_gate_set

if TYPE_CHECKING:
    from prep.store.generation import Generation
    from training.questions.generated_questions import BatchGenerator, GeneratedQuestions
    from training.questions.teacher import TeacherConfig

__all__ = [
    "ASKED_PAGE",
    "CORPUS",
    "HELD_OUT",
    "RETRIEVE_STARTS",
    "Dataset",
    "PassSettings",
    "RetrieveStart",
    "document_formats",
    "find_dataset",
    "frozen_path",
    "synthesize_data",
]

_LOG = logging.getLogger(__name__)
#: Raise it when what is synthesised from the same documents changes.
FORMAT = 2
CORPUS = "corpus"
HELD_OUT = "held-out"
#: In a data set's folder: what was asked on the documents, to check by hand.
ASKED_PAGE = "asked.html"
RetrieveStart: TypeAlias = Literal["serving", "shipped"]
RETRIEVE_STARTS: tuple[RetrieveStart, ...] = get_args(RetrieveStart)
# What readers leave of a file: text formats as they are, all others in Markdown form.
_FORMATS = {".rst": "rst", ".rest": "rst", ".txt": "text", ".text": "text", "": "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How much is synthesised and how long is trained.

    n_examples: questions made at most, n_asked of them at most written by the model that asks, the others with a gap.
    held_out_every: the questions made on one in so many documents are kept for measuring.
    minutes: the most that training the retrieve model or the chunk vectors may take. prep_pages: damaged pages
    a document; prep_epochs: how often the prep model's heads see them. vector_epochs: how often the chunk vectors see
    their questions, time allowing. cut_steps: of rewarding cuts.
    retrieve_start: what a retrieve candidate is trained from: the version that serves, or the one that comes with the
    package, so that all that the log holds is learned anew, nothing twice over, and the version grows no larger.
    share: how much of the way from there to the trained version the candidate goes; a third of the way it has forgotten
    less and learned less by heart than at its end, or half way (LOG.md, 2026-11-30).
    """

    n_examples: int = 960
    n_asked: int = 240
    held_out_every: int = 6
    minutes: float = 20.0
    prep_epochs: int = 8
    prep_pages: int = 2
    vector_epochs: int = 10
    cut_steps: int = 100
    retrieve_start: RetrieveStart = "serving"
    share: float = 0.35
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "n_examples", "prep_epochs", "prep_pages", "vector_epochs", "cut_steps")
        if self.n_asked < 0:
            raise ConfigError(f"n_asked={self.n_asked!r} must not be negative")
        if self.held_out_every < 2:
            raise ConfigError(f"held_out_every={self.held_out_every!r} must be at least 2: nothing is left")
        if self.minutes <= 0:
            raise ConfigError(f"minutes={self.minutes!r} must be above 0")
        if self.retrieve_start not in RETRIEVE_STARTS:
            raise ConfigError(
                f"retrieve_start={self.retrieve_start!r} must be one of {', '.join(RETRIEVE_STARTS)}"
            )
        if not 0 < self.share <= 1:
            raise ConfigError(f"share={self.share!r} must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training data made from one generation, in its folder. n_questions: to train on; n_held_out: to measure.

    n_lessons: how many of those to train on came from the experience log; n_struck: how many more did whose rows
    people have deleted since. asked: what came of writing questions, see
    `training.questions.generated_questions.GeneratedQuestions.describe`; empty where none were to be written.
    """

    digest: str
    folder: Path
    held_out_every: int
    n_documents: int
    n_questions: int
    n_held_out: int
    reused: bool
    n_lessons: int = 0
    n_struck: int = 0
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> Path:
        """A labelled set: all documents, with the questions made on those that are held out."""
        return self.folder / HELD_OUT

    def training(self) -> LabelledSet:
        """Read all documents with the questions to train on. Raises DataError."""
        return load_set(self.folder / CORPUS)

    def trained_documents(self) -> dict[str, Document]:
        """Return by id the documents that training reads or learns an answer of. Raises DataError."""
        training = self.training()
        read = training.documents.keys() - held_out_documents(training, self.held_out_every)
        asked_about = {span.document_id for question in training.questions for span in question.evidence}
        return {name: training.documents[name] for name in read | asked_about}

    def describe(self) -> dict[str, Any]:
        """Return its digest and counts, as a version's lineage has them."""
        counts = ("n_documents", "n_questions", "n_held_out", "n_lessons")
        return {"digest": self.digest, **{name.removeprefix("n_"): getattr(self, name) for name in counts}}


def synthesize_data(
    workspace: Workspace,
    settings: PassSettings,
    *,
    lessons: Sequence[Question] = (),
    teacher: TeacherConfig | None = None,
    spread: Callable[[str, TeacherConfig | None], BatchGenerator] | None = None,
) -> Dataset:
    """Make questions with known evidence from the documents of the current generation; lessons join them.

    Frozen documents and questions (`training.data.gate_set`) are left out, of the lessons too. lessons: questions
    from the experience log, their evidence in documents as they are now. teacher: an outside model that writes the
    questions instead of our own. spread: gives what has them written elsewhere, for a generation's id. Goes on where
    it was interrupted. Raises EmptyStore before anything was ingested, DataError where the documents give no
    question, TeacherError.
    """
    from flows.candidates.question_sets import asked_by, draft_here, generation_pool
    from flows.models.serving import serving_prep
    from training.questions.generated_questions import QuestionGenerationConfig, generate_questions

    frozen = read_gate_set(frozen_path(workspace))
    n_asked = min(settings.n_asked, settings.n_examples)
    with workspace.open_generation() as generation:
        made_of: dict[str, Any] = {
            "format": FORMAT,
            "documents": generation.content_hashes(),
            "n_examples": settings.n_examples,
            "held_out_every": settings.held_out_every,
            "seed": settings.seed,
        }
        if frozen.layers:
            made_of["frozen"] = frozen.digest
        if lessons:
            made_of["lessons"] = [asdict(lesson) for lesson in lessons]
        if n_asked:
            made_of["asked"] = {"n": n_asked, "prep": generation.prep_version, **asked_by(teacher)}
        folder = workspace.path / "datasets" / json_digest(made_of)[:12]

        def ask(documents: Mapping[str, Document]) -> GeneratedQuestions:
            pool = generation_pool(generation, documents, serving_prep(workspace).encoder)
            drafting = draft_here(pool, teacher) if spread is None else spread(generation.id, teacher)
            return generate_questions(
                pool, drafting, QuestionGenerationConfig(n=n_asked, seed=settings.seed), notes=_notes(folder)
            )

        with _only_maker(folder):
            if not (is_there := (folder / MANIFEST_NAME).is_file()):
                _make(folder, generation, frozen, settings, lessons, ask if n_asked else None)
    return _dataset(folder, reused=is_there)


@contextmanager
def _only_maker(folder: Path) -> Iterator[None]:
    """Be the only process that makes this data set; another one waits, and finds it made."""
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
    """Return where what was asked so far is kept until the data set is there."""
    return folder.with_name(f".asked-{folder.name}.jsonl")


def _make(
    folder: Path,
    generation: Generation,
    frozen: GateSet,
    settings: PassSettings,
    lessons: Sequence[Question],
    ask: Callable[[Mapping[str, Document]], GeneratedQuestions] | None,
) -> None:
    """Make the questions, part them into those to train on and those held out, and write both."""
    from flows.candidates.question_sets import unfrozen_documents
    from training.data.cloze_questions import synthesize_cloze

    documents = unfrozen_documents(generation, frozen)
    asked = None if ask is None else ask(documents)
    made = list(asked.questions) if asked else []
    made += synthesize_cloze(documents.values(), n=settings.n_examples - len(made), seed=settings.seed)
    kept = [lesson for lesson in lessons if all(span.document_id in documents for span in lesson.evidence)]
    questions = [one for one in (*made, *kept) if not frozen.holds_question(one.question)]
    if not questions:
        raise DataError(f"{len(documents)} documents gave no question to train on: ingest more prose")
    whole = LabelledSet(dict(documents), document_formats(documents), questions, CORPUS)
    chosen = held_out_documents(whole, settings.held_out_every)
    said = {lesson.id for lesson in kept}
    parts: dict[str, list[Question]] = {CORPUS: [], HELD_OUT: []}
    for question in questions:
        held_out = question.id not in said and any(span.document_id in chosen for span in question.evidence)
        parts[HELD_OUT if held_out else CORPUS].append(question)
    if not parts[CORPUS]:
        raise DataError(f"all {len(questions)} questions are on held-out documents: ingest more documents")
    counts = {"documents": len(documents), **{name: len(part) for name, part in parts.items()}}
    counts["lessons"] = len(said & {question.id for question in questions})
    about = {"kind": "dataset", "held_out_every": settings.held_out_every, "counts": counts}
    about["asked"] = asked.describe() if asked else {}
    _write_dataset(folder, whole, parts, about, asked)
    _notes(folder).unlink(missing_ok=True)


def _write_dataset(
    folder: Path,
    whole: LabelledSet,
    parts: Mapping[str, list[Question]],
    about: Mapping[str, Any],
    asked: GeneratedQuestions | None,
) -> None:
    """Write a data set under another name, its manifest last, and give it its own."""
    from training.questions.questions_page import write_questions_page

    temporary = folder.with_name(f".partial-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for name, part in parts.items():
            save_set(replace(whole, questions=part, name=name), temporary / name)
        if asked:
            write_questions_page(temporary / ASKED_PAGE, asked, whole.documents)
        write_manifest(temporary, about)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_dataset(workspace: Workspace, digest: str) -> Dataset:
    """Return a data set that was made before. Raises StoreError where it is not there, ChecksumMismatch."""
    return _dataset(workspace.path / "datasets" / digest, reused=True)


def frozen_path(workspace: Workspace) -> Path:
    """Return where the frozen questions of a workspace are; see `training.data.gate_set`."""
    return workspace.path / "frozen"


def document_formats(documents: Mapping[str, Document]) -> dict[str, str]:
    """Return what form each document's text is in, by its file's name."""
    return {
        name: _FORMATS.get(PurePath(document.source or name).suffix.lower(), "markdown")
        for name, document in documents.items()
    }


def _dataset(folder: Path, *, reused: bool) -> Dataset:
    manifest = verify_folder(folder)
    counts = manifest["counts"]
    return Dataset(
        digest=folder.name,
        folder=folder,
        held_out_every=manifest["held_out_every"],
        n_documents=counts["documents"],
        n_questions=counts[CORPUS],
        n_held_out=counts[HELD_OUT],
        reused=reused,
        n_lessons=counts.get("lessons", 0),
        n_struck=manifest.get("struck", 0),
        asked=manifest.get("asked", {}),
    )
