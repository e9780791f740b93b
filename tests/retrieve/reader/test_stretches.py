"""A stretch that announces something is quoted with it."""

from __future__ import annotations

import pytest

from retrieve.episode.episode import Passage
from retrieve.reader.stretches import whole_block

ANNOUNCING = "Restore a file:"


def block(rest: str) -> str:
    text = f"It is easy. {ANNOUNCING}{rest}"
    passage = Passage("a", "Guide", (), 0, len(text), text, 0.5)
    _, start, end = whole_block(
        [passage], 0, text.index(ANNOUNCING), text.index(ANNOUNCING) + len(ANNOUNCING)
    )
    assert text[start:].startswith(ANNOUNCING)
    return text[start + len(ANNOUNCING) : end]


@pytest.mark.parametrize(
    ("announced", "after"),
    [
        ("\n\n```console\n$ get it\n\n$ see it\n```", "\n\nThat is all."),
        ("\n\n    $ get it\n\n    $ see it", "\n\nThat is all. It was easy."),
        (":\n\n  $ get it\n  $ see it", "\n"),
        ("\n\n| a | b |\n|---|---|\n| 1 | 2 |", "\n\nThat is all."),
        ("\n\n- get it\n- see it", "\n\nThat is all."),
        ("\n\nGet it and see it.", " That is all."),
        ("\n  and a line of its own.", "\nThat is all."),
    ],
)
def test_what_a_colon_announces_is_quoted_whole(announced: str, after: str) -> None:
    assert block(announced + after) == announced


def test_nothing_follows() -> None:
    assert block("\n\n") == ""
