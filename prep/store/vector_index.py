"""`VectorIndex`: the k nearest vectors by inner product, over FAISS.

The number of vectors decides the kind: exact search while that is fast enough, then an HNSW graph, then inverted lists
with 8-bit scalar quantisation (IVF-SQ8). Approximate kinds are tuned when they are built, until recall@10 against exact
search reaches a target; the recall reached is stored with the index. FAISS loads flipped bits without an error, so
`prep.store.generation` checks the file first.

Sources: Malkov & Yashunin 2018 (HNSW); Douze et al. 2024, "The Faiss library".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import faiss
import numpy as np

from prep.checks import check_counts
from prep.document import Bools, Floats, Ints
from prep.errors import ConfigError, DimensionMismatch, StoreError

_faiss: Any = faiss  # its stubs do not know what its wrappers take

__all__ = ["IndexKind", "IndexSettings", "VectorIndex"]

IndexKind: TypeAlias = Literal["exact", "hnsw", "ivf-sq8"]

# Single-precision inner products of unit vectors differ by less than this between FAISS's code paths.
_ROUNDING = 4e-6
_QUERY_BATCH = 256
# Of a graph, so many vectors are searched one by one: among few that are allowed its links lead nowhere.
_MOST_ONE_BY_ONE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The kind of index by number of vectors, and the care with which it is built.

    Up to `exact_limit` vectors the search is exact, up to `hnsw_limit` a graph, above that IVF-SQ8.
    n_threads: of FAISS while it builds and searches; None leaves FAISS's own setting. A graph built by more than one
    thread depends on their timing.
    """

    exact_limit: int = 50_000
    hnsw_limit: int = 500_000
    hnsw_neighbours: int = 32
    hnsw_build_depth: int = 200
    target_recall: float = 0.97
    recall_sample: int = 200
    n_threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.exact_limit <= self.hnsw_limit:
            raise ConfigError(
                f"exact_limit={self.exact_limit!r} must lie in 0..{self.hnsw_limit} (hnsw_limit)"
            )
        if not 0 < self.target_recall <= 1:
            raise ConfigError(f"target_recall={self.target_recall!r} must lie above 0 and not above 1")
        check_counts(self, "hnsw_neighbours", "hnsw_build_depth", "recall_sample")
        if self.n_threads is not None and self.n_threads < 1:
            raise ConfigError(f"n_threads={self.n_threads!r} must be at least 1, or None")

    def kind(self, n_vectors: int) -> IndexKind:
        """Return the kind of index that is built for so many vectors."""
        if n_vectors <= self.exact_limit:
            return "exact"
        return "hnsw" if n_vectors <= self.hnsw_limit else "ivf-sq8"


@dataclass(frozen=True, slots=True)
class _Searched:
    """What FAISS searches, and how. n_rows: those that may be found."""

    index: Any
    parameters: Any
    n_rows: int


class VectorIndex:
    """Vectors by row, and the search over them. Made by `build` or `load`; never changed afterwards."""

    def __init__(self, index: Any, *, recall_at_10: float, n_threads: int | None = None) -> None:
        self._index = index
        self._n_threads = n_threads
        self.recall_at_10 = recall_at_10

    @classmethod
    def build(cls, vectors: Floats, settings: IndexSettings | None = None) -> VectorIndex:
        """Build the index that `settings` choose for `vectors`, (n, d) float32, L2-normalised; n may be 0.

        `recall_at_10` is measured on `recall_sample` vectors moved a random way off (cosine about 0.7, as a
        question lies from its chunk), with a fixed seed. Raises DimensionMismatch, StoreError.
        """
        settings = settings or IndexSettings()
        if vectors.ndim != 2:
            raise DimensionMismatch(f"vectors must have shape (n, d), not {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise StoreError(
                "the vectors hold values that are not finite numbers: prepare the documents again"
            )
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        n_vectors, dimension = vectors.shape
        with _threads(settings.n_threads):
            match settings.kind(n_vectors):
                case "exact":
                    raw: Any = faiss.IndexFlatIP(dimension)
                case "hnsw":
                    raw = faiss.IndexHNSWFlat(dimension, settings.hnsw_neighbours, faiss.METRIC_INNER_PRODUCT)
                    raw.hnsw.efConstruction = settings.hnsw_build_depth
                    raw.hnsw.efSearch = 64
                case "ivf-sq8":
                    raw = _train_lists(vectors)
            raw.add(vectors)
            index = cls(raw, recall_at_10=1.0, n_threads=settings.n_threads)
            if index.kind != "exact":
                index._tune(vectors, settings)
        return index

    @classmethod
    def load(cls, path: Path, *, recall_at_10: float, n_threads: int | None = None) -> VectorIndex:
        """Load what `save` wrote. The caller has checked the file's checksum. Raises StoreError."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise StoreError(f"{path} cannot be loaded as a FAISS index: {error}") from error
        return cls(index, recall_at_10=recall_at_10, n_threads=n_threads)

    def save(self, path: Path) -> None:
        """Write the index to `path`, search settings included; not yet on the disk. Raises StoreError."""
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise StoreError(f"{path} cannot be written: {error}") from error

    @property
    def kind(self) -> IndexKind:
        if isinstance(self._index, faiss.IndexHNSW):
            return "hnsw"
        return "ivf-sq8" if isinstance(self._index, faiss.IndexIVF) else "exact"

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def effort(self) -> int:
        """The search effort of an approximate index: efSearch of HNSW, nprobe of IVF; 0 for an exact one."""
        match self.kind:
            case "hnsw":
                return int(self._index.hnsw.efSearch)
            case "ivf-sq8":
                return int(self._index.nprobe)
            case _:
                return 0

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Floats, k: int, allowed: Bools | None = None) -> tuple[Floats, Ints]:
        """Return the k nearest vectors to each query, best first.

        queries: (n, d) float32, L2-normalised. allowed: by row, whether it may be found; None for all. Returns scores
        (n, k) in [-1, 1] and rows (n, k); both -1 where fewer than k vectors exist (or, in an approximate index, were
        found). Ties break by row, and neither the order nor the scores depend on the other queries of the call. Raises
        DimensionMismatch, StoreError.
        """
        if k < 1:
            raise ConfigError(f"k={k!r} must be at least 1")
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise DimensionMismatch(
                f"queries have shape {queries.shape}; this index needs (n, {self.dimension}): "
                "encode them with the prep version that built it"
            )
        if not np.isfinite(queries).all():
            raise StoreError("the queries hold values that are not finite numbers")
        if allowed is not None and allowed.shape != (len(self),):
            raise DimensionMismatch(f"allowed has shape {allowed.shape} for an index of {len(self)} rows")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        searched = self._whole() if allowed is None else self._part(allowed)
        scores = np.full((len(queries), k), -1.0, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        with _threads(self._n_threads):
            for first in range(0, len(queries), _QUERY_BATCH):
                batch = slice(first, first + _QUERY_BATCH)
                self._search_into(queries[batch], k, scores[batch], rows[batch], searched)
        return scores, rows

    def _whole(self) -> _Searched:
        return _Searched(self._index, None, len(self))

    def _part(self, allowed: Bools) -> _Searched:
        """Return what to search where only some rows may be found."""
        n_allowed = int(allowed.sum())
        selector = _faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        wider = math.ceil(self.effort * len(self) / max(1, n_allowed))
        match self.kind:
            case "hnsw" if n_allowed > _MOST_ONE_BY_ONE:
                parameters = _faiss.SearchParametersHNSW(sel=selector, efSearch=min(n_allowed, wider))
            case "hnsw":
                vectors = _faiss.downcast_index(self._index.storage)
                return _Searched(vectors, _faiss.SearchParameters(sel=selector), n_allowed)
            case "ivf-sq8":
                nprobe = min(int(self._index.nlist), wider)
                parameters = _faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
            case _:
                parameters = _faiss.SearchParameters(sel=selector)
        return _Searched(self._index, parameters, n_allowed)

    def _search_into(self, queries: Floats, k: int, scores: Floats, rows: Ints, searched: _Searched) -> None:
        """Fill scores and rows; fetch more for queries whose k-th place may be tied with rows not fetched."""
        pending = np.arange(len(queries))
        n_fetched = min(searched.n_rows, k + 16)
        while n_fetched and len(pending):
            found_scores, found_rows = self._candidates(queries[pending], n_fetched, searched)
            order = np.lexsort((found_rows, -found_scores), axis=1)
            found_scores = np.take_along_axis(found_scores, order, axis=1)
            found_rows = np.take_along_axis(found_rows, order, axis=1)
            width = min(k, n_fetched)
            found = found_rows[:, :width] >= 0
            scores[pending, :width] = np.where(found, np.clip(found_scores[:, :width], -1, 1), -1)
            rows[pending, :width] = found_rows[:, :width]
            if n_fetched == searched.n_rows:
                return
            undecided = found_scores[:, -1] >= found_scores[:, width - 1] - _ROUNDING
            # An approximate search may return fewer than requested; a larger request changes nothing.
            pending = pending[undecided & (found_rows[:, -1] >= 0)]
            n_fetched = min(searched.n_rows, n_fetched * 4)

    def _candidates(self, queries: Floats, n: int, searched: _Searched) -> tuple[Floats, Ints]:
        """Return FAISS's n best, with scores that depend on query and vector alone.

        FAISS sums in single precision, in an order that varies with its build, the processor and the number
        of queries; so the scores are computed again in double precision, and then rounded.
        """
        scores, rows = searched.index.search(queries, n, params=searched.parameters)
        if self.kind == "ivf-sq8":  # scored list by list, one vector at a time
            return scores, rows
        vectors = self._index.reconstruct_batch(np.maximum(rows, 0).ravel())
        vectors = vectors.reshape(*rows.shape, self.dimension).astype(np.float64)
        exact = (vectors * queries[:, None, :].astype(np.float64)).sum(axis=2).astype(np.float32)
        return np.where(rows >= 0, exact, -np.inf).astype(np.float32), rows

    def _tune(self, vectors: Floats, settings: IndexSettings) -> None:
        """Double the search effort until recall@10 reaches the target or everything is visited."""
        queries = _sample_queries(vectors, settings.recall_sample)
        k = min(10, len(vectors))
        exact = faiss.IndexFlatIP(self.dimension)
        exact.add(vectors)
        floors = exact.search(queries, k)[0][:, -1:] - _ROUNDING
        limit = min(len(vectors), 4096) if self.kind == "hnsw" else int(self._index.nlist)
        while True:
            rows = self.search(queries, k)[1]
            true_scores = np.einsum("nkd,nd->nk", vectors[np.maximum(rows, 0)], queries)
            self.recall_at_10 = float(((true_scores >= floors) & (rows >= 0)).mean())
            if self.recall_at_10 >= settings.target_recall or self.effort >= limit:
                return
            effort = min(limit, self.effort * 2)
            if self.kind == "hnsw":
                self._index.hnsw.efSearch = effort
            else:
                self._index.nprobe = effort


def _train_lists(vectors: Floats) -> Any:
    """Return a trained, empty IVF-SQ8 index with about 4·√n lists."""
    n_vectors, dimension = vectors.shape
    n_lists = max(1, min(round(4 * math.sqrt(n_vectors)), n_vectors // 39))
    quantiser = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        quantiser, dimension, n_lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.spherical = True
    index.cp.max_points_per_centroid = 64
    index.train(vectors)
    index.nprobe = min(n_lists, 8)
    return index


def _sample_queries(vectors: Floats, n: int) -> Floats:
    """Return up to n of the vectors, each moved by as long a random vector, normalised again."""
    random = np.random.default_rng(0)
    chosen = vectors[random.choice(len(vectors), size=min(n, len(vectors)), replace=False)]
    noise = random.normal(size=chosen.shape)
    moved = chosen + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    return np.asarray(moved, dtype=np.float32)


@contextmanager
def _threads(n_threads: int | None) -> Iterator[None]:
    """Let FAISS use n_threads inside, and restore its setting afterwards."""
    if n_threads is None:
        yield
        return
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n_threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
