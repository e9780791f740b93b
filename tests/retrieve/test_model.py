"""Versions of the retrieve model on disk: saved, loaded, and refused when damaged or foreign."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_llama

from prep.errors import BaseModelError, WeightsError
from retrieve.episode.episode import EpisodeLimits
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.adapter import save_adapter
from retrieve.model import RetrieveModel, ServingConfig, save_retrieve_version

SERVING = ServingConfig(
    abstention_bias=0.5,
    episode=EpisodeLimits(max_searches=2),
    action=ActionLimits(max_findings=1),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def version(base: Path, tmp_path: Path) -> Path:
    adapter = tmp_path / "trained.safetensors"
    save_adapter(adapter, {}, ["<report>"], torch.full((1, 32), 0.25), scale=1.0)
    folder = tmp_path / "version"
    save_retrieve_version(
        folder, adapter, serving=SERVING, source=str(base), card="# Card\n", metrics={"f1": 0.5}
    )
    return folder


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_saved_version_is_loaded_with_its_adapter_and_settings(version: Path) -> None:
    loaded = RetrieveModel.load(version, device="cpu")
    assert loaded.version == json.loads((version / "manifest.json").read_text())["version"]
    assert loaded.serving == SERVING
    assert loaded.decoder().generator.biases["abstain"] == 0.5
    row = loaded.tokenizer.convert_tokens_to_ids("<report>")
    assert loaded.model.get_input_embeddings().weight[row].float().eq(0.25).all()
    assert loaded.model.get_output_embeddings().weight[row].float().eq(0.25).all()
    assert (version / "README.md").read_text() == "# Card\n"


def test_the_same_content_gives_the_same_version_and_other_settings_another(
    version: Path, base: Path
) -> None:
    name = json.loads((version / "manifest.json").read_text())["version"]
    adapter = version / "adapter.safetensors"
    assert save_retrieve_version(version, adapter, serving=SERVING, source=str(base)) == name
    assert save_retrieve_version(version, adapter, serving=ServingConfig(), source=str(base)) != name


def test_serving_settings_round_trip_and_unknown_ones_are_refused() -> None:
    assert ServingConfig.from_json(json.loads(json.dumps(asdict(SERVING)))) == SERVING
    for content in ({"nonsense": 1}, {"episode": {"nonsense": 1}}, {"action": {"nonsense": 1}}):
        with pytest.raises(WeightsError, match="nonsense"):
            ServingConfig.from_json(content)


def test_a_flipped_bit_is_found_before_loading(version: Path) -> None:
    path = version / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        RetrieveModel.load(version, device="cpu")


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"kind": "retrieve"}', '{"kind": "retrieve", "files": 3}']
)
def test_a_manifest_that_is_none_is_a_weights_error(version: Path, text: str) -> None:
    (version / "manifest.json").write_text(text)
    with pytest.raises(WeightsError):
        RetrieveModel.load(version, device="cpu")


def test_another_models_version_is_refused_by_kind(version: Path) -> None:
    edit(version, kind="prep")
    with pytest.raises(WeightsError, match="prep model"):
        RetrieveModel.load(version, device="cpu")


def test_a_version_whose_base_is_gone_names_it(version: Path, tmp_path: Path) -> None:
    edit(version, base={"name": "gone", "source": str(tmp_path / "gone")})
    with pytest.raises(BaseModelError, match="gone"):
        RetrieveModel.load(version, device="cpu")


def test_the_untrained_base_can_be_served(base: Path) -> None:
    model = RetrieveModel.untrained(base)
    assert (model.version, model.serving) == ("untrained", ServingConfig())
