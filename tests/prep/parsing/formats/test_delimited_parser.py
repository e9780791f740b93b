"""CSV and TSV: one line a record, the header known where there is one."""

from __future__ import annotations

import pytest

from prep.parsing.formats.delimited_parser import parse_delimited

HEADED = ["| glaze | cone |", "| --- | --- |", "| celadon | 6 |", "| ash | 10 |"]


@pytest.mark.parametrize(
    "text",
    [
        "glaze,cone\nceladon,6\nash,10\n",
        "glaze;cone\nceladon;6\nash;10",
        "glaze\tcone\nceladon\t6\n\nash\t10\n",
        "glaze|cone\nceladon|6\nash|10\n",
        '"glaze","cone"\n"celadon","6"\n"ash","10"\n',
        "sep=;\nglaze;cone\nceladon;6\nash;10\n",
    ],
)
def test_records_are_rows_whatever_the_delimiter(text: str) -> None:
    assert parse_delimited(text).text.split("\n")[:-1] == HEADED


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("celadon,6\nash,10\n", ["| celadon | 6 |", "| ash | 10 |"]),
        ("a,a\nb,c\n", ["| a | a |", "| b | c |"]),
        ('name,note\nash,"grey, or\nbrown | dark"\n',
         ["| name | note |", "| --- | --- |", "| ash | grey, or brown \\| dark |"]),
        ("name,note,more\nash,grey\n", ["| name | note | more |", "| --- | --- | --- |", "| ash | grey |  |"]),
        ("Glazes of 2031\n\nname,cone\nash,10\n",
         ["Glazes of 2031", "", "| name | cone |", "| --- | --- |", "| ash | 10 |"]),
        (",cone\nash,10\n", ["|  | cone |", "| --- | --- |", "| ash | 10 |"]),
        ("only\none\n", ["| only |", "| --- |", "| one |"]),
    ],
)  # fmt: skip
def test_the_first_record_is_the_header_only_where_it_names_columns(text: str, rows: list[str]) -> None:
    assert parse_delimited(text).text.split("\n")[:-1] == rows


def test_a_quote_that_never_closes_does_not_swallow_the_file() -> None:
    text = 'name,note\n"ash,grey\n' + "iron,red\n" * 500
    assert parse_delimited(text).text.count("| iron | red |") == 500
