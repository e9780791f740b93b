"""The content of a report: what is always true of it, and that JSON keeps it whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fixture_report import ASIDE, QUOTE, TEXT, USAGE, USED, answered, withheld
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.errors import DataError
from retrieve.report.data import SCHEMA, Finding, Quote, Source
from retrieve.report.report import Report


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "needs an id"),
        ({"answer": None}, "abstained=False"),
        ({"abstained": True}, "abstained=True"),
        ({"answer": " \n"}, "blank"),
        ({"answer": None, "abstained": True}, "1 findings"),
        ({"findings": [], "sources": [USED]}, "used, not quoted"),
        ({"findings": [Finding("perhaps", [QUOTE], alternative=True)]}, "alternatives alone"),
        ({"sources": [ASIDE]}, "no source marked used"),
        ({"sources": [replace(USED, used=False)]}, "no source marked used"),
        ({"sources": [replace(USED, document_id="other.md")]}, "no source marked used"),
        ({"sources": [USED, replace(ASIDE, used=True)]}, "used, not quoted"),
        ({"created": "yesterday"}, "ISO 8601"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        answered(**changes)


def test_a_report_that_abstains_uses_no_source() -> None:
    assert withheld().abstained
    with pytest.raises(DataError, match="used, not quoted"):
        withheld(sources=[USED])


@pytest.mark.parametrize(("start", "end"), [(0, 5), (100, 137), (-3, 33), (5, 5)])
def test_a_quote_whose_offsets_do_not_fit_its_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(DataError, match=r"safe\.md"):
        Quote("safe.md", start, end, TEXT)


def test_offsets_are_code_points_and_not_bytes() -> None:
    assert Quote("d", 2, 6, "日本🙂é").end == 6


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "n_searches", "seconds"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_usage_is_finite_and_never_negative(field: str, value: float) -> None:
    with pytest.raises(DataError, match=field):
        replace(USAGE, **{field: value})


def test_a_finding_without_quotes_is_not_supported() -> None:
    assert Finding("so it is", [QUOTE]).supported
    assert not Finding("so it is said", []).supported
    with pytest.raises(DataError, match="blank"):
        Finding("  ", [QUOTE])


def test_the_breadcrumb_of_a_source_names_the_title_once_and_falls_back_on_the_id() -> None:
    assert USED.breadcrumb == USED.distinct_breadcrumb == ("Safes", "Opening")
    assert replace(USED, title="Manual").breadcrumb == ("Manual", "Safes", "Opening")
    assert replace(USED, distinct_path="old/safe.md").distinct_breadcrumb == (
        "Safes (old/safe.md)",
        "Opening",
    )
    assert ASIDE.breadcrumb == replace(ASIDE, distinct_path="x").distinct_breadcrumb == ("garden.md",)


def test_titles_that_several_sources_have_are_told_where_one_is_quoted() -> None:
    old = replace(USED, document_id="old.md", used=False, path="a/old.md", distinct_path="old.md")
    used = replace(USED, path="a/safe.md", distinct_path="safe.md")
    assert answered(sources=[used, old, ASIDE]).shared_titles == {"Safes": ["safe.md", "old.md"]}
    assert answered(sources=[used, replace(used, start=200, end=210, used=False)]).shared_titles == {}
    assert withheld(sources=[old, replace(used, used=False)]).shared_titles == {}
    near = [replace(source, used=False, text="A safe.") for source in (old, used)]
    assert withheld(sources=near).shared_titles == {"Safes": ["old.md", "safe.md"]}


def test_a_report_that_was_stored_without_places_is_read() -> None:
    values = answered().to_dict()
    for row in (*values["findings"][0]["quotes"], *values["sources"]):
        for name in ("page", "section", "path", "distinct_path"):
            row.pop(name, None)
    del values["where"]
    read = Report.from_dict(json.loads(json.dumps(values)))
    assert read == answered()
    assert (read.quotes[0].page, read.quotes[0].section, read.quotes[0].path) == (None, (), "")


def test_a_report_gets_the_time_it_was_made() -> None:
    assert answered().created.endswith("+00:00")


def test_json_carries_the_schema_and_keeps_every_field() -> None:
    report = answered(models={"prep": "p1"}, generation="g1", note="in haste")
    values = json.loads(report.to_json(indent=2))
    assert values["schema"] == SCHEMA
    assert values["findings"][0]["quotes"][0] == {
        "document_id": "safe.md",
        "start": 100,
        "end": 136,
        "text": TEXT,
        "page": None,
        "section": [],
        "path": "",
    }
    assert Report.from_json(report.to_json()) == report
    assert Report.from_json(report.to_json().encode()) == report


texts = st.text(st.characters(), min_size=1).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    texts,
    texts,
    texts,
    st.lists(texts, max_size=3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
def test_json_round_trips_any_text(
    question: str, answer: str, quote: str, searches: list[str], score: float, abstained: bool
) -> None:
    cited = Quote(quote, 7, 7 + len(quote), quote)
    source = Source(quote, answer, (question,), 0, 7 + len(quote), score, not abstained)
    report = Report(
        question,
        question,
        None if abstained else answer,
        abstained,
        [] if abstained else [Finding(answer, [cited])],
        searches,
        [source],
        USAGE,
    )
    text = report.to_json()
    text.encode()
    assert Report.from_json(text) == report


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"schema": 99}',
        '{"schema": 1}',
        '{"schema": 1, "findings": 3}',
        b"\xff\xfe\x00",
    ],
)
def test_json_that_is_no_report_is_refused(text: str | bytes) -> None:
    with pytest.raises(DataError):
        Report.from_json(text)


def test_json_with_an_unknown_or_broken_field_is_refused() -> None:
    values = answered().to_dict()
    with pytest.raises(DataError):
        Report.from_dict({**values, "surprise": 1})
    values["findings"][0]["quotes"][0]["end"] += 1
    with pytest.raises(DataError, match="code points"):
        Report.from_dict(values)


def test_source_of_a_quote_is_the_passage_it_was_taken_from() -> None:
    report = answered()
    assert report.source_of(QUOTE) is USED
    assert report.source_of(Quote("elsewhere.md", 0, 1, "x")) is None
