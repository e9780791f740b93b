"""All ways to cut a document as one probability distribution, with exact sampling, likelihoods and marginals.

A segmentation is as likely as exp(score / temperature), its score being what `prep.model.segmentation` maximises: the
worth of its breaks less the price of its lengths. That is a semi-Markov random field (Sarawagi & Cohen, NIPS 2004),
so the normaliser and the marginals follow from one pass forward and one backward, and the most likely segmentation is
the one that serves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prep.errors import ConfigError
from prep.model.config import ChunkLimits, LengthPrior
from prep.model.segmentation import length_prices

__all__ = ["SegmentationPolicy"]

Doubles = npt.NDArray[np.float64]


class SegmentationPolicy:
    """The distribution over one document's segmentations. Arguments as those of `prep.model.segmentation.segment`."""

    def __init__(
        self,
        unit_tokens: Sequence[int],
        header_tokens: Sequence[int],
        break_scores: Sequence[float],
        limits: ChunkLimits,
        prior: LengthPrior,
        *,
        temperature: float = 1.0,
    ) -> None:
        """Raises ConfigError without units or with a temperature that is not positive."""
        if not unit_tokens or temperature <= 0:
            raise ConfigError(f"a policy needs units and a temperature above 0, not {temperature!r}")
        self.n_units = len(unit_tokens)
        self._breaks = np.asarray(break_scores, dtype=np.float64) / temperature
        self._breaks[-1] = 0.0  # the end is no choice
        ends = np.concatenate([[0], np.cumsum(np.maximum(unit_tokens, 1))])
        headers = np.asarray(header_tokens, dtype=np.int64)
        price = length_prices(limits, prior) / temperature
        # For every end, from which unit a piece may start, and what a piece from there to it is worth.
        self._low: list[int] = []
        self._worth: list[Doubles] = []
        low = 0
        for end in range(1, self.n_units + 1):
            while ends[end] - ends[low] > limits.max_tokens and low < end - 1:
                low += 1
            lengths = headers[low:end] + ends[end] - ends[low:end]
            worth = np.where(
                lengths <= limits.max_tokens, -price[np.minimum(lengths, limits.max_tokens)], -np.inf
            )
            if not np.isfinite(worth).any():
                worth[-1] = -price[limits.max_tokens]  # a single unit above the limit stands alone
            self._low.append(low)
            self._worth.append(worth)
        self._forward = np.full(self.n_units + 1, -np.inf)
        self._forward[0] = 0.0
        for end in range(1, self.n_units + 1):
            reached = self._forward[self._low[end - 1] : end] + self._worth[end - 1]
            self._forward[end] = _log_sum(reached) + self._breaks[end - 1]

    @property
    def log_normaliser(self) -> float:
        """The logarithm of the sum of exp(score / temperature) over all segmentations."""
        return float(self._forward[-1])

    def log_probability(self, pieces: Sequence[tuple[int, int]]) -> float:
        """Return how likely the pieces, which must tile the units, are; -inf where one does not fit."""
        total = 0.0
        for first, last in pieces:
            low = self._low[last - 1]
            if first < low:
                return -np.inf
            total += float(self._worth[last - 1][first - low]) + float(self._breaks[last - 1])
        return total - self.log_normaliser

    def sample(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Draw a segmentation: its pieces as unit ranges [first, last), in order."""
        pieces: list[tuple[int, int]] = []
        end = self.n_units
        while end > 0:
            low = self._low[end - 1]
            logs = self._forward[low:end] + self._worth[end - 1]
            weights = np.exp(logs - logs.max())
            first = low + int(rng.choice(len(weights), p=weights / weights.sum()))
            pieces.append((first, end))
            end = first
        return pieces[::-1]

    def break_marginals(self) -> Doubles:
        """Return (n_units,) how likely a break after each unit is; the last one's is 1.

        Also the gradient of the log normaliser by the break scores, times the temperature.
        """
        backward = np.full(self.n_units + 1, -np.inf)
        backward[-1] = 0.0
        for end in range(self.n_units, 0, -1):
            low = self._low[end - 1]
            through = backward[end] + self._breaks[end - 1] + self._worth[end - 1]
            backward[low:end] = np.logaddexp(backward[low:end], through)
        marginals: Doubles = np.exp(self._forward[1:] + backward[1:] - self.log_normaliser)
        return marginals


def _log_sum(values: Doubles) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum())) if np.isfinite(top) else -np.inf
