"""Org: headings, lists, tables, code; comments and settings are left out."""

from __future__ import annotations

from prep.parsing.formats.light_markup.org_parser import parse_org

TEXT = """#+TITLE: Kiln log
#+AUTHOR: Ann
#+STARTUP: overview
* TODO Fire it :work:
  :PROPERTIES:
  :ID: 17
  :HEAT: 1260
  :END:
# a comment
Text with =code= and [[https://a.example][the site]], [[file:b.org]].
- one
  1. two
- damper :: a plate
| Item | n |
|------+---|
| ash  | 1 |
#+BEGIN_SRC sh
# kept
,* as well
#+END_SRC
: fixed
#+BEGIN_QUOTE
Hot.
#+END_QUOTE
#+INCLUDE: "b.org"
** After
"""


def test_org_is_written_out_in_markdown_form() -> None:
    parsed = parse_org(TEXT)
    assert parsed.text.split("\n")[:-1] == [
        "# Kiln log", "", "# TODO Fire it", "", "- HEAT: 1260",
        "Text with `code` and the site (https://a.example), b.org.",
        "- one", "  1. two", "- damper: a plate", "",
        "| Item | n |", "| --- | --- |", "| ash | 1 |", "",
        "```sh", "# kept", "* as well", "```", "",
        "```", "fixed", "```", "",
        "> Hot.", "", "## After",
    ]  # fmt: skip
    assert parsed.title == "Kiln log"
    assert parsed.metadata == {"author": "Ann"}
    assert [where for where, _ in parsed.losses] == ["line 25"]


def test_a_block_that_never_closes_ends_with_the_text() -> None:
    assert parse_org("#+begin_src\n" * 3 + "x\n").text.endswith("x\n```\n")
