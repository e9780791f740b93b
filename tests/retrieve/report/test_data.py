"""The report: what is always true of one, that JSON keeps it whole, and that every form says what it says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.errors import DataError
from retrieve.report.data import SCHEMA, Finding, Quote, Source, Usage
from retrieve.report.report import Report

TEXT = "Turn the dial nine times. Then wait."
QUOTE = Quote("safe.md", 100, 100 + len(TEXT), TEXT)
USED = Source("safe.md", "Safes", ("Safes", "Opening"), 90, 200, 0.81, True)
ASIDE = Source("garden.md", "", (), 0, 50, 0.3, False)
USAGE = Usage(1240, 22, 2, 1.306)


def answered(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "id": "r1",
        "question": "How is the safe opened?",
        "answer": "by turning the dial nine times",
        "abstained": False,
        "findings": [Finding("The dial is turned nine times", [QUOTE])],
        "searches": ["How is the safe opened?", "dial turns"],
        "sources": [USED, ASIDE],
        "usage": USAGE,
    }
    return Report(**{**values, **changes})


def withheld(**changes: Any) -> Report:
    return answered(**{"answer": None, "abstained": True, "findings": [], "sources": [ASIDE], **changes})


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


def test_the_path_of_a_source_names_the_title_once_and_falls_back_on_the_id() -> None:
    assert USED.path == ("Safes", "Opening")
    assert replace(USED, title="Manual").path == ("Manual", "Safes", "Opening")
    assert ASIDE.path == ("garden.md",)


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


def test_text_reads_as_a_report_in_a_terminal() -> None:
    assert answered().to_text() == (
        "How is the safe opened?\n"
        "\n"
        "→ by turning the dial nine times\n"
        "\n"
        "  • The dial is turned nine times\n"
        "    “Turn the dial nine times. Then wait.”\n"
        "      — Safes › Opening, 100–136\n"
        "\n"
        "searched for\n"
        "  • How is the safe opened?\n"
        "  • dial turns\n"
        "\n"
        "2 passages read, 1 used, 1 set aside:\n"
        "  0.81 used      Safes › Opening, 90–200\n"
        "  0.30 set aside garden.md, 0–50\n"
        "\n"
        "2 searches, 1,240 tokens read, 22 tokens written, 1.31 s\n"
    )


def test_markdown_gives_answer_then_findings_then_sources_then_cost() -> None:
    assert answered().to_markdown() == (
        "## How is the safe opened?\n"
        "\n"
        "**by turning the dial nine times**\n"
        "\n"
        "### Findings\n"
        "\n"
        "- The dial is turned nine times\n"
        "\n"
        "  > Turn the dial nine times. Then wait.\n"
        "  >\n"
        "  > — Safes › Opening, characters 100–136 of safe.md\n"
        "\n"
        "### Sources\n"
        "\n"
        "Searched for:\n"
        "\n"
        "- How is the safe opened?\n"
        "- dial turns\n"
        "\n"
        "2 passages read, 1 used, 1 set aside:\n"
        "\n"
        "- used (0.81): Safes › Opening, 90–200\n"
        "- set aside (0.30): garden.md, 0–50\n"
        "\n"
        "*2 searches, 1,240 tokens read, 22 tokens written, 1.31 s*\n"
    )


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_every_form_says_what_was_found_searched_used_set_aside_and_spent(form: str) -> None:
    shown = getattr(answered(note="Time ran out."), form)()
    for words in (
        "How is the safe opened?",
        "by turning the dial nine times",
        "The dial is turned nine times",
        TEXT,
        "Opening",
        "100–136",
        "dial turns",
        "1 used, 1 set aside",
        "garden.md",
        "1,240 tokens",
        "Time ran out.",
    ):
        assert words in shown, words


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_every_form_says_which_words_of_the_question_are_in_nothing_quoted(form: str) -> None:
    report = answered(question="Who opened the safe in <1924>, and how?")
    assert report.uncovered_terms == ["1924"]
    shown = re.sub("</?bdi>", "", getattr(report, form)())
    assert "Of the question, not in what is quoted: 1924" in shown
    assert "not in what is quoted" not in getattr(answered(), form)()
    assert "not in what is quoted" not in getattr(withheld(question="Who is older?"), form)()


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_every_form_of_an_abstention_says_so_and_shows_what_was_read(form: str) -> None:
    shown = getattr(withheld(), form)()
    assert "The sources do not answer this." in shown
    assert "0 used, 1 set aside" in shown
    assert "Findings" not in shown


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_every_form_says_what_is_less_likely(form: str) -> None:
    other = Quote("garden.md", 10, 14, "shed")
    findings = [Finding("nine turns", [QUOTE]), Finding("in the shed", [other], alternative=True)]
    report = answered(findings=findings, sources=[USED, replace(ASIDE, used=True)])
    assert Report.from_json(report.to_json()) == report
    shown = re.sub("</?p[^>]*>", " ", getattr(report, form)())
    assert re.search(r"Less likely:\s+in the shed", shown)
    assert "shed" in shown
    assert "Less likely" not in getattr(answered(), form)()


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_every_form_says_when_a_statement_has_no_quote(form: str) -> None:
    shown = getattr(answered(findings=[Finding("so it is said", [])], sources=[ASIDE]), form)()
    assert "o quote was given for this" in shown


def test_html_says_the_answer_once_when_it_is_the_only_finding() -> None:
    answer = "by turning the dial nine times"
    shown = answered(findings=[Finding(answer, [QUOTE])]).to_html()
    assert shown.count(answer) == 1
    assert TEXT in shown


def test_html_keeps_the_blank_space_of_a_quote() -> None:
    text = "if x:\n    return\r\n\ty"
    quote = Quote("safe.md", 100, 100 + len(text), text)
    shown = answered(findings=[Finding("see", [quote])]).to_html()
    assert "if x:\n    return\n\ty</blockquote>" in shown


@pytest.mark.parametrize(("level", "tags"), [(1, "<h1 <h2"), (3, "<h3 <h4"), (9, "<h5 <h6"), (0, "<h1 <h2")])
def test_html_headings_follow_the_level_asked_for(level: int, tags: str) -> None:
    shown = answered().to_html(heading_level=level)
    for tag in tags.split():
        assert tag in shown
    assert shown.count("<h") == 4


def test_a_notebook_shows_the_html_and_the_markdown() -> None:
    report = answered()
    assert report._repr_html_() == report.to_html()
    assert report._repr_markdown_() == report.to_markdown()
