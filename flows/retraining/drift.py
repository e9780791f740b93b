"""Drift of a workspace: its questions and documents since the last retraining cycle, compared with those before.

The comparison is `training.evaluation.drift_statistics`. Questions come from the experience log, divided by the start
of the last cycle, and are encoded with the serving prep model; documents known to that cycle are those of its data set
and of the gate set. Nothing here imports Prefect: `diptych drift` and the `check-drift` flow call it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from flows.candidates.dataset_folder import find_dataset, gate_set_path
from flows.models.serving import serving_prep
from flows.retraining.cycle_folder import last_plan
from prep.document import Floats
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from training.data.gate_set import read_gate_set
from training.evaluation.drift_statistics import Drift, DriftConfig, measure_drift

__all__ = ["workspace_drift"]

#: Of each side the newest are compared: those of years ago say nothing of today's.
MAX_QUESTIONS = 1_000


def workspace_drift(workspace: Workspace | str | Path, config: DriftConfig | None = None) -> Drift:
    """Return how far a workspace has moved from its last cycle; before the first cycle there is no drift.

    Raises EmptyStore, StoreError.
    """
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    with place.open_generation() as generation:
        documents = {document.id: document.text for document in generation.documents()}
    plan = last_plan(place)
    if plan is None:
        reason = "the workspace was never retrained: there is nothing to have moved away from"
        return Drift(False, None, None, 0.0, 0, 0, len(documents), (reason,))
    started = datetime.fromisoformat(plan.created)
    before: list[str] = []
    recent: list[str] = []
    for row in ExperienceLog(place.path / LOG_NAME).rows():
        asked = datetime.fromisoformat(row.report.created)
        (recent if asked > started else before).append(row.report.question)
    dataset = find_dataset(place, plan.dataset).training()
    known_documents = {**dataset.documents, **read_gate_set(gate_set_path(place)).documents}
    known = {name: document.text for name, document in known_documents.items()}
    return measure_drift(_vectors(place, before), _vectors(place, recent), known, documents, config)


def _vectors(place: Workspace, questions: list[str]) -> Floats:
    prep = serving_prep(place)
    if not questions:
        return np.zeros((0, prep.dimension), dtype=np.float32)
    return prep.encode_queries(questions[-MAX_QUESTIONS:])
