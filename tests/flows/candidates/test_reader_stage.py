"""A retrieve candidate's reader may be trained on the passages that serve; its writer stays."""

from __future__ import annotations

import shutil

import pytest
import torch

from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.models.serving import serving_retrieve_path
from prep.errors import ConfigError
from prep.model.encoder import Encoder
from prep.store.workspace import Workspace
from retrieve import Researcher
from retrieve.model import (
    ADAPTER,
    READER,
    ServingConfig,
    read_retrieve_manifest,
    save_retrieve_version,
)
from retrieve.reader.calibration import Calibration
from retrieve.reader.inputs import InputLimits
from retrieve.reader.network import ReaderNetwork
from retrieve.reader.reader import Reader
from retrieve.reader.reader_policy import ReaderConfig

SETTINGS = TrainingSettings(n_examples=20, n_generated=0, held_out_every=4, minutes=0.02)


@pytest.fixture(scope="module")
def last(workspace, tmp_path_factory):
    """The workspace with a version that has a reader, not trained, which answers everything."""
    folder = tmp_path_factory.mktemp("last")
    copy = Workspace(shutil.copytree(workspace.path, folder / "workspace"))
    start = serving_retrieve_path(copy)
    torch.manual_seed(0)
    encoder = Encoder.load(precision="float32")
    network = ReaderNetwork(encoder.model, encoder.dimension)
    Reader(encoder, network, InputLimits(), Calibration(threshold=0.0)).save(folder / "reader")
    version = save_retrieve_version(
        folder / "version",
        start / ADAPTER,
        serving=ServingConfig(reader=ReaderConfig(passages=3, written=())),
        reader=folder / "reader",
        source=read_retrieve_manifest(start)["base"]["source"],
    )
    with copy.new_model("retrieve", version) as target:
        shutil.copytree(folder / "version", target, dirs_exist_ok=True)
    copy.promote("retrieve", version)
    return copy


def test_the_reader_is_trained_and_the_writer_kept(last):
    start = serving_retrieve_path(last)
    said: list[tuple[float, float]] = []
    dataset = synthesize_data(last, SETTINGS)
    candidate = train_retrieve_candidate(
        last, dataset, SETTINGS, "reader", on_progress=lambda *times: said.append(times)
    )
    version = last.model_path("retrieve", candidate.version)
    old, new = (read_retrieve_manifest(folder) for folder in (start, version))
    assert old["files"][ADAPTER] == new["files"][ADAPTER]
    assert old["serving"] == new["serving"]
    assert new["training"]["stage"] == "reader"
    before, after = (Reader.load(folder / READER, precision="float32") for folder in (start, version))
    assert after.calibration == before.calibration
    assert any(not torch.equal(one, after.weights()[name]) for name, one in before.weights().items())
    assert train_retrieve_candidate(last, dataset, SETTINGS, "reader").reused


def test_a_version_with_a_reader_answers_with_it(last):
    with Researcher.open(last.path, log=False) as researcher:
        report = researcher.ask("What is it?", deadline_s=60)
    assert report.status == "answered"
    assert report.answer_type in {"span", "yes", "no", "list", "steps", "statement"}
    assert 0 <= report.confidence <= 1
    assert report.usage.completion_tokens == 0  # the writer was not needed
    assert report.quotes


def test_without_a_reader_there_is_nothing_to_train(workspace):
    with pytest.raises(ConfigError, match="has no reader"):
        train_retrieve_candidate(workspace, synthesize_data(workspace, SETTINGS), SETTINGS, "reader")
