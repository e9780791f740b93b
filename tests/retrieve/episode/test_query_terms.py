"""Words of a question, and what texts say of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieve.episode.query_terms import content_words, uncovered_terms

QUESTION = "Who built the old mill at Ambel in 1893?"


def test_content_words_are_those_that_tell_something() -> None:
    assert content_words(QUESTION) == ["built", "old", "mill", "Ambel", "1893"]
    assert content_words("What is it?") == []


@pytest.mark.parametrize(
    ("question", "texts", "expected"),
    [
        (QUESTION, ["Ambel has old mills.", "It began late."], ["built", "1893"]),
        (QUESTION, ["Ambel has old mills.", "Building began in 1894."], ["1893"]),
        ("How was it opened?", ["The opening."], []),
        ("Mill or MILL, old or older?", [], ["Mill", "older"]),
        ("Napoleon's art of the party", ["the article"], ["Napoleon", "party"]),
        ("Is 12345 the number?", ["the number 1234999"], ["12345"]),
        ("the former mayor", ["information for the mayor"], ["former"]),
        ("谁建了磨坊", ["。"], []),  # words that no blank ends are not told apart
        ("भारत की राजधानी", ["."], []),
    ],
)
def test_unsaid_words_stand_in_no_text_in_no_form(
    question: str, texts: list[str], expected: list[str]
) -> None:
    assert uncovered_terms(question, texts) == expected


@given(st.text(), st.lists(st.text()))
def test_a_text_that_holds_the_question_leaves_nothing(question: str, texts: list[str]) -> None:
    assert uncovered_terms(question, [*texts, question]) == []
