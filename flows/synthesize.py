"""The `synthesize` flow: prep labels and retrieve traces from the documents of the current generation.

The work is `flows.candidates.synthesize_data`. Importing this module imports Prefect.
"""

from __future__ import annotations

from prefect import flow, get_run_logger, task

from flows.artifacts import publish_table
from flows.candidates import PassSettings, synthesize_data
from flows.tasks import TASK, Receipt, writer_slot
from prep.workspace import Workspace

__all__ = ["make_dataset", "synthesize"]


@flow(name="synthesize", result_serializer="json", persist_result=False)
def synthesize(
    workspace: str = "workspace", n_examples: int = 960, seed: int = 0, n_asked: int = 240
) -> Receipt:
    """Make training data from what is in `workspace`; data made before from the same is used again.

    n_asked: of the examples, questions that the model writes.

    Returns its digest and counts. Raises EmptyStore before anything was ingested, DataError.
    """
    with writer_slot(workspace):
        receipt = make_dataset(workspace, n_examples, seed, n_asked)
    publish_table("synthetic-data", [receipt], "Training data made from the documents")
    return receipt


@task(name="make training data", **TASK)
def make_dataset(workspace: str, n_examples: int, seed: int, n_asked: int) -> Receipt:
    """Write the data set and return what it holds."""
    dataset = synthesize_data(
        Workspace(workspace), PassSettings(n_examples=n_examples, n_asked=n_asked, seed=seed)
    )
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
