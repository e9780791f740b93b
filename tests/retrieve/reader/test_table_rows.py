"""Rows of tables are known by their columns."""

from __future__ import annotations

import pytest

from retrieve.reader.table_rows import find_cell, row_in_words, table_lines

FLEET = """# The fleet

| Boat | Home port | Built |
| --- | :-: | --- |
| Heron | Falmouth | 1962 |
| Petrel |  | 1974 |
| A \\| B | Port | 1 |

Heron | is no row.
"""


def cells(text: str, headings: tuple[str, ...] = ()) -> list[list[tuple[str, str]]]:
    rows, _ = table_lines(text, headings)
    return [[(name, text[start:end]) for name, start, end in row.cells] for row in rows]


def test_a_cell_has_the_name_of_its_column() -> None:
    assert cells(FLEET) == [
        [("Boat", "Heron"), ("Home port", "Falmouth"), ("Built", "1962")],
        [("Boat", "Petrel"), ("Built", "1974")],
        [("Boat", "A \\| B"), ("Home port", "Port"), ("Built", "1")],
    ]


def test_header_and_rule_are_told_apart_from_rows() -> None:
    rows, heads = table_lines(FLEET)
    assert [FLEET[start:end] for start, end in heads] == [
        "| Boat | Home port | Built |",
        "| --- | :-: | --- |",
    ]
    assert [FLEET[row.start : row.end].split()[1] for row in rows] == ["Heron", "Petrel", "A"]


def test_a_passage_that_begins_inside_a_table_takes_its_columns_from_the_headings() -> None:
    text = "| Heron | 1962 |\n| Petrel | 1974 |\n\nText.\n\n| x | y |\n"
    assert cells(text, ("The fleet", "Boat | Built")) == [
        [("Boat", "Heron"), ("Built", "1962")],
        [("Boat", "Petrel"), ("Built", "1974")],
    ]
    assert cells(text) == []


@pytest.mark.parametrize(
    "text", ["", "plain", "a | b", "| --- |", "|---|---|\n| a | b |", "| a |\n| - |\n| b |"]
)
def test_what_is_no_table_has_no_rows(text: str) -> None:
    assert cells(text) == []


def test_two_tables_have_their_own_columns() -> None:
    text = "| a | b |\n|---|---|\n| 1 | 2 |\n\n| c | d |\n|---|---|\n| 3 | 4 |\n"
    assert cells(text) == [[("a", "1"), ("b", "2")], [("c", "3"), ("d", "4")]]


def test_a_row_is_told_with_its_columns_and_a_cell_with_its_row() -> None:
    start = FLEET.index("| Heron")
    assert row_in_words(FLEET, start, start + 26) == "Boat: Heron; Home port: Falmouth; Built: 1962"
    year = FLEET.index("1974")
    assert row_in_words(FLEET, year, year + 4) == "Boat: Petrel; Built: 1974"
    assert row_in_words(FLEET, 0, 8) is None
    assert row_in_words(FLEET, start, year) is None


@pytest.mark.parametrize(
    ("question", "row", "cell"),
    [
        ("What is the home port of the Heron?", "Heron", "Falmouth"),
        ("When was the Petrel built?", "Petrel", "1974"),
        ("Which boat was built in 1962?", "Heron", "Heron"),
        ("How old is the Heron?", "Heron", None),
        ("Which boat of 1962 has Falmouth as its home port?", "Heron", "Heron"),
        ("Where are the Heron and the Petrel?", None, None),
        ("Which boats are there?", None, None),
    ],
)
def test_a_question_names_a_row_and_a_column(question: str, row: str | None, cell: str | None) -> None:
    found = find_cell(question, FLEET)
    assert (found is None) is (row is None)
    if found is not None:
        assert FLEET[found[0].start : found[0].end].split()[1] == row
        assert (found[1] and FLEET[found[1][1] : found[1][2]]) == cell


def test_a_column_is_named_by_one_of_its_words() -> None:
    text = "| For | Friday | Saturday and Sunday |\n|---|---|---|\n| Adults | 3 crowns | 4 crowns |\n| Dogs | 1 | 2 |"
    found = find_cell("What does a ticket for adults cost on Saturday?", text)
    assert found is not None
    assert found[1] is not None
    assert text[found[1][1] : found[1][2]] == "4 crowns"


def test_many_bars_are_read_in_linear_time() -> None:
    assert cells("|" * 200_000) == []
    assert cells("| - " * 50_000) == []
