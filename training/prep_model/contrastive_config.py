"""Settings of the prep model's contrastive stage: which sets the vectors are trained on, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prep.checks import check_counts
from prep.errors import ConfigError
from prep.model.config import Queries
from training.prep_model.vector_pages import VectorSet, read_sets
from training.runs.config_file import read_config

__all__ = ["ContrastiveConfig"]

_SETS = (
    VectorSet(name="new_wiki"),
    VectorSet(name="medquad", documents=400),
    VectorSet(name="clapnq_dev"),
    VectorSet(name="policyqa_dev", title_in_question=True),
    VectorSet(name="contractnli", title_in_question=True),
    VectorSet(name="qmsum_train", documents=30, title_in_question=True),
    VectorSet(name="hotpot_train100"),
    VectorSet(name="musique_train100"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveConfig:
    """One contrastive run.

    sets: what is trained on; measured: sets whose held-out documents, every n-th, are measured on. sizes: target
    sizes of chunks in tokens, one drawn for each document. group_tokens: so many tokens of neighbouring chunks of a
    document are read together at most; batch_tokens: of a step, half of them of groups like each other.
    group_questions: of one group a step at most. anchor_weight: of the distance to the frozen base's vectors, beside
    the contrastive loss. queries: "base" leaves the questions' vectors as they are, "trained" reads them with the
    trained encoder.
    """

    sets: tuple[VectorSet, ...] = _SETS
    measured: tuple[VectorSet, ...] = (VectorSet(name="new_wiki"), VectorSet(name="medquad", documents=120))
    held_out_every: int = 6
    sizes: tuple[int, ...] = (50, 80, 120, 180)
    rank: int = 32
    learning_rate: float = 5e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    epochs: float = 2.0
    group_tokens: int = 1200
    group_questions: int = 8
    batch_tokens: int = 6000
    temperature: float = 0.05
    anchor_weight: float = 1.0
    queries: Queries = "trained"
    checkpoint_steps: int = 50
    evaluate_steps: int = 100
    seed: int = 17
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        check_counts(self, "rank", "group_tokens", "group_questions", "checkpoint_steps", "evaluate_steps")
        if self.batch_tokens < 2 * self.group_tokens:
            raise ConfigError(
                f"batch_tokens={self.batch_tokens!r} must be at least twice group_tokens={self.group_tokens!r}"
            )
        if min(self.learning_rate, self.epochs, self.temperature) <= 0 or self.anchor_weight < 0:
            raise ConfigError(
                "learning_rate, epochs and temperature must be positive, anchor_weight not negative"
            )
        if not self.sets or not self.sizes or not 0 <= self.warmup < 1:
            raise ConfigError(f"sets and sizes must not be empty, and warmup={self.warmup!r} lie in 0..1")

    @classmethod
    def from_toml(cls, path: str | Path) -> ContrastiveConfig:
        """Read settings; an unknown key is a ConfigError. Sets are tables: [[sets]] name = "…"."""
        return read_config(cls, path, nested={"sets": read_sets, "measured": read_sets, "sizes": tuple})
