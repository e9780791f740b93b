"""The `synthesize` flow: prep labels and retrieve traces from the documents of the current generation.

The work is `flows.candidates.training_sets.synthesize_data`; what the model asks is spread over a task runner's
workers where the environment names one (`flows.deployments.task_runner`). Importing this module imports Prefect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task

from flows.candidates.training_sets import Dataset, PassSettings, synthesize_data
from flows.deployments.artifacts import publish_table
from flows.deployments.question_tasks import DraftByTasks
from flows.deployments.task_runner import SpreadSettings, task_runner
from flows.deployments.tasks import TASK, Receipt, writer_slot
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from training.questions.teacher import TeacherConfig

__all__ = ["make_dataset", "make_dataset_spread", "synthesize"]


@flow(name="synthesize", result_serializer="json", persist_result=False)
def synthesize(
    workspace: str = "workspace", n_examples: int = 960, seed: int = 0, n_asked: int = 240
) -> Receipt:
    """Make training data from what is in `workspace`; data made before from the same is used again.

    n_asked: of the examples, questions that the model writes.

    Returns its digest and counts. Raises EmptyStore before anything was ingested, DataError; ConfigError and
    DependencyError where the task runner that the environment names cannot be used.
    """
    spread = SpreadSettings.from_environment()
    make = (
        make_dataset_spread.with_options(task_runner=task_runner(spread))
        if spread.is_spread
        else make_dataset
    )
    with writer_slot(workspace):
        receipt = make(workspace, n_examples, seed, n_asked)
    publish_table("synthetic-data", [receipt], "Training data made from the documents")
    return receipt


@task(name="make training data", **TASK)
def make_dataset(workspace: str, n_examples: int, seed: int, n_asked: int) -> Receipt:
    """Write the data set and return what it holds."""
    settings = PassSettings(n_examples=n_examples, n_asked=n_asked, seed=seed)
    return _receipt(synthesize_data(Workspace(workspace), settings))


@flow(name="synthesize-spread", result_serializer="json", persist_result=False)
def make_dataset_spread(workspace: str, n_examples: int, seed: int, n_asked: int) -> Receipt:
    """Do the same with questions written by tasks, wherever the flow's task runner runs them."""
    place = Workspace(workspace)
    settings = PassSettings(n_examples=n_examples, n_asked=n_asked, seed=seed)
    ahead = 2 * SpreadSettings.from_environment().n_workers
    tasks: list[DraftByTasks] = []

    def by_tasks(generation: str, teacher: TeacherConfig | None) -> DraftByTasks:
        tasks.append(DraftByTasks(place, generation, teacher, ahead=ahead))
        return tasks[-1]

    receipt = _receipt(synthesize_data(place, settings, spread=by_tasks))
    return receipt | {"n_processes": len(tasks[0].processes) if tasks else 0}


def _receipt(dataset: Dataset) -> Receipt:
    get_run_logger().info(
        "%d questions from %d documents%s",
        dataset.n_questions,
        dataset.n_documents,
        ", made before" if dataset.reused else "",
    )
    return {
        "dataset": dataset.digest,
        "n_documents": dataset.n_documents,
        "n_questions": dataset.n_questions,
        "n_held_out": dataset.n_held_out,
        "n_asked": dataset.asked.get("kept", 0),
        "asked_yield": dataset.asked.get("yield"),
        "asked_per_minute": dataset.asked.get("kept_per_minute"),
        "reused": dataset.reused,
    }
