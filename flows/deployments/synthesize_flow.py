"""The `synthesize` flow: training data from the documents of the current generation.

The work is `flows.candidates.training_sets.synthesize_data`. Where the environment names a task runner
(`flows.deployments.task_runner`), its workers write the questions. Importing this module imports Prefect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task

from flows.candidates.dataset_folder import Dataset
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.deployments.artifacts import publish_table
from flows.deployments.question_tasks import TaskGenerator
from flows.deployments.task_runner import TaskRunnerSettings, task_runner
from flows.deployments.tasks import TASK, Receipt, writer_slot
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from training.questions.teacher import TeacherConfig

__all__ = ["make_dataset", "make_dataset_distributed", "synthesize"]


@flow(name="synthesize", result_serializer="json", persist_result=False)
def synthesize(
    workspace: str = "workspace", n_examples: int = 960, seed: int = 0, n_generated: int = 240
) -> Receipt:
    """Make training data from what is in `workspace`; data made before from the same is used again.

    n_generated: of the examples, questions that the model writes.
    Returns its digest and counts. Raises EmptyStore before anything was ingested, DataError; ConfigError and
    DependencyError where the task runner that the environment names cannot be used.
    """
    runner = TaskRunnerSettings.from_environment()
    make = (
        make_dataset_distributed.with_options(task_runner=task_runner(runner))
        if runner.is_distributed
        else make_dataset
    )
    with writer_slot(workspace):
        receipt = make(workspace, n_examples, seed, n_generated)
    publish_table("synthetic-data", [receipt], "Training data made from the documents")
    return receipt


@task(name="make training data", **TASK)
def make_dataset(workspace: str, n_examples: int, seed: int, n_generated: int) -> Receipt:
    """Write the data set and return what it holds."""
    settings = TrainingSettings(n_examples=n_examples, n_generated=n_generated, seed=seed)
    return _receipt(synthesize_data(Workspace(workspace), settings))


@flow(name="synthesize-distributed", result_serializer="json", persist_result=False)
def make_dataset_distributed(workspace: str, n_examples: int, seed: int, n_generated: int) -> Receipt:
    """Do the same with questions written by tasks, on the workers of the flow's task runner."""
    place = Workspace(workspace)
    settings = TrainingSettings(n_examples=n_examples, n_generated=n_generated, seed=seed)
    ahead = 2 * TaskRunnerSettings.from_environment().n_workers
    generators: list[TaskGenerator] = []

    def by_tasks(generation: str, teacher: TeacherConfig | None) -> TaskGenerator:
        generators.append(TaskGenerator(place, generation, teacher, ahead=ahead))
        return generators[-1]

    receipt = _receipt(synthesize_data(place, settings, generator=by_tasks))
    return receipt | {"n_processes": len(generators[0].processes) if generators else 0}


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
        "n_generated": dataset.generated.get("kept", 0),
        "generated_yield": dataset.generated.get("yield"),
        "generated_per_minute": dataset.generated.get("kept_per_minute"),
        "reused": dataset.reused,
    }
