"""The terms of a query, and which of them texts cover."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["content_words", "uncovered_terms"]

_STOP = frozenset(
    "a an the of in on at to for from by with and or is are was were be been being do does did has have had what "
    "which who whom whose when where why how many much that this these those it its as into than then there their "
    "they he she his her him you your i we our us can could would should may might will not no any some".split()
)
_CONTENT_WORD = re.compile(r"\w[\w'’-]*")
_WORD = re.compile(r"\w+")
_BLANK_SEPARATED = re.compile("[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]+")  # Latin, Greek, Cyrillic


def content_words(text: str) -> list[str]:
    """Return the words of a text in order, stop words left out."""
    return [word for word in _CONTENT_WORD.findall(text) if word.lower() not in _STOP]


def uncovered_terms(question: str, texts: Iterable[str]) -> list[str]:
    """Return the terms of a question that no text covers, in order, each once.

    A term is a word of four letters or with a digit that is no stop word, in a script that separates words by blanks.
    A text covers a term in another form as well: the last three letters may differ where four are left.
    """
    covered = {word for text in texts for word in _WORD.findall(text.casefold())}
    uncovered: dict[str, str] = {}
    for word in _WORD.findall(question):
        plain = word.casefold()
        digits = any(letter.isdigit() for letter in word)
        if plain in _STOP or not _BLANK_SEPARATED.fullmatch(word) or (len(word) < 4 and not digits):
            continue
        stem = plain if digits else plain[: max(4, len(plain) - 3)]
        if plain not in covered and (digits or not any(one.startswith(stem) for one in covered)):
            uncovered.setdefault(plain, word)
    return list(uncovered.values())
