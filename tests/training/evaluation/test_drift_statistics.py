"""Drift is found where questions moved or documents came, and not where they did not."""

from __future__ import annotations

import numpy as np
import pytest

from prep.errors import ConfigError, DataError
from training.evaluation.drift_statistics import DriftConfig, measure_drift

TEXTS = {f"d{n}": f"text {n}" for n in range(10)}


def questions(n: int, *, topic: int, seed: int) -> np.ndarray:
    """Vectors around a topic's own direction, as questions on one subject have."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, 16)) + 4 * np.eye(16)[topic]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_questions_on_another_topic_have_moved():
    found = measure_drift(questions(60, topic=0, seed=1), questions(40, topic=5, seed=2), TEXTS, TEXTS)
    assert found.drifted
    assert found.score > 0.5
    assert found.p_value == pytest.approx(1 / 2001)
    assert "moved" in found.reasons[0]


def test_more_questions_on_the_same_topic_have_not():
    found = measure_drift(questions(60, topic=0, seed=1), questions(40, topic=0, seed=2), TEXTS, TEXTS)
    assert not found.drifted
    assert found.p_value > 0.05
    assert "have not moved" in found.reasons[0]


def test_the_test_is_right_as_often_as_it_says():
    """Of 100 pairs of samples from one topic about 20 lie below p = 0.2."""
    config = DriftConfig(n_permutations=200)
    found = [
        measure_drift(
            questions(30, topic=1, seed=2 * n), questions(30, topic=1, seed=2 * n + 1), {}, {}, config
        )
        for n in range(100)
    ]
    assert 10 <= sum(drift.p_value <= 0.2 for drift in found) <= 30


def test_a_difference_too_small_to_matter_is_none_however_sure():
    before = questions(2000, topic=0, seed=1)
    recent = before + 0.02 * np.eye(16, dtype=np.float32)[3]
    found = measure_drift(
        before, recent, TEXTS, TEXTS, DriftConfig(n_permutations=50, max_p=0.05, min_distance=0.1)
    )
    assert found.score == pytest.approx(0.02, rel=0.01)
    assert not found.drifted


def test_a_few_questions_cannot_tell():
    found = measure_drift(questions(60, topic=0, seed=1), questions(5, topic=5, seed=2), TEXTS, TEXTS)
    assert (found.drifted, found.score, found.p_value) == (False, None, None)
    assert "cannot tell" in found.reasons[0]


def test_new_and_changed_documents_are_drift_and_removed_ones_are_not():
    none = np.zeros((0, 16), dtype=np.float32)
    assert not measure_drift(none, none, TEXTS, TEXTS).drifted
    assert not measure_drift(none, none, TEXTS, {"d0": "text 0"}).drifted
    changed = TEXTS | {"d1": "another text", "d10": "text 10", "d11": "text 11"}
    found = measure_drift(none, none, TEXTS, changed)
    assert found.share_new == pytest.approx(3 / 12)
    assert found.drifted
    assert "more than 20%" in found.reasons[1]
    assert not measure_drift(none, none, TEXTS, changed, DriftConfig(max_new=0.3)).drifted


def test_the_same_questions_give_the_same_figures():
    pair = questions(60, topic=0, seed=1), questions(40, topic=1, seed=2)
    assert measure_drift(*pair, TEXTS, TEXTS) == measure_drift(*pair, TEXTS, TEXTS)


def test_vectors_of_two_models_are_not_compared():
    with pytest.raises(DataError, match="one prep version"):
        measure_drift(questions(40, topic=0, seed=1), np.ones((40, 8), dtype=np.float32), {}, {})


@pytest.mark.parametrize(
    "wrong", [{"min_questions": 0}, {"max_p": 0.0}, {"min_distance": 3.0}, {"max_new": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DriftConfig(**wrong)
