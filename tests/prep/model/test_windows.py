from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.document import Document
from prep.errors import ConfigError
from prep.model.windows import Window, plan_windows, split_document


@given(st.lists(st.integers(0, 40), max_size=200), st.integers(40, 120), st.integers(0, 20))
def test_owned_stretches_tile_the_units_and_windows_fit(
    tokens: list[int], max_tokens: int, overlap: int
) -> None:
    windows = plan_windows(tokens, max_tokens, overlap)
    position = 0
    for window in windows:
        assert window.own_start == position
        assert window.start <= window.own_start <= window.own_end <= window.end
        assert sum(tokens[window.start : window.end]) <= max_tokens
        position = window.own_end
    assert position == len(tokens)


@given(st.lists(st.integers(1, 10), min_size=50, max_size=200))
def test_neighbours_share_at_most_the_overlap(tokens: list[int]) -> None:
    windows = plan_windows(tokens, 100, 25)
    for left, right in pairwise(windows):
        assert left.start < right.start <= left.end < right.end
        assert sum(tokens[right.start : left.end]) <= 25


def test_a_unit_in_the_overlap_belongs_to_the_window_it_is_deeper_in() -> None:
    windows = plan_windows([10] * 12, 60, 20)
    assert windows == [Window(0, 6, 0, 5), Window(4, 10, 5, 9), Window(8, 12, 9, 12)]


def test_no_units_need_no_window() -> None:
    assert plan_windows([], 100, 10) == []


def test_a_unit_that_cannot_fit_is_an_error() -> None:
    with pytest.raises(ConfigError, match="unit 1 has 101 tokens"):
        plan_windows([5, 101], 100, 10)


def test_an_overlap_that_would_not_advance_is_an_error() -> None:
    with pytest.raises(ConfigError, match="overlap_tokens=60"):
        plan_windows([5], 100, 60)


@pytest.mark.parametrize("text", ["", "x" * 250, "a b\n" * 80, "one\n\n" * 70, "```\n\n" + "c\n\n" * 90])
def test_parts_tile_the_text(text: str) -> None:
    parts = list(split_document(Document("d", "", text), 100))
    assert "".join(text[part.start : part.end] for part in parts) == text
    assert all(part.end - part.start <= 100 for part in parts)
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    if text.startswith("one"):
        assert all(text[part.start : part.start + 3] == "one" for part in parts)
