"""HTML: structure in Markdown form, every word of the page kept, tag soup of any depth."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.parsing.html_parser import parse_html
from prep.parsing.parsed import UnreadableError


def text_of(html: str) -> str:
    return parse_html(html.encode()).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>One</h1><p>a<h3>Th<b>re</b>e<br>x</h3>b", "# One\n\na\n\n### Three x\n\nb\n"),
        ("<p>wrapped\n  <i>text</i>\n here<br>next&nbsp;line", "wrapped text here\nnext line\n"),
        ("<ul><li>a<li>b<ul><li>c</ul><li></ul>d", "- a\n- b\n  - c\n\nd\n"),
        ("<ol start=3><li><p>a</p><p>more</p><li>b</ol>", "3. a\n\n   more\n4. b\n"),
        ("<ul><li><ul><li>x</ul></ul>", "- - x\n"),
        ("<blockquote><p>a<p>b</blockquote>c", "> a\n\n> b\n\nc\n"),
        ("<dl><dt>t<dd>d1<dd>d2</dl>", "t\n: d1\n: d2\n"),
        ("<pre>\n  x = 1\n\n  y\n</pre>z", "```\n  x = 1\n\n  y\n```\n\nz\n"),
        ('<pre><code class="hljs language-python">a</code></pre>', "```python\na\n```\n"),
        ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````\n"),
        (
            "<table><caption>C</caption><tr><th>a<th>b<tr><td>1|2<td><p>x</table>",
            "C\n\n| a | b |\n| --- | --- |\n| 1\\|2 | x |\n",
        ),
        ("<table><tr><td colspan=2>a<td>b<tr><td>1<td>2<td>3</table>", "| a |  | b |\n| 1 | 2 | 3 |\n"),
        ("<table><tr><td><h2>Side</h2><td>text</table>", "## Side\n\ntext\n"),
        ("<table><tr><td><table><tr><td>a<td>b</table><td>c</table>", "| a | b |\n\nc\n"),
        ("<table>lost?<tr><td>a<td>b</table>", "lost?\na\nb\n"),
        ("<nav>Home</nav><main>text</main><footer>©</footer>", "Home\n\ntext\n\n©\n"),
        ("a<script>no</script><style>no</style><template>no</template><!-- no --> b", "a b\n"),
        ("<h2>Head<a href=#h>¶</a></h2>", "## Head\n"),
        ("10<sup>6</sup> and 1<sup>st</sup>", "10^6 and 1st\n"),
        ("<img alt='a cat'> sat", "a cat sat\n"),
        ("so\u00adft", "soft\n"),
        ("<p>a</p></body></html>after", "a\n\nafter\n"),
        ("no tags & no < entities", "no tags & no < entities\n"),
        ("<div>a</div><div>b</div>", "a\nb\n"),
        ("", ""),
    ],
)
def test_structure_is_written_in_markdown_form(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "title"),
    [
        ("<title> A &amp;\n B </title><h1>C</h1>", "A & B"),
        ("<meta property='og:title' content='Shared'><h1>C</h1>", "Shared"),
        ("<title>Untitled</title><h1>C<a href=#c>¶</a></h1>", "C"),
        ("<svg><title>icon</title></svg><h2>D</h2>", "D"),
        ("<p>none", ""),
    ],
)
def test_a_page_is_called_by_its_title_or_first_heading(html: str, title: str) -> None:
    assert parse_html(html.encode()).title == title


@pytest.mark.parametrize(
    "head",
    [
        '<meta charset="koi8-r">',
        "<META http-equiv=x content='text/html; charset=KOI8-R'>",
        '<?xml version="1.0" encoding="koi8-r"?>',
    ],
)
def test_the_encoding_a_page_declares_is_used(head: str) -> None:
    assert parse_html(f"{head}<p>Мир".encode("koi8-r")).text == "Мир\n"


def test_depth_is_no_limit() -> None:
    assert text_of("<div>" * 3000 + "deep" + "</div>" * 3000 + "<p>tail") == "deep\n\ntail\n"
    assert "deep" in text_of("<ul><li>" * 200 + "deep")


WORD = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
TAGS = st.sampled_from(
    [
        "p",
        "div",
        "span",
        "b",
        "ul",
        "ol",
        "li",
        "table",
        "tr",
        "td",
        "th",
        "h1",
        "h3",
        "pre",
        "blockquote",
        "dl",
        "dt",
        "dd",
        "section",
        "a",
        "q",
        "caption",
        "tbody",
        "button",
    ]
)
TREES = st.recursive(
    WORD,
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=4)).map(
        lambda pair: f" <{pair[0]}> {' '.join(pair[1])} </{pair[0]}> "
    ),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_no_word_of_a_page_is_lost_or_repeated(html: str) -> None:
    words = re.findall(r"[a-z]+", re.sub(r"<[^>]*>", " ", html))
    assert sorted(re.findall(r"[a-z]+", text_of(html))) == sorted(words)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text("<>/!-=\"' abdhilprt12&;#xX[]?", max_size=200).map(str.encode))
def test_any_bytes_are_a_page_or_have_a_reason(data: bytes) -> None:
    try:
        parsed = parse_html(data)
    except UnreadableError:
        return
    assert isinstance(parsed.text, str)
