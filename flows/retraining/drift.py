"""Drift of a workspace: what was asked and ingested since its last retraining cycle, against what was before.

The comparison is `training.evaluation.drift_statistics`. Questions come from the experience log, divided by when the
last cycle was begun, and are encoded with the prep model that serves; documents known to that cycle are those of its
data set and the frozen ones. Nothing here imports Prefect: `diptych drift` and the `check-drift` flow call it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from flows.candidates.training_sets import find_dataset, frozen_path
from flows.models.serving import serving_prep
from flows.retraining.cycle import last_plan
from prep.document import Floats
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from training.data.gate_set import read_gate_set
from training.evaluation.drift_statistics import Drift, DriftConfig, measure_drift

__all__ = ["workspace_drift"]

#: Of each side the newest are compared: a log of years would say nothing of now.
MAX_QUESTIONS = 1_000


def workspace_drift(workspace: Workspace | str | Path, config: DriftConfig | None = None) -> Drift:
    """Return how far a workspace has moved from its last cycle; no drift before the first, which nothing waits for.

    Raises EmptyStore, StoreError.
    """
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    with place.open_generation() as generation:
        documents = {document.id: document.text for document in generation.documents()}
    plan = last_plan(place)
    if plan is None:
        said = "the workspace was never retrained: there is nothing to have moved away from"
        return Drift(False, None, None, 0.0, 0, 0, len(documents), (said,))
    begun = datetime.fromisoformat(plan["created"])
    before: list[str] = []
    recent: list[str] = []
    for row in ExperienceLog(place.path / LOG_NAME).rows():
        asked = datetime.fromisoformat(row.report.created)
        (recent if asked > begun else before).append(row.report.question)
    dataset = find_dataset(place, plan["dataset"]).training()
    seen = {**dataset.documents, **read_gate_set(frozen_path(place)).documents}
    known = {name: document.text for name, document in seen.items()}
    return measure_drift(_vectors(place, before), _vectors(place, recent), known, documents, config)


def _vectors(place: Workspace, questions: list[str]) -> Floats:
    prep = serving_prep(place)
    if not questions:
        return np.zeros((0, prep.dimension), dtype=np.float32)
    return prep.encode_queries(questions[-MAX_QUESTIONS:])
