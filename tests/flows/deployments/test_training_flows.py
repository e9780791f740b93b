"""The synthesize, train and evaluate flows return receipts of what the plain functions did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.loopback

PASS = {"n_generated": 0, "n_examples": 20, "seed": 0}


@pytest.fixture(scope="module")
def receipt(prefect_server, workspace):
    from flows.deployments.synthesize_flow import synthesize

    return synthesize(str(workspace.path), **PASS)


def test_synthesize_names_the_data_set_it_made(receipt, workspace):
    assert (workspace.path / "datasets" / receipt["dataset"] / "manifest.json").is_file()
    assert receipt["n_questions"] > 0


def test_train_prep_gives_a_candidate_with_figures(receipt, workspace):
    from flows.deployments.train_prep_flow import train_prep

    trained = train_prep(str(workspace.path), epochs=1, pages=1, **PASS)
    assert trained["version"] in workspace.model_versions("prep")
    assert {row["system"] for row in trained["figures"]} == {"candidate", "diptych", "rules alone"}


def test_train_retrieve_gives_a_candidate_and_evaluate_measures_it(receipt, workspace):
    from flows.deployments.evaluate_flow import evaluate
    from flows.deployments.train_retrieve_flow import train_retrieve

    trained = train_retrieve(str(workspace.path), minutes=0.02, **PASS)
    assert trained["version"] in workspace.model_versions("retrieve")
    measured = evaluate(
        str(workspace.path),
        "answers",
        str(workspace.path / "datasets" / receipt["dataset"] / "held-out"),
        candidate=trained["version"],
        limit=2,
        deadline_s=1.0,
    )
    rows = json.loads(Path(measured["results"]).read_text(encoding="utf-8"))
    assert [row["label"] for row in rows] == ["diptych", f"candidate {trained['version']}"]
    assert all(row["n_questions"] == 2 for row in rows)
    assert "<html" in Path(measured["page"]).read_text(encoding="utf-8")
    assert measured["verdict"]


def test_every_receipt_is_plain_json(receipt):
    assert json.loads(json.dumps(receipt)) == receipt
