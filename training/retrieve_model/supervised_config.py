"""Settings of the retrieve model's supervised stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prep.errors import ConfigError

__all__ = ["SupervisedConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedConfig:
    """Hyperparameters of the supervised stage. Tuned values name their experiment in LOG.md.

    packed: traces with the same prompt are packed (`training.traces.packing`), up to the last of `lengths`; on a CPU
    without padding, so nothing is compiled there.
    """

    rank: int = 32
    alpha: int = 64
    learning_rate: float = 5e-4
    warmup_steps: int = 40
    final_fraction: float = 0.05  # of the learning rate, at the end of the cosine
    n_epochs: float = 1.0
    batch_tokens: int = 4096
    lengths: tuple[int, ...] = (256, 384, 512, 768)
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    checkpoint_every: int = 50
    evaluate_every: int = 100
    compile: Literal["auto", "never"] = "auto"
    packed: bool = False
    channel_of: str = (
        ""  # the version whose noisy-channel model is trained (`retrieve.decoding.noisy_channel`)
    )
    frozen_layers: int = (
        0  # lowest layers, not trained, nor are the token rows: cheaper for continued training
    )
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frozen_layers < 0:
            raise ConfigError(f"frozen_layers={self.frozen_layers!r} must not be negative")
        if self.rank < 1 or self.learning_rate <= 0 or self.n_epochs <= 0:
            raise ConfigError("rank, learning_rate and n_epochs must be positive")
        if self.channel_of and not self.packed:
            raise ConfigError("a noisy-channel model is trained on packed traces: set packed")
        if list(self.lengths) != sorted(set(self.lengths)) or self.lengths[-1] > self.batch_tokens:
            raise ConfigError(f"lengths={self.lengths!r} must rise and fit batch_tokens={self.batch_tokens}")
