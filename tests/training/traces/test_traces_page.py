"""The page about traces: it counts them all, shows some of every kind, and treats their words as text."""

from __future__ import annotations

from pathlib import Path

from fixture_pages import PageMarkup

from training.traces.traces import Trace
from training.traces.traces_page import render_traces, write_traces_page


def trace(kind: str, number: int) -> Trace:
    words = f"<question>what <b>{kind}</b> is {number}</question>\n"
    return Trace(f"{kind}-{number}", kind, ((words, False), (f"<report> {kind}⟦{number}⟧</report>", True)))


TRACES = {
    "wiki": [trace("direct", i) for i in range(5)] + [trace("hop", 1)],
    "notes & queries": [trace("direct", 9), trace("withheld", 2)],
}
REFUSED = {"wiki": {"answer missing or too long": 4, "evidence not found": 7}}


def test_counts_add_up_and_every_kind_has_its_samples(tmp_path: Path) -> None:
    page = write_traces_page(tmp_path / "traces.html", TRACES, REFUSED).read_text(encoding="utf-8")
    assert "<tr><td>wiki</td><td>5</td><td>1</td><td>0</td><td>6</td></tr>" in page
    assert "<tr><td>notes &amp; queries</td><td>1</td><td>0</td><td>1</td><td>2</td></tr>" in page
    assert "<tr><td>all</td><td>6</td><td>1</td><td>1</td><td>8</td></tr>" in page
    assert page.index("evidence not found") < page.index("answer missing or too long")
    assert page.count("<pre") == 3 + 1 + 1
    assert "<b>&lt;report&gt; hop⟦1⟧&lt;/report&gt;</b>" in page


def tags_of(words: str, other: str) -> list[tuple[str, tuple[str, ...]]]:
    """The tags of a page with `words` or `other` in every field that is text, after a check that both are shown."""
    traces = [
        Trace(words, "a" + other, ((other, False), (words, True))),
        Trace(other, "b" + words, ((words, False),)),
    ]
    page = render_traces({words: traces, "s" + other: traces[:1]}, {words: {other: 3, "r" + words: 1}})
    found = PageMarkup(page)
    assert words in found.words
    assert other in found.words
    return found.tags


def test_no_field_of_a_trace_becomes_markup() -> None:
    for hostile in ("</pre></td><script>x</script>", '" onclick="x', "<b>", "&lt;i&gt;", "{{ 7 * 7 }}"):
        assert tags_of(hostile, "xyz") == tags_of("abc", "xyz")
        assert tags_of("abc", hostile) == tags_of("abc", "xyz")


def test_words_are_text_and_nothing_is_fetched() -> None:
    page = render_traces(TRACES, {})
    assert "&lt;b&gt;direct&lt;/b&gt;" in page
    assert "default-src 'none'" in page
    assert "Refused" not in page
    assert render_traces(TRACES, {}) == page
    assert render_traces(TRACES, {}, samples=1, seed=1) != page
