"""Titles: what a document calls itself, by format, and that no text makes them fail."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.parsing.titles import clean_title, markdown_title, plain_title, rest_title, title_from_name


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One\n\n## Two\n", "One"),
        ("text\n\nTwo\n---\n", "Two"),
        ("```\n# no heading\n```\n\n## Yes\n", "Yes"),
        ("---\ntitle: 'It''s here'\nlayout: x\n---\n# Other\n", "It's here"),
        ('---\ntitle: "Said \\"so\\""\n---\n', 'Said "so"'),
        ('+++\ntitle = "Toml"\n+++\n# Other\n', "Toml"),
        ("---\nlayout: x\n---\n# After\n", "After"),
        ("---\r\ntitle: Returns\r\n---\r\n", "Returns"),
        ("# A *b* `c` [d](e) ![f](g)\n", "A b c d f"),
        ('<h1 align="center">\n  <b>Pro</b>ject &amp; Co\n</h1>\n\n# Later\n', "Project & Co"),
        ("# Anchored {#anchored}\n", "Anchored"),
        ("#\n\n## Second\n", "Second"),
        ("no heading", ""),
        ("", ""),
    ],
)
def test_markdown_is_called_by_front_matter_or_first_heading(text: str, title: str) -> None:
    assert markdown_title(text) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("=====\nOver\n=====\n\nSub\n---\n", "Over"),
        ("text\n\nOne\n===\n\nText.\n\nTwo\n===\n", "One"),
        ("PEP: 8\nTitle: Style Guide\n  for Code\nAuthor: x\n\nIntroduction\n====\n", "Style Guide for Code"),
        (".. title:: Given\n\nOne\n===\n", "Given"),
        (".. note::\n\n   A note.\n\nOne\n===\n", "One"),
        (
            ":mod:`json` and ``code`` and :ref:`this <there>`\n====================================\n",
            "json and code and this",
        ),
        (".. sphinx:unknown:: x\n\nOne\n===\n", "One"),
        ("only text", ""),
    ],
)
def test_rest_is_called_by_header_directive_or_first_section(text: str, title: str) -> None:
    assert rest_title(text) == title


def test_a_heading_after_a_long_preface_is_found() -> None:
    for n_characters in (0, 2030, 2040, 2047, 5000):
        assert markdown_title("x" * n_characters + "\n\n# Late but whole\n") == "Late but whole"


def test_rest_includes_no_other_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("secret") / "s.rst"
    secret.write_text("Secret\n======\n")
    assert rest_title(f".. include:: {secret}\n\nOpen\n====\n") == "Open"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\nThe title\n*********\n\ntext", "The title"),
        ("****\nBoth\n****\n", "Both"),
        ("# Marked #\n", "Marked"),
        (" = Valkyria Chronicles III = \n\ntext", "Valkyria Chronicles III"),
        ("A sentence.\nAnother.\n", ""),
        ("-----\n", ""),
        ("", ""),
    ],
)
def test_plain_text_is_called_by_a_marked_first_line_only(text: str, title: str) -> None:
    assert plain_title(text) == title


@pytest.mark.parametrize(
    ("given_title", "title"),
    [
        ("  A\n title ", "A title"),
        ("Microsoft Word - Annual report", "Annual report"),
        ("Microsoft Word - draft_3.doc", ""),
        ("paper.dvi", ""),
        ("Untitled-1", ""),
        ("Slide 1", ""),
        ("***", ""),
        ("Reading a file.txt", "Reading a file.txt"),
        (None, ""),
    ],
)
def test_titles_that_name_nothing_are_dropped(given_title: str | None, title: str) -> None:
    assert clean_title(given_title) == title


@pytest.mark.parametrize(
    ("stem", "title"),
    [
        ("getting-started_guide", "Getting started guide"),
        ("README", "README"),
        ("v1.2-notes", "V1.2 notes"),
        ("my.file.name", "My file name"),
        ("HowTo", "HowTo"),
        ("---", "---"),
    ],
)
def test_a_file_name_reads_as_words(stem: str, title: str) -> None:
    assert title_from_name(stem) == title


MARKUP = st.text(
    st.sampled_from("# \n=-*`:.|_[]()<>\"'+~ab1é中\r\t{}&;!\\") | st.characters(codec="utf-8"), max_size=120
)


@settings(max_examples=60, deadline=None)
@given(MARKUP)
def test_any_text_has_a_title_of_one_short_line_or_none(text: str) -> None:
    for title_of in (markdown_title, rest_title, plain_title, clean_title, title_from_name):
        title = title_of(text)
        if title_of is not title_from_name:
            assert "\n" not in title
            assert len(title) <= 200
            assert title == title.strip()
