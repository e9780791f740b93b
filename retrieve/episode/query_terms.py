"""The words of a question, and which of them a text says."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["content_words", "unsaid_words"]

_STOP = frozenset(
    "a an the of in on at to for from by with and or is are was were be been being do does did has have had what "
    "which who whom whose when where why how many much that this these those it its as into than then there their "
    "they he she his her him you your i we our us can could would should may might will not no any some".split()
)
_CONTENT_WORD = re.compile(r"\w[\w'’-]*")
_WORD = re.compile(r"\w+")
_CUT_BY_BLANKS = re.compile("[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]+")  # Latin, Greek, Cyrillic


def content_words(text: str) -> list[str]:
    """Return the words of a text but for those that any English text has, in order."""
    return [word for word in _CONTENT_WORD.findall(text) if word.lower() not in _STOP]


def unsaid_words(question: str, texts: Iterable[str]) -> list[str]:
    """Return the telling words of a question that stand in none of the texts, in order, each once.

    Telling: four letters or a digit, and not in any English text. A word stands there in another form, too: its last
    three letters may differ, where four are left. Only words of scripts that put blanks between them.
    """
    there = {word for text in texts for word in _WORD.findall(text.casefold())}
    unsaid: dict[str, str] = {}
    for word in _WORD.findall(question):
        plain = word.casefold()
        digits = any(letter.isdigit() for letter in word)
        if plain in _STOP or not _CUT_BY_BLANKS.fullmatch(word) or (len(word) < 4 and not digits):
            continue
        begins = plain if digits else plain[: max(4, len(plain) - 3)]
        if plain not in there and (digits or not any(one.startswith(begins) for one in there)):
            unsaid.setdefault(plain, word)
    return list(unsaid.values())
