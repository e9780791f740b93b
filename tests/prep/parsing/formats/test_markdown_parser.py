"""Markdown: as it is written, without comments, tables of HTML as rows."""

from __future__ import annotations

import time

import pytest

from prep.parsing.formats.markdown_parser import parse_markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Kiln\n\n<!--\n# Draft\n\nnot yet\n-->\n\ntext\n", "# Kiln\n\n\ntext\n"),
        ("one <!-- draft --> two\n", "one  two\n"),
        ("```html\n<!-- kept -->\n```\n", "```html\n<!-- kept -->\n```\n"),
        ("use `<!-- kept -->` here <!-- draft -->\n", "use `<!-- kept -->` here \n"),
        ("    <!-- kept -->\n", "    <!-- kept -->\n"),
        ("text <!-- that never ends\n", "text <!-- that never ends\n"),
        ("# Kiln\n", "# Kiln\n"),
    ],
)
def test_comments_are_left_out_and_code_is_not(text: str, shown: str) -> None:
    assert parse_markdown(text).text == shown


def test_tables_of_html_are_rows() -> None:
    rows = "<tr><th>a</th><th>b</th></tr>\n\n<tr><td rowspan=2>1</td><td>2</td></tr>\n<tr><td>3</td></tr>"
    text = f"# Kiln\n\n<table>\n{rows}\n</table>\n\nend\n"
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |\n\nend\n" in parse_markdown(text).text


@pytest.mark.parametrize(
    "unit", ["<!-- ", "<!--\n", "<table>\n", "<!-- a -->", "`<!--", "`", "<table><tr><td>a</table>\n"]
)
def test_a_long_run_of_anything_is_read_in_seconds(unit: str) -> None:
    started = time.process_time()
    parse_markdown(unit * (300_000 // len(unit)))
    assert time.process_time() - started < 20
