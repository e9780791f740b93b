"""Renders the templates of the pages, and writes a page whole or not at all."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.pages.chart_frame import format_number
from prep.errors import StoreError
from retrieve.report.render_html import html_environment, render_template

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["counted", "format_seconds", "pages_environment", "render_page", "share_of", "write_html"]


@cache
def pages_environment() -> Environment:
    """Return the templates of the pages, `pages/…`, beside those of a report, and the filters they use."""
    environment = html_environment(pages="flows.pages")
    environment.filters.update(
        counted=counted,
        minute=_minute,
        seconds=format_seconds,
        share_of=share_of,
        thousands=lambda number: f"{number:,}",
        times=_times,
    )
    return environment


def render_page(name: str, **values: Any) -> str:
    """Return a page: the template `pages/<name>`."""
    return render_template(pages_environment(), f"pages/{name}", **values)


def write_html(path: str | Path, page: str) -> Path:
    """Write a page, whole or not at all, and return its path. Raises StoreError."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StoreError(f"the page {target} cannot be written: {error}") from error
    return target


def counted(amount: int, noun: str) -> str:
    """Return an amount with its noun, in the plural where it is not one.

    >>> counted(1200, "question")
    '1,200 questions'
    """
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def share_of(part: int, whole: int) -> str:
    """Return a share in percent; a dash where the whole is zero."""
    return f"{100 * part / whole:.0f}%" if whole else "—"


def format_seconds(value: float | None) -> str:
    """Return seconds in three significant figures; a dash for None."""
    return "—" if value is None else f"{format_number(value)} s"


def _minute(moment: str) -> str:
    """Return an ISO time to the minute; a text that is no time is cut to that length."""
    return moment[:16].replace("T", " ") or "—"


def _times(amount: int) -> str:
    return {1: "once", 2: "twice"}.get(amount, f"{amount:,} times")
