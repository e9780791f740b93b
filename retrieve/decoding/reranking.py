"""Reranking: which of several candidate reports is given, and which one as its alternative.

The likeliest report is often one of several wordings or places that share little, while less likely ones share most
(minimum Bayes risk: Kumar and Byrne 2004), and it need not be the one that explains its question
(`retrieve.decoding.noisy_channel`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from prep.checks import check_counts
from prep.errors import ConfigError
from prep.store.bm25 import searchable_words
from retrieve.lm.special_tokens import MARKERS, POINTER, TAGS

__all__ = ["CandidateReport", "RerankingConfig", "agreement", "alternative", "best_candidate"]

_MARKUP = re.compile("|".join(map(re.escape, (*TAGS, *MARKERS))))
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankingConfig:
    """How candidate reports are reranked. Weights multiply log-probabilities in nats and add to an agreement in 0..1.

    n_candidates: reports that are compared; 1 switches reranking off. sure_probability: a greedy report of at least
    this probability is given as it is. max_logprob_gap: in nats, how much less likely than the greedy report a
    candidate may be. max_tokens: of a report that is reranked; longer ones say several things. report_weight: of the
    report's log-probability. channel_weight: of the channel score. alternative_share: a candidate that points elsewhere
    is given beside the best one where such candidates have at least this share of the probability; 1 gives none.
    """

    n_candidates: int = 1
    sure_probability: float = 1.0
    max_logprob_gap: float = 5.0
    max_tokens: int = 32
    report_weight: float = 0.2
    channel_weight: float = 0.2
    alternative_share: float = 1.0

    def __post_init__(self) -> None:
        check_counts(self, "n_candidates", "max_tokens")
        for name in ("sure_probability", "alternative_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must lie in 0..1, above 0")
        for name in ("max_logprob_gap", "report_weight", "channel_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)!r} must not be negative")

    def reranks(self, logprob: float, n_tokens: int) -> bool:
        """Whether a greedy report of this log-probability and length is reranked."""
        unsure = logprob < math.log(self.sure_probability)
        return self.n_candidates > 1 and n_tokens <= self.max_tokens and unsure


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """A report as the model writes it, its log-probability and its channel score, in nats, and its length."""

    text: str
    logprob: float
    channel_score: float = 0.0
    n_tokens: int = 0


@lru_cache(maxsize=2**16)
def agreement(one: str, other: str) -> float:
    """Return in 0..1 how far two reports say the same: F1 of their words, pointers aside."""
    words, others = (
        Counter(_WORD.findall(searchable_words(_MARKUP.sub(" ", text)))) for text in (one, other)
    )
    shared = (words & others).total()
    return 2 * shared / max(words.total() + others.total(), 1)


def best_candidate(candidates: Sequence[CandidateReport], config: RerankingConfig) -> int:
    """Return the number of the candidate to give; of equals the first.

    A candidate's agreement is the mean over all candidates, itself included, weighted by how likely they are.
    """
    most = max(candidate.logprob for candidate in candidates)
    weights = [math.exp(candidate.logprob - most) for candidate in candidates]

    def worth(candidate: CandidateReport) -> float:
        agreed = sum(
            weight * agreement(candidate.text, other.text)
            for weight, other in zip(weights, candidates, strict=True)
        )
        scores = config.report_weight * candidate.logprob + config.channel_weight * candidate.channel_score
        return agreed / sum(weights) + scores

    return max(range(len(candidates)), key=lambda number: worth(candidates[number]))


def alternative(candidates: Sequence[CandidateReport], best: int, config: RerankingConfig) -> int | None:
    """Return the number of the best one's alternative: the likeliest candidate that points elsewhere.

    A candidate is as likely as the report and its question together; all candidates that point at the same place add
    up. None where no place is likely enough.
    """
    if config.alternative_share == 1:
        return None
    joint = [candidate.logprob + candidate.channel_score for candidate in candidates]
    weights = [math.exp(one - max(joint)) for one in joint]
    places = [frozenset(POINTER.findall(candidate.text)) for candidate in candidates]
    elsewhere = [number for number, place in enumerate(places) if not place & places[best]]

    def share(number: int) -> float:
        same = (other for other in elsewhere if places[other] & places[number])
        return sum(weights[other] for other in same) / sum(weights)

    found = max(elsewhere, key=lambda number: (share(number), weights[number]), default=None)
    return found if found is not None and share(found) >= config.alternative_share else None
