"""The reward of an answer: a pure function of its judged row, in bands that cannot overlap.

    0.0          malformed (no report came to be)
    0.1 - 0.2    wrong: an answer that is not close, or any answer where the sources hold none
    0.3          abstained though the sources hold the answer
    0.4 - 0.7    partly right
    0.8 - 1.0    right: a close answer, or abstaining where nothing else is right

Within a band, citations and F1 decide. A broad question has no short answer to be close to: its report is wrong where
no quote touches the evidence, partly right where most do not or no finding says anything, and right otherwise: the
better, the more it quotes of the evidence, the less of anything else, and the more of its findings say something that
those before have not said. A price for tokens and searches is subtracted, smaller than the gap between two bands. The
reward reads the judged row of evaluation (`training.metrics.results.AnswerRow`), never the episode's text, so that no
document can raise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prep.errors import ConfigError
from prep.store.bm25 import searchable_words
from retrieve.episode.query_terms import content_words
from training.metrics.results import CORRECT_F1, AnswerRow

__all__ = ["BROAD_KINDS", "MALFORMED", "Prices", "is_right", "reward"]

BROAD_KINDS = frozenset({"long", "section", "clause"})  # of questions that ask for more than a short answer

MALFORMED = 0.0
_WRONG, _ABSTAINED, _PARTLY, _RIGHT = 0.1, 0.3, 0.4, 0.8
_PARTLY_F1 = 0.3  # below it an answer is wrong
_FEWEST_WORDS = 4  # content words: a statement with fewer new ones is no finding on a broad question
_ENOUGH_QUOTES = 4  # of the evidence: more raise the reward no further
_GAP = 0.1  # between bands; prices stay below it


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices for each generated token and each search after the first. most: the largest sum subtracted."""

    token: float = 0.0005
    search: float = 0.02
    most: float = 0.08

    def __post_init__(self) -> None:
        if min(self.token, self.search, self.most) < 0 or self.most >= _GAP:
            raise ConfigError(f"prices must not be negative, and most={self.most!r} must stay below {_GAP}")


def reward(row: AnswerRow, prices: Prices | None = None) -> float:
    """Return the reward of a judged answer, from 0 to 1.

    >>> from training.metrics.results import AnswerRow
    >>> kept = dict(question_id="q", document_id="d", kind="", prediction="", statements=(), exact_match=0.0,
    ...     n_quotes=0, n_inexact_quotes=0, quoted_characters=0, supported=False, prompt_tokens=9, seconds=0.0)
    >>> none = AnswerRow(expects_answer=False, withheld=True, abstained=True, f1=0.0, citation_precision=0.0,
    ...     citation_recall=0.0, completion_tokens=4, n_searches=1, **kept)
    >>> reward(none)
    0.998
    """
    prices = prices or Prices()
    cost = prices.token * row.completion_tokens + prices.search * max(row.n_searches - 1, 0)
    return max(_band(row) - min(cost, prices.most), MALFORMED)


def is_right(row: AnswerRow) -> bool:
    """Whether a judged answer is in the highest band."""
    return _band(row) >= _RIGHT


def _band(row: AnswerRow) -> float:
    cited = _harmonic(row.citation_precision, row.citation_recall)
    if not row.expects_answer:
        return 1.0 if row.abstained else _WRONG
    if row.abstained:
        return _ABSTAINED
    if row.kind in BROAD_KINDS:
        return _broad_reward(row)
    if row.f1 < _PARTLY_F1:
        return _WRONG + 0.1 * cited
    if row.f1 < CORRECT_F1:
        close = (row.f1 - _PARTLY_F1) / (CORRECT_F1 - _PARTLY_F1)
        return _PARTLY + 0.15 * close + 0.15 * cited
    return _RIGHT + 0.1 * (row.f1 - CORRECT_F1) / (1 - CORRECT_F1) + 0.1 * cited


def _broad_reward(row: AnswerRow) -> float:
    quotes = row.citation_precision * row.n_quotes
    if quotes == 0:
        return _WRONG
    new = _new_words(row.statements)
    informative = sum(n >= _FEWEST_WORDS for n in new) / len(new)
    if row.citation_precision < CORRECT_F1 or informative == 0:
        return _PARTLY + 0.15 * row.citation_precision + 0.15 * min(max(new) / _FEWEST_WORDS, 1)
    return _RIGHT + 0.2 * row.citation_precision * informative * min(quotes / _ENOUGH_QUOTES, 1)


def _new_words(statements: Sequence[str]) -> list[int]:
    """Return for each statement how many content words it adds to those before it."""
    said: set[str] = set()
    counts = []
    for statement in statements:
        words = set(content_words(searchable_words(statement)))
        counts.append(len(words - said))
        said |= words
    return counts


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
