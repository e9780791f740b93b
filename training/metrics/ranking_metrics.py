"""Metrics of a ranking of documents: nDCG@k, recall@k, reciprocal rank.

As in trec_eval: the gain is the judged relevance itself, the discount is log2(rank + 1), the ideal ranking is
that of all judged documents. Averaging over questions is left to `training.evaluation.retrieval_suites`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["best_first", "ndcg", "recall", "reciprocal_rank"]


def ndcg(ranked: Sequence[str], relevance: Mapping[str, int], k: int) -> float:
    """Return nDCG@k of the ranked document ids, in 0..1; 0.0 where nothing is relevant.

    >>> ndcg(["a", "b"], {"b": 1}, k=10) == 1 / math.log2(3)
    True
    """
    gains = [max(0, relevance.get(document_id, 0)) for document_id in ranked[:k]]
    ideal = sorted((gain for gain in relevance.values() if gain > 0), reverse=True)[:k]
    best = _dcg(ideal)
    return _dcg(gains) / best if best else 0.0


def recall(ranked: Sequence[str], relevance: Mapping[str, int], k: int) -> float:
    """Return the share of the relevant documents that are among the first k; 0.0 where none is."""
    relevant = {document_id for document_id, gain in relevance.items() if gain > 0}
    return len(relevant.intersection(ranked[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], relevance: Mapping[str, int], k: int | None = None) -> float:
    """Return 1 / rank of the first relevant document (within the first k, if given), else 0.0."""
    for rank, document_id in enumerate(ranked[:k], start=1):
        if relevance.get(document_id, 0) > 0:
            return 1.0 / rank
    return 0.0


def best_first(scores: Mapping[str, float]) -> list[str]:
    """Return the document ids by falling score; ties in falling order of id, as trec_eval breaks them."""
    return sorted(sorted(scores, reverse=True), key=lambda document_id: -scores[document_id])


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
