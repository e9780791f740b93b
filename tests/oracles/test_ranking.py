"""Ranking metrics against ir-measures (pytrec_eval) and scikit-learn on random judgements."""

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG
from sklearn.metrics import ndcg_score

from training.metrics.ranking_metrics import best_first, ndcg, recall, reciprocal_rank


def judged(seed: int, n: int = 30) -> tuple[dict[str, int], dict[str, float]]:
    """Random graded judgements and scores; scores are coarse, so that many tie."""
    random = np.random.default_rng(seed)
    names = [f"d{i}" for i in range(n)]
    relevance = {name: int(random.integers(0, 3)) for name in names if random.random() < 0.3}
    scores = {name: float(random.integers(0, 8)) / 8 for name in names if random.random() < 0.8}
    return relevance or {names[0]: 1}, scores


@pytest.mark.parametrize("seed", range(40))
def test_ir_measures_gives_the_same_values(seed: int) -> None:
    relevance, scores = judged(seed)
    found = ir_measures.calc_aggregate([nDCG @ 10, nDCG @ 3, R @ 5, RR], {"q": relevance}, {"q": scores})
    ranked = best_first(scores)
    assert ndcg(ranked, relevance, 10) == pytest.approx(found[nDCG @ 10])
    assert ndcg(ranked, relevance, 3) == pytest.approx(found[nDCG @ 3])
    assert recall(ranked, relevance, 5) == pytest.approx(found[R @ 5])
    assert reciprocal_rank(ranked, relevance) == pytest.approx(found[RR])


@pytest.mark.parametrize("seed", range(10))
def test_scikit_learn_gives_the_same_ndcg_without_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    gains, scores = random.integers(0, 3, 20), random.permutation(20) / 20
    relevance = {f"d{i}": int(gain) for i, gain in enumerate(gains)}
    ranked = best_first({f"d{i}": float(score) for i, score in enumerate(scores)})
    expected = ndcg_score([gains], [scores], k=10)
    assert ndcg(ranked, relevance, 10) == pytest.approx(expected)
