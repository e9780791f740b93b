"""Shows a report as HTML: one `<article>` that carries its style and needs nothing else.

No script, nothing fetched, no form, no link: content is escaped text. The article reads in order without the style
(a notebook may strip it), keeps the headings and lists that assistive software reads, follows the reader's light or
dark setting, and leaves quotes in their own writing direction.

The markup lies in `templates/`, and jinja2 escapes every value. Pages of other packages extend and import these
templates through `html_environment`.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from retrieve.report.data import ReportData
from retrieve.report.render_text import (
    ABSTAINED,
    ALTERNATIVE,
    NEAREST,
    OPEN,
    UNFINISHED,
    quote_breadcrumb,
    shared_title_line,
    usage_line,
    where_line,
)

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["html_environment", "render_report", "render_template", "replace_forbidden"]

# Controls but tab and line feed, lone surrogates and non-characters: HTML allows none of them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_LINE_END = re.compile("\r\n?")


@cache
def html_environment(**packages: str) -> Environment:
    """Return the jinja2 environment of a package: its own templates, and under `report/` those of a report.

    packages: the prefix of template names and the package whose folder `templates` holds them. Every value is escaped,
    and a name that is not defined is an error. jinja2 is imported here, so that importing `retrieve` stays light.
    """
    from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined

    folders = {"report": "retrieve.report", **packages}
    environment = Environment(
        loader=PrefixLoader({prefix: PackageLoader(package) for prefix, package in folders.items()}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {"ABSTAINED": ABSTAINED, "ALTERNATIVE": ALTERNATIVE, "NEAREST": NEAREST}
    environment.globals.update(words, OPEN=OPEN, UNFINISHED=UNFINISHED)
    environment.globals.update(
        quote_breadcrumb=quote_breadcrumb, shared_title_line=shared_title_line, where_line=where_line
    )
    environment.filters.update(report_anchor=_report_anchor, usage_line=usage_line)
    return environment


def render_template(environment: Environment, name: str, **values: Any) -> str:
    """Return the named template as HTML, with what HTML forbids replaced."""
    return replace_forbidden(environment.get_template(name).render(values))


def replace_forbidden(page: str) -> str:
    """Return HTML with line feeds as its line ends, and U+FFFD for each character that HTML forbids."""
    return _FORBIDDEN.sub("\ufffd", _LINE_END.sub("\n", page))


def render_report(report: ReportData, *, heading_level: int = 2) -> str:
    """Return `report` as one `<article>`; its headings start at `heading_level` (1 to 5)."""
    article: Any = html_environment().get_template("report/article.html.jinja").module
    return replace_forbidden(str(article.article(report, min(max(heading_level, 1), 5))))


def _report_anchor(report_id: str) -> str:
    """Return an id for the heading of a report that no character of the report's own id can break."""
    return "report-" + hashlib.sha256(report_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
