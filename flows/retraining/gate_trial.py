"""Puts a candidate before the gate: both versions on the frozen questions, the decision kept with its evidence.

    reports/gate/<created>-<kind>-<candidate>/   decision.json  rows.json  index.html

Who may pass is `training.evaluation.promotion_gate`'s business, which questions are asked `training.data.gate_set`'s,
promoting `flows.retraining.cycle`'s.
Both versions search the corpus as it is now, with the frozen documents as they were when they were frozen; where that
is not what the current generation holds, or another prep version built it, the documents are ingested beside it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flows.candidates.training_sets import document_formats
from flows.models.measurement import StoredPreparer, holding_generation, write_results
from flows.pages.run_page import Curves, write_page
from prep.checks import check_counts
from prep.document import Document
from prep.errors import DataError
from prep.manifest import json_digest, read_json, sync_folder, sync_tree, write_json
from prep.store.current import ModelKind
from prep.store.workspace import Workspace
from training.data.dataset import LabelledSet
from training.runs.resumable_rows import KeptRows

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel
    from prep.store.generation import Generation
    from training.data.gate_set import GateSet
    from training.evaluation.promotion_gate import Decision, Trial

__all__ = [
    "Bench",
    "TrialSettings",
    "clean_trials",
    "decision_folder",
    "keep_decision",
    "measured_set",
    "read_decision",
    "run_trial",
]

FORMAT = 1
DECISION = "decision.json"
#: What begins the names of the workspaces in evaluations/ that a trial ingests into.
ASIDE = "gate-"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """How the frozen questions are asked.

    n_answers: at most so many are answered, evenly spread; evidence is searched for all. withhold_every: of every
    n-th of those the evidence is withheld. deadline_s: of one answer, on average.
    """

    n_answers: int = 150
    withhold_every: int = 5
    deadline_s: float = 20.0
    progress: bool = True

    def __post_init__(self) -> None:
        check_counts(self, "n_answers", "withhold_every", "deadline_s")


@dataclass(frozen=True, slots=True)
class Bench:
    """The two models of one trial: a prep model, and the folder of a retrieve version."""

    prep: PrepModel
    retrieve: Path


def measured_set(workspace: Workspace, frozen: GateSet) -> LabelledSet:
    """Return the frozen questions over all documents of now. Raises EmptyStore, DataError where nothing is frozen."""
    if not frozen.questions:
        raise DataError(
            f"{workspace.path} has no frozen questions: ingest more documents, or name a labelled set"
        )
    with workspace.open_generation() as generation:
        documents: dict[str, Document] = {document.id: document for document in generation.documents()}
    # A frozen document under another name as well would answer where the evidence is withheld.
    documents = {name: one for name, one in documents.items() if not frozen.repeats(one)} | frozen.documents
    formats = document_formats(documents) | frozen.formats
    return LabelledSet(documents, formats, frozen.questions, f"frozen-{frozen.digest}")


def run_trial(
    workspace: Workspace,
    questions: LabelledSet,
    version: str,
    bench: Bench,
    settings: TrialSettings,
    *,
    with_retrieval: bool,
    old: frozenset[str],
    kept: Path,
) -> Trial:
    """Return what `version`, one of the bench's two, gives on the questions.

    with_retrieval: measure the evidence that is found, too. old: ids of the questions on old topics. kept: a folder
    where rows are kept as they come, so that a trial that was cut short goes on, and the same is not asked twice.
    """
    from retrieve.model import RetrieveModel
    from retrieve.researcher import Researcher
    from training.evaluation.answers_suite import evaluate_answers
    from training.evaluation.promotion_gate import Trial
    from training.evaluation.retrieval_suites import evaluate_retrieval

    model = RetrieveModel.load(bench.retrieve)
    asked = [[q.id, q.question] for q in questions.questions]
    made_of = [
        asked,
        _digest(questions),
        bench.prep.version,
        model.version,
        asdict(settings) | {"progress": None},
    ]
    # One generation from beginning to end, whatever is ingested beside it: both versions search the same documents.
    place, held = _holding_generation(workspace, questions, bench.prep, settings)
    with (
        held as generation,
        Researcher.open(
            place.path, prep=bench.prep, model=model, generation=generation.id, log=False
        ) as researcher,
    ):
        retrieval = None
        if with_retrieval:
            retrieval = evaluate_retrieval(
                questions,
                StoredPreparer(generation, bench.prep),
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


def keep_decision(
    workspace: Workspace,
    kind: ModelKind,
    decision: Decision,
    trials: tuple[Trial, Trial],
    frozen: GateSet,
    *,
    created: str,
    curves: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Path:
    """Write the decision on the second of `trials` beside the first, whole or not at all, and return its folder.

    created: when, as ISO 8601 in UTC; it names the folder, with the kind and the candidate. One that is there stays.
    """
    current, candidate = trials
    folder = decision_folder(workspace, kind, candidate.version, created)
    if (folder / DECISION).is_file():
        return folder
    content = {
        "format": FORMAT,
        "created": created,
        "kind": kind,
        "candidate": candidate.version,
        "current": current.version,
        **decision.to_dict(),
        "questions": {"set": frozen.digest, "n": len(candidate.answers.rows), "n_old": len(candidate.old)},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".partial-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        results = [r for trial in trials for r in (trial.answers, trial.retrieval) if r is not None]
        write_results(results, temporary / "rows.json")
        _write_page(temporary / "index.html", content, curves or {})
        os.replace(write_json(temporary / DECISION, content), temporary / DECISION)
        sync_tree(temporary)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def read_decision(folder: Path) -> dict[str, Any]:
    """Return what decision.json in `folder` holds. Raises FileNotFoundError, StoreError where it is damaged."""
    return read_json(folder / DECISION)


def decision_folder(workspace: Workspace, kind: ModelKind, candidate: str, created: str) -> Path:
    """Return where the decision on a candidate is, or will be."""
    moment = "".join(character for character in created[:19] if character.isalnum())
    return workspace.path / "reports" / "gate" / f"{moment}Z-{kind}-{candidate}"


def clean_trials(workspace: Workspace) -> None:
    """Remove the workspaces that trials ingested into, and what a killed one left half written."""
    for path in (workspace.path / "evaluations").glob(f"{ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in (workspace.path / "reports" / "gate").glob(".partial-*"):
        shutil.rmtree(path, ignore_errors=True)


def _holding_generation(
    workspace: Workspace, questions: LabelledSet, prep: PrepModel, settings: TrialSettings
) -> tuple[Workspace, Generation]:
    """Return a generation, open, that holds the documents as this prep version prepares them, and where it is."""
    from prep.ingest import ingest

    if (generation := holding_generation(workspace, questions, prep)) is not None:
        return workspace, generation
    aside = Workspace(workspace.path / "evaluations" / f"{ASIDE}{_digest(questions)}-{prep.version}")
    ingest(aside, questions.documents.values(), prep, progress=settings.progress)
    return aside, aside.open_generation(prep_version=prep.version)


def _digest(questions: LabelledSet) -> str:
    return json_digest([[d.id, d.title, d.text] for d in questions.documents.values()])[:12]


def _write_page(path: Path, content: Mapping[str, Any], curves: Mapping[str, Any]) -> None:
    said = "is promoted" if content["promoted"] else "is refused"
    named = {
        f"{content['current']} (serves)": content["figures"]["current"],
        f"{content['candidate']} (candidate)": content["figures"]["candidate"],
    }
    gains = {
        name: f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
        for name, gain in content["gains"].items()
    }
    count = f"{content['questions']['n']} frozen questions, set {content['questions']['set']}"
    training: Curves = {f"Training of the {content['kind']} candidate": curves} if curves else {}
    write_page(
        path,
        title=f"Gate: {content['kind']} candidate {content['candidate']} {said}",
        metrics={f"On {count}": named, "Candidate minus what serves, with its interval": {"gain": gains}},
        training=training,
        notes=[f"{content['created']}: the candidate {said}.", *content["reasons"]],
    )
