"""Reads the gate's decisions below reports/gate/, oldest first; `flows.retraining.decision_folder` writes them.

Unknown keys are ignored and missing ones are empty, so that pages and lists of a workspace outlast a change of the
format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prep.errors import DataError, StoreError
from prep.manifest import read_json
from prep.store.current import MODEL_KINDS
from prep.store.workspace import Workspace

__all__ = ["Gain", "GateDecision", "read_decisions"]

DECISION = "decision.json"
#: The figure that decides, by kind: the first of these that was measured; see `training.evaluation.promotion_gate`.
_HEADLINES = {"prep": ("evidence_recall", "reward", "f1"), "retrieve": ("reward", "f1")}


@dataclass(frozen=True, slots=True)
class Gain:
    """Candidate minus current on the same questions, with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GateDecision:
    """One decision. figures: "current" and "candidate" → figure → value; gains: by figure.

    created: ISO 8601 in UTC. question_set: the digest of the gate set; folder: where it was read from.
    """

    created: str
    kind: str
    candidate: str
    current: str
    promoted: bool
    reasons: tuple[str, ...]
    figures: dict[str, dict[str, float]]
    gains: dict[str, Gain]
    question_set: str
    n_questions: int
    folder: Path

    @property
    def headline(self) -> str | None:
        """The figure that decided; None where none was measured for both."""
        measured = self.figures.get("current", {}).keys() & self.figures.get("candidate", {}).keys()
        return next((name for name in _HEADLINES[self.kind] if name in measured), None)

    @property
    def served(self) -> dict[str, float]:
        """The figures of the version that serves from then on."""
        return self.figures.get("candidate" if self.promoted else "current", {})

    @classmethod
    def read(cls, folder: Path) -> GateDecision:
        """Read the decision in a folder. Raises StoreError, DataError where it says something else."""
        content = read_json(folder / DECISION)
        try:
            questions = content.get("questions") or {}
            decision = cls(
                created=str(content["created"]),
                kind=str(content["kind"]),
                candidate=str(content["candidate"]),
                current=str(content["current"]),
                promoted=bool(content["promoted"]),
                reasons=tuple(str(reason) for reason in content.get("reasons") or ()),
                figures={
                    str(name): _finite(values) for name, values in (content.get("figures") or {}).items()
                },
                gains=_gains(content.get("gains") or {}),
                question_set=str(questions.get("set", "")),
                n_questions=int(questions.get("n", 0)),
                folder=folder,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{folder / DECISION} is no decision of the gate: {error!r}") from error
        if decision.kind not in MODEL_KINDS:
            raise DataError(f"{folder / DECISION} is on a {decision.kind!r} model, which is no kind of model")
        return decision


def read_decisions(workspace: Workspace) -> tuple[list[GateDecision], list[str]]:
    """Return all decisions, oldest first, and the names of the folders whose decision cannot be read."""
    decisions, unreadable = [], []
    for path in sorted((workspace.path / "reports" / "gate").glob(f"*/{DECISION}")):
        if path.parent.name.startswith("."):
            continue  # half written
        try:
            decisions.append(GateDecision.read(path.parent))
        except (OSError, StoreError, DataError):
            unreadable.append(path.parent.name)
    decisions.sort(key=lambda decision: (decision.created, decision.folder.name))
    return decisions, unreadable


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the values that are numbers."""
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _gains(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Gain]:
    gains = {}
    for name, values in content.items():
        gain = Gain(float(values["mean"]), float(values["low"]), float(values["high"]))
        if all(map(math.isfinite, (gain.mean, gain.low, gain.high))):
            gains[str(name)] = gain
    return gains
