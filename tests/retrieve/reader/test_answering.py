"""What the reader alone answers: made of what is quoted, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prep.document import Span
from retrieve.episode.episode import Passage
from retrieve.reader.answer_types import ANSWER_TYPES, AnswerType
from retrieve.reader.answering import ReaderAnswer, answer_from
from retrieve.reader.reader import AnswerSpan, EvidenceSentence, Reading
from retrieve.reader.selection import Selection

HOURS = "Open from nine to five. Closed on Mondays."
LIST = "Bring these:\n- a ticket\n- a coat\n\nThe tower is old."
PASSAGES = [
    Passage("a", "Museum", (), 10, 10 + len(HOURS), HOURS, 0.5),
    Passage("b", "Visit", (), 0, len(LIST), LIST, 0.4),
]


def reading(kind: AnswerType, *sentences: tuple[int, str], confidence: float = 0.9) -> Reading:
    texts = [HOURS, LIST]
    found = tuple(
        EvidenceSentence(
            number, texts[number].index(said), texts[number].index(said) + len(said), 3.0 - place
        )
        for place, (number, said) in enumerate(sentences)
    )
    at = HOURS.index("nine to five")
    spans = (AnswerSpan(1, 0, 5, 0.6), AnswerSpan(0, at, at + len("nine to five"), 0.3))
    types = {name: float(name == kind) for name in ANSWER_TYPES}
    return Reading(np.array([2.0, 1.0], dtype=np.float32), found, spans, types, confidence)


def answered(kind: AnswerType, *sentences: tuple[int, str], confidence: float = 0.9) -> ReaderAnswer:
    selection = Selection(search_weight=0, quotes=2, margin=5)
    found = reading(kind, *sentences, confidence=confidence)
    return answer_from("What?", found, PASSAGES, selection, threshold=0.5)


def test_a_fact_is_the_best_span_that_stands_in_a_quote() -> None:
    answer = answered("span", (0, "Open from nine to five."))
    assert (answer.answer, answer.statement) == ("nine to five", "Open from nine to five.")
    assert answer.quotes == (Span("a", 10, 33),)
    assert answer.passages == (0, 1)


def test_a_fact_without_a_span_is_its_sentence() -> None:
    answer = answered("span", (0, "Closed on Mondays."))
    assert answer.answer == answer.statement == "Closed on Mondays."


def test_yes_and_no_come_with_what_decides() -> None:
    answer = answered("no", (0, "Closed on Mondays."))
    assert (answer.answer, answer.statement) == ("No", "No. Closed on Mondays.")


def test_no_word_is_said_where_yes_and_no_are_as_likely() -> None:
    found = reading("yes", (0, "Closed on Mondays."))
    doubtful = replace(found, types={**found.types, "yes": 0.5, "no": 0.4})
    answer = answer_from("Is it open?", doubtful, PASSAGES, Selection(search_weight=0), threshold=0.5)
    assert (answer.answer_type, answer.answer) == ("statement", "Closed on Mondays.")


def test_a_list_is_told_whole() -> None:
    for said in ("Bring these:", "- a coat"):
        answer = answered("list", (1, said))
        assert answer.statement == "Bring these:\n- a ticket\n- a coat"
        assert answer.answer == "a ticket; a coat"
        assert answer.quotes == (Span("b", 0, len("Bring these:\n- a ticket\n- a coat")),)


def test_a_statement_is_told_with_its_neighbours_and_no_heading() -> None:
    text = "# Cats\nCats purr. They sleep. They hunt mice. All night.\n\n## Dogs\nDogs bark."
    passage = Passage("c", "Pets", (), 7, 7 + len(text), text, 0.5)
    for said, told in (
        ("They sleep.", "Cats purr. They sleep. They hunt mice."),
        ("Cats purr.", "Cats purr. They sleep."),
        ("All night.", "They hunt mice. All night."),
        ("Dogs bark.", "Dogs bark."),
    ):
        at = text.index(said)
        sentence = EvidenceSentence(0, at, at + len(said), 3.0)
        types = {name: float(name == "statement") for name in ANSWER_TYPES}
        found = Reading(np.array([1.0], dtype=np.float32), (sentence,), (), types, 0.9)
        answer = answer_from("What?", found, [passage], Selection(), threshold=0.5)
        assert (answer.answer, answer.statement) == (said, told)
        assert answer.quotes == (Span("c", 7 + text.index(told), 7 + text.index(told) + len(told)),)


def test_documents_that_differ_are_both_told_the_one_in_force_first() -> None:
    texts = {"Fees 2019": "Guests pay 12 euros a night.", "Fees 2024": "Guests pay 18 euros a night."}
    fees = [Passage(title, title, (), 0, len(text), text, 0.5) for title, text in texts.items()]
    sentences = tuple(EvidenceSentence(n, 0, len(one.text), 3.0 - n) for n, one in enumerate(fees))
    spans = tuple(AnswerSpan(n, one.text.index("1"), one.text.index(" a"), 0.4) for n, one in enumerate(fees))
    types = {name: float(name == "span") for name in ANSWER_TYPES}
    found = Reading(np.array([1.0, 1.0], dtype=np.float32), sentences, spans, types, 0.9)
    for question, answer, first in (
        ("What do guests pay?", "18 euros", "Fees 2024"),
        ("What did guests pay in 2019?", "12 euros", "Fees 2019"),
    ):
        told = answer_from(question, found, fees, Selection(), threshold=0.5)
        second = ({*texts} - {first}).pop()
        assert told.answer == answer
        assert told.statement == f"{first}: {texts[first]} {second}: {texts[second]}"
        assert [quote.document_id for quote in told.quotes] == [first, second]
        assert told.is_final


def test_a_cell_that_is_asked_for_by_row_and_column_is_looked_up() -> None:
    text = "| Boat | Built |\n|---|---|\n| Heron | 1962 |\n| Petrel | 1974 |"
    table = Passage("fleet", "The fleet", (), 5, 5 + len(text), text, 0.5)
    at = text.index("| Heron")
    sentence = EvidenceSentence(0, at, text.index("\n| Petrel"), 3.0)
    types = {name: float(name == "statement") for name in ANSWER_TYPES}
    for question, confidence, answer in (
        ("When was the Petrel built?", 0.9, "1974"),
        ("When was the Petrel built?", 0.1, "1974"),  # it asks for nothing that the row does not say
        ("When was the Petrel's anchor built?", 0.1, None),
        ("When was the Dunlin built?", 0.1, None),
    ):
        found = Reading(np.array([1.0], dtype=np.float32), (sentence,), (), types, confidence)
        told = answer_from(question, found, [table], Selection(), threshold=0.5)
        assert told.answer == answer
        if answer is not None:
            assert told.statement == "Boat: Petrel; Built: 1974"
            assert told.quotes == (Span("fleet", 5 + text.index("| Petrel"), 5 + len(text)),)
            assert told.is_final


def test_when_and_how_many_want_a_time_and_a_number() -> None:
    selection = Selection(search_weight=0, quotes=1)
    found = reading("span", (0, "Open from nine to five."))
    assert answer_from("How many hours?", found, PASSAGES, selection, threshold=0.5).answer == "nine to five"
    found = reading("span", (1, "- a coat"))
    assert answer_from("How many coats?", found, PASSAGES, selection, threshold=0.5).abstained
    assert answer_from("When is it open?", found, PASSAGES, selection, threshold=0.5).abstained
    assert not answer_from("What is it?", found, PASSAGES, selection, threshold=0.5).abstained


def test_an_item_is_told_with_the_whole_list_unless_yes_or_no_is_asked_for() -> None:
    found = reading("statement", (1, "- a coat"))
    selection = Selection(search_weight=0, quotes=1)
    answer = answer_from("What do I need?", found, PASSAGES, selection, threshold=0.5)
    assert (answer.answer_type, answer.answer) == ("list", "a ticket; a coat")
    answer = answer_from("Do I need a coat?", found, PASSAGES, selection, threshold=0.5)
    assert (answer.answer_type, answer.answer) == ("statement", "- a coat")
    assert "- a ticket" in (answer.statement or "")


def test_a_heading_is_no_part_of_a_list() -> None:
    text = "## Bring\n\n- a ticket\n- a coat"
    passage = Passage("b", "Visit", (), 0, len(text), text, 0.5)
    for said in ("- a ticket", "- a coat"):
        sentence = EvidenceSentence(0, text.index(said), text.index(said) + len(said), 3.0)
        types = {name: float(name == "list") for name in ANSWER_TYPES}
        found = Reading(np.array([1.0], dtype=np.float32), (sentence,), (), types, 0.9)
        answer = answer_from("What do I need?", found, [passage], Selection(), threshold=0.5)
        assert answer.statement == "- a ticket\n- a coat"


def test_what_lies_in_a_quote_is_not_quoted_again() -> None:
    answer = answered("list", (1, "Bring these:"), (1, "- a coat"))
    assert len(answer.quotes) == 1


def test_what_is_not_sure_is_refused_and_passages_are_given() -> None:
    answer = answered("span", (0, "Closed on Mondays."), confidence=0.4)
    assert answer == replace(answer, answer=None, statement=None, answer_type=None, quotes=())
    assert answer.abstained
    assert answer.passages == (0, 1)


def test_of_a_table_the_row_that_holds_most_of_the_question_is_told() -> None:
    text = "| Town | Part | Pieces |\n|---|---|---|\n| Ulm | Bolt | 9 |\n| Ulm | Valve | 4 |\n| Bonn | Valve | 7 |"
    passage = Passage("a", "Stock", (), 0, len(text), text, 0.5)

    def told(question: str, said: str, kind: AnswerType = "statement") -> ReaderAnswer:
        at = text.index(said)
        found = replace(reading(kind), sentences=(EvidenceSentence(0, at, at + len(said), 3.0),), spans=())
        found = replace(found, relevance=np.array([2.0], dtype=np.float32))
        return answer_from(question, found, [passage], Selection(), threshold=0.5)

    wrong = told("How many valves do they keep in Ulm?", "| Ulm | Bolt | 9 |")
    assert wrong.statement == "Town: Ulm; Part: Valve; Pieces: 4"
    assert [text[one.start : one.end] for one in wrong.quotes] == ["| Ulm | Valve | 4 |"]
    several = told("Which parts do they keep in Ulm?", "| Ulm | Bolt | 9 |", "list")
    assert several.statement is not None
    assert "Bolt" in several.statement
    assert "Bonn" in several.statement
