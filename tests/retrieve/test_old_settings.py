"""Manifests of diptych 0.1 are read under today's names; modes that are gone are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prep.errors import WeightsError
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import EpisodeLimits
from retrieve.model import ServingConfig, shipped_question_generator
from retrieve.old_settings import current_names, current_reranking

#: The settings in the manifest of retrieve 0.8, which had names of before 2026-12.
SERVING_0_8: dict[str, Any] = {
    "action": {"max_findings": 4, "max_pointers": 3, "query_tokens": 24, "statement_tokens": 48},
    "comparing": {
        "also": 0.2,
        "backwards": 0.4,
        "likely": 0.05,
        "longest": 32,
        "n": 6,
        "sure": 1.0,
        "within": 4.0,
    },
    "episode": {
        "max_heading_characters": 120,
        "max_passage_characters": 1000,
        "max_question_characters": 600,
        "max_searches": 2,
        "max_sentence_characters": 400,
        "passages_per_search": 3,
        "question_last": True,
        "score_margin": 0.2,
    },
    "none_offset": 1.0,
    "none_offset_again": 4.0,
    "search_offset": 0.5,
    "two_way": False,
    "unsaid_offset": 0.0,
}


def test_settings_of_an_old_manifest_are_read_under_todays_names() -> None:
    assert ServingConfig.from_json(SERVING_0_8) == ServingConfig(
        abstention_bias=1.0,
        abstention_bias_after_search=4.0,
        search_bias=0.5,
        reranking=RerankingConfig(
            n_candidates=6,
            sure_probability=1.0,
            max_logprob_gap=4.0,
            max_tokens=32,
            report_weight=0.05,
            channel_weight=0.4,
            alternative_share=0.2,
        ),
        episode=EpisodeLimits(max_searches=2, passages_per_search=3, score_margin=0.2),
    )


def test_the_question_generator_needs_none_of_its_settings() -> None:
    """Its manifest is of a time when questions stood first in an episode; generated questions have no episode."""
    serving = json.loads((shipped_question_generator() / "manifest.json").read_text(encoding="utf-8"))[
        "serving"
    ]
    with pytest.raises(WeightsError, match="question_last=False"):
        ServingConfig.from_json(serving)


def test_modes_that_are_gone_are_read_where_they_are_off_and_refused_where_they_are_on() -> None:
    off = {"two_way": False, "unsaid_offset": 0.0, "episode": {"question_last": True, "max_searches": 2}}
    assert ServingConfig.from_json(off) == ServingConfig(episode=EpisodeLimits(max_searches=2))
    first = {"episode": {"question_last": False}}
    for on in ({"two_way": True}, {"unsaid_offset": 2.0}, first, {"episode": {"max_searches": 2}}):
        with pytest.raises(WeightsError, match=r"serve it with diptych 0\.1"):
            ServingConfig.from_json({**off, **on})


def test_names_are_those_of_today_and_stay_so() -> None:
    """Modes that are on keep their old names, modes that are off are left out."""
    old = {"none_offset": 1.0, "two_way": True, "comparing": {"n": 6, "also": 0.2}, "episode": {}}
    today = {
        "abstention_bias": 1.0,
        "two_way": True,
        "reranking": {"n_candidates": 6, "alternative_share": 0.2},
        "episode": {"question_last": False},
    }
    assert current_names(old) == today
    named = {"search_bias": 0.5, "reranking": today["reranking"], "episode": {"max_searches": 2}}
    assert current_names(named) == named


def test_a_tuning_file_s_reranking_is_read_under_both_names() -> None:
    for chosen in ({"n": 3, "sure": 0.5}, {"n_candidates": 3, "sure_probability": 0.5}):
        config = RerankingConfig(**current_reranking(chosen))
        assert config == RerankingConfig(n_candidates=3, sure_probability=0.5)
