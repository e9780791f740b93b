"""Of documents that differ in their values, the one in force comes first."""

from __future__ import annotations

import pytest

from retrieve.episode.episode import Passage
from retrieve.reader.versions import differ_in_values, in_force_first


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ("Guests pay 12 euros a night.", "Guests pay 18 euros a night.", True),
        ("Guests pay 12 euros a night.", "Guests pay 12 euros a night.", False),
        ("Guests pay 12 euros a night.", "The crane lifts 9 tonnes.", False),
        ("Guests pay a little.", "Guests pay a lot.", False),
        ("The branch opens at nine.", "The branch opens at eleven.", True),
        ("The limit is 1.5 GB a day.", "The limit is 2.5 GB a day.", True),
        ("", "", False),
    ],
)
def test_sentences_that_are_alike_but_for_numbers(first: str, second: str, differ: bool) -> None:
    assert differ_in_values(first, second) is differ


def passage(name: str, text: str = "", title: str = "") -> Passage:
    return Passage(name, title, (), 0, len(text), text)


def test_the_year_of_the_question_comes_first_then_the_latest() -> None:
    fees = [passage("fees19.md", title="Fees 2019"), passage("b", title="Fees 2024"), passage("c")]
    assert in_force_first("How much is the fee?", fees) == [1, 0, 2]
    assert in_force_first("How much was the fee in 2019?", fees) == [0, 1, 2]


def test_years_of_the_text_count_where_its_name_has_none() -> None:
    rules = [passage("old", "In force from 2001."), passage("new", "In force from 2015.")]
    assert in_force_first("How long?", rules) == [1, 0]
    named = [passage("rules-2001", "It repeals what was decided in 1999 and 2020 plans."), rules[1]]
    assert in_force_first("How long?", named) == [1, 0]


def test_without_years_nothing_changes() -> None:
    assert in_force_first("How long?", [passage("a"), passage("b"), passage("c")]) == [0, 1, 2]
