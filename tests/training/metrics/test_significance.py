"""The paired bootstrap: finds what is there, not what is not, and respects groups."""

import numpy as np
import pytest

from prep.errors import ConfigError, DataError
from training.metrics import significance
from training.metrics.significance import _expanded_tail, paired_bootstrap, paired_bootstrap_of


def test_a_constant_gain_has_no_interval() -> None:
    found = paired_bootstrap([0.0, 0.5, 1.0], [0.25, 0.75, 1.25])
    assert (found.difference, found.low, found.high) == (0.25, 0.25, 0.25)
    assert found.is_gain
    assert found.p_not_above_zero == 0.0


def test_no_difference_is_no_gain() -> None:
    found = paired_bootstrap([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0])
    assert found.difference == 0.0
    assert found.low < 0 < found.high
    assert not found.is_gain


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    gains = np.random.default_rng(1).normal(0.1, 1.0, 400)
    found = paired_bootstrap(np.zeros(400), gains, seed=3)
    error = gains.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert found.difference == pytest.approx(gains.mean())


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = [0.0, 1.0, 1.0, 0.0, 0.5], [1.0, 1.0, 0.0, 0.5, 0.5]
    assert paired_bootstrap(a, b, seed=7) == paired_bootstrap(a, b, seed=7)
    assert paired_bootstrap(a, b, seed=7) != paired_bootstrap(a, b, seed=8)


def test_questions_that_move_together_widen_the_interval() -> None:
    gains = np.repeat(np.random.default_rng(1).normal(0.0, 1.0, 40), 10)
    single = paired_bootstrap(np.zeros(400), gains)
    grouped = paired_bootstrap(np.zeros(400), gains, groups=list(np.repeat(np.arange(40), 10)))
    assert grouped.n_groups == 40
    assert grouped.high - grouped.low > 2.5 * (single.high - single.low)


def test_any_statistic_can_be_compared() -> None:
    rows_a = [(1.0, 100), (0.0, 100), (1.0, 200), (1.0, 100)]
    rows_b = [(1.0, 50), (1.0, 50), (1.0, 50), (1.0, 50)]

    def rate(rows: list[tuple[float, int]]) -> float:
        return sum(r for r, _ in rows) / sum(t for _, t in rows)

    found = paired_bootstrap_of(rate, rows_a, rows_b, n_resamples=200)
    assert found.difference == pytest.approx(4 / 200 - 3 / 500)
    assert found.is_gain


def test_the_general_form_agrees_with_the_mean() -> None:
    random = np.random.default_rng(0)
    a, b = list(random.random(60)), list(random.random(60) + 0.1)
    groups = [i // 3 for i in range(60)]
    special = paired_bootstrap(a, b, groups=groups, n_resamples=4000)
    general = paired_bootstrap_of(lambda rows: float(np.mean(rows)), a, b, groups=groups, n_resamples=4000)
    assert general.difference == pytest.approx(special.difference)
    assert general.low == pytest.approx(special.low, abs=0.01)
    assert general.high == pytest.approx(special.high, abs=0.01)


def test_unequal_or_empty_sides_and_bad_settings_are_refused() -> None:
    with pytest.raises(DataError, match="2 and 1 rows"):
        paired_bootstrap([0.0, 1.0], [0.0])
    with pytest.raises(DataError, match="0 and 0 rows"):
        paired_bootstrap([], [])
    with pytest.raises(DataError, match="1 groups for 2 rows"):
        paired_bootstrap([0.0, 1.0], [0.0, 1.0], groups=["d"])
    with pytest.raises(ConfigError, match="n_resamples=0"):
        paired_bootstrap([0.0], [0.0], n_resamples=0)
    with pytest.raises(ConfigError, match=r"confidence=1\.0"):
        paired_bootstrap([0.0], [0.0], confidence=1.0)


def test_a_difference_is_shown_with_its_interval() -> None:
    found = paired_bootstrap([0.0, 0.0, 1.0, 1.0], [0.5, 0.25, 1.0, 1.0], n_resamples=200)
    assert str(found) == f"+0.188 ({found.low:+.3f} to {found.high:+.3f})"
    assert found.low < found.difference < found.high


@pytest.mark.parametrize("degrees", [2, 4, 7, 39, 500])
def test_a_few_groups_count_as_in_students_t(degrees: int) -> None:
    from scipy.stats import norm, t

    wanted = norm.cdf(t.ppf(0.025, degrees) * np.sqrt((degrees + 1) / degrees))
    assert _expanded_tail(0.025, degrees + 1) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("expanded", "low", "high"), [(True, 0.005, 0.045), (False, 0.07, 0.1)])
def test_on_six_documents_no_more_luck_is_called_a_gain_than_is_said(
    expanded: bool, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.5% is what an interval of 95% says; plain percentiles call three times as much a gain."""
    if not expanded:
        monkeypatch.setattr(significance, "_expanded_tail", lambda tail, n_groups: tail)
    random = np.random.default_rng(0)
    groups = list(np.repeat(np.arange(6), 20))
    found = []
    for _ in range(400):
        gains = np.repeat(random.normal(0, 0.2, 6), 20) + random.normal(0, 0.3, 120)
        found.append(paired_bootstrap(np.zeros(120), gains, groups=groups, n_resamples=2000).is_gain)
    assert low < np.mean(found) < high
