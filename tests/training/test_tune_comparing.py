"""What settings of comparing come to, from rivals that were judged once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fixture_rows import answer_row

from retrieve.comparing import Compared, Comparing
from training.tune_comparing import Answered, grid, judged

RIVALS = (
    Compared("<report> 1883⟦2⟧</report>", -1.0, -30.0, 6),
    Compared("<report> 1901⟦3⟧</report>", -2.0, -20.0, 6),
    Compared("<report> 1905⟦3⟧</report>", -6.0, -10.0, 6),
)
ROWS = tuple(answer_row(prediction=text, f1=f1) for text, f1 in (("1883", 0.0), ("1901", 1.0), ("1905", 0.5)))
UNSURE = Answered(RIVALS, ROWS, n_asked=10)
SETTINGS = Comparing(n=8, within=8.0, likely=0.2, backwards=0.2)


@pytest.mark.parametrize(
    ("settings", "wanted", "tokens"),
    [
        (SETTINGS, 2, 3 * 6 + 3 * (6 + 2 + 10)),  # the question is likeliest behind it
        (replace(SETTINGS, within=4.0), 1, 2 * 6 + 2 * (6 + 2 + 10)),
        (replace(SETTINGS, n=2), 1, 2 * 6 + 2 * (6 + 2 + 10)),
        (replace(SETTINGS, backwards=0.0), 0, 3 * 6 + 3 * (6 + 2 + 10)),
        (replace(SETTINGS, within=0.5), 0, 6),  # nobody to compare with
        (replace(SETTINGS, sure=0.3), 0, 0),  # sure enough
        (replace(SETTINGS, longest=5), 0, 0),
    ],
)
def test_a_setting_gives_the_report_that_serving_would(settings: Comparing, wanted: int, tokens: int) -> None:
    assert UNSURE.with_(settings) == (ROWS[wanted], tokens)


def test_a_sure_answer_costs_nothing_and_the_mean_is_over_all_questions() -> None:
    alone = Answered(RIVALS[:1], ROWS[:1], n_asked=10)
    rows, tokens = judged([alone, UNSURE], SETTINGS)
    assert rows == (ROWS[0], ROWS[2])
    assert tokens == (0 + 72) / 2


def test_the_settings_tried_are_all_different() -> None:
    tried = list(grid())
    assert len(set(tried)) == len(tried) > 1000
