"""Candidate versions: how a trained version is kept in a workspace, and found again.

A candidate is kept beside the version that serves and is not promoted. A finished run is found by the digest of its
inputs and not made twice; an interrupted one goes on from its checkpoint. `flows.candidates.prep_candidates` and
`flows.candidates.retrieve_candidates` train them, for `diptych train`, the flows and the demo.

    runs/<kind>-<digest>/  candidate.json (when finished) and what the training writes
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from flows.candidates.dataset_folder import Dataset
from flows.candidates.training_settings import TrainingSettings
from flows.models.lineage import Lineage, note_lineage
from prep.manifest import read_json, write_json
from prep.store.current import ModelKind
from prep.store.workspace import Workspace

__all__ = [
    "Candidate",
    "candidate_card",
    "curves_of",
    "finished_candidate",
    "fresh_folder",
    "keep_candidate",
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained version in the workspace, not promoted.

    metrics: system → figure → value, on held-out documents. curves: name → (step, value).
    """

    kind: ModelKind
    version: str
    seconds: float
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    reused: bool = False


def curves_of(run: Path, names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Return name → (step, value) from the log of a run, of the rows that have it."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {name: [(float(row["step"]), float(row[name])) for row in rows if name in row] for name in names}


def fresh_folder(folder: Path) -> Path:
    """Return the folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def finished_candidate(workspace: Workspace, run: Path) -> Candidate | None:
    """Return the candidate of a finished run, if its version is still in the workspace."""
    try:
        content = read_json(run / "candidate.json")
    except FileNotFoundError:
        return None
    curves = {name: [(step, value) for step, value in points] for name, points in content["curves"].items()}
    candidate = Candidate(**{**content, "curves": curves, "reused": True})
    return candidate if candidate.version in workspace.model_versions(candidate.kind) else None


def keep_candidate(
    workspace: Workspace, run: Path, candidate: Candidate, draft: Path, lineage: Lineage
) -> Candidate:
    """Put the version in `draft` among the workspace's models, then note in the run's folder that it is."""
    if candidate.version not in workspace.model_versions(candidate.kind):
        note_lineage(
            workspace,
            candidate.kind,
            draft,
            replace(lineage, metrics=candidate.metrics, seconds=candidate.seconds),
        )
        with workspace.new_model(candidate.kind, candidate.version) as folder:
            shutil.copytree(draft, folder, dirs_exist_ok=True)
    os.replace(write_json(run / "candidate.json", asdict(candidate)), run / "candidate.json")
    shutil.rmtree(draft, ignore_errors=True)
    return candidate


def candidate_card(kind: str, dataset: Dataset, settings: TrainingSettings) -> str:
    """Return the card of a version that was trained on a workspace."""
    return (
        f"# A {kind} version trained on the documents of one workspace\n\n"
        f"Trained on {dataset.n_questions} questions and the structure of "
        f"{dataset.n_documents} documents of the workspace (data set {dataset.digest}; the synthetic questions on one "
        f"document in {dataset.held_out_every} are held out), seed {settings.seed}. The figures are in the run's "
        "`candidate.json`. It serves only once it is promoted.\n"
    )
