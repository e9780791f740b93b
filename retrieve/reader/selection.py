"""From a reading to what is shown: which passages come first, and which sentences are quoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prep.checks import check_counts
from prep.errors import ConfigError

__all__ = ["Selection", "rank_passages", "select_sentences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How search and reader are fused, and how much is quoted.

    search_weight: what a search score (in [-1, 1]) weighs beside the reader's logits; sentence_weight: what a passage's
    best sentence weighs in its rank, and its relevance the rest. quotes: at most so many
    sentences; margin: none whose logit is by more below the best. word_odds: yes or no is said only where one is so
    many times as likely as the other; else the sentence alone is told.

    search_weight and sentence_weight are the best of docs_prometheus, which nothing was trained on.
    """

    search_weight: float = 16.0
    sentence_weight: float = 1.0
    quotes: int = 3
    margin: float = 4.0
    word_odds: float = 3.0

    def __post_init__(self) -> None:
        check_counts(self, "quotes")
        if self.search_weight < 0 or not 0 <= self.sentence_weight <= 1 or self.margin < 0:
            raise ConfigError(f"search_weight and margin are 0 or more, sentence_weight in 0..1: {self}")


def rank_passages(
    search_scores: Sequence[float],
    relevance: Sequence[float],
    sentences: Sequence[tuple[int, float]],
    selection: Selection,
) -> list[int]:
    """Return the numbers of the passages, best first: by relevance, their best sentence, and search.

    sentences: (passage, logit) each. A passage without any has its relevance instead.
    """
    best = np.asarray(relevance, dtype=np.float64).copy()
    seen: dict[int, float] = {}
    for passage, logit in sentences:
        seen[passage] = max(logit, seen.get(passage, -np.inf))
    for passage, logit in seen.items():
        best[passage] += selection.sentence_weight * (logit - best[passage])
    fused = best + selection.search_weight * np.asarray(search_scores, dtype=np.float64)
    return [int(number) for number in np.argsort(-fused, kind="stable")]


def select_sentences(
    search_scores: Sequence[float], sentences: Sequence[tuple[int, float]], selection: Selection
) -> list[int]:
    """Return the places in `sentences`, (passage, logit) each, of those to quote, best first."""
    fused = [logit + selection.search_weight * search_scores[passage] for passage, logit in sentences]
    order = sorted(range(len(fused)), key=lambda place: (-fused[place], place))
    return [
        place for place in order[: selection.quotes] if fused[place] >= fused[order[0]] - selection.margin
    ]
