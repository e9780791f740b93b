"""An episode told backwards: the report stands before its question, and what is measured is the question.

    <results>
    Title › Heading
    ⟦1⟧ First sentence.⟦2⟧ Second sentence.
    </results>
    <report> short answer⟦2⟧</report>
    <question>…</question>

The probability of the question behind a report says how well the report explains it: an answer of the wrong kind, or
from a sentence about something else, makes the question unlikely (a noisy channel: Shannon 1948; for answering, Lewis
and Fan 2019, https://openreview.net/forum?id=Bkx0RjA9tX). The results come first in both orders, so they are read once.
"""

from __future__ import annotations

from retrieve.lm.special_tokens import TAGS

__all__ = ["told_backwards"]

_BEGIN, _END = TAGS[0], TAGS[1]


def told_backwards(asked: str, report: str) -> tuple[str, str]:
    """Return what stands behind the results: the report as it is given, and the question, which is measured.

    asked: the question's part of an episode, `<question>…</question>` and the end of its line. report: the action.
    """
    question = asked.strip()
    if not (question.startswith(_BEGIN) and question.endswith(_END)):
        raise ValueError(f"no question of an episode: {asked!r}")
    return f"{report.strip()}\n{_BEGIN}", question.removeprefix(_BEGIN)
