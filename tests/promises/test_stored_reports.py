"""Promise: a change of the code changes no answer. The same documents and questions give what they gave before.

What they gave is in `stored_reports/`, made by `tests/bench/store_reports.py`, which says when to make it again.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bench import store_reports

from prep import PrepModel
from prep.ingest import ingest
from retrieve import Researcher, RetrieveModel

pytestmark = pytest.mark.slow

STORED: dict[str, Any] = json.loads(store_reports.REPORTS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models() -> tuple[PrepModel, RetrieveModel]:
    return store_reports.load_models()


@pytest.fixture(scope="module")
def workspace(models: tuple[PrepModel, RetrieveModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    ingest(folder, store_reports.stored_documents(), models[0], progress=False)
    return folder


@pytest.fixture(scope="module")
def researcher(workspace: Path, models: tuple[PrepModel, RetrieveModel]) -> Iterator[Researcher]:
    prep, model = models
    with Researcher.open(workspace, prep=prep, model=model, log=False) as opened:
        yield opened


def lines(value: Any) -> list[str]:
    return json.dumps(value, ensure_ascii=False, indent=1).splitlines()


def expect_same(now: dict[str, Any], stored: dict[str, Any]) -> None:
    """Fail with a diff of every entry that is not what was stored."""
    assert list(now) == list(stored)
    differences = [
        "\n".join(
            [
                name,
                *difflib.unified_diff(
                    lines(stored[name]), lines(now[name]), "stored", "now", n=2, lineterm=""
                ),
            ]
        )
        for name in stored
        if now[name] != stored[name]
    ]
    if differences:
        pytest.fail(
            f"{len(differences)} of {len(stored)} differ:\n\n" + "\n\n".join(differences), pytrace=False
        )


def by_question(reports: list[dict[str, Any]]) -> dict[str, Any]:
    return {report["question"]: report for report in reports}


def test_the_retrieve_model_computes_in_float32_as_the_stored_answers_were(
    models: tuple[PrepModel, RetrieveModel],
) -> None:
    assert {weight.dtype for weight in models[1].model.parameters()} == {torch.float32}


def test_the_same_documents_give_the_same_chunks_as_before(workspace: Path) -> None:
    expect_same(store_reports.chunks_of(workspace), STORED["documents"])


def test_the_same_questions_asked_alone_give_the_same_reports_as_before(researcher: Researcher) -> None:
    expect_same(by_question(store_reports.ask_alone(researcher)), by_question(STORED["alone"]))


def test_the_same_questions_asked_in_one_call_give_the_same_reports_as_before(researcher: Researcher) -> None:
    expect_same(by_question(store_reports.ask_batch(researcher)), by_question(STORED["batch"]))


def test_the_stored_reports_answer_refuse_and_search_again() -> None:
    reports = STORED["alone"] + STORED["batch"]
    assert {report["abstained"] for report in reports} == {True, False}
    assert {len(report["searches"]) for report in reports} == {1, 2}
    assert any(len(finding["quotes"]) > 1 for report in reports for finding in report["findings"])
