from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from prep.document import ROLES
from prep.errors import ConfigError, DataError
from prep.model.units import Unit, read_units
from training.pages.blocks import Block
from training.pages.render import Page, Style, label_units, random_style, render
from training.pages.structured_documents import (
    StructuredDocument,
    join_documents,
    parse_document,
    read_structured,
)

MARKDOWN = """# Guide

Some *words* with a [link](x.md).
They go on.

## Install

- one
- two
  - nested

```sh
pip install thing

thing
```

| a | b |
|---|---|
| 1 | 2 |

## References

- A book, 1999.

[link]: http://example.org
"""
REST = """PEP: 1
Title: One
Author: A. Person <a@example.org>

Abstract
========

Words about ``this``::

    code here

    more code

- an item
  that goes on

.. [1] A reference
   http://example.org

Next
====

Sub
---

.. code-block:: python

    x = 1

End.
"""
HTML = """<html><body><nav><ul><li>Home</li><li>About</li></ul></nav><main><h1>Top</h1><p>Hello
there.</p><h2>Part</h2><ul><li>one</li><li>two</li></ul><pre>x = 1
y = 2</pre><table><tr><td>a</td><td>b</td></tr></table></main><footer><p>© me</p></footer></body></html>"""


def kinds(document: StructuredDocument) -> list[tuple[str, str]]:
    return [(block.role, block.text) for block in document.blocks]


def units_of(text: str) -> list[Unit]:
    return read_units(text, 1000, lambda texts: [len(t.split()) for t in texts], lambda text: [])


def test_markdown_is_read_into_blocks() -> None:
    document = parse_document("d", "file", MARKDOWN, "markdown")
    assert document.title == "Guide"
    assert kinds(document) == [
        ("title", "Guide"),
        ("text", "Some words with a link. They go on."),
        ("heading", "Install"),
        ("list", "one"),
        ("list", "two"),
        ("list", "nested"),
        ("code", "pip install thing\n\nthing"),
        ("table", "a\tb"),
        ("table", "1\t2"),
        ("heading", "References"),
        ("reference", "A book, 1999."),
        ("reference", "[link]: http://example.org"),
    ]
    assert [block.level for block in document.blocks if block.role == "list"] == [1, 1, 2]


def test_front_matter_is_rows_and_ends_a_topic() -> None:
    document = parse_document("d", "t", "---\ntitle: X\ndate: 1\n---\n\nWords.\n", "markdown")
    assert kinds(document) == [("table", "title: X"), ("table", "date: 1"), ("text", "Words.")]
    assert [block.topic_ends for block in document.blocks] == [False, True, False]


def test_rest_is_read_into_blocks() -> None:
    blocks = parse_document("d", "t", REST, "rst").blocks
    found = [(block.role, block.text, block.level) for block in blocks]
    assert found[:3] == [
        ("table", "PEP: 1", 0),
        ("table", "Title: One", 0),
        ("table", "Author: A. Person <a@example.org>", 0),
    ]
    assert ("heading", "Abstract", 1) in found
    assert ("text", "Words about this:", 0) in found
    assert ("code", "code here\n\nmore code", 0) in found
    assert ("list", "an item that goes on", 1) in found
    assert ("heading", "Sub", 2) in found
    assert ("code", "x = 1", 0) in found
    assert found[-1] == ("text", "End.", 0)
    assert [text for role, text, _ in found if role == "reference"] == ["[1] A reference http://example.org"]


def test_html_frames_are_boilerplate() -> None:
    document = parse_document("d", "t", HTML, "html")
    assert kinds(document) == [
        ("boilerplate", "Home"),
        ("boilerplate", "About"),
        ("heading", "Top"),
        ("text", "Hello there."),
        ("heading", "Part"),
        ("list", "one"),
        ("list", "two"),
        ("code", "x = 1\ny = 2"),
        ("table", "a\tb"),
        ("boilerplate", "© me"),
    ]


def test_wikitext_is_read_into_blocks() -> None:
    text = "== History ==\nIt [[begin|began]] '''here'''.<ref>x</ref>\n* one\n=== Later ===\nMore.\n"
    assert kinds(parse_document("d", "t", text, "wikitext")) == [
        ("heading", "History"),
        ("text", "It began here."),
        ("list", "one"),
        ("heading", "Later"),
        ("text", "More."),
    ]


def test_topics_of_a_meeting_end_where_they_are_said_to() -> None:
    text = "A: one\nB: two\nA: three\nB: four\n"
    blocks = parse_document("d", "t", text, "text", topics=[(0, 13), (14, 31)]).blocks
    assert [block.topic_ends for block in blocks] == [False, True, False, True]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(ConfigError, match="format 'pdf'"):
        parse_document("d", "t", "x", "pdf")


def test_a_folder_of_files_or_a_labelled_set_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nText.\n", encoding="utf-8")
    (tmp_path / "b.rst").write_text("B\n=\n\nText.\n", encoding="utf-8")
    (tmp_path / "c.bin").write_bytes(b"\x00")
    assert [document.id for document in read_structured(tmp_path)] == ["a.md", "b.rst"]
    rows = [{"id": "x", "title": "X", "text": "One.\n\nTwo.", "format": "text"}]
    (tmp_path / "documents.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [document.id for document in read_structured(tmp_path)] == ["x"]
    (tmp_path / "documents.jsonl").write_text('{"id": "x"}', encoding="utf-8")
    with pytest.raises(DataError, match="line 1"):
        list(read_structured(tmp_path))


@pytest.mark.parametrize("seed", range(8))
def test_every_style_keeps_every_word(seed: int) -> None:
    document = parse_document("d", "file", MARKDOWN, "markdown")
    page = render(document, random_style(random.Random(seed)))
    text = page.text
    for word in ("words", "Install", "nested", "pip install thing", "book"):
        assert word in text
    assert [p.role for p in page.pieces if p.role == "heading" and p.plain] == ["heading", "heading"]


def test_labels_follow_the_blocks() -> None:
    document = StructuredDocument(
        "d",
        "Guide",
        (
            Block("title", "Guide", 1),
            Block("text", "First words. Second words."),
            Block("text", "Another paragraph."),
            Block("heading", "Part", 2),
            Block("list", "one", 1),
            Block("list", "two", 1),
            Block("code", "x = 1\ny = 2"),
        ),
    )
    page = render(document, Style())
    units = units_of(page.text)
    labels = label_units(page, units)
    found = [
        (page.text[u.start : u.end].strip(), int(b), ROLES[r], int(level))
        for u, b, r, level in zip(units, labels.boundary, labels.role, labels.level, strict=True)
    ]
    assert found == [
        ("# Guide", 0, "title", 0),
        ("First words.", 1, "text", -1),
        ("Second words.", 2, "text", -1),
        ("Another paragraph.", 3, "text", -1),
        ("## Part", 0, "heading", 0),
        ("- one", 1, "list", -1),
        ("- two", 2, "list", -1),
        ("```", 0, "code", -1),
        ("x = 1", 0, "code", -1),
        ("y = 2", 0, "code", -1),
        ("```", 3, "code", -1),
    ]


def test_joined_documents_have_a_topic_boundary_at_every_seam() -> None:
    sources = [
        parse_document(
            name, name, " ".join(f"Sentence {i} about {name} and more of it." for i in range(20)), "text"
        )
        for name in ("cats", "dogs")
    ]
    joined = join_documents(sources, random.Random(1), n_stretches=5)
    ends = [block for block in joined.blocks if block.topic_ends]
    assert len(ends) == 5
    page = render(joined, Style(markup="plain"))
    labels = label_units(page, units_of(page.text))
    assert (labels.boundary == 3).sum() == 5


def test_an_empty_page_has_no_labels() -> None:
    labels = label_units(Page((), ""), [])
    assert labels.boundary.shape == (0,)
