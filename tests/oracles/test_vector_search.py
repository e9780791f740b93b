"""Vector search against numpy: same rows, same order, ties by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.document import Floats, Ints
from prep.store.vector_index import IndexSettings, VectorIndex


def unit_vectors(n: int, dimension: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(n, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ranked(vectors: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """Sort everything by falling score, then by row."""
    scores = np.array(
        [[np.dot(query.astype(np.float64), row.astype(np.float64)) for row in vectors] for query in queries]
    ).astype(np.float32)
    order = np.stack([np.lexsort((np.arange(len(vectors)), -row)) for row in scores])[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 120),
    n_distinct=st.integers(1, 20),
    k=st.integers(1, 30),
    n_queries=st.integers(1, 40),
    seed=st.integers(0, 2**16),
)
def test_exact_search_ranks_as_numpy_does_with_ties_by_row(
    n: int, n_distinct: int, k: int, n_queries: int, seed: int
) -> None:
    distinct = unit_vectors(n_distinct, 24, seed)
    vectors = distinct[np.random.default_rng(seed).integers(n_distinct, size=n)]
    queries = unit_vectors(n_queries, 24, seed + 1)
    scores, rows = VectorIndex.build(vectors).search(queries, k)
    expected_scores, expected_rows = ranked(vectors, queries, k)
    width = min(k, n)
    np.testing.assert_array_equal(rows[:, :width], expected_rows)
    np.testing.assert_allclose(scores[:, :width], expected_scores, atol=1e-6)
    assert (rows[:, width:] == -1).all()
    assert (scores[:, width:] == -1).all()


@pytest.mark.parametrize("k", [10, 150])  # FAISS collects few results in a heap, many in another way
def test_more_equal_vectors_than_are_fetched_at_first_still_rank_by_row(k: int) -> None:
    vectors = np.repeat(unit_vectors(3, 16, 0), 400, axis=0)[np.random.default_rng(1).permutation(1200)]
    queries = unit_vectors(5, 16, 2)
    rows = VectorIndex.build(vectors).search(queries, k)[1]
    np.testing.assert_array_equal(rows, ranked(vectors, queries, k)[1])


def test_scores_are_right_to_the_last_bit_of_single_precision() -> None:
    vectors, queries = unit_vectors(300, 384, 3), unit_vectors(60, 384, 4)
    scores, rows = VectorIndex.build(vectors).search(queries, 40)
    exact = np.einsum("nkd,nd->nk", vectors.astype(np.float64)[rows], queries.astype(np.float64))
    np.testing.assert_allclose(scores, exact, rtol=6e-8, atol=0)  # half a unit in the last place


def test_a_query_gets_the_same_scores_alone_and_among_others() -> None:
    vectors, queries = unit_vectors(700, 384, 3), unit_vectors(300, 384, 4)
    index = VectorIndex.build(vectors)
    together_scores, together_rows = index.search(queries, 12)
    for place in (0, 19, 20, 299):
        scores, rows = index.search(queries[place : place + 1], 12)
        np.testing.assert_array_equal(rows[0], together_rows[place])
        np.testing.assert_array_equal(scores[0], together_scores[place])


@pytest.mark.parametrize(("kind", "hnsw_limit"), [("hnsw", 10_000), ("ivf-sq8", 100)])
def test_recorded_recall_of_an_approximate_index_is_what_numpy_measures(kind: str, hnsw_limit: int) -> None:
    # Clustered, as text is: a few topics with everything near one of them.
    topics = unit_vectors(40, 48, 5)
    vectors = topics[np.random.default_rng(6).integers(40, size=3000)] + 0.6 * unit_vectors(3000, 48, 7)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = VectorIndex.build(
        vectors, IndexSettings(exact_limit=100, hnsw_limit=hnsw_limit, target_recall=0.95, n_threads=1)
    )
    assert index.kind == kind
    queries = vectors[::30] + unit_vectors(100, 48, 8)
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    found = index.search(queries, 10)[1]
    expected = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :10]
    recall = np.mean(
        [len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
    )
    assert index.recall_at_10 >= 0.95
    assert recall == pytest.approx(index.recall_at_10, abs=0.05)
