"""Two systems compared on the same questions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixture_rows import numbered_answer_row as row

from prep.errors import ConfigError, DataError
from training.evaluation.gains import compare_results
from training.metrics.results import AnswersResult


def test_two_systems_are_compared_question_by_question() -> None:
    first = AnswersResult("small", "one", 5, tuple(row(i) for i in range(40)))
    better = tuple(
        replace(r, f1=min(1.0, r.f1 + 0.25), abstained=not r.expects_answer) for r in reversed(first.rows)
    )
    second = AnswersResult("small", "two", 5, better)
    gain = compare_results(first, second, "f1")
    expected = np.mean([r.f1 for r in better if r.expects_answer]) - first.overall().f1
    assert gain.difference == pytest.approx(expected)
    assert gain.is_gain
    assert (gain.n, gain.n_groups) == (32, 10)
    assert compare_results(first, second, "abstention_f1").difference == 1.0
    assert compare_results(first, second, "f1", by_document=False).n_groups == 32
    with pytest.raises(ConfigError, match="no metric 'charm'"):
        compare_results(first, second, "charm")
    with pytest.raises(DataError, match="different questions"):
        compare_results(first, replace(second, rows=better[1:]), "f1")
    with pytest.raises(DataError, match="withheld different"):
        compare_results(
            first, replace(second, rows=tuple(replace(r, expects_answer=True) for r in better)), "f1"
        )
