"""Shows a report as text: plain for a terminal, CommonMark for everything that renders it.

Content (questions, answers, titles, quotes) is shown as text and means nothing else. The escapes hold in
CommonMark, GitHub's dialect and the older Markdown libraries; a bare address stays readable text, which
some renderers make clickable as it stands. Blank space inside content is folded; the report's fields keep
it exactly.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping

from prep.text import printable_line as plain_text
from retrieve.report.data import Finding, Quote, ReportData, Source, Usage

__all__ = [
    "ABSTAINED",
    "ALTERNATIVE",
    "NEAREST",
    "OPEN",
    "UNFINISHED",
    "markdown_text",
    "plain_text",
    "quote_breadcrumb",
    "render_markdown",
    "render_text",
    "shared_title_line",
    "usage_line",
    "where_line",
]

ABSTAINED = "The sources do not answer this."
UNFINISHED = "The time ran out before this was answered."
ALTERNATIVE = "Less likely"
OPEN = "Of the question, not in what is quoted"
NEAREST = "Nearest passages"
_NEAREST_CHARACTERS = 400

# A backslash, an angle bracket and an ampersand become references, which every renderer reads the same way;
# the others get a backslash.
_REFERENCES = {"\\": "&#92;", "<": "&lt;", ">": "&gt;", "&": "&amp;"}
_INLINE = re.compile(r"[\\<>&`*_\[\]{}~|$#!^]")
_OPENER = re.compile(r"(\d*)[-+=:%@.)]")


def markdown_text(text: str) -> str:
    r"""Return Markdown that shows `text`, on one line, and means nothing else.

    >>> print(markdown_text("1. a *b* <i> [c](d)"))
    1\. a \*b\* &lt;i&gt; \[c\](d)
    """
    escaped = _INLINE.sub(lambda match: _REFERENCES.get(match[0], "\\" + match[0]), plain_text(text))
    opener = _OPENER.match(escaped)
    return f"{opener[1]}\\{escaped[len(opener[1]) :]}" if opener else escaped


def quote_breadcrumb(report: ReportData, quote: Quote) -> tuple[str, ...]:
    """Return the title and headings above a quote; the document's id for a quote of another report."""
    source = report.source_of(quote)
    return source.breadcrumb if source else (quote.document_id,)


def shared_title_line(title: str, names: Iterable[str]) -> str:
    """Return in words that several documents have one title."""
    return f"“{title}” is the title of several documents: {', '.join(names)}"


def where_line(where: Mapping[str, Mapping[str, Iterable[str]]]) -> str:
    """Return the filter that was set as a line of words."""
    conditions = (
        f"{key} {operator} {' or '.join(values)}"
        for key, of_key in where.items()
        for operator, values in of_key.items()
    )
    return f"Searched only where {' and '.join(conditions)}"


def usage_line(usage: Usage) -> str:
    """Return what an answer cost as one line of words."""
    return (
        f"{_count(usage.n_searches, 'search', 'searches')}, {_count(usage.prompt_tokens, 'token')} read, "
        f"{_count(usage.completion_tokens, 'token')} written, {usage.seconds:.2f} s"
    )


def render_text(report: ReportData, *, width: int = 96) -> str:
    """Return the report as plain text of lines up to `width` columns, unless a single word is longer."""
    lines = [*_wrap(plain_text(report.question), width), ""]
    answer = _unanswered(report) if report.answer is None else plain_text(report.answer)
    lines += _wrap(answer, width, first="→ ", rest="  ")
    if report.note:
        lines += _wrap(plain_text(report.note), width, first="  (", rest="   ", last=")")
    for finding in report.findings:
        lines.append("")
        if finding.alternative or not finding.is_quote:
            lines += _wrap(plain_text(_stated(finding)), width, first="  • ", rest="    ")
        if not finding.quotes:
            lines.append("    no quote was given for this")
        for quote in finding.quotes:
            place = _place(quote_breadcrumb(report, quote), quote, plain_text)
            lines += _wrap(plain_text(quote.text), width, first="    “", rest="     ", last="”")
            lines += _wrap(f"{place}, {quote.start}–{quote.end}", width, first="      — ", rest="        ")
    if report.nearest:
        lines += ["", NEAREST]
    for source in report.nearest:
        place = _place(source.breadcrumb, source, plain_text)
        lines += _wrap(_beginning(source), width, first="    “", rest="     ", last="”")
        lines += _wrap(f"{place}, {source.start}–{source.end}", width, first="      — ", rest="        ")
    for title, names in report.shared_titles.items():
        lines += ["", *_wrap(plain_text(shared_title_line(title, names)), width)]
    if report.searches:
        lines += ["", "searched for"]
        for query in report.searches:
            lines += _wrap(plain_text(query), width, first="  • ", rest="    ")
    if report.where:
        lines += ["", *_wrap(plain_text(where_line(report.where)), width)]
    if words := report.uncovered_terms:
        lines += ["", *_wrap(f"{OPEN}: {plain_text(', '.join(words))}", width)]
    if report.sources:
        lines += ["", _sources_summary(report.sources)]
        for source in report.sources:
            place = _listed(source, plain_text)
            mark = "used     " if source.used else "set aside"
            lines += _wrap(
                f"{place}, {source.start}–{source.end}",
                width,
                first=f"  {source.score:.2f} {mark} ",
                rest=" " * 17,
            )
    return "\n".join([*lines, "", usage_line(report.usage), ""])


def render_markdown(report: ReportData) -> str:
    """Return the report as CommonMark: answer, findings with their quotes, source analysis, cost."""
    blocks = [f"## {markdown_text(report.question)}"]
    blocks.append(f"**{_unanswered(report) if report.answer is None else markdown_text(report.answer)}**")
    if report.note:
        blocks.append(markdown_text(report.note))
    if report.findings:
        blocks.append("### Findings")
    for finding in report.findings:
        blocks.append(f"- {markdown_text(_stated(finding))}")
        if not finding.quotes:
            blocks.append("  (no quote was given for this)")
        for quote in finding.quotes:
            place = _place(quote_breadcrumb(report, quote), quote, markdown_text)
            blocks.append(
                f"  > {markdown_text(quote.text)}\n  >\n"
                f"  > — {place}, characters {quote.start}–{quote.end} of {markdown_text(quote.document_id)}"
            )
    if report.nearest:
        blocks.append(f"### {NEAREST}")
    blocks += [
        f"> {markdown_text(_beginning(source))}\n>\n"
        f"> — {_place(source.breadcrumb, source, markdown_text)}, characters {source.start}–{source.end}"
        for source in report.nearest
    ]
    blocks += [markdown_text(shared_title_line(*shared)) for shared in report.shared_titles.items()]
    blocks.append("### Sources")
    if report.searches:
        blocks.append("Searched for:")
        blocks.append("\n".join(f"- {markdown_text(query)}" for query in report.searches))
    if report.where:
        blocks.append(markdown_text(where_line(report.where)))
    if words := report.uncovered_terms:
        blocks.append(f"{OPEN}: {markdown_text(', '.join(words))}")
    blocks.append(_sources_summary(report.sources))
    if report.sources:
        blocks.append(
            "\n".join(
                f"- {'used' if source.used else 'set aside'} ({source.score:.2f}): "
                f"{_listed(source, markdown_text)}, {source.start}–{source.end}"
                for source in report.sources
            )
        )
    blocks.append(f"*{usage_line(report.usage)}*")
    return "\n\n".join(blocks) + "\n"


def _unanswered(report: ReportData) -> str:
    return UNFINISHED if report.unfinished else ABSTAINED


def _beginning(source: Source) -> str:
    """Return a passage's text on one line, cut at a blank where it is long."""
    text = plain_text(source.text)
    if len(text) <= _NEAREST_CHARACTERS:
        return text
    return text[: text.rfind(" ", _NEAREST_CHARACTERS // 2, _NEAREST_CHARACTERS)].rstrip() + " …"


def _stated(finding: Finding) -> str:
    return f"{ALTERNATIVE}: {finding.statement}" if finding.alternative else finding.statement


def _sources_summary(sources: Iterable[Source]) -> str:
    marks = [source.used for source in sources]
    if not marks:
        return "Nothing was found to read."
    return f"{_count(len(marks), 'passage')} read, {sum(marks)} used, {len(marks) - sum(marks)} set aside:"


def _place(names: Iterable[str], where: Quote | Source, shown: Callable[[str], str]) -> str:
    """Return title and headings, and in brackets file and page."""
    place = " › ".join(shown(name) for name in names)
    return f"{place} ({shown(where.location)})" if where.location else place


def _listed(source: Source, shown: Callable[[str], str]) -> str:
    """Return the name of a source in a list: told from others of its title, with its page."""
    place = " › ".join(shown(name) for name in source.distinct_breadcrumb)
    return f"{place}, {shown(source.page)}" if source.page else place


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _wrap(text: str, width: int, *, first: str = "", rest: str = "", last: str = "") -> list[str]:
    lines = textwrap.wrap(
        text + last,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first + last]
