"""Metrics of answers: EM, F1, citations, abstention.

EM and F1 are SQuAD's (Rajpurkar et al., 2016): lower case, no punctuation, no articles, bags of words, the
best over the accepted answers. For Chinese and Japanese they are CMRC 2018's (Cui et al., 2019): each such
character is a token, Latin words and numbers stay whole, and F1 is that of the longest common run of tokens.

Citations are judged by overlap: a quote supports the answer if it shares a code point with labelled evidence.
Averaging over questions, and what counts for which question, is written in `training.evaluation.answers_suite`.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from prep.document import Span
from training.metrics.chunking_metrics import merge

__all__ = [
    "ALTERNATIVE_KINDS",
    "AbstentionScores",
    "abstention_scores",
    "citation_precision",
    "citation_recall",
    "exact_match",
    "f1",
    "has_cjk",
    "normalise_answer",
    "says",
]

# In these kinds every evidence span is another annotator's view of the same answer: one is enough.
ALTERNATIVE_KINDS = frozenset({"factoid"})

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_HAS_CJK = re.compile(f"[{_CJK}]")
_CJK_TOKEN = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def normalise_answer(text: str) -> str:
    """Return the text in lower case without ASCII punctuation, articles and repeated blanks (SQuAD's rules).

    >>> normalise_answer("The  Beyoncé-Tour!")
    'beyoncétour'
    """
    kept = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def has_cjk(*texts: str) -> bool:
    """Whether any of the texts holds a Chinese or Japanese character."""
    return any(_HAS_CJK.search(text) for text in texts)


def says(text: str, answer: str) -> bool:
    """Whether a text holds an answer word for word: as whole words, or as characters of a script without blanks.

    >>> says("It was found in 1906.", "1906"), says("It was found in 19061.", "1906"), says("發現於1906年。", "1906")
    (True, False, True)
    """
    wanted, held = (f" {' '.join(_words(part))} " for part in (answer, text))
    return bool(wanted.strip()) and wanted in held


def _words(text: str) -> list[str]:
    """Return the normalised text's words, each character of a script without blanks by itself, without any marks."""
    plain = "".join(" " if unicodedata.category(mark)[0] == "P" else mark for mark in normalise_answer(text))
    return _CJK_TOKEN.findall(plain)


def exact_match(prediction: str, answers: Sequence[str], *, by_character: bool | None = None) -> float:
    """Return 1.0 if the normalised prediction equals a normalised accepted answer, else 0.0.

    by_character: use CMRC's rules instead of SQuAD's; None: where an accepted answer has CJK characters.
    """
    normalise = _normalise_cjk if _chosen(by_character, answers) else normalise_answer
    return float(any(normalise(prediction) == normalise(answer) for answer in answers))


def f1(prediction: str, answers: Sequence[str], *, by_character: bool | None = None) -> float:
    """Return the best F1 of the prediction over the accepted answers, in 0..1; 0.0 where there are none.

    by_character: as in `exact_match`.

    >>> f1("in the city of Paris", ["Paris"])
    0.4
    """
    score = _f1_cjk if _chosen(by_character, answers) else _f1_words
    return max((score(prediction, answer) for answer in answers), default=0.0)


def citation_precision(quotes: Sequence[Span], evidence: Sequence[Span]) -> float:
    """Return the share of the quotes that overlap evidence; 0.0 without quotes (nothing is supported)."""
    supported = sum(any(quote.overlaps(span) for span in evidence) for quote in quotes)
    return supported / len(quotes) if quotes else 0.0


def citation_recall(quotes: Sequence[Span], evidence: Sequence[Span], *, alternatives: bool) -> float:
    """Return the share of the evidence that is quoted, counted in passages; 0.0 without evidence.

    A passage is a maximal run of overlapping or touching evidence spans; it is quoted if a quote overlaps it.
    alternatives: the spans are different views of one answer, so that one quoted passage makes 1.0.
    """
    passages = [Span(d, start, end) for d, ranges in merge(evidence).items() for start, end in ranges]
    found = sum(any(quote.overlaps(passage) for quote in quotes) for passage in passages)
    if not passages:
        return 0.0
    return float(found > 0) if alternatives else found / len(passages)


@dataclass(frozen=True, slots=True)
class AbstentionScores:
    """Precision, recall and F1 of abstaining, where abstaining is right on unanswerable questions only."""

    precision: float
    recall: float
    f1: float


def abstention_scores(abstained: Sequence[bool], unanswerable: Sequence[bool]) -> AbstentionScores:
    """Score abstentions; a share of nothing is 0.0."""
    right = sum(a and u for a, u in zip(abstained, unanswerable, strict=True))
    precision = right / sum(abstained) if any(abstained) else 0.0
    recall = right / sum(unanswerable) if any(unanswerable) else 0.0
    harmonic = 2 * precision * recall / (precision + recall) if right else 0.0
    return AbstentionScores(precision, recall, harmonic)


def _chosen(by_character: bool | None, answers: Sequence[str]) -> bool:
    return has_cjk(*answers) if by_character is None else by_character


def _f1_words(prediction: str, answer: str) -> float:
    predicted, accepted = normalise_answer(prediction).split(), normalise_answer(answer).split()
    if not predicted or not accepted:
        return float(predicted == accepted)
    return _harmonic((Counter(predicted) & Counter(accepted)).total(), len(predicted), len(accepted))


def _f1_cjk(prediction: str, answer: str) -> float:
    predicted, accepted = _cjk_tokens(prediction), _cjk_tokens(answer)
    if not predicted or not accepted:
        return float(predicted == accepted)
    longest = 0
    previous = [0] * (len(accepted) + 1)
    for token in predicted:
        current = [0] * (len(accepted) + 1)
        for j, other in enumerate(accepted):
            if token == other:
                current[j + 1] = previous[j] + 1
        longest = max(longest, *current)
        previous = current
    return _harmonic(longest, len(predicted), len(accepted))


def _harmonic(shared: int, n_predicted: int, n_accepted: int) -> float:
    # 2PR / (P + R) with P = shared / predicted and R = shared / accepted.
    return 2 * shared / (n_predicted + n_accepted)


def _normalise_cjk(text: str) -> str:
    return "".join(_cjk_tokens(text))


def _cjk_tokens(text: str) -> list[str]:
    """Return CJK characters one by one and other words whole, lower case, without punctuation and symbols."""
    kept = "".join(c for c in text.lower() if unicodedata.category(c)[0] not in "PS")
    return _CJK_TOKEN.findall(kept)
