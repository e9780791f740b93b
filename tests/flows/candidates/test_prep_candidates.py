"""A prep candidate is trained in one stage, kept beside the serving version, and found again."""

from __future__ import annotations

import shutil

import pytest
import torch
from fixture_candidates import SETTINGS

from flows.candidates.prep_candidates import train_prep_candidate
from flows.models.measurement import SERVING
from prep.errors import ConfigError
from prep.model.prep_model import PrepModel
from prep.store.workspace import Workspace


def test_a_prep_candidate_is_kept_beside_the_serving_version_and_found_again(workspace, dataset):
    before, threads = workspace.current(), torch.get_num_threads()
    candidate = train_prep_candidate(workspace, dataset, SETTINGS)
    assert candidate.version in workspace.model_versions("prep")
    assert workspace.current() == before
    assert torch.get_num_threads() == threads
    assert 0 <= candidate.metrics["candidate"]["paragraph_f1"] <= 1
    assert candidate.curves["loss"]
    again = train_prep_candidate(workspace, dataset, SETTINGS)
    assert again.reused
    assert (again.version, again.metrics, again.curves) == (
        candidate.version,
        candidate.metrics,
        candidate.curves,
    )


def test_vectors_and_then_cuts_are_trained_on_the_questions(workspace, dataset, tmp_path):
    vectors = train_prep_candidate(workspace, dataset, SETTINGS, "contrastive")
    assert vectors.version in workspace.model_versions("prep")
    assert set(vectors.metrics) == {"chunks", "start", "trained"}
    assert vectors.curves["contrast"]
    assert train_prep_candidate(workspace, dataset, SETTINGS, "contrastive").reused
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    copy.promote("prep", vectors.version)
    cuts = train_prep_candidate(copy, dataset, SETTINGS, "reinforcement")
    assert set(cuts.metrics) == {"candidate", SERVING}
    model, before = (PrepModel.load(copy.model_path("prep", v)) for v in (cuts.version, vectors.version))
    assert model.config.vectors == "shared"
    assert model.updates.keys() == before.updates.keys()
    with pytest.raises(ConfigError, match="there is no stage"):
        train_prep_candidate(workspace, dataset, SETTINGS, "distillation")
