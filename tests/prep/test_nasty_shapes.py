"""A text of any shape is read, split and described in less time than prose of its size is prepared in.

What the encoder costs grows with the tokens; it is measured on few shapes of less text. With DIPTYCH_SHAPE_SIZE=1000000
the texts are a megabyte, which takes minutes.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from itertools import count, takewhile

import pytest

from prep.document import Document
from prep.model.line_features import surface_features
from prep.model.markup import markup
from prep.model.prep_model import PART_CHARACTERS, PrepModel
from prep.model.units import read_units
from prep.model.windows import split_document
from prep.parsing.parsed import UnreadableError
from prep.parsing.parsing_worker import parse_data

pytestmark = pytest.mark.slow

SIZE = int(os.environ.get("DIPTYCH_SHAPE_SIZE", "200000"))  # characters
MOST = 3.0
WORDS = (
    "the boat of a and in is to that lake was it on for as with harbour water by this at from they had were be one "
    "winter season wind rope which their pump station not or but have an more when people its been engineer would "
    "other after there two about only new some could time these may then first any repair valve closed morning"
).split()
MARKS = {
    ".md": "` ``` ~~~ \n \n\n > - 1. <!-- --> <table> </table> [ ]( [^1] * _ | |---| # ===\n word < > \\ ! .",
    ".rst": "` `` :: \n \n\n .. note:: code:: * #. ==== +---+ | _ `_ word :role: : = ---\n [1]_ \\",
    ".html": '<div> </div> <p> <table> <tr> <td> </td> </table> <ul> <li> <ol> <pre> </pre> <br> word <!-- --> <a> "',
    ".adoc": "==== ---- |=== ____ -- + [NOTE] [[a]] * . :: | {a} :a:b << >> ` ``` [x,y] b:: NOTE: , ' ((\n\n\n word",
}


def prose(size: int) -> str:
    rng = random.Random(5)

    def paragraph() -> str:
        sentences = (" ".join(rng.choices(WORDS, k=rng.randint(6, 20))) for _ in range(rng.randint(2, 6)))
        return " ".join(f"{sentence.capitalize()}." for sentence in sentences) + "\n\n"

    return "".join(paragraph() for _ in range(size // 250))[:size]


def repeated(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    return lambda size: before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def deeper(unit: str, indent: str = "  ", after: str = "\n") -> Callable[[int], str]:
    """Lines that each stand further in than the one before."""

    def text(size: int) -> str:
        total = 0

        def line(depth: int) -> str:
            nonlocal total
            written = indent * depth + unit + after
            total += len(written)
            return written

        return "".join(takewhile(lambda _: total < size, map(line, count())))

    return text


def nested(opening: str, closing: str) -> Callable[[int], str]:
    def text(size: int) -> str:
        depth = size // (len(opening) + len(closing))
        return opening * depth + "x" + closing * depth

    return text


def numbered(form: str) -> Callable[[int], str]:
    return lambda size: "".join(form.replace("%", str(n)) for n in range(size // (len(form) + 4)))


def mixed(suffix: str, seed: int) -> Callable[[int], str]:
    """Marks of a format in any order, some of them many times."""

    def text(size: int) -> str:
        rng = random.Random(seed)
        marks = [" ", "    ", *MARKS[suffix].split(" ")]
        parts = (rng.choice(marks) * rng.choice((1, 1, 1, 2, 3, 40)) for _ in range(size // 5))
        return "".join(parts)[:size]

    return text


SHAPES: dict[str, tuple[str, Callable[[int], str]]] = {
    "full stops": (".txt", repeated(".")),
    "full stops before a letter": (".txt", repeated(".", after="a")),
    "exclamation marks": (".txt", repeated("!")),
    "full stops and blanks": (".txt", repeated(". ")),
    "list labels in a line": (".txt", repeated("1. ")),
    "a line": (".txt", lambda size: prose(size).replace("\n", " ")),
    "a word": (".txt", repeated("x")),
    "blanks": (".txt", repeated(" ", after="x")),
    "short lines": (".txt", repeated("a\n")),
    "tables that never end": (".txt", repeated("== ==\nab cd\n")),
    "directives in directives": (".txt", deeper(".. note::")),
    "fences": (".md", repeated("```\n")),
    "a fence that never closes": (".md", lambda size: "```\n" + prose(size)),
    "fences of any length": (".md", deeper("a", indent="`")),
    "quotes in quotes": (".md", deeper("a", indent="> ")),
    "quotes in a line": (".md", repeated(">")),
    "lists in lists": (".md", deeper("- a")),
    "fences in items": (".md", repeated("- ```\n")),
    "comments that never close": (".md", repeated("<!-- a\n")),
    "tables of HTML that never close": (".md", repeated("<table>\n")),
    "brackets": (".md", repeated("![")),
    "links": (".md", repeated("[a](http://example.org/b) ")),
    "links that never close": (".md", repeated("[a](")),
    "footnotes": (".md", numbered("a[^%]\n\n[^%]: b\n\n")),
    "a table of one column": (".md", repeated("| b |\n", before="| a |\n| --- |\n")),
    "headings": (".md", repeated("# a\n")),
    "underlined headings": (".md", repeated("a\n===\n\n")),
    "marks of Markdown": (".md", mixed(".md", 1)),
    "tags in tags": (".html", nested("<div>", "</div>")),
    "lists of HTML in lists": (".html", repeated("<ol><li>a")),
    "tables in tables": (".html", nested("<table><tr><td>", "</table>")),
    "cells that span everything": (".html", repeated("<tr><td rowspan=9999 colspan=999>a", before="<table>")),
    "a row of many cells": (".html", lambda size: "<table><tr>" + "<td>a" * (size // 10) + "<tr><td>b" * (size // 20)),
    "hidden styles": (".html", repeated("<style>.a{display:none}</style>", after="x")),
    "tags of HTML": (".html", mixed(".html", 2)),
    "admonitions in admonitions": (".rst", deeper(".. note::")),
    "a grid": (".rst", repeated("+--+\n| a|\n")),
    "simple tables": (".rst", repeated("== ==\na  b\n== ==\n\n")),
    "substitutions": (".rst", numbered(".. |a%| replace:: |a%|\n\n|a%|\n\n")),
    "marks of reST": (".rst", mixed(".rst", 3)),
    "a quote that never closes": (".csv", repeated("c,d\n", before='a,b\n"')),
    "a wide record": (".csv", lambda size: "a," * (size // 4) + "\n" + "b\n" * (size // 4)),
    "brackets of JSON": (".json", repeated("[")),
    "records": (".json", repeated('{"a":1},', before="[", after='{"a":1}]')),
    "attributes": (".xml", lambda size: f"<r {numbered(chr(97) + '%=' + chr(34) * 2 + ' ')(size)}/>"),
    "a long header": (".eml", repeated("a ", before="Subject: ", after="\n\nb")),
    "many recipients": (".eml", repeated("a <a@b.example>, ", before="To: ", after="\n\nb")),
    "pictures in a notebook": (
        ".ipynb",
        repeated("![a](data:", before='{"cells":[{"cell_type":"markdown","source":"', after='"}]}'),
    ),
    "parentheses": (".py", repeated("(")),
    "keys in keys": (".yaml", deeper("a:")),
    "items in items": (".yaml", repeated("- a: 1\n  b: 2\n")),
    "scalars after blocks": (".yaml", repeated("a:\n  b: 1\nc: 2\n")),
    "a section that never closes": (".ini", repeated(" ", before="[")),
    "listings that never close": (".adoc", numbered("-----%\n")),
    "blocks in blocks": (".adoc", deeper("a", indent="=")),
    "a table of AsciiDoc": (".adoc", repeated("|a", before="|===\n")),
    "cells of AsciiDoc that span everything": (".adoc", repeated("999.999+|a ", before="|===\n")),
    "attributes of AsciiDoc": (".adoc", repeated("{a}", before=":a: " + "b" * 1000 + "\n\n")),
    "marks of AsciiDoc": (".adoc", mixed(".adoc", 4)),
    "blocks of Org": (".org", repeated("#+begin_src\n")),
    "links of Org": (".org", repeated("[[a][")),
}  # fmt: skip
WITH_MODEL = ("exclamation marks", "short lines", "fences", "lists in lists", "a table of one column")


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def token_offsets(text: str) -> list[tuple[int, int]]:
    return [(at, at + 1) for at in range(len(text))]


def read(suffix: str, text: str) -> Document:
    """The document, empty where the file is rejected."""
    try:
        parsed = parse_data(f"shape{suffix}", text.encode("utf-8"), memory_limit_bytes=1 << 30)
    except UnreadableError:
        return Document("shape", "", "")
    return Document("shape", parsed.title, parsed.text)


def describe(document: Document) -> None:
    for part in split_document(document, PART_CHARACTERS):
        page = part.as_document()
        units = read_units(page.text, 126, words, token_offsets)
        marks = markup(page.text, units, part.own_containers())
        surface_features(page.text, units, marks, document.title)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.fixture(scope="module")
def model() -> PrepModel:
    return PrepModel.load()


@pytest.fixture(scope="module")
def prose_s(model: PrepModel) -> float:
    """Seconds that a tenth of a megabyte of prose takes, read and prepared."""
    model.prepare(Document("first", "", prose(2000)))
    return seconds(lambda: model.prepare(read(".txt", prose(SIZE // 10))))


@pytest.mark.parametrize("name", SHAPES)
def test_a_text_of_any_shape_is_read_and_described_in_the_time_of_prose(name: str, prose_s: float) -> None:
    suffix, make = SHAPES[name]
    text = make(SIZE)
    assert 0.4 * SIZE < len(text) < 1.6 * SIZE
    assert seconds(lambda: describe(read(suffix, text))) < 10 * prose_s


@pytest.mark.parametrize("name", WITH_MODEL)
def test_any_shape_is_prepared_in_three_times_the_time_of_prose_of_as_many_tokens(
    name: str, model: PrepModel, prose_s: float
) -> None:
    suffix, make = SHAPES[name]
    document = read(suffix, make(SIZE // 20))
    n_tokens, n_prose_tokens = map(len, model.encoder.tokenize([document.text, prose(SIZE // 10)]))
    as_much_prose_s = prose_s * max(n_tokens / n_prose_tokens, 0.5)
    assert seconds(lambda: model.prepare(document)) < MOST * as_much_prose_s
