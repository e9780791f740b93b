"""Reading order: rows before columns, columns where nothing runs across."""

from __future__ import annotations

import random

import pytest

from prep.parsing.formats.office.reading_order import Box, in_reading_order

GRID = {"a": Box(0, 0, 4, 2), "b": Box(5, 0, 4, 2), "c": Box(0, 3, 4, 2), "d": Box(5, 3, 4, 2)}
COLUMNS = {
    "head": Box(0, 0, 9, 1),
    "l1": Box(0, 2, 4, 3),
    "l2": Box(0, 6, 4, 4),
    "r1": Box(5, 2, 4, 5),
    "r2": Box(5, 8, 4, 2),
}
OVERLAPPING = {"a": Box(0, 0, 9, 100), "b": Box(0, 95, 9, 100), "c": Box(0, 190, 9, 10)}


@pytest.mark.parametrize("boxes", [GRID, COLUMNS, OVERLAPPING])
def test_the_order_does_not_depend_on_which_was_drawn_first(boxes: dict[str, Box]) -> None:
    for seed in range(5):
        shuffled = [(box, name) for name, box in boxes.items()]
        random.Random(seed).shuffle(shuffled)
        assert in_reading_order(shuffled) == list(boxes)


def test_what_stands_at_one_place_stays_in_its_order() -> None:
    assert in_reading_order([(Box(0, 0, 0, 0), name) for name in "cab"]) == ["c", "a", "b"]


def test_no_shape_is_lost_of_many() -> None:
    rng = random.Random(1)
    boxes = [(Box(*(rng.randrange(99) for _ in range(4))), n) for n in range(2000)]
    assert sorted(in_reading_order(boxes)) == sorted(in_reading_order(boxes[:300]) + list(range(300, 2000)))
