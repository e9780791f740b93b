"""What stands between two lines of a paragraph, and words that a line's end cut."""

from __future__ import annotations

import pytest

from prep.parsing.formats.pdf.word_joining import join_lines, words_in


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["The applica-", "tion"], "The application"),
        (["gar\u00ad", "den"], "garden"),
        (["pre- and post-", "war"], "pre- and postwar"),
        (["long- and", "short-term"], "long- and short-term"),
        (["Vor-", "und Nachteile"], "Vor- und Nachteile"),
        (["COVID-", "19"], "COVID-19"),
        (["Baden-", "Württemberg"], "Baden-Württemberg"),
        (["state-of-the-", "art"], "state-of-the-art"),
        (["read-", "only"], "readonly"),  # until the document says "read" elsewhere
        (["he said -", "and went"], "he said - and went"),
        (["我们全员", "志愿者"], "我们全员志愿者"),
        (["see https://weirs.example/", "rules"], "see https://weirs.example/rules"),
    ],
)  # fmt: skip
def test_lines_are_joined_as_they_are_read(lines: list[str], text: str) -> None:
    assert join_lines(lines) == text


def test_the_document_s_own_words_tell_a_compound_from_a_cut() -> None:
    vocabulary = words_in(["You may read only this.", "The lighthouse keeper", "a well-kept mother-in-law"])
    assert join_lines(["read-", "only"], vocabulary) == "read-only"
    assert join_lines(["light-", "house"], vocabulary) == "lighthouse"
    assert join_lines(["well-", "kept"], vocabulary) == "well-kept"


def test_parts_of_words_are_no_words() -> None:
    assert words_in(["The applica-", "tion reached us"]) == {"the", "reached", "us"}


def test_a_long_paragraph_is_joined_in_time_that_grows_with_its_length() -> None:
    lines = ["cut-"] * 200_000
    assert len(join_lines(lines)) < 800_001
