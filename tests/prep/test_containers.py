"""Fences and comments as CommonMark has them, and that nothing in them is a heading."""

from __future__ import annotations

import time

import pytest

from prep.containers import find_containers
from prep.document import Document
from prep.model.markup import markup
from prep.model.units import read_units
from prep.model.windows import split_document


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def lines_where(text: str, name: str) -> list[str]:
    """The lines for which a list of `Markup` says something."""
    units = read_units(text, 200, lambda texts: words(list(texts)), lambda _: [])
    marked = getattr(markup(text, units), name)
    lines = [line for line in text.split("\n") if line.strip()]
    return [line for line, on in zip(lines, marked, strict=True) if on]


# Examples of the CommonMark specification 0.31 on fenced code (119 to 147), and the lines that are code by it.
FENCES = {
    "```\n<\n >\n```": ["```", "<", " >", "```"],
    "~~~\n<\n >\n~~~": ["~~~", "<", " >", "~~~"],
    "``\nfoo\n``": [],
    "```\naaa\n~~~\n```": ["```", "aaa", "~~~", "```"],
    "````\naaa\n```\n``````": ["````", "aaa", "```", "``````"],
    "~~~~\naaa\n~~~\n~~~~": ["~~~~", "aaa", "~~~", "~~~~"],
    "```": ["```"],
    "`````\n\n```\naaa": ["`````", "```", "aaa"],
    "> ```\n> aaa\n\nbbb": ["> ```", "> aaa"],
    " ```\n aaa\naaa\n```": [" ```", " aaa", "aaa", "```"],
    "   ```\n   aaa\n    aaa\n  aaa\n   ```": ["   ```", "   aaa", "    aaa", "  aaa", "   ```"],
    "```\naaa\n  ```": ["```", "aaa", "  ```"],
    "   ```\naaa\n  ```": ["   ```", "aaa", "  ```"],
    "```\naaa\n    ```": ["```", "aaa", "    ```"],
    "``` ```\naaa": [],
    "~~~~~~\naaa\n~~~ ~~": ["~~~~~~", "aaa", "~~~ ~~"],
    "foo\n```\nbar\n```\nbaz": ["```", "bar", "```"],
    "foo\n---\n~~~\nbar\n~~~\n# baz": ["~~~", "bar", "~~~"],
    "```ruby\ndef foo(x)\n  return 3\nend\n```": ["```ruby", "def foo(x)", "  return 3", "end", "```"],
    "``` aa ```\nfoo": [],
    "~~~ aa ``` ~~~\nfoo\n~~~": ["~~~ aa ``` ~~~", "foo", "~~~"],
    "```\n``` aaa\n```": ["```", "``` aaa", "```"],
    "- a\n\n  ```\n  # b\n  ```\n- c": ["  ```", "  # b", "  ```"],
}


@pytest.mark.parametrize("text", FENCES)
def test_fences_are_those_of_commonmark(text: str) -> None:
    assert lines_where(text, "fenced") == FENCES[text]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_do_not_matter(end: str) -> None:
    text = "# One\n\n```sh\n# none\n```\n\n## Two\n"
    other = text.replace("\n", end)
    ((start, stop),) = find_containers(other).fences
    assert other[start:stop].split(end) == ["```sh", "# none", "```", ""]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# Kiln\n\n```cargo run```\n\n## Glaze\n\ntext\n", ["# Kiln", "## Glaze"]),
        ("# Kiln\n\n````\n```\n# no\n```\n````\n\n## Glaze\n", ["# Kiln", "## Glaze"]),
        ("# Kiln\n\n<!--\n# a draft\n\n## more of it\n-->\n\n## Glaze\n", ["# Kiln", "## Glaze"]),
        ("---\ntitle: Kiln\n---\n\n# Glaze\n", ["# Glaze"]),
        ("+++\n# remark\ntitle = 1\n+++\n\n# Glaze\n", ["# Glaze"]),
        (
            "Kiln\n====\n\n.. code:: sh\n\n   # no\n   run\n\n   # no\n\nGlaze\n-----\n\ntext\n",
            ["Kiln", "Glaze"],
        ),
        ("Kiln\n====\n\n.. note::\n\n   # no\n\n.. a remark\n   # no\n\ntext\n", ["Kiln"]),
        ("Kiln\n====\n\n====  ====\nCone  Heat\n====  ====\n4     1060\n====  ====\n\ntext\n", ["Kiln"]),
        ("# Kiln\n\n<pre>\n# no\n</pre>\n\n<div>\n# no\n</div>\n\n<style>\n# no\n</style>\n", ["# Kiln"]),
        (
            "# Kiln\n\n<script> is an element.\n\n# Cone\n\n<!-- is its mark.\n\n# Heat\n",
            ["# Kiln", "# Cone", "# Heat"],
        ),
        ("# Kiln\n\n<!-- no\n\n# no\n-->\n\n# Cone\n", ["# Kiln", "# Cone"]),
        ("# Kiln\n\n<details>\n<summary>more</summary>\n\n## Yes\n\n</details>\n", ["# Kiln", "## Yes"]),
        ("# Kiln\n\n| # | Heat |\n| --- | --- |\n| # 4 | 1060 |\n", ["# Kiln"]),
    ],
)
def test_nothing_in_a_container_is_a_heading(text: str, headings: list[str]) -> None:
    assert lines_where(text, "heading") == headings


@pytest.mark.parametrize(
    ("text", "header", "n_rows"),
    [
        ("a\n\n| Cone | Heat |\n| --- | --: |\n| 4 | 1060 |\n| 6 | 1222 |\n\nb | c\n", "Cone | Heat", 2),
        ("Cone | Heat\n--- | ---\n4 | 1060\n", "Cone | Heat", 1),
        ("> | Cone |\n> | --- |\n> | 4 |\n", "Cone", 1),
        ("| a \\| b | c |\n|---|---|\n| 1 | 2 |\n", "a | b | c", 1),
        ("+------+------+\n| Cone | Heat |\n|      | °C   |\n+======+======+\n| 4    | 1060 |\n+------+------+\n",
         "Cone | Heat °C", 2),
        ("====  ====\nCone  Heat\n====  ====\n4     1060\n====  ====\n", "Cone | Heat", 2),
        ("====  ====\n4     1060\n6     1222\n====  ====\n", "", 0),
        ("| Cone | Heat |\n| --- |\n| 4 | 1060 |\n", "", 0),
        ("```\n| Cone | Heat |\n| --- | --- |\n| 4 | 1060 |\n```\n", "", 0),
    ],
)  # fmt: skip
def test_rows_of_a_table_know_its_header(text: str, header: str, n_rows: int) -> None:
    units = read_units(text, 200, lambda texts: words(list(texts)), lambda _: [])
    found = [name for name in markup(text, units).header if name]
    assert found == [header] * n_rows


def test_a_document_is_not_parted_inside_a_fence_where_another_place_is_near() -> None:
    text = "prose of some length\n\n```\nx\n\n```still inside```\n\ny\n```\n\n" * 40
    for part in list(split_document(Document("d", "", text), 300))[:-1]:
        assert find_containers(text).fence_at(part.end) is None


def test_a_part_that_begins_inside_a_fence_knows_it() -> None:
    text = "# Top\n\n```\n" + "# a remark\nx = 1\n\n" * 100 + "```\n\n# After\n"
    parts = list(split_document(Document("d", "", text), 400))
    for part in parts[1:-1]:
        known = part.own_containers()
        assert known is not None
        assert known.fences == [(0, part.end - part.start)]
    last = parts[-1].own_containers()
    assert last is not None
    assert parts[-1].as_document().text[last.fences[0][1] :].strip() == "# After"


@pytest.mark.parametrize(
    "unit",
    [
        "```\n",
        "~~~ x\n",
        "<!-- ",
        "<!-- a -->\n",
        "> ```\n",
        "- ```\n",
        "`",
        "```",
        "- " * 40 + "\n",
        "<!--\n",
    ],
)
def test_containers_of_a_megabyte_of_anything_are_found_in_seconds(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    find_containers(text)
    assert time.process_time() - started < 20
