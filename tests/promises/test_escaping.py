"""The promise: whatever a document, a question or a file name says, a report shows it as mere text.

A report and a page are made twice, once with harmless words and once with hostile ones. A parser that is not
ours must find the same markup in both, and the words themselves in the text.
"""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flows.pages.rendering import pages_environment
from flows.pages.run_page import render_run
from prep.document import Chunk, Document, Rejected
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.render_html import html_environment
from retrieve.report.report import Report

ATTACKS = [
    "<script>alert(1)</script>",
    "</style></article></body><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    "<!-- ", "--> <b>", "<![CDATA[ <b> ]]>", "<?php", "</p", "<b",
    "&lt;script&gt; &amp; &#60;b&#62; &copy;",
    "[click](javascript:alert(1))",
    "![pixel](https://example.org/p.png)",
    "[ref]: https://example.org 'x'",
    "<https://example.org>",
    "# heading", "## tail ##", "- item", "+ item", "* item", "1. one", "23) two", "> quote", ">>> prompt",
    "---", "***", "____", "===", "    code", "\tcode", "```\ncode\n```", "~~~", "`code`", "``a`b``",
    "**strong** *em* _em_ __strong__ ~~gone~~", "*", "**", "a**b**c", "\\", "ends in \\", "\\*not\\*", "\\[",
    "| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n--|--",
    "line\n\nline", "line  \nline", "\n# heading", "\n- item", "\r# heading", "\x0b# a", "\x85# b",
    "\u2028# c",
    "$x$ $$y$$ \\(z\\)", "{{ x }} {% y %}", "[^1]", "[ ] task", ":::note", "%%%", "@name", "term\n: meaning",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "bell\x07", "nul\x00nul", "\x08\x08over",
    "\u202egnp.exe", "\u2066isolate", "\u202e", "\ud800", "\ufffe", "\u200b", "\ufeff",
    "日本語。", "שלום", "مرحبا", "🙂", "e\u0301",
]  # fmt: skip
hostile = st.one_of(
    st.sampled_from(ATTACKS),
    st.lists(st.sampled_from([*ATTACKS, " ", "\n"]), min_size=1, max_size=4).map("".join),
    st.text("<>&\"'`*_[]()!#-+=|~\\$.:1 \n\tab/", min_size=1, max_size=30),
    st.text(st.characters(), min_size=1, max_size=20),
).filter(str.strip)


def report_of(words: str, other: str) -> Report:
    """A report with `words` or `other` in every place that holds text; its shape does not depend on them."""
    quotes = [
        Quote("d" + other, 10, 10 + len(words), words, "page " + words, (other,), "p" + words),
        Quote("d" + other, 5, 5 + len(other), other),
    ]
    return Report(
        id=words,
        question=f"{words} unquoted99",
        answer=other,
        abstained=False,
        findings=[Finding("f" + words, quotes), Finding(words, []), Finding(other, quotes[:1])],
        searches=[words, other],
        sources=[
            Source("d" + other, "t", ("h" + words, other), 0, 9000, 0.5, True, "", None, "p" + other, words),
            Source("e" + words, "t", ("h" + other,), 0, 10, 0.25, False, "", "page " + other, words),
            Source(words, words, ("h" + other,), 0, 10, 0.25, False),
        ],
        usage=Usage(1, 2, 3, 4.0),
        generation=words,
        note=other,
        where={"k" + words: {"=": [words, other]}},
    )


class Markup(HTMLParser):
    """Collects what is markup (tags with their attributes, comments, declarations) and what is text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, ...]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = [
            f"{name}={'…' if name in ('id', 'aria-labelledby', 'aria-label') else value}"
            for name, value in attrs
        ]
        self.found.append((tag, *kept))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("/" + tag,))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("declaration", decl))

    def handle_pi(self, data: str) -> None:
        self.found.append(("instruction", data))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("unknown", data))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def printable(text: str) -> str:
    """What must be left of `text`, blank space and replaced characters aside."""
    kept = (
        mark for mark in text if unicodedata.category(mark) not in ("Cc", "Cs", "Cn") and not mark.isspace()
    )
    return re.sub("[\u202a-\u202e\u2066-\u2069\ufffd]", "", "".join(kept))


@settings(max_examples=60, deadline=None)
@given(hostile, hostile)
@example("</style><script>alert(1)</script>", "<!--")
def test_html_of_a_report_has_no_markup_from_its_content(words: str, other: str) -> None:
    shown = Markup(report_of(words, other).to_html())
    assert shown.found == Markup(report_of("abc", "xyz").to_html()).found
    text = printable("".join(shown.words))
    assert printable(words) in text
    assert printable(other) in text


def test_html_of_a_report_has_no_script_no_link_and_fetches_nothing() -> None:
    tags = {part[0] for part in Markup(report_of("abc", "xyz").to_html()).found}
    assert not tags & {
        "script",
        "a",
        "img",
        "iframe",
        "link",
        "form",
        "input",
        "object",
        "embed",
        "svg",
        "base",
    }
    style = re.search("<style>(.*)</style>", report_of("abc", "xyz").to_html(), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def structure_and_words(markdown: str) -> tuple[list[str], str]:
    """The kinds of token a CommonMark parser finds, text aside, and the text between them."""
    structure, words = [], []
    for token in RENDERER.parse(markdown):
        structure.append(f"{token.type} {token.tag} {token.attrs}")
        for child in token.children or []:
            if child.type == "text":
                words.append(child.content)
            elif child.type != "text_special":
                structure.append(child.type)
    return structure, "".join(words)


@settings(max_examples=60, deadline=None)
@given(hostile, hostile)
@example("---", "\\")
@example("\u202e", "*")
def test_markdown_of_a_report_has_no_markup_from_its_content(words: str, other: str) -> None:
    structure, text = structure_and_words(report_of(words, other).to_markdown())
    assert structure == structure_and_words(report_of("abc", "xyz").to_markdown())[0]
    assert printable(words) in printable(text)
    assert printable(other) in printable(text)


@settings(max_examples=60, deadline=None)
@given(hostile, hostile)
def test_markdown_of_a_report_never_spells_an_open_angle_bracket(words: str, other: str) -> None:
    # Older renderers pass raw HTML through whatever stands before it.
    assert "<" not in report_of(words, other).to_markdown()


@settings(max_examples=60, deadline=None)
@given(hostile, hostile)
def test_no_terminal_sequence_reaches_a_terminal(words: str, other: str) -> None:
    report = report_of(words, other)
    for shown in (report.to_text(), report.to_markdown()):
        assert not {mark for mark in shown if unicodedata.category(mark) in ("Cc", "Cs")} - {"\n"}
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", shown)
        shown.encode()


@settings(max_examples=60, deadline=None)
@given(hostile)
def test_text_for_a_terminal_keeps_one_line_of_content_on_its_own_lines(words: str) -> None:
    lines = report_of("abc", words).to_text().splitlines()
    assert lines[0] == "abc unquoted99"
    assert sum(line.startswith("→") for line in lines) == 1
    assert lines[-1].startswith("3 searches")


def page_of(words: str, other: str) -> str:
    text = "a" + words + other
    vector = np.zeros(2, dtype=np.float32)
    chunks = [
        Chunk("c1", "d", 0, 1 + len(words), "a" + words, ("h" + words, other), "text", 3, vector),
        Chunk("c2", "d", 1 + len(words), len(text), other, (), "boilerplate", 3, vector),
    ]
    return render_run(
        title=words,
        reports=[report_of(words, other)],
        documents=[(Document("d" + words, other, text, "s" + words), chunks)],
        metrics={words: {"s" + words: {"m": other, "n": 0.5}, "t" + other: {"m": 3}}},
        training={"s" + words: {other: [(0.0, 1.0), (1.0, 0.5)]}},
        rejected=[Rejected(words, other)],
        notes=[words],
    )


@settings(max_examples=60, deadline=None)
@given(hostile, hostile)
def test_a_page_has_no_markup_from_its_content(words: str, other: str) -> None:
    def fixed(page: str) -> list[tuple[str, ...]]:
        # How many characters a document has is the page's own number.
        return Markup(re.sub(r"[\d,]+ characters?", "n characters", page)).found

    assert fixed(page_of(words, other)) == fixed(page_of("abc", "xyz"))
    page_of(words, other).encode()
    text = printable("".join(Markup(page_of(words, other)).words))
    assert printable(words) in text
    assert printable(other) in text


ROOT = Path(__file__).resolve().parents[2]


def test_every_template_is_escaped_and_none_unescapes_a_value() -> None:
    templates = [
        path for package in ("retrieve", "training", "flows") for path in (ROOT / package).rglob("*.jinja")
    ]
    assert len(templates) > 8
    for path in templates:
        assert not re.search(r"\bsafe\b|autoescape|\bMarkup\b", path.read_text(encoding="utf-8")), path
    for environment in (html_environment(), html_environment(training="training"), pages_environment()):
        assert environment.autoescape is True
