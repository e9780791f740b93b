"""AsciiDoc: sections, lists, tables, listings, admonitions, attributes; includes are told, not followed."""

from __future__ import annotations

import random
import time

import pytest

from prep.parsing.formats.light_markup.asciidoc_parser import parse_asciidoc


def lines(text: str) -> list[str]:
    return parse_asciidoc(text).text.split("\n")[:-1]


def test_title_author_and_attributes_are_read() -> None:
    parsed = parse_asciidoc(
        "// draft\n= The Kiln\nAnn Potter <ann@kiln.example>\nv2.1, 2031-03-04\n:heat: 1260 °C\n:toc:\n\n"
        "Up to {heat}. {unknown}\n"
    )
    assert parsed.title == "The Kiln"
    assert parsed.metadata == {"author": "Ann Potter <ann@kiln.example>", "revision": "v2.1, 2031-03-04"}
    assert parsed.text.endswith("\n\nUp to 1260 °C. {unknown}\n")
    assert "draft" not in parsed.text


@pytest.mark.parametrize("text", ["= A\n\n[#b]\n== B\n\n=== C ===\n", "# A\n\n## B\n\n### C\n"])
def test_sections_are_headings(text: str) -> None:
    assert lines(text) == ["# A", "", "## B", "", "### C"]


def test_titles_of_two_lines_are_headings_and_listings_are_none() -> None:
    assert lines("Doors\n-----\n\nText:\n\n----\n== no\n# no\n----\n") == [
        "## Doors", "", "Text:", "", "```", "== no", "# no", "```",
    ]  # fmt: skip


def test_lists_keep_their_depth_and_labels() -> None:
    text = ". Turn\n.. slowly\n.. again\n. Wait\n+\n----\nx\n----\n. Close\n\n//-\n\n* one\n** two\nmore\n* [x] three\n"
    assert lines(text) == [
        "1. Turn", "  a. slowly", "  b. again", "2. Wait", "", "  ```", "  x", "  ```", "", "3. Close", "",
        "- one", "  - two", "    more", "- [x] three",
    ]  # fmt: skip


def test_terms_stand_before_what_they_mean() -> None:
    assert lines("damper:: a plate\nthat slides\nlid::\n  a cover\n\nUse std::vector so.\n") == [
        "damper", ": a plate", "  that slides", "lid", ": a cover", "", "Use std::vector so.",
    ]  # fmt: skip


def test_admonitions_begin_with_their_name() -> None:
    text = (
        "NOTE: Never open.\n\n[WARNING]\n====\nHot.\n\nVery hot.\n====\n\n"
        "[TIP]\nGloves.\n\n[CAUTION]\n====\n* a\n====\n"
    )
    assert lines(text) == [
        "Note: Never open.", "", "Warning: Hot.", "", "Very hot.", "", "Tip: Gloves.", "", "Caution:", "", "- a",
    ]  # fmt: skip


def test_listings_are_fences_in_their_language() -> None:
    assert lines(".Run\n[source,sh]\n----\n# comment\n----\n\n  indented\n\n```py\nx\n```\n") == [
        "Run", "", "```sh", "# comment", "```", "", "```", "  indented", "```", "", "```py", "x", "```",
    ]  # fmt: skip


def test_tables_are_rows_with_their_spans_written_out() -> None:
    table = (
        '[cols="1,1,2", options="header"]\n|===\n| Item | Price | Note\n| Gasket\n| 12\n| a\\|b\n'
        "2+| both | x\n.2+| span | 1 | 2 | 3 | 4\n|===\n"
    )
    assert lines(table) == [
        "| Item | Price | Note |", "| --- | --- | --- |", "| Gasket | 12 | a\\|b |", "| both | both | x |",
        "| span | 1 | 2 |", "| span | 3 | 4 |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "table",
    [
        "|===\n|A |B\n\n|1\n|2\n|===\n",
        ",===\nA,B\n\n1,2\n,===\n",
        '[format=csv,options="header"]\n|===\nA,B\n1,2\n|===\n',
        "[%header,cols=2*]\n|===\n|A |B |1 |2\n|===\n",
    ],
)
def test_a_header_is_known_however_it_is_said(table: str) -> None:
    assert lines(table) == ["| A | B |", "| --- | --- |", "| 1 | 2 |"]


def test_cells_may_stand_without_blanks_between_them() -> None:
    assert lines("|===\nh|A 2+|wide\n|1|2a|3\n|===\n") == ["| A | wide | wide |", "| 1 | 2a | 3 |"]


def test_links_keep_their_address_and_macros_their_text() -> None:
    text = (
        "See https://a.example/b[the site], <<doors,Doors>>, xref:c.adoc[C], kbd:[Ctrl+C], menu:File[Save > As]."
        "footnote:[Or not.] `link:a[b]`\n\nimage::kiln.png[A kiln, 300]\n"
    )
    assert lines(text) == [
        "See the site (https://a.example/b), Doors, C, Ctrl+C, File › Save › As. (Or not.) `link:a[b]`", "", "A kiln",
    ]  # fmt: skip


def test_quotes_are_quoted() -> None:
    assert lines("[quote, Ann, Kilns]\n____\nHot.\n\nVery.\n____\n\nAfter.\n") == [
        "Ann, Kilns:", "", "> Hot.", "", "> Very.", "", "After.",
    ]  # fmt: skip


def test_what_is_included_is_told_and_not_read() -> None:
    parsed = parse_asciidoc("a\n\ninclude::/etc/passwd[]\n\n----\ninclude::b.py[lines=1]\n----\n")
    assert parsed.text == "a\n"
    assert [where for where, _ in parsed.losses] == ["line 3", "line 6"]


def test_attributes_that_grow_are_bounded() -> None:
    text = (
        "= A\n:a: "
        + "x" * 100
        + "\n"
        + "".join(
            f":{b}: {'{' + a + '}'}{'{' + a + '}'}\n"
            for a, b in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True)
        )
    )
    assert len(parse_asciidoc(text + "\n" + "{p} " * 100_000).text) < 3_000_000


@pytest.mark.parametrize("seed", range(3))
def test_any_marks_take_linear_time(seed: int) -> None:
    rng = random.Random(seed)
    marks = (
        "==== ---- |=== ____ -- + [NOTE] [[a]] * . :: | {a} :a:b << >> `` ``` [x,y] term:: NOTE: // //// "
        "ifdef::a[] , ' (("
    )
    text = "".join(
        rng.choice(["\n", " ", "\n\n", *marks.split()]) * rng.choice((1, 1, 2, 30)) for _ in range(30_000)
    )
    started = time.process_time()
    parse_asciidoc(text)
    assert time.process_time() - started < 5
