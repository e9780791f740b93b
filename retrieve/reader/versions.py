"""Documents that say the same of different values: which one is in force, by the years that they name.

A fee of 2019 and the same fee of 2024 are both evidence. Both are shown, and the answer is that of the year that the
question names, else of the latest one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from retrieve.episode.episode import Passage

__all__ = ["differ_in_values", "in_force_first"]

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_WORD = re.compile(r"\w+(?:[.,:]\d+)*")
_NUMBER_WORDS = frozenset(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand once twice half noon "
    "midnight".split()
)
_ALIKE = 0.7  # the share of words that two sentences have in common, in order


def differ_in_values(first: str, second: str) -> bool:
    """Whether two sentences are alike but for numbers, in digits or words.

    >>> differ_in_values("The mooring fee is 300 euros.", "The mooring fee is 380 euros.")
    True
    """
    left, right = (_WORD.findall(text.lower()) for text in (first, second))
    if left == right or SequenceMatcher(None, left, right, autojunk=False).ratio() < _ALIKE:
        return False
    numbers = [[word for word in words if _is_number(word)] for words in (left, right)]
    return all(numbers) and numbers[0] != numbers[1]


def _is_number(word: str) -> bool:
    return word in _NUMBER_WORDS or any(mark.isdigit() for mark in word)


def in_force_first(question: str, passages: Sequence[Passage]) -> list[int]:
    """Return the numbers of the passages: those of a year that the question names, then the latest, then as given.

    A passage's years are those of its name, title and headings, else those of its text.
    """
    asked = set(_YEAR.findall(question))

    def order(number: int) -> tuple[bool, int]:
        passage = passages[number]
        years = _YEAR.findall(" ".join((passage.document_id, passage.title, *passage.headings)))
        years = years or _YEAR.findall(passage.text)
        return bool(asked & set(years)), max(map(int, years), default=0)

    return sorted(range(len(passages)), key=order, reverse=True)  # stable, in reverse too
