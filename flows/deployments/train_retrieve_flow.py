"""The `train-retrieve` flow: traces from the documents, then a candidate version of the retrieve model.

The work is `flows.candidates.retrieve_candidates`. The candidate is not promoted. Importing this module imports
Prefect.
"""

from __future__ import annotations

from prefect import flow, task

from flows.candidates.retrieve_candidates import RetrieveStage, train_retrieve_candidate
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.deployments.artifacts import Progress, publish_table
from flows.deployments.tasks import TASK, Receipt, candidate_receipt
from prep.store.workspace import Workspace

__all__ = ["train_adapter", "train_retrieve"]


@flow(name="train-retrieve", result_serializer="json", persist_result=False)
def train_retrieve(
    workspace: str = "workspace",
    minutes: float = 20.0,
    n_examples: int = 960,
    seed: int = 0,
    n_generated: int = 240,
    stage: RetrieveStage = "supervised",
) -> Receipt:
    """Train a retrieve version on questions made from the documents and keep it as a candidate.

    minutes: at most so long. stage: see `flows.candidates.retrieve_candidates`. An interrupted run goes on, a finished
    one is found again. Returns the version and its figures. Raises EmptyStore, DataError,
    BaseModelError.
    """
    receipt = train_adapter(workspace, minutes, n_examples, seed, n_generated, stage)
    publish_table("retrieve-candidate", receipt["figures"], f"Held-out figures of {receipt['version']}")
    return receipt


@task(name="train the adapter", **TASK)
def train_adapter(
    workspace: str, minutes: float, n_examples: int, seed: int, n_generated: int, stage: RetrieveStage
) -> Receipt:
    """Train, or find what was trained before, and return the candidate's receipt."""
    settings = TrainingSettings(minutes=minutes, n_examples=n_examples, n_generated=n_generated, seed=seed)
    place = Workspace(workspace)
    progress = Progress("train-retrieve-progress", "Training the retrieve model")
    dataset = synthesize_data(place, settings)
    candidate = train_retrieve_candidate(place, dataset, settings, stage, on_progress=progress)
    progress(1, 1)
    return candidate_receipt(candidate)
