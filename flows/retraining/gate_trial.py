"""Tries a version at the gate: its answers, and its evidence, on the questions of the gate set.

`training.data.gate_set` chooses the questions, `training.evaluation.promotion_gate` decides, and
`flows.retraining.decision_folder` keeps the decision. Both versions search today's corpus, with the documents of the
gate set as they were when they joined it. Where the current generation holds other documents, or another prep version
built it, the documents are ingested into a workspace of the trial's own.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flows.candidates.dataset_folder import document_formats
from flows.models.measurement import StoredPreparer, holding_generation
from prep.checks import check_counts
from prep.document import Document
from prep.errors import DataError
from prep.manifest import json_digest
from prep.store.workspace import Workspace
from training.data.dataset import LabelledSet
from training.runs.resumable_rows import KeptRows

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel
    from prep.store.generation import Generation
    from training.data.gate_set import GateSet
    from training.evaluation.promotion_gate import Trial

__all__ = [
    "TrialModels",
    "TrialSettings",
    "clean_trials",
    "gate_questions",
    "run_trial",
]

#: The prefix of the workspaces in evaluations/ that trials ingest into.
TRIAL_PREFIX = "gate-"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """How the questions of the gate set are asked.

    n_answers: at most so many are answered, evenly spread; evidence is searched for all. withhold_every: the evidence
    of every n-th answered question is withheld. deadline_s: of one answer, on average.
    """

    n_answers: int = 150
    withhold_every: int = 5
    deadline_s: float = 20.0
    progress: bool = True

    def __post_init__(self) -> None:
        check_counts(self, "n_answers", "withhold_every", "deadline_s")


@dataclass(frozen=True, slots=True)
class TrialModels:
    """The two models of one trial: a prep model, and the folder of a retrieve version."""

    prep: PrepModel
    retrieve: Path


def gate_questions(workspace: Workspace, gate_set: GateSet) -> LabelledSet:
    """Return the questions of the gate set over all of today's documents. Raises EmptyStore, DataError for none."""
    if not gate_set.questions:
        raise DataError(
            f"{workspace.path} has no questions in its gate set: ingest more documents, or name a labelled set"
        )
    with workspace.open_generation() as generation:
        documents: dict[str, Document] = {document.id: document for document in generation.documents()}
    # A second copy of a document of the gate set would answer where the evidence is withheld.
    documents = {name: one for name, one in documents.items() if not gate_set.repeats(one)}
    documents |= gate_set.documents
    formats = document_formats(documents) | gate_set.formats
    return LabelledSet(documents, formats, gate_set.questions, f"gate-set-{gate_set.digest}")


def run_trial(
    workspace: Workspace,
    questions: LabelledSet,
    version: str,
    models: TrialModels,
    settings: TrialSettings,
    *,
    with_retrieval: bool,
    old: frozenset[str],
    kept: Path,
) -> Trial:
    """Measure `version`, which is one of the two models, on the questions.

    with_retrieval: measure the evidence that is found, too. old: ids of the questions on old topics. kept: a folder
    that rows are written to as they come, so that an interrupted trial goes on and asks no question twice.
    """
    from retrieve.model import RetrieveModel
    from retrieve.researcher import Researcher
    from training.evaluation.answers_suite import evaluate_answers
    from training.evaluation.promotion_gate import Trial
    from training.evaluation.retrieval_suites import evaluate_retrieval

    model = RetrieveModel.load(models.retrieve)
    asked = [[q.id, q.question] for q in questions.questions]
    made_of = [
        asked,
        _digest(questions),
        models.prep.version,
        model.version,
        asdict(settings) | {"progress": None},
    ]
    # One generation from beginning to end, whatever is ingested meanwhile: both versions search the same documents.
    place, opened = _holding_generation(workspace, questions, models.prep, settings)
    with (
        opened as generation,
        Researcher.open(
            place.path, prep=models.prep, model=model, generation=generation.id, log=False
        ) as researcher,
    ):
        retrieval = None
        if with_retrieval:
            retrieval = evaluate_retrieval(
                questions,
                StoredPreparer(generation, models.prep),
                evidence_k=model.serving.episode.passages_per_search,  # what is read
                label=version,
                progress=settings.progress,
            )
        answers = evaluate_answers(
            questions,
            cast(Any, researcher),
            withhold_every=settings.withhold_every,
            limit=settings.n_answers,
            label=version,
            progress=settings.progress,
            kept=KeptRows(kept / f"rows-{json_digest(made_of)[:12]}.jsonl"),
            deadline_s=settings.deadline_s,
        )
    return Trial(version, answers, retrieval, old & {row.question_id for row in answers.rows})


def clean_trials(workspace: Workspace) -> None:
    """Remove the workspaces that trials ingested into, and decisions that a killed process left half written."""
    for path in (workspace.path / "evaluations").glob(f"{TRIAL_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in (workspace.path / "reports" / "gate").glob(".partial-*"):
        shutil.rmtree(path, ignore_errors=True)


def _holding_generation(
    workspace: Workspace, questions: LabelledSet, prep: PrepModel, settings: TrialSettings
) -> tuple[Workspace, Generation]:
    """Return a workspace and a generation of it, open, that holds the documents as this prep version prepares them."""
    from prep.ingest import ingest

    if (generation := holding_generation(workspace, questions, prep)) is not None:
        return workspace, generation
    place = Workspace(workspace.path / "evaluations" / f"{TRIAL_PREFIX}{_digest(questions)}-{prep.version}")
    ingest(place, questions.documents.values(), prep, progress=settings.progress, remove_missing=True)
    return place, place.open_generation(prep_version=prep.version)


def _digest(questions: LabelledSet) -> str:
    return json_digest([[d.id, d.title, d.text] for d in questions.documents.values()])[:12]
