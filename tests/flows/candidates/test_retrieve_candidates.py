"""A retrieve candidate is trained, kept beside the serving version, and found again."""

from __future__ import annotations

import shutil
from dataclasses import replace

from fixture_candidates import SETTINGS

from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_settings import RETRIEVE_STARTS
from flows.models.serving import serving_retrieve_path
from prep.manifest import read_manifest
from prep.store.workspace import Workspace


def test_a_candidate_that_was_deleted_is_trained_again(workspace, dataset, retrieve_candidate, tmp_path):
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    shutil.rmtree(copy.model_path("retrieve", retrieve_candidate.version))
    again = train_retrieve_candidate(copy, dataset, SETTINGS)
    assert not again.reused
    assert again.version in copy.model_versions("retrieve")


def test_a_retrieve_candidate_is_trained_from_what_serves_or_from_what_is_shipped(
    workspace, dataset, retrieve_candidate, tmp_path, monkeypatch
):
    shipped = serving_retrieve_path(workspace)
    monkeypatch.setattr("retrieve.model.shipped_retrieve", lambda: shipped)
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    copy.promote("retrieve", retrieve_candidate.version)
    begun = {}
    for start in RETRIEVE_STARTS:
        candidate = train_retrieve_candidate(copy, dataset, replace(SETTINGS, retrieve_start=start))
        begun[start] = read_manifest(copy.model_path("retrieve", candidate.version))["lineage"]["ancestors"]
    assert begun == {"serving": [retrieve_candidate.version, shipped.name], "shipped": [shipped.name]}
