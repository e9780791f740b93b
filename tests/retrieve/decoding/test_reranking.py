"""Which candidate is given, and which beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fixture_reranking import report

from prep.errors import ConfigError
from retrieve.decoding.reranking import (
    CandidateReport,
    RerankingConfig,
    agreement,
    alternative,
    best_candidate,
)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (report("the red house"), "<report> the red house⟦1⟧⟦7⟧</report>", 1.0),
        (report("in a red house"), report("Red house!"), 2 * 2 / 6),
        (report("three"), report("four"), 0.0),
        (report("北京大学"), report("北京"), 2 * 1 / 4),
        (report("?"), report("!"), 0.0),
    ],
)
def test_agreement_is_the_f1_of_words(one: str, other: str, wanted: float) -> None:
    assert agreement(one, other) == pytest.approx(wanted)
    assert agreement(other, one) == pytest.approx(wanted)


def test_the_likely_the_agreed_and_the_explaining_report_wins() -> None:
    plain = RerankingConfig(n_candidates=3, report_weight=0.0, channel_weight=0.0)
    greedy, longer, shorter = (
        CandidateReport(report("1883"), -1.0, -30.0),
        CandidateReport(report("the 19th century"), -1.2, -20.0),
        CandidateReport(report("19th century"), -1.4, -20.0),
    )
    assert best_candidate([greedy, longer, shorter], plain) == 1
    assert best_candidate([greedy, shorter], plain) == 0
    explaining = replace(shorter, text=report("1884"))
    assert best_candidate([greedy, explaining], replace(plain, channel_weight=0.2)) == 1
    assert best_candidate([explaining, greedy], replace(plain, report_weight=5.0)) == 1


def test_a_candidate_is_given_beside_the_best_where_its_place_is_likely_enough() -> None:
    best, same, elsewhere, too = (
        CandidateReport("<report> 1883⟦2⟧</report>", -1.0, -20.0),
        CandidateReport("<report> in 1883⟦2⟧</report>", -1.0, -20.0),
        CandidateReport("<report> 1901⟦5⟧</report>", -1.7, -20.0),
        CandidateReport("<report> 1902⟦5⟧⟦6⟧</report>", -1.7, -20.5),
    )
    share = 2 * math.exp(-0.7) / (2 + 2 * math.exp(-0.7))
    other = replace(elsewhere, text="<report> 1901⟦5⟧⟦7⟧</report>")
    for n, candidates in enumerate(([best, same, elsewhere, other], [other, same, best, elsewhere])):
        at = candidates.index(best)
        assert alternative(candidates, at, RerankingConfig(alternative_share=share - 0.01)) == (2, 0)[n]
        assert alternative(candidates, at, RerankingConfig(alternative_share=share + 0.01)) is None
        assert alternative(candidates, at, RerankingConfig()) is None
    nearly_any = RerankingConfig(alternative_share=0.01)
    assert alternative([best, same], 0, nearly_any) is None
    # Of two for one place the likelier.
    assert alternative([best, elsewhere, too], 0, RerankingConfig(alternative_share=0.3)) == 1
    assert alternative([best, replace(elsewhere, channel_score=-40.0)], 0, nearly_any) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_candidates": 0},
        {"sure_probability": 0.0},
        {"alternative_share": 0.0},
        {"alternative_share": 1.1},
        {"sure_probability": 1.5},
        {"max_tokens": 0},
        {"max_logprob_gap": -0.5},
        {"report_weight": -1.0},
        {"channel_weight": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RerankingConfig(**wrong)  # type: ignore[arg-type]
