"""How a report is shown: every form says the same."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fixture_report import ASIDE, QUOTE, TEXT, USED, answered, withheld

from retrieve.report.data import Finding, Quote
from retrieve.report.report import Report


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


def located() -> Report:
    quote = replace(QUOTE, page="page 3", section=("Safes", "Opening"), path="manuals/old/safe.pdf")
    used = replace(USED, page="page 2", path="manuals/old/safe.pdf", distinct_path="old/safe.pdf")
    other = replace(ASIDE, title="Safes", path="manuals/new/safe.pdf", distinct_path="new/safe.pdf")
    return answered(
        findings=[Finding("nine turns", [quote])],
        sources=[used, other],
        where={"folder": {"=": ["manuals", "plans"]}, "modified": {">=": ["2026"]}},
    )


def test_text_says_file_and_page_and_tells_documents_of_one_title_apart() -> None:
    lines = located().to_text().split("\n")
    assert "      — Safes › Opening (manuals/old/safe.pdf, page 3), 100–136" in lines
    assert "  0.81 used      Safes (old/safe.pdf) › Opening, page 2, 90–200" in lines
    assert "  0.30 set aside Safes (new/safe.pdf), 0–50" in lines


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_every_form_says_file_page_shared_titles_and_the_filter(form: str) -> None:
    shown = " ".join(re.sub("</?bdi>", "", getattr(located(), form)()).split())
    shown = re.sub(r"\\(.)", r"\1", shown).replace("&gt;", ">")
    for words in (
        "manuals/old/safe.pdf, page 3",
        "Safes (old/safe.pdf) › Opening, page 2",
        "Safes (new/safe.pdf)",
        "“Safes” is the title of several documents: old/safe.pdf, new/safe.pdf",
        "Searched only where folder = manuals or plans and modified >= 2026",
    ):
        assert words in shown, words


@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_html"])
def test_the_nearest_passages_say_file_and_page(form: str) -> None:
    near = replace(ASIDE, title="Shed", text="A shed.", page="slide 7", path="plans/shed.pptx")
    shown = re.sub("</?bdi>", "", getattr(withheld(sources=[near]), form)())
    assert "plans/shed.pptx, slide 7" in shown
    assert "shed.pptx" not in getattr(withheld(sources=[ASIDE]), form)()


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
