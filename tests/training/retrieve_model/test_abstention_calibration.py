"""A candidate refuses as often as what it began with, whatever its training did to how readily it does."""

from __future__ import annotations

import pytest

from training.retrieve_model.abstention_calibration import matched_bias


def refuses(scores: list[float], offset: float) -> int:
    return sum(score + offset > 0 for score in scores)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.5])
@pytest.mark.parametrize("offset", [-0.5, 1.0])
def test_as_many_are_refused_as_before(shift: float, offset: float) -> None:
    before = [-4.0, -2.0, -1.25, -0.75, 0.25, 1.0, 3.0]
    after = [score + shift + 0.1 * (number % 3) for number, score in enumerate(before)]
    found = matched_bias(before, offset, after)
    assert refuses(after, found) == refuses(before, offset)
    assert abs(found - (offset - shift)) < 0.75  # between the same two as before, not anywhere


def test_where_none_or_all_are_refused_the_mean_stays() -> None:
    for before in ([-4.0, -3.0], [2.0, 3.0]):
        found = matched_bias(before, 1.0, [score + 2.0 for score in before])
        assert found == -1.0


@pytest.mark.parametrize(("refused", "asked"), [(16, 14), (15, 14), (14, 14), (13, 13)])
def test_one_in_eight_need_not_be_refused(refused: int, asked: int) -> None:
    before = [*range(1, refused + 1), *range(-16 + refused, 0)]
    after = [score / 2 + 5.0 for score in range(16)]
    assert refuses(after, matched_bias(before, 0.0, after)) == asked
