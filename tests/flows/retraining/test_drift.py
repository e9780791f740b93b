"""Drift of a workspace: questions of its log before and since the last cycle, documents that came or changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fixture_cycle import STRICT, log_questions

from flows.cli.app import main
from flows.models.serving import serving_prep
from flows.retraining.cycle import retrain_workspace
from flows.retraining.drift import workspace_drift
from prep.document import Document
from prep.errors import EmptyStore
from prep.ingest import ingest
from prep.store.workspace import Workspace
from training.evaluation.drift_statistics import DriftConfig

CONFIG = DriftConfig(min_questions=8)
ON_PYTHON = [
    f"What does the {word} statement do?" for word in "if while for try with return del pass".split()
]
ON_BEES = [
    f"How much honey does a hive of bees {word}?"
    for word in "make eat keep lose store sell need give".split()
]


@pytest.fixture(scope="module")
def retrained(workspace, tmp_path_factory):
    """A workspace after a cycle that was begun when eight questions on Python had been asked."""
    place = Workspace(shutil.copytree(workspace.path, tmp_path_factory.mktemp("drift") / "workspace"))
    log_questions(place, ON_PYTHON, datetime.now(UTC) - timedelta(days=1))
    retrain_workspace(place, replace(STRICT, kinds=("retrieve",)))
    return place


@pytest.fixture
def copy(retrained, tmp_path):
    return Workspace(shutil.copytree(retrained.path, tmp_path / "workspace"))


LATER = datetime.now(UTC) + timedelta(days=1)


def test_other_questions_since_the_last_cycle_are_drift(copy):
    log_questions(copy, ON_BEES, LATER)
    found = workspace_drift(copy, CONFIG)
    assert (found.n_before, found.n_recent) == (8, 8)
    assert found.drifted
    assert found.p_value < 0.01
    assert found.share_new == 0


def test_like_questions_since_are_none(copy):
    words = "import class global assert raise yield break continue".split()
    log_questions(copy, [f"What does the {word} statement do?" for word in words], LATER)
    found = workspace_drift(copy, CONFIG)
    assert found.n_recent == 8
    assert not found.drifted


def test_many_new_documents_are_drift(copy):
    with copy.open_generation() as generation:
        documents = list(generation.documents())
    new = [
        Document(f"new{n}", f"New {n}", f"Something that was not there before, number {n}.\n")
        for n in range(6)
    ]
    ingest(copy, [*documents, *new], serving_prep(copy), progress=False)
    found = workspace_drift(copy, CONFIG)
    assert found.share_new == pytest.approx(6 / (len(documents) + 6))
    assert found.drifted


def test_a_workspace_that_was_never_retrained_has_not_drifted(workspace, tmp_path):
    found = workspace_drift(workspace)
    assert not found.drifted
    assert "never retrained" in found.reasons[0]
    with pytest.raises(EmptyStore):
        workspace_drift(tmp_path)


def test_the_command_says_whether_retraining_is_due(copy, capsys):
    assert main(["drift", "--workspace", str(copy.path)]) == 0
    assert "no drift\n" in capsys.readouterr().out
    assert main(["drift", "--workspace", str(copy.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_before"] == 8
