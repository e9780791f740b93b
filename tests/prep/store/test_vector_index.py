"""The index chooses its kind by size, records its recall, and survives the disk unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from prep.document import Floats
from prep.errors import ConfigError, DimensionMismatch, StoreError
from prep.store.vector_index import IndexSettings, VectorIndex

KINDS = {
    "exact": IndexSettings(n_threads=1),
    "hnsw": IndexSettings(exact_limit=10, n_threads=1),
    "ivf-sq8": IndexSettings(exact_limit=10, hnsw_limit=20, n_threads=1),
}


def unit_vectors(n: int, dimension: int = 16, seed: int = 0) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(n, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_index_answers_the_same(kind: str, tmp_path: Path) -> None:
    index = VectorIndex.build(unit_vectors(800), KINDS[kind])
    index.save(tmp_path / "index.faiss")
    loaded = VectorIndex.load(tmp_path / "index.faiss", recall_at_10=index.recall_at_10, n_threads=1)
    assert (loaded.kind, loaded.effort, len(loaded), loaded.dimension) == (kind, index.effort, 800, 16)
    queries = unit_vectors(7, seed=1)
    for ours, theirs in zip(index.search(queries, 5), loaded.search(queries, 5), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_vectors_rank_by_row(kind: str) -> None:
    vectors = unit_vectors(800)
    vectors[[9, 700, 300, 5]] = vectors[42]
    rows = VectorIndex.build(vectors, KINDS[kind]).search(vectors[42:43], 5)[1]
    assert rows.tolist() == [[5, 9, 42, 300, 700]]


@pytest.mark.parametrize("kind", KINDS)
def test_more_equal_vectors_than_are_fetched_at_first_rank_by_row(kind: str) -> None:
    vectors = unit_vectors(800)
    equal = np.sort(np.random.default_rng(2).permutation(800)[:60])
    vectors[equal] = vectors[equal[0]]
    rows = VectorIndex.build(vectors, KINDS[kind]).search(vectors[equal[:1]], 5)[1]
    assert rows[0].tolist() == equal[:5].tolist()


@pytest.mark.parametrize("kind", ["hnsw", "ivf-sq8"])
def test_search_effort_grows_until_the_target_recall_is_reached(kind: str) -> None:
    vectors = unit_vectors(3000, dimension=64)  # without structure: the hardest case for both
    index = VectorIndex.build(vectors, replace(KINDS[kind], hnsw_neighbours=6, hnsw_build_depth=20))
    assert index.recall_at_10 >= 0.97
    assert index.effort > (64 if kind == "hnsw" else 8)


def test_single_threaded_graph_is_the_same_every_time() -> None:
    vectors, queries = unit_vectors(1500, 32), unit_vectors(20, 32, seed=3)
    first, second = (VectorIndex.build(vectors, KINDS["hnsw"]).search(queries, 10)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = VectorIndex.build(np.empty((0, 16), dtype=np.float32))
    index.save(tmp_path / "index.faiss")
    for searched in (index, VectorIndex.load(tmp_path / "index.faiss", recall_at_10=1.0)):
        scores, rows = searched.search(unit_vectors(2), 3)
        assert rows.tolist() == [[-1] * 3] * 2
        assert scores.tolist() == [[-1.0] * 3] * 2


def test_no_queries_give_no_results() -> None:
    scores, rows = VectorIndex.build(unit_vectors(5)).search(np.empty((0, 16), dtype=np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


def test_queries_of_another_dimension_are_refused() -> None:
    with pytest.raises(DimensionMismatch, match=r"\(2, 8\).*\(n, 16\)"):
        VectorIndex.build(unit_vectors(5)).search(unit_vectors(2, 8), 3)


def test_values_that_are_not_finite_are_refused() -> None:
    vectors = unit_vectors(5)
    index = VectorIndex.build(vectors)
    vectors[2, 3] = np.nan
    with pytest.raises(StoreError, match="not finite"):
        VectorIndex.build(vectors)
    with pytest.raises(StoreError, match="not finite"):
        index.search(vectors, 1)


def test_file_that_is_no_index_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "index.faiss").write_bytes(b"something else entirely")
    with pytest.raises(StoreError, match="cannot be loaded"):
        VectorIndex.load(tmp_path / "index.faiss", recall_at_10=1.0)


def test_threads_are_those_asked_for_only_while_searching() -> None:
    before = faiss.omp_get_max_threads()
    other = before + 1
    index = VectorIndex.build(unit_vectors(50), IndexSettings(n_threads=other))
    index.search(unit_vectors(3), 2)
    assert faiss.omp_get_max_threads() == before


def test_kind_follows_the_number_of_vectors() -> None:
    settings = IndexSettings(exact_limit=100, hnsw_limit=1000)
    assert [settings.kind(n) for n in (0, 100, 101, 1000, 1001)] == [
        "exact",
        "exact",
        "hnsw",
        "hnsw",
        "ivf-sq8",
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"exact_limit": 10, "hnsw_limit": 5}, {"target_recall": 0}, {"n_threads": 0}, {"recall_sample": 0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        IndexSettings(**wrong)


@pytest.mark.parametrize("n_allowed", [0, 3, 40, 600])
@pytest.mark.parametrize("kind", KINDS)
def test_only_allowed_rows_are_found_and_as_many_as_wanted(
    kind: str, n_allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "prep.store.vector_index._MOST_ONE_BY_ONE", 100
    )  # beyond it the graph itself is searched
    vectors = unit_vectors(800)
    vectors[[9, 700, 300, 5]] = vectors[42]
    index = VectorIndex.build(vectors, KINDS[kind])
    allowed = np.zeros(800, dtype=np.bool_)
    allowed[np.random.default_rng(3).permutation(800)[:n_allowed]] = True
    queries = np.concatenate([unit_vectors(5, seed=1), vectors[42:43]])
    scores, rows = index.search(queries, 10, allowed)
    assert allowed[rows[rows >= 0]].all()
    assert ((rows >= 0).sum(axis=1) == min(10, n_allowed)).all()
    assert (scores[rows < 0] == -1).all()
    exact = np.where(allowed, queries @ vectors.T, -2)
    best = np.argsort(-exact, axis=1, kind="stable")[:, : min(10, n_allowed)]
    found = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), best.tolist(), strict=True)]
    assert sum(found) >= 0.9 * best.size
    if kind == "exact":
        np.testing.assert_array_equal(rows[:, : best.shape[1]], best)


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(DimensionMismatch, match="8"):
        VectorIndex.build(unit_vectors(9)).search(unit_vectors(1), 2, np.ones(8, dtype=np.bool_))
