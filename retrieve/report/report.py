"""The answer to a question as callers get it: a report's content, and how it is shown.

Questions, titles, headings and quotes come from users and documents. They are shown as text and nothing else: no
markup, script, terminal sequence or table cell that they spell takes effect (`tests/promises/test_escaping.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from retrieve.report.data import ReportData
from retrieve.report.render_html import render_report
from retrieve.report.render_text import render_markdown, render_text

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report(ReportData):
    """A report that can show itself: in a terminal, as Markdown, as HTML, and in a notebook."""

    def to_text(self) -> str:
        """Return the report as plain text for a terminal, terminal sequences in the content disarmed."""
        return render_text(self)

    def to_markdown(self) -> str:
        """Return the report as CommonMark. Blank space in quotes is folded; the fields keep it exactly."""
        return render_markdown(self)

    def to_html(self, *, heading_level: int = 2) -> str:
        """Return one `<article>` with its style: no script, nothing fetched, readable in light and dark."""
        return render_report(self, heading_level=heading_level)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()
