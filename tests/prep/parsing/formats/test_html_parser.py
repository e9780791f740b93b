"""HTML: structure in Markdown form, every word of the page kept, tag soup of any depth."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.parsing.formats.html_parser import parse_html
from prep.parsing.parsed import UnreadableError


def text_of(html: str) -> str:
    return parse_html(html.encode()).text


def test_text_that_begins_like_a_mark_of_markdown_is_none() -> None:
    assert text_of("<p># 4 is the largest<br>#5<br>```js<br>&lt;pre> is seven</p><h2># 6</h2>") == (
        "\\# 4 is the largest\n#5\n\\```js\n\\<pre> is seven\n\n## # 6\n"
    )


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
        ("<table><tr><td colspan=2>a<td>b<tr><td>1<td>2<td>3</table>", "| a | a | b |\n| 1 | 2 | 3 |\n"),
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
    ("html", "text"),
    [
        (
            "<table><tr><th>Hall<th>Day<th>Fee<tr><td rowspan=2>North<td>Mon<td>4<tr><td>Tue<td>5</table>",
            "| Hall | Day | Fee |\n| --- | --- | --- |\n| North | Mon | 4 |\n| North | Tue | 5 |\n",
        ),
        (
            "<table><thead><tr><th rowspan=2>Hall<th colspan=2>Fee<tr><th>day<th>week</thead>"
            "<tr><td>North<td>4<td>20</table>",
            "| Hall | Fee day | Fee week |\n| --- | --- | --- |\n| North | 4 | 20 |\n",
        ),
        (
            "<table><tr><td rowspan=0>all<td>1<tr><td>2<tr><td>3</table>",
            "| all | 1 |\n| all | 2 |\n| all | 3 |\n",
        ),
        (
            "<table><tr><th>a<th>b<tr><td colspan=2>Winter<tr><td>1<td>2</table>",
            "| a | b |\n| --- | --- |\n| Winter |  |\n| 1 | 2 |\n",
        ),
        ("<table><tr><td>a<td rowspan=-3 colspan=x>b<tr><td>c<td>d</table>", "| a | b |\n| c | d |\n"),
    ],
)
def test_a_cell_that_spans_stands_in_each_of_its_rows_and_columns(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre>a<br>b<br/>c</pre>", "```\na\nb\nc\n```\n"),
        ("<pre><code><div>a = 1</div><div>b = 2</div></code></pre>", "```\na = 1\nb = 2\n```\n"),
        ("<pre><p>a</p>\n<p>b</p></pre>", "```\na\nb\n```\n"),
        ("<pre><span class='line'>a</span>\n<span class='line'>b</span></pre>", "```\na\nb\n```\n"),
        ("<pre><span class=lineno>1 </span>a\n<span class=lineno>2 </span>b</pre>", "```\na\nb\n```\n"),
        ("<pre><i aria-hidden=true>$ </i>run</pre>", "```\nrun\n```\n"),
        (
            "<table class=highlight><tr><td class=gutter><pre>1\n2</pre><td class=code><pre>a\nb</pre></table>",
            "```\na\nb\n```\n",
        ),
    ],
)
def test_preformatted_text_keeps_its_lines_and_loses_drawn_numbers(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>draft</p>",
        "<p aria-hidden='true'>draft</p>",
        "<p style='color: red; DISPLAY : none'>draft</p>",
        "<p style='visibility:hidden'>draft</p>",
        "<style>/* x */ .off, p.x { display: none }</style><p class='a off'>draft</p>",
        "<style>#d{display:none!important}</style><p id=d>draft</p>",
        "<noscript>draft</noscript>",
        "<template><p>draft</p></template>",
        "<del>draft</del>",
        "<s>draft</s>",
        "<input type=hidden value=draft>",
        "<table><tr><td>a<td>b<tr hidden><td>draft<td>c</table>",
    ],
)
def test_what_is_hidden_or_deleted_is_no_text(hidden: str) -> None:
    text = text_of(f"<p>before</p>{hidden}<p>after</p>")
    assert "draft" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


@pytest.mark.parametrize(
    "shown",
    [
        "<p aria-hidden=false>kept</p>",
        "<p hidden='until-found'>kept</p>",
        "<style>@media print { .off { display: none } }</style><p class=off>kept</p>",
        "<style media=print>.off { display: none }</style><p class=off>kept</p>",
        "<details><summary>more</summary>kept</details>",
        "<ins>kept</ins>",
        "<body aria-hidden=true>kept</body>",
    ],
)
def test_what_a_reader_can_see_is_kept(shown: str) -> None:
    assert "kept" in text_of(shown)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ol type=A start=25><li>x<li>y<li>z</ol>", "Y. x\nZ. y\nAA. z\n"),
        ("<ol type=i><li>x<li value=8>y<li>z</ol>", "i. x\nviii. y\nix. z\n"),
        ("<ol reversed><li>x<li>y</ol>", "2. x\n1. y\n"),
        ("<ol style='list-style-type: upper-roman' start=4><li>x</ol>", "IV. x\n"),
        ("<ol start=x><li value=y>x</ol>", "1. x\n"),
    ],
)
def test_items_have_the_labels_that_the_page_shows(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<a href='https://kiln.example/a'>the plan</a>", "the plan (https://kiln.example/a)\n"),
        ("<a href='mailto:ann@kiln.example'>write to Ann</a>", "write to Ann (ann@kiln.example)\n"),
        ("<a href='files/form-7.pdf'>form</a>", "form (files/form-7.pdf)\n"),
        ("<a href='https://www.kiln.example/'>kiln.example</a>", "kiln.example\n"),
        ("<a href='#top'>up</a> <a href='next.html'>on</a> <a href='javascript:x()'>go</a>", "up on go\n"),
        ("<nav><a href='https://kiln.example/b'>Shop</a></nav>", "Shop\n"),
        ("<link rel=canonical href='https://kiln.example/x'><a href='https://kiln.example/y'>y</a>", "y\n"),
        (
            "<table><tr><th>a<th>b<tr><td><a href='https://kiln.example/f.zip'>kit</a><td>2</table>",
            "| a | b |\n| --- | --- |\n| kit (https://kiln.example/f.zip) | 2 |\n",
        ),
    ],
)
def test_an_address_that_only_the_link_holds_is_not_lost(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<label>Name</label><input value=Ann>", "Name\nAnn\n"),
        ("<input type=checkbox checked> hot <input type=radio> cold", "[x] hot [ ] cold\n"),
        ("<select><option>a<option selected>b</select>", "[ ] a\n[x] b\n"),
        ("<input type=password value=secret>x", "x\n"),
        ("<ruby>窯<rp>(</rp><rt>かま</rt><rp>)</rp></ruby>", "窯(かま)\n"),
    ],
)
def test_fields_show_their_values_and_ruby_its_reading(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "unit",
    [
        "<ul>", "<ul><li>", "<a href=x.zip>", "<sup>", "<b class=gutter>", "<table><tr><td>", "<option>",
        "<tr><td rowspan=1000 colspan=1000>a", "<h1>", "<pre><br>", "<style>.a{", "<ol reversed><li>",
    ],
)  # fmt: skip
def test_a_long_run_of_any_tag_is_read_in_seconds(unit: str) -> None:
    started = time.process_time()
    text_of(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 20


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
