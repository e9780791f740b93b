"""Which of several drawn answers the others agree with most: minimum Bayes risk (Kumar and Byrne 2004), by words.

The likeliest answer is often one of several wordings or spans that share little with one another, while those that are
less likely each share most of their words. What is drawn is compared, not what is written down beside it: pointers
count for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from prep.lexical import searchable_words
from retrieve.episode import NONE
from retrieve.tags import MARKERS, TAGS

__all__ = ["agreement", "most_agreed"]

_NO_WORDS = re.compile("|".join(map(re.escape, (*TAGS, *MARKERS))))
_WORD = re.compile(r"\w+")


def agreement(one: str, other: str) -> float:
    """Return in 0..1 how far two reports, as the model writes them, say the same: F1 of their words.

    Refusals agree with refusals alone.
    """
    said, said_by_other = _NO_WORDS.sub(" ", one).strip(), _NO_WORDS.sub(" ", other).strip()
    if NONE in (said, said_by_other):
        return float(said == said_by_other)
    words, others = (Counter(_WORD.findall(searchable_words(text))) for text in (said, said_by_other))
    shared = (words & others).total()
    return 2 * shared / max(words.total() + others.total(), 1)


def most_agreed(reports: Sequence[str], likely: Sequence[float]) -> int:
    """Return the number of the report that agrees most with all but the first; of equals the likeliest.

    reports: the greedy one first, which may be chosen but has no voice, then those drawn. likely: any measure of it.
    """
    voices = Counter(reports[1:])
    worth = {
        report: sum(n * agreement(report, voice) for voice, n in voices.items()) for report in set(reports)
    }
    return max(range(len(reports)), key=lambda number: (worth[reports[number]], likely[number], -number))
