"""What an answer must hold by the form of its question."""

from __future__ import annotations

import pytest

from retrieve.reader.expected_answer import expected_in


@pytest.mark.parametrize(
    ("question", "holds", "lacks"),
    [
        ("How many people work there?", "Nine do.", "Good people do."),
        ("how much is the fee", "It is free.", "It is paid at the desk."),
        ("Since I joined in May, how many days do I get?", "20 days", "The days are paid."),
        ("When was it founded?", "in 1906", "by Irma Solberg"),
        ("When does it open on weekdays?", "It opens at nine.", "It opens at the gate."),
        ("And when can I call them?", "on weekdays until noon", "by telephone"),
    ],
)
def test_a_number_or_a_time(question: str, holds: str, lacks: str) -> None:
    expected = expected_in(question)
    assert expected is not None
    assert expected.search(holds)
    assert not expected.search(lacks)


@pytest.mark.parametrize(
    "question",
    [
        "Who founded it?",
        "How do I leave?",
        "How long is it?",
        "What happens when it is full?",
        "When full, what then?",
    ],
)
def test_other_questions_want_nothing_of_a_form(question: str) -> None:
    assert expected_in(question) is None
