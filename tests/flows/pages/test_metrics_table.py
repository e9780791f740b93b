"""A table of metrics: the best value is marked in the right direction, or none is."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from fixture_rows import answer_row

from flows.pages.metrics_table import better_direction, metrics_tables
from flows.pages.run_page import write_page
from training.metrics.results import AnswersResult, RetrievalResult


def bold(page: str) -> list[str]:
    return re.findall(r'<td class="number best">([^<]*)', page)


def test_the_better_system_stands_out_in_the_right_direction_and_counts_do_not(tmp_path: Path) -> None:
    metrics = {
        "Answers": {
            "Diptych": {"F1": 0.5, "seconds": 1.0, "tokens": 900, "token precision": 0.2, "questions": 60},
            "Usual workflow": {
                "F1": 0.4,
                "seconds": 3.0,
                "tokens": 1400,
                "token precision": 0.3,
                "questions": 50,
            },
        }
    }
    page = write_page(tmp_path / "page.html", title="t", metrics=metrics).read_text()
    assert bold(page) == ["0.500", "1.000", "900", "0.300"]


def test_a_tie_and_a_missing_or_broken_value_win_nothing(tmp_path: Path) -> None:
    metrics = {
        "T": {"A": {"F1": 0.5, "MRR": 0.1, "IoU": math.nan}, "B": {"F1": 0.5, "MRR": None, "k": "top 5"}}
    }
    page = write_page(tmp_path / "page.html", title="t", metrics=metrics).read_text()
    assert bold(page) == []
    assert "top 5" in page
    assert "nan<" not in page


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("seconds_p95", "smaller"),
        ("p50 s", "smaller"),
        ("tokens_per_question", "smaller"),
        ("searches", "smaller"),
        ("n_inexact_quotes", "smaller"),
        ("validation loss", "smaller"),
        ("recall loss", "smaller"),
        ("cite P", "larger"),
        ("abstain F1", "larger"),
        ("old_f1", "larger"),
        ("nDCG@10", "larger"),
        ("precision-Ω", "larger"),
        ("evidence recall@500 tokens", "larger"),
        ("evidence_recall_in_budget", "larger"),
        ("correct supported / 1k tokens", "larger"),
        ("correct_supported_per_1000_tokens", "larger"),
        ("n", None),
        ("chunks", None),
        ("tokens per chunk", None),
        ("answer's length", None),
        ("questions per second", None),
    ],
)
def test_a_metric_s_name_says_in_which_direction_it_is_better_or_nothing_is_marked(
    metric: str, better: str | None
) -> None:
    assert better_direction(metric) == better
    (table,) = metrics_tables({"": {"one": {metric: 0.2}, "two": {metric: 0.4}}})
    marked = [cell.is_best for cell in table.rows[0].cells]
    assert marked == {"smaller": [True, False], "larger": [False, True], None: [False, False]}[better]


def test_the_slower_and_dearer_system_is_marked_in_no_row(tmp_path: Path) -> None:
    cheap = answer_row(seconds=1.0, prompt_tokens=100, n_searches=1)
    dear = answer_row(seconds=2.0, prompt_tokens=900, n_searches=3)
    metrics = {
        "answers": {
            row_name: dict(
                AnswersResult(dataset="d", label=row_name, withhold_every=0, rows=(row,)).columns()
            )
            for row_name, row in (("cheap", cheap), ("dear", dear))
        }
    }
    (table,) = metrics_tables(metrics)
    marked = {
        row.metric: [cell.is_best for cell in row.cells]
        for row in table.rows
        if any(c.is_best for c in row.cells)
    }
    assert set(marked) >= {"tokens", "searches", "p50 s", "p95 s", "correct supported / 1k tokens"}
    assert all(row == [True, False] for row in marked.values())


def test_the_size_of_chunks_is_not_marked() -> None:
    sides = {"small": 90.0, "large": 240.0}
    metrics = {
        "retrieval": {
            name: dict(
                RetrievalResult(
                    dataset="d",
                    label=name,
                    k=10,
                    evidence_k=5,
                    budget_tokens=500,
                    n_chunks=9,
                    mean_tokens=tokens,
                    rows=(),
                ).columns()
            )
            for name, tokens in sides.items()
        }
    }
    (table,) = metrics_tables(metrics)
    assert not any(cell.is_best for row in table.rows for cell in row.cells)
