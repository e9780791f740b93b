"""Settings of the retrieve model's supervised stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prep.errors import ConfigError

__all__ = ["SupervisedConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedConfig:
    """Hyperparameters of the supervised stage. Tuned values name their experiment in LOG.md.

    packed: traces with the same first segment share its reading (`training.traces.packing`), packs as long as the
    last of `lengths` at most; on a CPU without padding, so nothing is compiled there.
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
    behind: str = (
        ""  # the version whose twin learns to tell its episodes backwards (`retrieve.decoding.noisy_channel`)
    )
    frozen_layers: int = 0  # lowest layers left as they are, and the token rows with them: cheaper going on
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frozen_layers < 0:
            raise ConfigError(f"frozen_layers={self.frozen_layers!r} must not be negative")
        if self.rank < 1 or self.learning_rate <= 0 or self.n_epochs <= 0:
            raise ConfigError("rank, learning_rate and n_epochs must be positive")
        if self.behind and not self.packed:
            raise ConfigError("behind results that are packed, backwards is told")
        if list(self.lengths) != sorted(set(self.lengths)) or self.lengths[-1] > self.batch_tokens:
            raise ConfigError(f"lengths={self.lengths!r} must rise and fit batch_tokens={self.batch_tokens}")
