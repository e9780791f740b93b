"""Which of several reports is given: one that is likely, that its question follows from, and that others agree with.

The likeliest report is often one of several wordings or places that share little, while those less likely share most
(minimum Bayes risk: Kumar and Byrne 2004), and it need not be the one its question is about
(`retrieve.decoding.channel_format`).
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

__all__ = ["Compared", "Comparing", "Told", "agreement", "alternative", "best_of"]

_NO_WORDS = re.compile("|".join(map(re.escape, (*TAGS, *MARKERS))))
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How reports are compared. Weights are of log-probabilities in nats, beside an agreement in 0..1.

    n: reports that are compared, the likeliest there are; 1: none are. sure: a report of at least this probability is
    given without comparing. within: in nats, how much less likely than the greedy report a rival may be. longest: in
    tokens, of reports that are compared; longer ones say several things. likely: weight of the report's own
    log-probability. backwards: of its question's, behind it. also: a rival that points elsewhere is given beside the
    best report where those that do so have at least this share of the probability; 1: none is.
    """

    n: int = 1
    sure: float = 1.0
    within: float = 5.0
    longest: int = 32
    likely: float = 0.2
    backwards: float = 0.2
    also: float = 1.0

    def __post_init__(self) -> None:
        check_counts(self, "n", "longest")
        for name in ("sure", "also"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must lie in 0..1, above 0")
        if min(self.within, self.likely, self.backwards) < 0:
            raise ConfigError(
                f"within={self.within!r}, likely={self.likely!r} and backwards={self.backwards!r} "
                "must not be negative"
            )

    def unsure(self, logprob: float, n_tokens: int) -> bool:
        """Whether a report so likely, of so many tokens, is compared."""
        return self.n > 1 and n_tokens <= self.longest and logprob < math.log(self.sure)


@dataclass(frozen=True, slots=True)
class Told:
    """An episode before its first report, in its two parts: the results, and the question behind them."""

    results: str
    asked: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A report as the model writes it, its log-probability, and that of its question behind it, in nats.

    n_tokens: how long it is.
    """

    text: str
    logprob: float
    backwards: float = 0.0
    n_tokens: int = 0


@lru_cache(maxsize=2**16)
def agreement(one: str, other: str) -> float:
    """Return in 0..1 how far two reports say the same: F1 of their words. Pointers count for nothing."""
    words, others = (
        Counter(_WORD.findall(searchable_words(_NO_WORDS.sub(" ", text)))) for text in (one, other)
    )
    shared = (words & others).total()
    return 2 * shared / max(words.total() + others.total(), 1)


def best_of(reports: Sequence[Compared], config: Comparing) -> int:
    """Return the number of the report to give; of equals the first.

    Agreement is with all reports, itself among them, each weighed by how likely it is among them.
    """
    most = max(report.logprob for report in reports)
    voices = [math.exp(report.logprob - most) for report in reports]

    def worth(report: Compared) -> float:
        agreed = sum(
            voice * agreement(report.text, other.text) for voice, other in zip(voices, reports, strict=True)
        )
        return agreed / sum(voices) + config.likely * report.logprob + config.backwards * report.backwards

    return max(range(len(reports)), key=lambda number: worth(reports[number]))


def alternative(reports: Sequence[Compared], best: int, config: Comparing) -> int | None:
    """Return the number of the report to give beside the best one: the likeliest place that it does not point at.

    How likely one is, is how likely it is before its question and its question behind it; all reports that point at the
    same place speak for it. None where none is likely enough.
    """
    if config.also == 1:
        return None
    likely = [report.logprob + report.backwards for report in reports]
    voices = [math.exp(one - max(likely)) for one in likely]
    places = [frozenset(POINTER.findall(report.text)) for report in reports]
    elsewhere = [number for number, place in enumerate(places) if not place & places[best]]

    def share(number: int) -> float:
        same = (other for other in elsewhere if places[other] & places[number])
        return sum(voices[other] for other in same) / sum(voices)

    found = max(elsewhere, key=lambda number: (share(number), voices[number]), default=None)
    return found if found is not None and share(found) >= config.also else None
