"""Starts a retraining cycle, or goes on with an unfinished one: gate set, feedback examples and data, then the plan."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flows.candidates.dataset_folder import document_formats, find_dataset, gate_set_path
from flows.candidates.feedback_data import LoggedExamples, logged_examples
from flows.candidates.training_sets import synthesize_data
from flows.retraining.cycle_config import CycleSettings
from flows.retraining.cycle_folder import CycleFolder, CyclePlan, last_finished_plan, unfinished_cycle
from flows.retraining.gate_trial import clean_trials, gate_questions
from prep.document import Document
from prep.errors import DataError, StoreError
from prep.fault_injection import fault_point
from prep.manifest import MANIFEST_NAME
from prep.store.workspace import Workspace
from training.data.gate_set import extend_gate_set, normalise_text, read_gate_set

__all__ = ["resume_cycle", "start_cycle"]


def resume_cycle(
    workspace: Workspace, settings: CycleSettings, report: Callable[[str], None]
) -> CycleFolder | None:
    """Return the unfinished cycle; None where there is none, or it cannot go on and is given up."""
    if (cycle := unfinished_cycle(workspace)) is None:
        return None
    if (reason := _reason_to_give_up(workspace, cycle.plan, settings)) is None:
        report(f"going on with cycle {cycle.name} of {cycle.plan.created}")
        return cycle
    report(f"cycle {cycle.name} is given up: {reason}")
    cycle.give_up()
    return None


def start_cycle(workspace: Workspace, settings: CycleSettings, report: Callable[[str], None]) -> CycleFolder:
    """Extend the gate set, make the data set, and write the plan. Raises EmptyStore, DataError."""
    clean_trials(workspace)
    n_old_layers = _n_old_layers(workspace)
    with workspace.open_generation() as generation:
        documents = {document.id: document for document in generation.documents()}
        generation_id = generation.id
    gate_set = extend_gate_set(
        gate_set_path(workspace),
        documents,
        document_formats(documents),
        settings.gate_set,
        trained=_was_trained_on(workspace),
    )
    gate_questions(workspace, gate_set)  # raises before any training where nothing can be measured
    examples = (
        logged_examples(workspace, gate_set, settings.feedback_weights)
        if settings.feedback_examples
        else LoggedExamples()
    )
    dataset = synthesize_data(
        workspace, settings.training, feedback_examples=examples.questions, teacher=settings.teacher
    )
    fault_point("after-dataset")
    plan = CyclePlan(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.to_json(),
        generation=generation_id,
        gate_set=gate_set.digest,
        n_old_layers=n_old_layers,
        dataset=dataset.digest,
        feedback_examples=dict(examples.kinds),
        left_out=dict(examples.left_out),
    )
    cycle = CycleFolder.create(workspace, plan)
    report(
        f"cycle {cycle.name}: {dataset.n_questions} questions, {dataset.n_feedback_examples} of them from the log; "
        f"{len(gate_set.questions)} in the gate set"
    )
    fault_point("after-plan")
    return cycle


def _reason_to_give_up(workspace: Workspace, plan: CyclePlan, settings: CycleSettings) -> str | None:
    """Return why a cycle cannot go on, if so."""
    if plan.settings != settings.to_json():
        return "its settings were changed since"
    try:
        dataset = find_dataset(workspace, plan.dataset)
    except StoreError:
        return "its training data are gone"
    return "people have deleted some of its feedback examples" if dataset.n_deleted else None


def _n_old_layers(workspace: Workspace) -> int:
    """Return how many layers the gate set had when the last finished cycle began.

    Layers of a cycle that was killed before it had a plan, or was given up, are still new.
    """
    plan = last_finished_plan(workspace)
    return 0 if plan is None else read_gate_set(gate_set_path(workspace)).n_layers_of(plan.gate_set)


def _was_trained_on(workspace: Workspace) -> Callable[[Document], bool]:
    """Return a function that says whether an earlier data set trains on a document, be it by another id."""
    ids: set[str] = set()
    texts: set[str] = set()
    for path in (workspace.path / "datasets").glob(f"*/{MANIFEST_NAME}"):
        try:
            trained = find_dataset(workspace, path.parent.name).trained_documents()
        except (StoreError, DataError):
            continue  # a damaged one is not trained on again, and its documents are not known
        ids |= trained.keys()
        texts |= {normalise_text(document.text) for document in trained.values()}
    return lambda document: document.id in ids or normalise_text(document.text) in texts
