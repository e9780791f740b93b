"""Tuning of what a version is served with: biases are scored from margins, without running the model again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrieve.model import ServingConfig
from training.retrieve_model.release_retrieve import chosen_serving
from training.retrieve_model.tune_serving import (
    BEFORE_NONE,
    CHOSEN,
    ForcedAnswer,
    QuestionTrial,
    best_biases,
    forced_settings,
    score_biases,
)


def tried(
    margin: float, f1: float, expects: bool, search: float = -9.0, second: tuple[float, float] | None = None
) -> QuestionTrial:
    """A question; second: margin and F1 after a second search."""
    after = None if second is None else ForcedAnswer(*second, expects)
    return QuestionTrial(ForcedAnswer(margin, f1, expects), search, after)


def test_an_offset_refuses_where_the_margin_says_so() -> None:
    rows = [tried(-2.0, 1.0, True), tried(1.0, 0.5, True), tried(2.0, 0.0, False), tried(-1.0, 0.0, False)]
    at_zero = score_biases(0.0, rows)
    assert at_zero["f1"] == pytest.approx(0.5)  # the second is refused, though it is half right
    assert (at_zero["abstention_precision"], at_zero["abstention_recall"]) == (0.5, 0.5)
    assert score_biases(-1.5, rows)["f1"] == pytest.approx(0.75)
    assert score_biases(-1.5, rows)["abstention_precision"] == 1.0
    assert score_biases(9.0, rows)["abstention_recall"] == 1.0


def test_the_best_offset_has_the_greatest_sum_and_lies_nearest_to_nothing() -> None:
    rows = [tried(-2.0, 1.0, True), tried(1.0, 1.0, True), tried(2.0, 0.0, False)]
    best = best_biases(rows)
    assert best["offset"] == -1.0
    assert best["search_offset"] is None
    assert best["searches"] == 1.0
    assert best["f1"] == best["abstention_f1"] == pytest.approx(1.0)


def test_a_second_search_is_made_where_it_pays() -> None:
    """The first finds its answer only by searching again, the second loses its own by it, the third is not there."""
    rows = [
        tried(2.0, 0.0, True, 1.0, (-3.0, 1.0)),
        tried(-3.0, 1.0, True, -2.0, (1.0, 0.0)),
        tried(2.0, 0.0, False, 1.5, (2.0, 0.0)),
    ]
    best = best_biases(rows)
    assert best["search_offset"] is not None
    assert -1.0 < best["search_offset"] <= 2.0
    assert best["f1"] == best["abstention_f1"] == pytest.approx(1.0)
    assert best["searches"] == pytest.approx(1 + 2 / 3)
    never = score_biases(0.0, rows, -6.0)
    assert never["f1"] == pytest.approx(0.5)
    assert never["searches"] == 1.0


def test_one_search_is_chosen_where_a_second_gains_nothing() -> None:
    rows = [tried(-2.0, 1.0, True, 9.0, (-2.0, 1.0)), tried(2.0, 0.0, False, 9.0, (2.0, 0.0))]
    best = best_biases(rows)
    assert (best["search_offset"], best["again_offset"], best["offset"]) == (None, None, 0.0)
    assert chosen_serving([{"passages": 3, "best": best}])[0].episode.max_searches == 1


def test_none_is_looked_for_again_where_that_pays() -> None:
    """Two are refused at first, and look alike; another search finds the answer of one. The third is lost by one."""
    rows = [
        tried(2.0, 0.0, True, -9.0, (-3.0, 1.0)),
        tried(2.0, 0.0, False, -9.0, (-1.0, 0.0)),
        tried(-3.0, 1.0, True, -9.0, (2.0, 0.0)),
    ]
    best = best_biases(rows)
    assert best["f1"] == best["abstention_f1"] == pytest.approx(1.0)
    assert best["searches"] == pytest.approx(1 + 2 / 3)
    assert best["again_offset"] is not None
    assert 1.0 < best["again_offset"] < 3.0
    assert score_biases(0.0, rows)["f1"] == pytest.approx(0.5)
    served = chosen_serving([{"passages": 3, "best": best}])[0]
    assert served.abstention_bias_after_search == best["again_offset"]
    assert served.episode.max_searches == 2
    assert served.search_bias < -1e3  # no search is made for another reason, as was tuned


def test_what_is_forced_leads_to_an_answer_after_one_search_or_two() -> None:
    """What a decoder makes of the offsets: margins of trained models are far below these."""
    served = ServingConfig(abstention_bias=1.0, abstention_bias_after_search=4.0, search_bias=0.5)
    (once,) = forced_settings(served, None)
    assert once.abstention_bias < -1e3
    assert once.search_bias < -1e3
    assert once.abstention_bias_after_search is None
    first, chosen = forced_settings(served, CHOSEN)
    assert first == once
    assert chosen == replace(once, search_bias=-once.search_bias)
    first, before_none = forced_settings(served, BEFORE_NONE)
    assert first == once
    assert before_none.abstention_bias > 1e3
    assert before_none.abstention_bias_after_search == once.abstention_bias
    assert before_none.search_bias == once.search_bias


def test_what_was_tuned_is_what_is_served() -> None:
    judged = {"offset": -1.5, "search_offset": 2.0, "f1": 0.6, "abstention_f1": 0.7}
    worse = {"offset": 0.0, "search_offset": None, "f1": 0.6, "abstention_f1": 0.6}
    tuning = [
        {"passages": 4, "best": worse},
        {"passages": 3, "best": judged},
    ]
    serving, kept = chosen_serving(tuning)
    assert (serving.abstention_bias, serving.search_bias) == (-1.5, 2.0)
    assert serving.episode.passages_per_search == 3
    assert serving.episode.max_searches == 2
    assert kept["f1"] == 0.6
    once = chosen_serving(tuning[:1])[0]
    assert (once.search_bias, once.episode.max_searches) == (0.0, 1)
