"""Settings of the prep model's reinforcement stage: whose questions reward cuts, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prep.checks import check_counts
from prep.errors import ConfigError
from training.prep_model.vector_pages import VectorSet, read_sets
from training.runs.config_file import read_config

__all__ = ["SegmentationConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationConfig:
    """One run. sets: whose questions reward; measured: sets whose held-out documents, every n-th, are measured on.

    stretch_units: units that are cut together, about. draws: segmentations of a stretch each step; stretches: of a
    step. Reward: recall of the evidence's characters in the best chunks that fill budget_tokens, so that larger chunks
    gain nothing by their size, plus iou_weight times their intersection over union with what these show, plus
    omega_weight times the same with the chunks that touch the evidence, found or not. credit_units: how far from a
    question's evidence, in units, a break is credited with its reward; 0 for all of the stretch. trains: "boundary"
    moves the last layer of the boundary head alone, "heads" all of the heads. start_weight: of the squared distance of
    the break scores to those of the start.
    """

    sets: tuple[VectorSet, ...] = (
        VectorSet(name="new_wiki"),
        VectorSet(name="medquad", documents=150),
        VectorSet(name="contractnli", documents=40, title_in_question=True),
        VectorSet(name="policyqa_dev", title_in_question=True),
    )
    measured: tuple[VectorSet, ...] = (
        VectorSet(name="new_wiki"),
        VectorSet(name="medquad", documents=40),
        VectorSet(name="contractnli", documents=8, title_in_question=True),
        VectorSet(name="policyqa_dev", title_in_question=True),
    )
    held_out_every: int = 6
    stretch_units: int = 48
    draws: int = 8
    stretches: int = 16
    steps: int = 300
    temperature: float = 1.0
    budget_tokens: int = 500
    iou_weight: float = 2.0
    omega_weight: float = 0.5
    credit_units: int = 8
    learning_rate: float = 3e-3
    warmup_steps: int = 10
    start_weight: float = 0.01
    trains: Literal["boundary", "heads"] = "boundary"
    checkpoint_steps: int = 50
    evaluate_steps: int = 50
    seed: int = 17

    def __post_init__(self) -> None:
        check_counts(
            self, "stretch_units", "stretches", "steps", "budget_tokens", "checkpoint_steps", "evaluate_steps"
        )
        if self.draws < 2:
            raise ConfigError(f"draws={self.draws!r} must be at least 2: each is judged by the others")
        if self.temperature <= 0 or self.learning_rate <= 0 or not self.sets:
            raise ConfigError("temperature and learning_rate must be positive, and sets not empty")
        if min(self.iou_weight, self.omega_weight, self.start_weight, self.credit_units) < 0:
            raise ConfigError("iou_weight, omega_weight, start_weight and credit_units must not be negative")
        if self.trains not in ("boundary", "heads"):
            raise ConfigError(f"trains={self.trains!r} must be 'boundary' or 'heads'")

    @classmethod
    def from_toml(cls, path: str | Path) -> SegmentationConfig:
        """Read settings; an unknown key is a ConfigError."""
        return read_config(cls, path, nested={"sets": read_sets, "measured": read_sets})
