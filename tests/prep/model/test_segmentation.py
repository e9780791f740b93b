from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.errors import ConfigError
from prep.model.config import ChunkLimits, LengthPrior
from prep.model.segmentation import segment

LIMITS = ChunkLimits(target_tokens=20, max_tokens=40)


def worth(pieces: list[tuple[int, int]], tokens: list[int], headers: list[int], scores: list[float]) -> float:
    total = 0.0
    for first, last in pieces:
        length = headers[first] + sum(tokens[first:last])
        total -= math.log(max(length, 1) / LIMITS.target_tokens) ** 2
        if last < len(tokens):
            total += scores[last - 1]
    return total


@given(
    st.lists(
        st.tuples(st.integers(1, 25), st.integers(0, 10), st.floats(-4, 4, allow_nan=False)),
        min_size=1,
        max_size=9,
    )
)
def test_no_segmentation_that_fits_is_worth_more(rows: list[tuple[int, int, float]]) -> None:
    tokens, headers, scores = ([row[i] for row in rows] for i in range(3))
    found = segment(tokens, headers, scores, LIMITS)
    best = -math.inf
    for n_cuts in range(len(rows)):
        for cuts in itertools.combinations(range(1, len(rows)), n_cuts):
            edges = [0, *cuts, len(rows)]
            pieces = list(itertools.pairwise(edges))
            if all(headers[a] + sum(tokens[a:b]) <= LIMITS.max_tokens for a, b in pieces):
                best = max(best, worth(pieces, tokens, headers, scores))
    assert worth(found, tokens, headers, scores) == pytest.approx(best, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=60))
def test_pieces_tile_the_units_and_never_exceed_the_limit(rows: list[tuple[int, int]]) -> None:
    tokens, headers = [row[0] for row in rows], [row[1] for row in rows]
    pieces = segment(tokens, headers, [0.0] * len(rows), LIMITS)
    assert [unit for a, b in pieces for unit in range(a, b)] == list(range(len(rows)))
    assert all(headers[a] + sum(tokens[a:b]) <= LIMITS.max_tokens for a, b in pieces)


def test_a_strong_break_is_taken_and_a_bad_one_avoided() -> None:
    tokens, headers = [10] * 4, [0] * 4
    assert segment(tokens, headers, [0, 5, 0, 0], LIMITS) == [(0, 2), (2, 4)]
    assert segment(tokens, headers, [0, -50, 0, 0], LIMITS) != [(0, 2), (2, 4)]


def test_a_single_unit_above_the_limit_stands_alone() -> None:
    assert segment([5, 90, 5], [0, 0, 0], [0.0] * 3, LIMITS) == [(0, 1), (1, 2), (2, 3)]


def test_no_units_give_no_pieces() -> None:
    assert segment([], [], [], LIMITS) == []


def test_lists_of_different_length_are_an_error() -> None:
    with pytest.raises(ConfigError, match="differ in number"):
        segment([1, 2], [0, 0], [0.0], LIMITS)


@pytest.mark.parametrize(("target", "most"), [(0, 64), (65, 64), (8, 15)])
def test_limits_out_of_range_are_refused(target: int, most: int) -> None:
    with pytest.raises(ConfigError):
        ChunkLimits(target_tokens=target, max_tokens=most)


def test_negative_length_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        LengthPrior(short=-1.0)
