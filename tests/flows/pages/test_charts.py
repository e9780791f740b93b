"""The charts of the pages: their shapes stay in the frame, and their captions have the numbers."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from fixture_pages import decision, drawing
from hypothesis import example, given
from hypothesis import strategies as st

from flows.pages.chart_frame import LARGE
from flows.pages.charts import MIN_POINTS_TO_SMOOTH, Bar, draw_bars, draw_curve, draw_decisions, draw_lines


def coordinates(figure: str, kind: str) -> list[tuple[float, float]]:
    line = ElementTree.fromstring(figure).find(f".//polyline[@class='{kind}']")
    assert line is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def test_a_falling_loss_is_drawn_left_to_right_and_downwards() -> None:
    points = coordinates(draw_curve([(2, 1.0), (0, 3.0), (1, 2.0)], "loss"), "trend")
    assert points == sorted(points)
    assert [y for _, y in points] == sorted(y for _, y in points)


def test_a_long_noisy_curve_shows_its_points_and_a_calmer_trend() -> None:
    noisy = [(step, 1.0 + (-1) ** step * 0.5) for step in range(MIN_POINTS_TO_SMOOTH)]
    figure = draw_curve(noisy, "loss")

    def height(kind: str) -> float:
        ys = [y for _, y in coordinates(figure, kind)]
        return max(ys) - min(ys)

    assert height("trend") < height("raw") / 2


@pytest.mark.parametrize(
    "points",
    [
        [(0, 1.0)],
        [(0, 0.0), (1, 0.0)],
        [(0, 1e-9), (1, 2e-9)],
        [(0, -1e12), (1, 1e12)],
        [(5, 1.0), (5, 2.0)],
        [(step, 1.0) for step in range(5000)],
        [(0, 1.0), (1, 1.0 + 1e-16)],
    ],
)
def test_any_finite_curve_stays_inside_its_frame(points: list[tuple[float, float]]) -> None:
    figure = draw_curve(points, "curve")
    box = [float(value) for value in re.findall(r'viewBox="0 0 (\d+) (\d+)"', figure)[0]]
    for x, y in coordinates(figure, "trend"):
        assert 0 <= x <= box[0]
        assert 0 <= y <= box[1]
    assert len(figure) < 40_000


def test_values_that_are_not_finite_are_counted_and_not_drawn() -> None:
    figure = draw_curve([(0, 1.0), (1, math.nan), (2, math.inf), (3, 0.5)], "loss")
    assert "2 of 4 values not finite" in figure
    assert len(coordinates(figure, "trend")) == 2
    assert "no points" in draw_curve([(0, math.nan)], "loss")
    assert "no points" in draw_curve([], "loss")


def test_the_serving_line_goes_through_promoted_candidates_only_and_breaks_with_the_questions() -> None:
    rows = [
        decision(0, 0.4, 0.5, "a", promoted=True),
        decision(1, 0.5, 0.3, "a", promoted=False),
        decision(2, 0.2, 0.3, "b", promoted=True),
    ]
    figure = drawing(draw_decisions(rows, "reward", "reward"))
    lines = [line.get("points", "").split() for line in figure.iter("polyline")]
    circles = list(figure.iter("circle"))
    assert [circle.get("class") for circle in circles] == ["in", "out", "in"]
    assert [len(line) for line in lines] == [3, 2]
    assert lines[0][1] == f"{circles[0].get('cx')},{circles[0].get('cy')}"
    assert lines[0][2].split(",")[1] == circles[0].get("cy")  # the refused one does not move it
    assert lines[1][1] == f"{circles[2].get('cx')},{circles[2].get('cy')}"
    assert draw_decisions(rows, "f1", "f1") is None


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from("ab"), st.booleans()),
        min_size=1,
        max_size=50,
    )
)
def test_any_decisions_stay_inside_their_frame(values):
    rows = [decision(n % 28, *value[:3], promoted=value[3]) for n, value in enumerate(values)]
    for circle in drawing(draw_decisions(rows, "reward", "reward")).iter("circle"):
        assert 0 <= float(circle.get("cx", "")) <= LARGE.width
        assert 0 <= float(circle.get("cy", "")) <= LARGE.height


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), min_size=1, max_size=50))
@example([(0.0, 5e-324)])
@example([(5e-324, 5e-324)])
def test_any_bars_and_lines_stay_inside_their_frame(parts):
    figure = drawing(draw_bars([Bar("x", part) for part in parts], "bars", ""))
    for rect in figure.iter("rect"):
        top, height = float(rect.get("y", "")), float(rect.get("height", ""))
        assert 0 <= top <= top + height <= LARGE.height
        assert 0 <= float(rect.get("x", "")) <= LARGE.width
    lines = drawing(
        draw_lines(["x"] * len(parts), [("one", [a for a, _ in parts]), ("two", [None] * len(parts))], "", "")
    )
    (points,) = [line.get("points", "").split() for line in lines.iter("polyline")]
    assert all(0 <= float(part) <= LARGE.width for point in points for part in point.split(","))


def test_charts_without_values_are_left_out() -> None:
    assert draw_bars([], "bars", "") is None
    assert draw_lines(["x"], [("one", [None])], "", "") is None
