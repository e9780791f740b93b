"""The distribution over segmentations agrees with counting them all."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.errors import ConfigError
from prep.model.config import ChunkLimits, LengthPrior
from prep.model.segmentation import length_prices, segment
from training.rl.segmentation_policy import SegmentationPolicy

LIMITS = ChunkLimits(target_tokens=12, max_tokens=20)
PRIOR = LengthPrior(short=1.0, long=2.0)
UNITS = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 24), min_size=n, max_size=n),
        st.lists(st.integers(0, 5), min_size=n, max_size=n),
        st.lists(st.floats(-3, 3), min_size=n, max_size=n),
    )
)


def all_segmentations(
    tokens: list[int], headers: list[int], scores: list[float], temperature: float
) -> dict[tuple[tuple[int, int], ...], float]:
    """Every segmentation whose pieces fit (a unit that does not fit stands alone) → its probability."""
    n = len(tokens)
    price = length_prices(LIMITS, PRIOR)
    found = {}
    for size in range(n):
        for breaks in combinations(range(1, n), size):
            edges = [0, *breaks, n]
            pieces = tuple(pairwise(edges))
            lengths = [headers[a] + sum(tokens[a:b]) for a, b in pieces]
            fits = [
                length <= LIMITS.max_tokens or (b - a == 1 and not _other_start(tokens, headers, b))
                for length, (a, b) in zip(lengths, pieces, strict=True)
            ]
            if all(fits):
                prices = sum(price[min(length, LIMITS.max_tokens)] for length in lengths)
                found[pieces] = (sum(scores[b - 1] for b in breaks) - prices) / temperature
    top = max(found.values())
    weights = {pieces: np.exp(score - top) for pieces, score in found.items()}
    return {pieces: float(w / sum(weights.values())) for pieces, w in weights.items()}


def _other_start(tokens: list[int], headers: list[int], end: int) -> bool:
    return any(headers[a] + sum(tokens[a:end]) <= LIMITS.max_tokens for a in range(end))


@settings(max_examples=60, deadline=None)
@given(UNITS, st.sampled_from([0.5, 1.0, 2.0]))
def test_probabilities_and_marginals_agree_with_enumeration(
    units: tuple[list[int], list[int], list[float]], temperature: float
) -> None:
    expected = all_segmentations(*units, temperature)
    policy = SegmentationPolicy(*units, LIMITS, PRIOR, temperature=temperature)
    for pieces, probability in expected.items():
        assert np.exp(policy.log_probability(pieces)) == pytest.approx(probability, abs=1e-9)
    breaks = np.zeros(len(units[0]))
    for pieces, probability in expected.items():
        breaks[[last - 1 for _, last in pieces]] += probability
    np.testing.assert_allclose(policy.break_marginals(), breaks, atol=1e-9)
    likeliest = tuple(segment(*units, LIMITS, PRIOR))
    assert expected[likeliest] == pytest.approx(max(expected.values()), rel=1e-9)


def test_samples_come_as_often_as_they_should() -> None:
    units = ([5, 4, 6, 3, 5], [1, 0, 2, 1, 0], [0.5, -1.0, 1.0, 0.2, 0.0])
    policy = SegmentationPolicy(*units, LIMITS, PRIOR)
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(policy.sample(rng)) for _ in range(4000))
    expected = all_segmentations(*units, 1.0)
    assert set(drawn) <= set(expected)
    for pieces, probability in expected.items():
        assert drawn[pieces] / 4000 == pytest.approx(probability, abs=0.03)


def test_marginals_are_the_gradient_of_the_normaliser() -> None:
    tokens, headers, scores = [5, 4, 6, 3, 5, 9], [1, 0, 2, 1, 0, 0], [0.5, -1.0, 1.0, 0.2, 0.1, 0.0]
    policy = SegmentationPolicy(tokens, headers, scores, LIMITS, PRIOR)
    for i in range(5):
        moved = [s + (1e-5 if j == i else 0.0) for j, s in enumerate(scores)]
        other = SegmentationPolicy(tokens, headers, moved, LIMITS, PRIOR)
        slope = (other.log_normaliser - policy.log_normaliser) / 1e-5
        assert policy.break_marginals()[i] == pytest.approx(slope, abs=1e-4)


def test_no_units_and_no_temperature_are_refused() -> None:
    with pytest.raises(ConfigError):
        SegmentationPolicy([], [], [], LIMITS, PRIOR)
    with pytest.raises(ConfigError):
        SegmentationPolicy([1], [0], [0.0], LIMITS, PRIOR, temperature=0.0)
