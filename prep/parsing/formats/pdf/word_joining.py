"""Lines to running text: what stands between two lines of a paragraph, and words that a line's end cut in two.

A hyphen at a line's end goes where it only marks the cut ("applica-tion"); it stays where it belongs to the word
("well-known", "COVID-19"), as far as the document's other words, its parts and letter case tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from prep.parsing.formats.pdf.page_lines import is_cjk

__all__ = ["Vocabulary", "join_lines", "joined", "words_in"]

Vocabulary = Collection[str]

_MAX_WORD_CHARACTERS = 80
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CUT = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)-\Z")
_REST = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_FIRST_PARTS = frozenset("self well half quasi vice".split())
_LAST_PARTS = frozenset(
    "based specific related oriented style aware driven sided friendly defined sized shaped free like term level "
    "only".split()
)
_AND = frozenset("and und et och".split())
_HANGING = _AND | frozenset("or oder ou y o e en of".split())


def words_in(lines: Sequence[str]) -> set[str]:
    """Return the words of lines in lower case, compounds with a hyphen as one, for `joined` to compare with.

    Words that a line's end may have cut are left out.
    """
    found: set[str] = set()
    is_cut = False
    for line in lines:
        words = _WORD.findall(line)
        found.update(words[1:-1])
        if words[1:] and not line.endswith("-"):
            found.add(words[-1])
        if words and not is_cut and (words[1:] or not line.endswith("-")):
            found.add(words[0])
        is_cut = line.endswith("-")
    return {word.lower() for word in found}


def joined(before: str, after: str, vocabulary: Vocabulary = ()) -> tuple[str, str]:
    """Return the first line as it is kept and what stands between the two: a blank, or nothing.

    >>> joined("The applica-", "tion"), joined("a well-", "known man"), joined("first", "second")
    (('The applica', ''), ('a well-', ''), ('first', ' '))
    """
    if before.endswith("\u00ad"):
        return before[:-1], ""
    if not before or not after:
        return before, ""
    if is_cjk(before[-1]) and is_cjk(after[0]):
        return before, ""
    cut = _CUT.search(before, max(len(before) - _MAX_WORD_CHARACTERS, 0)) if before[-1] == "-" else None
    if cut is None:
        is_open = before[-1] in "-‐/" and before[-2:-1].isalnum() and after[0].isalnum()
        return before, "" if is_open else " "
    rest = _REST.match(after)
    if rest is None:
        return before, "" if after[0].isdigit() else " "
    first, last = cut.group(1), rest.group()
    if last in _HANGING and (last in _AND or len(first) < 5 or first.lower() in vocabulary):
        return before, " "  # "pre- and post-war"
    return (before, "") if _keeps_hyphen(first, last, vocabulary) else (before[:-1], "")


def join_lines(lines: Sequence[str], vocabulary: Vocabulary = ()) -> str:
    """Return lines as running text.

    >>> join_lines(["The press is", "lent by the sec-", "retary."])
    'The press is lent by the secretary.'
    """
    parts: list[str] = []
    for line in lines:
        if parts:
            parts[-1], between = joined(parts[-1], line, vocabulary)
            parts.append(between)
        parts.append(line)
    return "".join(parts)


def _keeps_hyphen(first: str, last: str, vocabulary: Vocabulary) -> bool:
    if not last[0].islower() or (first.isupper() and len(first) > 1):
        return True
    low = first.lower()
    if f"{low}{last}".replace("-", "") in vocabulary:
        return False
    if f"{low}-{last}" in vocabulary or "-" in first:
        return True
    if "-" in last:  # "state-of-the-art", cut once
        return low in vocabulary and len(low) > 3
    if (low in _FIRST_PARTS and len(last) > 4) or (last in _LAST_PARTS and low in vocabulary):
        return True
    return len(low) > 3 and len(last) > 3 and low in vocabulary and last in vocabulary
