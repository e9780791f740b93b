"""The `train-prep` flow: labels synthesised from the documents, then one stage's candidate version of the prep model.

The work is `flows.candidates.prep_candidates`. The candidate is not promoted. Importing this module imports Prefect.
"""

from __future__ import annotations

from prefect import flow, task

from flows.candidates.prep_candidates import PrepStage, train_prep_candidate
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.deployments.artifacts import Progress, publish_table
from flows.deployments.tasks import TASK, Receipt, candidate_receipt
from prep.store.workspace import Workspace

__all__ = ["train_prep", "train_stage"]


@flow(name="train-prep", result_serializer="json", persist_result=False)
def train_prep(
    workspace: str = "workspace",
    epochs: int = 8,
    pages: int = 2,
    n_examples: int = 960,
    seed: int = 0,
    stage: PrepStage = "supervised",
    minutes: float = 20.0,
    n_generated: int = 240,
) -> Receipt:
    """Train a prep version in one stage and keep it as a candidate.

    stage: "supervised" trains the heads on the documents' own structure, pages being damaged pages a document and
    epochs passes over them; "contrastive" the chunk vectors on synthesised questions, for so many minutes at most;
    "reinforcement" the cuts on search results for the questions. An interrupted run goes on, a finished one is found
    again. Returns the version and its held-out figures. Raises EmptyStore, DataError.
    """
    receipt = train_stage(workspace, epochs, pages, n_examples, seed, stage, minutes, n_generated)
    publish_table("prep-candidate", receipt["figures"], f"Held-out figures of {receipt['version']}")
    return receipt


@task(name="train a stage", **TASK)
def train_stage(
    workspace: str,
    epochs: int,
    pages: int,
    n_examples: int,
    seed: int,
    stage: PrepStage,
    minutes: float,
    n_generated: int,
) -> Receipt:
    """Train, or find what was trained before, and return the candidate's receipt."""
    settings = TrainingSettings(
        prep_epochs=epochs,
        prep_pages=pages,
        n_examples=n_examples,
        n_generated=n_generated,
        seed=seed,
        minutes=minutes,
    )
    place = Workspace(workspace)
    progress = Progress("train-prep-progress", "Training the prep model")
    candidate = train_prep_candidate(place, synthesize_data(place, settings), settings, stage)
    progress(1, 1)
    return candidate_receipt(candidate)
