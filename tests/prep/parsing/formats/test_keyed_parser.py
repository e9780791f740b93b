"""JSON, JSON Lines and XML: every value under the keys that lead to it."""

from __future__ import annotations

import json

import pytest

from prep.parsing.formats.keyed_parser import parse_json, parse_json_lines, parse_xml
from prep.parsing.parsed import UnreadableError

LONG = "The kiln is opened only when it is cool to the hand. " * 30


def test_small_values_are_a_list_and_large_ones_stand_under_their_keys() -> None:
    value = {
        "title": "North kiln",
        "doors": {"front": {"open": False, "tags": ["a", "b"]}},
        "care": {"daily": LONG, "cone": 6},
    }
    parsed = parse_json(json.dumps(value))
    assert parsed.title == "North kiln"
    assert parsed.text.split("\n")[:-1] == [
        "- title: North kiln", "- doors:", "  - front:", "    - open: false", "    - tags: a, b", "",
        "# care", "", "- cone: 6", "", "## daily", "", LONG.strip(),
    ]  # fmt: skip


def test_records_with_the_same_short_fields_are_a_table() -> None:
    records = [{"glaze": "ash", "cone": 10}, {"glaze": "celadon", "cone": 6, "colours": ["green", "grey"]}]
    rows = [
        "| glaze | cone | colours |",
        "| --- | --- | --- |",
        "| ash | 10 |  |",
        "| celadon | 6 | green, grey |",
    ]
    assert parse_json(json.dumps(records)).text.split("\n")[:-1] == rows
    assert parse_json_lines("\n".join(map(json.dumps, records))).text.split("\n")[:-1] == rows


def test_long_records_stand_under_their_names() -> None:
    records = [{"id": "k-1", "text": LONG}, {"question": "How hot?", "text": LONG + "x"}]
    lines = parse_json_lines("\n".join(map(json.dumps, records))).text.split("\n")
    assert [line for line in lines if line.startswith("# ")] == ["# k-1", "# How hot?"]


def test_elements_are_keys_and_entities_stay_closed() -> None:
    xml = b"""<?xml version="1.0"?><!DOCTYPE k [<!ENTITY e SYSTEM "file:///etc/passwd">]>
    <kilns><!-- # draft --><name>North</name><kiln id="a"><cone>6</cone></kiln><kiln id="b"><cone>10</cone></kiln>
    <note>Wait <b>an hour</b> here &e;.</note></kilns>"""
    text = parse_xml(xml).text
    assert "- name: North" in text
    assert "- note: Wait an hour here" in text
    assert "# kiln\n\n| id | cone |\n| --- | --- |\n| a | 6 |\n| b | 10 |\n" in text
    assert "root:" not in text
    assert "draft" not in text
    assert (
        "| id | cone |" in parse_xml(b"<k><i id='a'><cone>6</cone></i><i id='b'><cone>9</cone></i></k>").text
    )


@pytest.mark.parametrize("text", ["{", "nothing", '{"a": 1}\n{'])
def test_what_is_no_json_is_rejected(text: str) -> None:
    with pytest.raises(UnreadableError, match="is no JSON"):
        parse_json(text)


@pytest.mark.parametrize(
    "data", [b"<a>", b"text", b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;<a>']
)
def test_what_is_no_xml_is_rejected(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="is no XML"):
        parse_xml(data)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"a":' * 300 + '"' + "b" * 2000 + '"' + "}" * 300]
)
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(UnreadableError, match="nested too deeply"):
        parse_json(text)
