"""From the reader's logits to a probability that it is right: a logistic regression over a few of its signals.

Fitted on documents that were not trained on (`training.reader.calibrate`). Source: Platt 1999; what is predicted is
that the best sentences hold evidence, so that a question without any should come out low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from prep.errors import ConfigError

__all__ = ["Calibration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Weights of the signals (`Reading.signals`), and the confidence below which is refused.

    Signals: the logits of the best sentence and passage, the log probability of the best span, the logit of the best
    sentence of another passage, the best score of the search, the share of the question's terms in the best passage.
    """

    SIGNALS: ClassVar[tuple[str, ...]] = ("sentence", "passage", "span", "other", "search", "covered")

    weights: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    bias: float = 0.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))
        if len(self.weights) != len(self.SIGNALS) or not 0 <= self.threshold <= 1:
            raise ConfigError(
                f"a calibration has {len(self.SIGNALS)} weights and a threshold in 0..1: {self}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return what the constructor takes, as plain values."""
        return {"weights": list(self.weights), "bias": self.bias, "threshold": self.threshold}

    def confidence(self, signals: Sequence[float]) -> float:
        """Return the probability that these signals are those of a right answer."""
        logit = self.bias + sum(weight * signal for weight, signal in zip(self.weights, signals, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
