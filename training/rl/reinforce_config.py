"""Settings of the retrieve model's reinforcement stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prep.checks import check_counts
from prep.errors import ConfigError
from training.rewards import Prices
from training.runs.config_file import read_config

__all__ = ["SCHEDULES", "ReinforceConfig"]

#: Our names of learning-rate schedules → those of transformers.
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceConfig:
    """One run. questions: of a step; episodes: of each question.

    kl_weight: of the distance to the start, per token. frozen_layers: lowest layers, not trained. searches: the most in
    an episode. prices: see `training.rewards`. evaluate_steps: held-out questions are answered greedily so often.
    schedule: the learning rate stays after the warm-up, or falls to nothing at the last step. questions_per_context:
    so many questions share the passages of a packed example (`training.traces.packed_examples`); 0 where each has its
    own search. use_vllm: vLLM generates the episodes, in this process (`training.rl.vllm_rollouts`); vllm_memory: its
    share of the device's memory.
    """

    steps: int = 100
    questions: int = 8
    episodes: int = 8
    temperature: float = 1.0
    learning_rate: float = 5e-5
    warmup_steps: int = 5
    schedule: Literal["constant", "linear"] = "constant"
    clip_norm: float = 1.0
    kl_weight: float = 0.02
    frozen_layers: int = 9
    rank: int = 32
    alpha: int = 64
    searches: int = 2
    questions_per_context: int = 0
    prices: Prices = field(default_factory=Prices)
    checkpoint_steps: int = 10
    evaluate_steps: int = 25
    use_vllm: bool = False
    vllm_memory: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "steps", "questions", "rank", "searches", "checkpoint_steps", "evaluate_steps")
        if self.episodes < 2:
            raise ConfigError(
                f"episodes={self.episodes!r} must be at least 2: the others of a question are its baseline"
            )
        if self.questions_per_context < 0 or self.questions % (self.questions_per_context or 1):
            raise ConfigError(
                f"questions={self.questions!r} must be a multiple of "
                f"questions_per_context={self.questions_per_context!r}"
            )
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule={self.schedule!r} must be one of {', '.join(SCHEDULES)}")
        if min(self.learning_rate, self.temperature) <= 0 or min(self.kl_weight, self.frozen_layers) < 0:
            raise ConfigError(
                "learning_rate and temperature must be positive, kl_weight and frozen_layers not negative"
            )
        if not 0 < self.vllm_memory <= 1:
            raise ConfigError(
                f"vllm_memory={self.vllm_memory!r} must be a share of the device's memory, up to 1"
            )

    @classmethod
    def from_toml(cls, path: str | Path) -> ReinforceConfig:
        """Read settings; an unknown key is a ConfigError."""
        return read_config(cls, path, nested={"prices": lambda row: Prices(**row)})
