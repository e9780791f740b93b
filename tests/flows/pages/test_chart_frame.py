"""Numbers on the axes of a chart."""

from __future__ import annotations

import pytest

from flows.pages.chart_frame import format_number


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.5, "0.5"), (1234.5, "1,234"), (0.00031, "3e-04"), (-2.0, "-2")]
)
def test_numbers_on_an_axis_are_short(value: float, shown: str) -> None:
    assert format_number(value) == shown
