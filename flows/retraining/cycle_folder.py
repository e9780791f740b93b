"""The folders of retraining cycles: the plan, a note for every finished step, the outcome.

    retrain/<number>/   plan.json   <kind>-start.json  <kind>-candidate.json  <kind>.json   outcome.json

A note is written whole or not at all. A cycle without an outcome is unfinished, and the next run goes on with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.retraining.cycle_config import rename_cycle_settings
from prep.manifest import read_json, sync_folder, write_json
from prep.store.current import MODEL_KINDS, ModelKind
from prep.store.workspace import Workspace

__all__ = [
    "OUTCOME",
    "CycleFolder",
    "CyclePlan",
    "cycles",
    "last_finished_plan",
    "last_plan",
    "unfinished_cycle",
    "versions_under_trial",
]

FORMAT = 1
PLAN = "plan.json"
OUTCOME = "outcome.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclePlan:
    """What a cycle was started with.

    created: ISO 8601 in UTC. settings: as JSON. generation: the documents' at that time. gate_set, dataset: digests.
    n_old_layers: layers of the gate set that an earlier cycle had. feedback_examples: kind → number; left_out: why
    other rows of the log gave none → number.
    """

    created: str
    settings: dict[str, Any]
    generation: str
    gate_set: str
    n_old_layers: int
    dataset: str
    feedback_examples: dict[str, int]
    left_out: dict[str, int]

    @classmethod
    def read(cls, folder: Path) -> CyclePlan:
        """Read the plan of a cycle; older plans say "frozen" and "lessons". Raises StoreError."""
        content = read_json(folder / PLAN)
        return cls(
            created=content["created"],
            settings=rename_cycle_settings(content["settings"]),
            generation=content["generation"],
            gate_set=content["gate_set"] if "gate_set" in content else content["frozen"],
            n_old_layers=content["n_old_layers"],
            dataset=content["dataset"],
            feedback_examples=content["feedback_examples"]
            if "feedback_examples" in content
            else content["lessons"],
            left_out=content["left_out"],
        )


@dataclass(frozen=True, slots=True)
class CycleFolder:
    """One cycle's folder."""

    path: Path
    plan: CyclePlan

    @classmethod
    def create(cls, workspace: Workspace, plan: CyclePlan) -> CycleFolder:
        """Write the plan into a folder with the next number."""
        number = 1 + max((int(path.name) for path in cycles(workspace)), default=0)
        cycle = cls(workspace.path / "retrain" / f"{number:04d}", plan)
        cycle.path.mkdir(parents=True, exist_ok=True)
        cycle.write("plan", {"format": FORMAT, **asdict(plan)})
        return cycle

    @property
    def name(self) -> str:
        """The cycle's number, as the folder has it."""
        return self.path.name

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a note; None where the step is not done. Raises StoreError."""
        try:
            return read_json(self.path / f"{name}.json")
        except FileNotFoundError:
            return None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a note."""
        path = self.path / f"{name}.json"
        os.replace(write_json(path, content), path)
        sync_folder(self.path)

    def give_up(self) -> None:
        """End the cycle without a result."""
        self.write("outcome", {"given_up": True})


def cycles(workspace: Workspace) -> list[Path]:
    """Return the folders of all cycles, oldest first."""
    return sorted(path.parent for path in (workspace.path / "retrain").glob(f"[0-9]*/{PLAN}"))


def last_plan(workspace: Workspace) -> CyclePlan | None:
    """Return the plan of the newest cycle; None before the first. Raises StoreError."""
    started = cycles(workspace)
    return CyclePlan.read(started[-1]) if started else None


def last_finished_plan(workspace: Workspace) -> CyclePlan | None:
    """Return the plan of the newest cycle that finished and was not given up; None where there is none."""
    finished = [
        path
        for path in cycles(workspace)
        if (path / OUTCOME).exists() and not read_json(path / OUTCOME).get("given_up")
    ]
    return CyclePlan.read(finished[-1]) if finished else None


def unfinished_cycle(workspace: Workspace) -> CycleFolder | None:
    """Return the cycle that has neither finished nor been given up, if there is one. Raises StoreError."""
    started = cycles(workspace)
    if not started or (started[-1] / OUTCOME).exists():
        return None
    return CycleFolder(started[-1], CyclePlan.read(started[-1]))


def versions_under_trial(workspace: Workspace) -> frozenset[tuple[ModelKind, str]]:
    """Return kind and version of an unfinished cycle's candidates, and of the versions they are compared with."""
    if (cycle := unfinished_cycle(workspace)) is None:
        return frozenset()
    notes = [(kind, cycle.read(f"{kind}-candidate")) for kind in MODEL_KINDS]
    return frozenset(
        (kind, version)
        for kind, note in notes
        if note is not None
        for version in (note["start"], note["candidate"]["version"])
        if version is not None
    )
