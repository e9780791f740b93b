"""A training pass over a workspace: data made from its documents, candidate versions trained on that data.

Plain functions: `diptych train`, the training flows and the demo call them. A candidate is kept in the
workspace beside the version that serves; promoting it is decided elsewhere. What is finished is found again
by the digest of what went into it, and not made twice; what was interrupted goes on from its checkpoint.

    datasets/<digest>/     manifest.json  corpus/ and held-out/: all documents but frozen ones, questions apart
                           asked.html: a sample of the questions that were written
    runs/<kind>-<digest>/  candidate.json (when finished) and what the training writes
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from flows.lineage import Lineage, note_lineage
from prep.checks import check_counts
from prep.document import Document
from prep.errors import ConfigError, DataError
from prep.generation import Generation
from prep.manifest import (
    MANIFEST_NAME,
    json_digest,
    read_json,
    sync_folder,
    verify_folder,
    write_json,
    write_manifest,
)
from prep.workspace import ModelKind, Workspace
from training.dataset import LabelledSet, Question, load_set, save_set
from training.frozen import read_frozen

if TYPE_CHECKING:
    from training.asked import AskedQuestions, Drafting
    from training.teacher import TeacherConfig
    from training.traces import Trace, TraceConfig

__all__ = [
    "Candidate",
    "Dataset",
    "PassSettings",
    "candidate_card",
    "curves_of",
    "document_formats",
    "find_dataset",
    "finished_candidate",
    "fresh_folder",
    "frozen_path",
    "keep_candidate",
    "synthesize_data",
    "train_retrieve_candidate",
]

#: Raise it when what is synthesised from the same documents changes.
FORMAT = 1
CORPUS = "corpus"
HELD_OUT = "held-out"
#: In a data set's folder: what was asked on the documents, to check by hand.
ASKED_PAGE = "asked.html"
# Of questions with a gap the retrieve model sees one to so many others, or what makes up few (LOG.md, 2026-11-27).
_GAP_EVERY, _FEW = 4, 60
# What readers leave of a file: text formats as they are, all others in Markdown form.
_FORMATS = {".rst": "rst", ".rest": "rst", ".txt": "text", ".text": "text", "": "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How much is synthesised and how long is trained.

    n_examples: questions made at most, n_asked of them at most written by the model that asks, the others with a gap.
    held_out_every: every so many documents one is kept for measuring.
    minutes: the most that training the retrieve model or the chunk vectors may take. prep_pages: damaged pages
    a document; prep_epochs: how often the prep model's heads see them. cut_steps: of rewarding cuts.
    share: how much of the way from the serving retrieve version to the trained one the candidate goes; half way it has
    forgotten less and learned less by heart (LOG.md).
    """

    n_examples: int = 960
    n_asked: int = 240
    held_out_every: int = 6
    minutes: float = 20.0
    prep_epochs: int = 8
    prep_pages: int = 2
    cut_steps: int = 100
    share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "n_examples", "prep_epochs", "prep_pages", "cut_steps")
        if self.n_asked < 0:
            raise ConfigError(f"n_asked={self.n_asked!r} must not be negative")
        if self.held_out_every < 2:
            raise ConfigError(f"held_out_every={self.held_out_every!r} must be at least 2: nothing is left")
        if self.minutes <= 0:
            raise ConfigError(f"minutes={self.minutes!r} must be above 0")
        if not 0 < self.share <= 1:
            raise ConfigError(f"share={self.share!r} must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training data made from one generation, in its folder. n_questions: to train on; n_held_out: to measure.

    n_lessons: how many of both came from the experience log. asked: what came of writing questions, see
    `training.asked.AskedQuestions.describe`; empty where none were to be written.
    """

    digest: str
    folder: Path
    held_out_every: int
    n_documents: int
    n_questions: int
    n_held_out: int
    reused: bool
    n_lessons: int = 0
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def held_out(self) -> Path:
        """A labelled set: all documents, with the questions on those that nothing is trained on."""
        return self.folder / HELD_OUT

    def training(self) -> LabelledSet:
        """Read all documents with the questions to train on. Raises DataError."""
        return load_set(self.folder / CORPUS)

    def describe(self) -> dict[str, Any]:
        """Return its digest and counts, as a version's lineage has them."""
        counts = ("n_documents", "n_questions", "n_held_out", "n_lessons")
        return {"digest": self.digest, **{name.removeprefix("n_"): getattr(self, name) for name in counts}}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained version in the workspace, not promoted.

    metrics: system → figure → value, on held-out documents. curves: name → (step, value).
    """

    kind: ModelKind
    version: str
    seconds: float
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    reused: bool = False


def synthesize_data(
    workspace: Workspace,
    settings: PassSettings,
    *,
    lessons: Sequence[Question] = (),
    teacher: TeacherConfig | None = None,
    spread: Callable[[str, TeacherConfig | None], Drafting] | None = None,
) -> Dataset:
    """Make questions with known evidence from the documents of the current generation; lessons join them.

    Frozen documents and questions (`training.frozen`) are left out, of the lessons too. lessons: questions from the
    experience log, their evidence in documents as they are now. teacher: an outside model that writes the questions
    instead of our own. spread: gives what has them written elsewhere, for a generation's id. Goes on where it was
    interrupted. Raises EmptyStore before anything was ingested, DataError where the documents give no question,
    TeacherError.
    """
    from flows.asked_data import asked_by, draft_here, generation_pool, unfrozen_documents
    from flows.serving import serving_prep
    from training.asked import AskConfig, ask_corpus
    from training.synthesize import synthesize_cloze

    frozen = read_frozen(frozen_path(workspace))
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
        if (folder / MANIFEST_NAME).is_file():
            return _dataset(folder, reused=True)
        documents = unfrozen_documents(generation, frozen)
        notes = folder.with_name(f".asked-{folder.name}.jsonl")
        asked = None
        if n_asked:
            pool = generation_pool(generation, documents, serving_prep(workspace).encoder)
            drafting = draft_here(pool, teacher) if spread is None else spread(generation.id, teacher)
            asked = ask_corpus(pool, drafting, AskConfig(n=n_asked, seed=settings.seed), notes=notes)
    made = list(asked.questions) if asked else []
    made += synthesize_cloze(documents.values(), n=settings.n_examples - len(made), seed=settings.seed)
    kept = [lesson for lesson in lessons if all(span.document_id in documents for span in lesson.evidence)]
    questions = [one for one in (*made, *kept) if not frozen.holds_question(one.question)]
    if not questions:
        raise DataError(f"{len(documents)} documents gave no question to train on: ingest more prose")
    chosen = _held_out_documents(documents, settings.held_out_every)
    parts: dict[str, list[Question]] = {CORPUS: [], HELD_OUT: []}
    for question in questions:
        held_out = any(span.document_id in chosen for span in question.evidence)
        parts[HELD_OUT if held_out else CORPUS].append(question)
    if not parts[CORPUS]:
        raise DataError(f"all {len(questions)} questions are on held-out documents: ingest more documents")
    counts = {"documents": len(documents), **{name: len(part) for name, part in parts.items()}}
    counts["lessons"] = len({lesson.id for lesson in kept} & {question.id for question in questions})
    about = {"kind": "dataset", "held_out_every": settings.held_out_every, "counts": counts}
    about["asked"] = asked.describe() if asked else {}
    _write_dataset(folder, documents, parts, about, asked)
    notes.unlink(missing_ok=True)
    return _dataset(folder, reused=False)


def _write_dataset(
    folder: Path,
    documents: Mapping[str, Document],
    parts: Mapping[str, list[Question]],
    about: Mapping[str, Any],
    asked: AskedQuestions | None,
) -> None:
    """Write a data set under another name, its manifest last, and give it its own."""
    from training.asked_page import write_asked_page

    temporary = folder.with_name(f".partial-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        formats = document_formats(documents)
        for name, part in parts.items():
            save_set(LabelledSet(dict(documents), formats, part, name), temporary / name)
        if asked:
            write_asked_page(temporary / ASKED_PAGE, asked, documents)
        write_manifest(temporary, about)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_dataset(workspace: Workspace, digest: str) -> Dataset:
    """Return a data set that was made before. Raises StoreError where it is not there, ChecksumMismatch."""
    return _dataset(workspace.path / "datasets" / digest, reused=True)


def frozen_path(workspace: Workspace) -> Path:
    """Return where the frozen questions of a workspace are; see `training.frozen`."""
    return workspace.path / "frozen"


def train_retrieve_candidate(
    workspace: Workspace,
    dataset: Dataset,
    settings: PassSettings,
    *,
    told: Callable[[float, float], None] | None = None,
    generation_id: str | None = None,
) -> Candidate:
    """Train the serving retrieve model further on the documents' questions; keep a candidate version.

    told: called with (seconds so far, seconds allowed) as it goes on. generation_id: whose chunks are shown, by
    default the current one's; a run that was interrupted goes on only with the same.
    """
    from flows.serving import serving_prep, serving_retrieve_path
    from retrieve.adapter_stack import stack_adapters
    from retrieve.model import (
        ADAPTER,
        RetrieveModel,
        ServingConfig,
        read_retrieve_manifest,
        save_retrieve_version,
    )
    from training.supervised import SupervisedConfig, train_supervised
    from training.traces import TraceConfig

    start = serving_retrieve_path(workspace)
    manifest = read_retrieve_manifest(start)
    serving = ServingConfig.from_json(manifest["serving"])
    question_last = serving.episode.question_last
    config = SupervisedConfig(
        learning_rate=1e-4,
        warmup_steps=5,
        lengths=(256, 384, 512, 768, 1280),
        batch_tokens=2048,
        evaluate_every=10**9,
        compile="never",
        packed=question_last,
        two_way=serving.two_way,
    )
    with workspace.open_generation(generation_id) as generation:
        made_of = {
            "dataset": dataset.digest,
            "generation": generation.id,
            "start": manifest["version"],
            "config": asdict(config),
            "gaps": [_GAP_EVERY, _FEW],
            "minutes": settings.minutes,
            "share": settings.share,
        }
        run = workspace.path / "runs" / f"retrieve-{json_digest(made_of)[:12]}"
        if (finished := finished_candidate(workspace, run)) is not None:
            return finished
        begun = RetrieveModel.load(start)
        trace_config = TraceConfig(question_last=question_last, seed=settings.seed)
        traces = _traces(dataset.training(), generation, serving_prep(workspace).encoder, trace_config)
    allowed_s = 60.0 * settings.minutes
    result = train_supervised(
        begun.model,
        begun.tokenizer,
        traces,
        run,
        config,
        stop_after_s=allowed_s,
        report=lambda row: told(min(row["seconds"], allowed_s), allowed_s) if told else None,
    )
    draft = fresh_folder(run / "version")
    stack_adapters(start / ADAPTER, result.adapter, draft / ADAPTER, share=settings.share)
    version = save_retrieve_version(
        draft,
        draft / ADAPTER,
        serving=begun.serving,
        source=manifest["base"].get("source"),
        card=candidate_card("retrieve", dataset, settings),
        training={"stage": "supervised", "start": begun.version, "steps": result.n_steps, **made_of},
    )
    candidate = Candidate("retrieve", version, result.seconds, curves=curves_of(run, ("loss",)))
    lineage = Lineage(
        start=begun.version,
        dataset=dataset.describe(),
        config={"stage": "supervised", **asdict(config), "minutes": settings.minutes, "seed": settings.seed},
        generation=made_of["generation"],
    )
    return keep_candidate(workspace, run, candidate, draft, lineage)


def _traces(dataset: LabelledSet, generation: Generation, encoder: Any, config: TraceConfig) -> list[Trace]:
    """Return episodes over the chunks that are served, so that training reads what serving shows.

    Where the question stands last, those on the same passages are asked of a sheet as well, twice each on average. Not
    shown is what the data set lacks: frozen documents, and those that changed since it was made.
    """
    from flows.asked_data import generation_pool
    from training.sheets import SheetConfig, build_sheets
    from training.traces import build_traces

    pool = generation_pool(generation, dataset.documents, encoder)
    questions = _few_gaps(dataset.questions)
    traces, counts = build_traces(questions, pool, config)
    if not traces:
        raise DataError(f"no sound trace could be built: {dict(counts.refused)}")
    if config.question_last:
        sheets = SheetConfig(traces=replace(config, most_passages=4), none_share=config.withheld_share)
        traces += build_sheets(questions, pool, sheets, n=2 * len(questions))[0]
    return traces


def _few_gaps(questions: Sequence[Question]) -> list[Question]:
    """Return the questions without most that have a gap, if there are others.

    Their answers are a word or two: a model that is trained on many of them answers people's questions like that.
    """
    others = [question for question in questions if question.kind != "cloze"]
    gaps = [question for question in questions if question.kind == "cloze"]
    n_answered = sum(question.answerable for question in others)
    if not n_answered:
        return [*others, *gaps]
    return [*others, *gaps[: max(n_answered // _GAP_EVERY, _FEW - n_answered)]]


def _held_out_documents(documents: Mapping[str, Document], every: int) -> frozenset[str]:
    """Return every n-th document by id, as the prep model's training holds them out."""
    return frozenset(sorted(documents)[::every])


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
        asked=manifest.get("asked", {}),
    )


def curves_of(run: Path, names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Return name → (step, value) from the log of a run, of the rows that have it."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {name: [(float(row["step"]), float(row[name])) for row in rows if name in row] for name in names}


def fresh_folder(folder: Path) -> Path:
    """Return the folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def finished_candidate(workspace: Workspace, run: Path) -> Candidate | None:
    """Return what this run came to before, if its version is still in the workspace."""
    try:
        content = read_json(run / "candidate.json")
    except FileNotFoundError:
        return None
    curves = {name: [(step, value) for step, value in points] for name, points in content["curves"].items()}
    candidate = Candidate(**{**content, "curves": curves, "reused": True})
    return candidate if candidate.version in workspace.model_versions(candidate.kind) else None


def keep_candidate(
    workspace: Workspace, run: Path, candidate: Candidate, draft: Path, lineage: Lineage
) -> Candidate:
    """Put the version in `draft` among the workspace's models, then note in the run's folder that it is."""
    if candidate.version not in workspace.model_versions(candidate.kind):
        note_lineage(
            workspace,
            candidate.kind,
            draft,
            replace(lineage, metrics=candidate.metrics, seconds=candidate.seconds),
        )
        with workspace.new_model(candidate.kind, candidate.version) as folder:
            shutil.copytree(draft, folder, dirs_exist_ok=True)
    os.replace(write_json(run / "candidate.json", asdict(candidate)), run / "candidate.json")
    shutil.rmtree(draft, ignore_errors=True)
    return candidate


def candidate_card(kind: str, dataset: Dataset, settings: PassSettings) -> str:
    """Return the card of a version that was trained on a workspace."""
    return (
        f"# A {kind} version trained on the documents of one workspace\n\n"
        f"Trained on {dataset.n_questions} questions and the structure of "
        f"{dataset.n_documents} documents of the workspace (data set {dataset.digest}, one document in "
        f"{dataset.held_out_every} held out), seed {settings.seed}. The figures are in the run's "
        "`candidate.json`. It serves only once it is promoted.\n"
    )
