"""The retrieve model: a question in, searches, and a report with verified quotes or an honest refusal out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieve.experience.log import ExperienceLog
    from retrieve.model import RetrieveModel
    from retrieve.report.data import Finding, Quote, Source, Usage
    from retrieve.report.report import Report
    from retrieve.researcher import Researcher

__all__ = ["ExperienceLog", "Finding", "Quote", "Report", "Researcher", "RetrieveModel", "Source", "Usage"]

_LAZY = {
    "ExperienceLog": "retrieve.experience.log",
    "Finding": "retrieve.report.data",
    "Quote": "retrieve.report.data",
    "Report": "retrieve.report.report",
    "Researcher": "retrieve.researcher",
    "RetrieveModel": "retrieve.model",
    "Source": "retrieve.report.data",
    "Usage": "retrieve.report.data",
}


def __getattr__(name: str) -> Any:
    """Import the heavy parts on first use, so that `import retrieve` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
