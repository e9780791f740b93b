"""Which passages come first, which sentences are quoted, and how sure that is."""

from __future__ import annotations

import pytest

from prep.errors import ConfigError
from retrieve.reader.calibration import Calibration
from retrieve.reader.selection import Selection, rank_passages, select_sentences


def test_search_and_reader_both_count() -> None:
    scores, relevance = [0.9, 0.5, 0.1], [0.0, 1.0, 1.5]
    assert rank_passages(scores, relevance, [], Selection(search_weight=0)) == [2, 1, 0]
    assert rank_passages(scores, relevance, [], Selection(search_weight=100)) == [0, 1, 2]
    assert rank_passages(scores, relevance, [], Selection(search_weight=2)) == [1, 0, 2]


def test_a_passage_is_as_good_as_its_best_sentence() -> None:
    selection = Selection(search_weight=0, sentence_weight=1)
    assert rank_passages([0, 0], [1.0, 0.0], [(1, 3.0), (0, 2.0), (1, -5.0)], selection) == [1, 0]


def test_no_more_than_so_many_sentences_near_the_best_are_quoted() -> None:
    sentences = [(0, 3.0), (0, 2.0), (1, 1.5), (1, -4.0)]
    assert select_sentences([0, 0], sentences, Selection(search_weight=0, quotes=2)) == [0, 1]
    assert select_sentences([0, 0], sentences, Selection(search_weight=0, quotes=9)) == [0, 1, 2]
    assert select_sentences([0, 1], sentences, Selection(search_weight=9, quotes=1)) == [2]
    assert select_sentences([], [], Selection()) == []


def test_confidence_rises_with_the_logits() -> None:
    calibration = Calibration(weights=(1.0, 0.5, 0.0, 0.0, 0.0, 0.0), bias=-1.0)
    assert calibration.confidence((1.0, 0.0, -9.0, 0.0, 0.0, 0.0)) == pytest.approx(0.5)
    assert calibration.confidence((2.0, 0.0, 0.0, 0.0, 0.0, 0.0)) > calibration.confidence(
        (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    )
    assert 0 <= calibration.confidence((-1e9, 0.0, 0.0, 0.0, 0.0, 0.0)) < 1e-9


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError):
        Calibration(weights=(1.0,))
    with pytest.raises(ConfigError):
        Selection(quotes=0)
    with pytest.raises(ConfigError):
        Selection(search_weight=-1)
