"""The `train-prep` flow: synthetic labels from the documents, then a candidate version of the prep model.

The work is `flows.candidates`. The candidate is not promoted. Importing this module imports Prefect.
"""

from __future__ import annotations

from prefect import flow, task

from flows.artifacts import Progress, publish_table
from flows.candidates import PassSettings, synthesize_data, train_prep_candidate
from flows.tasks import TASK, Receipt, candidate_receipt
from prep.workspace import Workspace

__all__ = ["train_heads", "train_prep"]


@flow(name="train-prep", result_serializer="json", persist_result=False)
def train_prep(
    workspace: str = "workspace", epochs: int = 8, pages: int = 2, n_examples: int = 960, seed: int = 0
) -> Receipt:
    """Train a prep version on the documents' own structure and keep it as a candidate.

    pages: damaged pages a document; epochs: passes over them. A run that was interrupted goes on, one that
    was finished is found again. Returns the version and its held-out figures. Raises EmptyStore, DataError.
    """
    receipt = train_heads(workspace, epochs, pages, n_examples, seed)
    publish_table("prep-candidate", receipt["figures"], f"Held-out figures of {receipt['version']}")
    return receipt


@task(name="train the heads", **TASK)
def train_heads(workspace: str, epochs: int, pages: int, n_examples: int, seed: int) -> Receipt:
    """Train, or find what was trained before, and return the candidate's receipt."""
    settings = PassSettings(prep_epochs=epochs, prep_pages=pages, n_examples=n_examples, seed=seed)
    place = Workspace(workspace)
    progress = Progress("train-prep-progress", "Training the prep model")
    candidate = train_prep_candidate(place, synthesize_data(place, settings), settings)
    progress(1, 1)
    return candidate_receipt(candidate)
