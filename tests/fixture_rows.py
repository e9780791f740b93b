"""One judged answer, for tests that need some."""

from __future__ import annotations

from typing import Any

from training.metrics.results import AnswerRow


def answer_row(**changed: Any) -> AnswerRow:
    """Return the row of a question that was answered rightly, with fields changed."""
    values: dict[str, Any] = {
        "question_id": "q",
        "document_id": "d",
        "kind": "factoid",
        "expects_answer": True,
        "withheld": False,
        "abstained": False,
        "prediction": "x",
        "statements": ("x",),
        "exact_match": 0.0,
        "f1": 1.0,
        "citation_precision": 1.0,
        "citation_recall": 1.0,
        "n_quotes": 1,
        "n_inexact_quotes": 0,
        "quoted_characters": 9,
        "supported": True,
        "prompt_tokens": 300,
        "completion_tokens": 12,
        "n_searches": 1,
        "seconds": 0.1,
    }
    return AnswerRow(**(values | changed))


def numbered_answer_row(number: int, **changes: Any) -> AnswerRow:
    """One of many rows: four a document, every fifth withheld, F1 going round 0, 0.5 and 1."""
    values: dict[str, Any] = {
        "question_id": str(number),
        "document_id": f"d{number // 4}",
        "expects_answer": number % 5 != 4,
        "withheld": number % 5 == 4,
        "f1": (number % 3) / 2,
        "quoted_characters": 10,
        "prompt_tokens": 100,
        "completion_tokens": number,
        "seconds": float(number),
    }
    return answer_row(**(values | changes))
