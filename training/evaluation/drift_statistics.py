"""Drift: whether questions or documents have moved since the models were last trained.

    questions   a permutation test on the distance of the means of two samples of vectors (Good, "Permutation Tests",
                1994)
    corpus      the share of documents that were not there, word for word, at the last training

Pure functions of vectors and texts: where they come from is left to `flows.retraining.drift`. Deterministic by the
seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prep.checks import check_counts
from prep.document import Floats
from prep.errors import ConfigError, DataError

__all__ = ["Drift", "DriftConfig", "measure_drift"]

_BLOCK = 256  # permutations at a time: bounds memory at _BLOCK × questions numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftConfig:
    """When it is drift. Questions: p at most max_p, and means at least min_distance apart, so that a difference that
    only a large log can show is none. Corpus: more than max_new of the documents are new.

    min_questions: on each side; fewer cannot tell.
    """

    min_questions: int = 30
    max_p: float = 0.01
    min_distance: float = 0.1
    max_new: float = 0.2
    n_permutations: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "min_questions", "n_permutations")
        if not 0 < self.max_p < 1:
            raise ConfigError(f"max_p={self.max_p!r} must lie between 0 and 1")
        if not 0 <= self.min_distance <= 2:
            raise ConfigError(f"min_distance={self.min_distance!r} must lie in 0..2: vectors have length 1")
        if not 0 <= self.max_new <= 1:
            raise ConfigError(f"max_new={self.max_new!r} must lie in 0..1")


@dataclass(frozen=True, slots=True)
class Drift:
    """The result. score: distance of the two means, 0..2; p_value: the share of permutations with as large a distance.

    Both are None where there are too few questions to tell.
    """

    drifted: bool
    score: float | None
    p_value: float | None
    share_new: float
    n_before: int
    n_recent: int
    n_documents: int
    reasons: tuple[str, ...]


def measure_drift(
    before: Floats,
    recent: Floats,
    known: Mapping[str, str],
    documents: Mapping[str, str],
    config: DriftConfig | None = None,
) -> Drift:
    """Compare questions asked before the last training with those since, and documents then with those now.

    before, recent: (n, d) float32, L2-normalised, no rows where nothing was asked. known, documents: id → text, at
    the last training and now. Raises DataError where the vectors differ in length.
    """
    config = config or DriftConfig()
    reasons: list[str] = []
    score = p_value = None
    if min(len(before), len(recent)) < config.min_questions:
        said = f"{len(before)} questions before the last training and {len(recent)} since cannot tell"
        reasons.append(f"{said}: {config.min_questions} each are wanted")
        moved = False
    else:
        score, p_value = _distance(before, recent, config)
        moved = p_value <= config.max_p and score >= config.min_distance
        how = "moved" if moved else "have not moved"
        reasons.append(f"questions {how}: their means are {score:.3f} apart, p = {p_value:.4f}")
    n_new = sum(known.get(name) != text for name, text in documents.items())
    share_new = n_new / len(documents) if documents else 0.0
    grown = share_new > config.max_new
    reasons.append(
        f"{n_new} of {len(documents)} documents ({100 * share_new:.0f}%) are new or changed since the last training"
        f"{f', more than {100 * config.max_new:.0f}%' if grown else ''}"
    )
    return Drift(
        moved or grown, score, p_value, share_new, len(before), len(recent), len(documents), tuple(reasons)
    )


def _distance(before: Floats, recent: Floats, config: DriftConfig) -> tuple[float, float]:
    """Return how far the means are apart, and the share of permutations, this one counted, that are as far."""
    if before.shape[1] != recent.shape[1]:
        raise DataError(
            f"the questions' vectors differ in length ({before.shape[1]} and {recent.shape[1]}): encode both "
            "with one prep version"
        )
    pool = np.concatenate([before, recent]).astype(np.float64)
    n = len(before)
    signs = np.concatenate([np.full(n, 1 / n), np.full(len(recent), -1 / len(recent))])
    observed = float(np.linalg.norm(signs @ pool))
    # |Σ sᵢvᵢ|² = s·G·s: dealt from the inner products, so that the vectors' length costs nothing.
    products = pool @ pool.T
    random = np.random.default_rng(config.seed)
    n_as_far = 1
    for done in range(0, config.n_permutations, _BLOCK):
        block = np.tile(signs, (min(_BLOCK, config.n_permutations - done), 1))
        dealt = random.permuted(block, axis=1)
        squares = np.einsum("ij,ij->i", dealt @ products, dealt)
        n_as_far += int((squares >= observed**2 * (1 - 1e-9)).sum())
    return observed, n_as_far / (config.n_permutations + 1)
