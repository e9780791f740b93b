"""Settings of a retraining cycle (`flows.retraining.cycle`), read from one TOML file with a table for each part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flows.candidates.prep_candidates import STAGES, PrepStage
from flows.candidates.retrieve_candidates import RETRIEVE_STAGES, RetrieveStage
from flows.candidates.training_settings import TrainingSettings
from flows.retraining.gate_trial import TrialSettings
from prep.errors import ConfigError
from prep.store.current import MODEL_KINDS, ModelKind
from prep.store.workspace import Workspace
from training.data.feedback_examples import FeedbackConfig
from training.data.gate_set import GateSetConfig
from training.evaluation.promotion_gate import GateConfig
from training.questions.teacher import TeacherConfig
from training.runs.config_file import read_config, rename_settings

__all__ = ["SETTINGS_NAME", "CycleSettings", "cycle_settings", "rename_cycle_settings"]

#: The file in a workspace that settings are read from where none is named.
SETTINGS_NAME = "retrain.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleSettings:
    """What a cycle trains, on what, and what a candidate must show.

    kinds: in this order. prep_stage, retrieve_stage: of their training. feedback_examples: train on those of the
    experience log. teacher: an outside model that writes questions instead of our own; none by default.
    """

    kinds: tuple[ModelKind, ...] = MODEL_KINDS
    prep_stage: PrepStage = "contrastive"
    retrieve_stage: RetrieveStage = "supervised"
    feedback_examples: bool = True
    feedback_weights: FeedbackConfig = field(default_factory=FeedbackConfig)
    teacher: TeacherConfig | None = None
    training: TrainingSettings = field(default_factory=TrainingSettings)
    gate_set: GateSetConfig = field(default_factory=GateSetConfig)
    trials: TrialSettings = field(default_factory=TrialSettings)
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        if (
            not self.kinds
            or not set(self.kinds) <= set(MODEL_KINDS)
            or len(set(self.kinds)) < len(self.kinds)
        ):
            raise ConfigError(f"kinds={self.kinds!r} must name some of {', '.join(MODEL_KINDS)}, each once")
        if self.prep_stage not in STAGES:
            raise ConfigError(f"prep_stage={self.prep_stage!r} must be one of {', '.join(STAGES)}")
        if self.retrieve_stage not in RETRIEVE_STAGES:
            raise ConfigError(
                f"retrieve_stage={self.retrieve_stage!r} must be one of {', '.join(RETRIEVE_STAGES)}"
            )

    @classmethod
    def from_toml(cls, path: str | Path) -> CycleSettings:
        """Read settings; an unknown key is a ConfigError. Old names of settings are read too.

        Tables: [training], [feedback_weights], [teacher], [gate_set], [trials] and [gate].
        """
        tables = {
            "training": TrainingSettings,
            "feedback_weights": FeedbackConfig,
            "teacher": TeacherConfig,
            "gate_set": GateSetConfig,
            "trials": TrialSettings,
            "gate": GateConfig,
        }
        return read_config(
            cls,
            path,
            nested={"kinds": tuple} | {name: _table(kind, name) for name, kind in tables.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the cycle depends on as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        plain["trials"].pop("progress")
        return plain


def cycle_settings(workspace: Workspace, path: str | Path | None = None) -> CycleSettings:
    """Return the settings in the named file, else in the workspace's retrain.toml, else the defaults.

    Raises ConfigError.
    """
    own = workspace.path / SETTINGS_NAME
    if path is None and not own.exists():
        return CycleSettings()
    return CycleSettings.from_toml(own if path is None else path)


def rename_cycle_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cycle's settings, as `CycleSettings.to_json` wrote them, under the names of today."""
    renamed = rename_settings(CycleSettings, values, "the cycle")
    return renamed | {"training": rename_settings(TrainingSettings, renamed["training"], "[training]")}


def _table(kind: type[Any], name: str) -> Callable[[Any], Any]:
    def read(values: Any) -> Any:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{name} must be a table of settings, found {values!r}")
        values = rename_settings(kind, values, f"[{name}]")
        known = set(kind.__dataclass_fields__)
        if unknown := set(values) - known:
            raise ConfigError(f"unknown settings in [{name}]: {sorted(unknown)}; known are {sorted(known)}")
        return kind(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        )

    return read
