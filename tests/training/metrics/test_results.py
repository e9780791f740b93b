"""Figures that follow from rows, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from fixture_rows import numbered_answer_row as row

from training.metrics.results import score_answers


def test_quantiles_and_means_are_numpys() -> None:
    rows = [row(i, abstained=i == 19) for i in range(23)]
    scores = score_answers(rows)
    seconds = [r.seconds for r in rows]
    assert scores.seconds_p50 == pytest.approx(np.quantile(seconds, 0.5))
    assert scores.seconds_p95 == pytest.approx(np.quantile(seconds, 0.95))
    assert scores.f1 == pytest.approx(np.mean([r.f1 for r in rows if r.expects_answer]))
    assert (
        scores.n_right_though_withheld == 2
    )  # of rows 4, 9, 14, 19 with f1 0.5, 0.0, 1.0, 0.5, one abstains
    assert score_answers([]).f1 == 0.0
