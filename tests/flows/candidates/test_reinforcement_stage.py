"""A retrieve candidate may be reinforced on the passages that serve: what its own reports are worth."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

import training.rl.reinforce
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.models.serving import serving_retrieve_path
from flows.retraining.cycle_config import CycleSettings
from prep.errors import ConfigError, DataError
from prep.store.workspace import Workspace
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.adapter import read_adapter
from retrieve.model import ADAPTER, ServingConfig, read_retrieve_manifest, save_retrieve_version
from training.evaluation.packed_environment import PackedEnvironment

SETTINGS = TrainingSettings(n_examples=32, n_generated=0, held_out_every=4, minutes=1.0)
TERSE = ActionLimits(query_tokens=3, statement_tokens=3, max_findings=1, max_pointers=1)


@pytest.fixture(scope="module")
def last(workspace, tmp_path_factory):
    """The workspace with a version whose actions are short."""
    folder = tmp_path_factory.mktemp("last")
    copy = Workspace(shutil.copytree(workspace.path, folder / "workspace"))
    start = serving_retrieve_path(copy)
    serving = ServingConfig(action=TERSE)
    source = read_retrieve_manifest(start)["base"]["source"]
    version = save_retrieve_version(folder / "version", start / ADAPTER, serving=serving, source=source)
    with copy.new_model("retrieve", version) as target:
        shutil.copytree(folder / "version", target, dirs_exist_ok=True)
    copy.promote("retrieve", version)
    return copy


@pytest.fixture(scope="module")
def dataset(last):
    return synthesize_data(last, SETTINGS)


def test_a_candidate_is_reinforced_measured_and_kept_and_found_again(last, dataset):
    said: list[tuple[float, float]] = []
    before = last.current()
    candidate = train_retrieve_candidate(
        last, dataset, SETTINGS, "reinforcement", on_progress=lambda *times: said.append(times)
    )
    assert last.current() == before
    assert set(candidate.metrics) == {"start, held out", "reinforced, held out"}
    assert set(candidate.metrics["start, held out"]) >= {"reward", "f1", "abstention_f1"}
    assert len(candidate.curves["reward"]) == 2  # steps: two a minute
    assert said
    assert all(0 < seconds <= allowed == 60.0 for seconds, allowed in said)
    version = last.model_path("retrieve", candidate.version)
    old, new = (read_adapter(folder / ADAPTER).updates for folder in (serving_retrieve_path(last), version))
    assert {name: a.shape for name, (a, _) in old.items()} == {name: a.shape for name, (a, _) in new.items()}
    manifest = read_retrieve_manifest(version)
    assert manifest["serving"] == read_retrieve_manifest(serving_retrieve_path(last))["serving"]
    assert manifest["training"]["stage"] == "reinforcement"
    again = train_retrieve_candidate(last, dataset, SETTINGS, "reinforcement")
    assert again.reused
    assert again.version == candidate.version
    assert "interpolation" not in manifest["lineage"]["config"]  # it goes all the way


def test_where_reports_are_worth_different_things_the_pairs_move(last, dataset, monkeypatch):
    import training.rl.grpo

    calls = iter(range(10**6))
    monkeypatch.setattr(training.rl.grpo, "reward", lambda row, prices: float(next(calls) % 2))
    settings = replace(SETTINGS, seed=1, minutes=3.0)
    candidate = train_retrieve_candidate(last, dataset, settings, "reinforcement")
    version = last.model_path("retrieve", candidate.version)
    old, new = (read_adapter(folder / ADAPTER).updates for folder in (serving_retrieve_path(last), version))
    assert any(not torch.equal(old[name][1], new[name][1]) for name in old)


def test_what_is_answered_rightly_each_time_is_not_practised_and_found_out_once(last, dataset, monkeypatch):
    practised, looked = [], []
    real = training.rl.reinforce.reinforce

    def cut_short_at_first(policy, practice, *arguments, **options):
        practised.append(practice.digest)
        if len(practised) == 1:
            raise KeyboardInterrupt
        return real(policy, practice, *arguments, **options)

    def every_second(practice, n, **options):
        looked.append(practice)
        return list(range(0, len(practice), 2))

    monkeypatch.setattr(training.rl.reinforce, "reinforce", cut_short_at_first)
    monkeypatch.setattr(PackedEnvironment, "unsolved", every_second)
    settings = replace(SETTINGS, seed=2)
    with pytest.raises(KeyboardInterrupt):
        train_retrieve_candidate(last, dataset, settings, "reinforcement")
    train_retrieve_candidate(last, dataset, settings, "reinforcement")
    (whole,) = looked
    assert practised == [whole.select(range(0, len(whole), 2)).digest] * 2
    # Where too few are left for a step, all are practised.
    monkeypatch.setattr(
        PackedEnvironment, "unsolved", lambda practice, n, **_: looked.append(practice) or [0]
    )
    train_retrieve_candidate(last, dataset, replace(SETTINGS, seed=3), "reinforcement")
    assert practised[2:] == [looked[1].digest]


def test_where_it_cannot_be_practised_it_is_said(last, dataset):
    with pytest.raises(ConfigError, match="there is no stage"):
        train_retrieve_candidate(last, dataset, SETTINGS, "contrastive")
    few = replace(SETTINGS, n_examples=4)
    with pytest.raises(DataError, match="fewer than 16 questions"):
        train_retrieve_candidate(last, synthesize_data(last, few), few, "reinforcement")


def test_a_cycle_is_told_which_stage(tmp_path):
    (tmp_path / "retrain.toml").write_text('retrieve_stage = "reinforcement"\n')
    assert CycleSettings.from_toml(tmp_path / "retrain.toml").retrieve_stage == "reinforcement"
    assert CycleSettings().retrieve_stage == "supervised"
    with pytest.raises(ConfigError, match="retrieve_stage"):
        CycleSettings(retrieve_stage="contrastive")
