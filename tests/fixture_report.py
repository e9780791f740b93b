"""A report that answers and one that abstains, for tests of what a report holds and how it is shown."""

from __future__ import annotations

from typing import Any

from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report

TEXT = "Turn the dial nine times. Then wait."
QUOTE = Quote("safe.md", 100, 100 + len(TEXT), TEXT)
USED = Source("safe.md", "Safes", ("Safes", "Opening"), 90, 200, 0.81, True)
ASIDE = Source("garden.md", "", (), 0, 50, 0.3, False)
USAGE = Usage(1240, 22, 2, 1.306)


def answered(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "id": "r1",
        "question": "How is the safe opened?",
        "answer": "by turning the dial nine times",
        "abstained": False,
        "findings": [Finding("The dial is turned nine times", [QUOTE])],
        "searches": ["How is the safe opened?", "dial turns"],
        "sources": [USED, ASIDE],
        "usage": USAGE,
    }
    return Report(**{**values, **changes})


def withheld(**changes: Any) -> Report:
    return answered(**{"answer": None, "abstained": True, "findings": [], "sources": [ASIDE], **changes})
