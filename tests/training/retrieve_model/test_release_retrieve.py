"""A version is released from a run or from another version, with settings chosen or given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prep.errors import DataError
from prep.manifest import file_digest
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import EpisodeLimits
from retrieve.lm.adapter import save_adapter
from retrieve.model import (
    ADAPTER,
    CHANNEL_ADAPTER,
    ServingConfig,
    read_retrieve_manifest,
    save_retrieve_version,
)
from training.retrieve_model.release_retrieve import main, release_retrieve


def adapter(folder: Path, value: float) -> Path:
    folder.mkdir()
    pair = (torch.full((2, 4), value), torch.full((3, 2), value))
    save_adapter(folder / ADAPTER, {"layer.q": pair}, ["<a>"], torch.full((1, 4), value), scale=2.0)
    return folder / ADAPTER


def test_settings_of_another_version_are_taken_over_and_offsets_given_by_hand(tmp_path: Path) -> None:
    one = adapter(tmp_path / "run", 1.0)
    (tmp_path / "run" / "config.json").write_text('{"config": {}}', encoding="utf-8")
    serving = ServingConfig(abstention_bias=2.0, search_bias=3.0, episode=EpisodeLimits(max_searches=2))
    save_retrieve_version(tmp_path / "other", one, serving=serving)
    (tmp_path / "card.md").write_text("card", encoding="utf-8")
    compared = {"chosen": {"n": 3, "sure": 0.5}, "tokens": 9.0, "tried": []}
    (tmp_path / "comparing.json").write_text(json.dumps(compared), encoding="utf-8")
    common = ["--run", str(tmp_path / "run"), "--settings-of", str(tmp_path / "other")]
    common += ["--card", str(tmp_path / "card.md"), "--out", str(tmp_path / "weights")]
    main([*common, "--name", "1"])
    main(
        [
            *common,
            "--name",
            "2",
            "--biases",
            "-1",
            "-2",
            "--score-margin",
            "0.25",
            "--reranking",
            str(tmp_path / "comparing.json"),
        ]
    )
    first, second = (
        ServingConfig.from_json(read_retrieve_manifest(tmp_path / "weights" / name)["serving"])
        for name in "12"
    )
    assert first == serving
    wanted = replace(serving, abstention_bias=-1.0, search_bias=-2.0)
    limits = replace(serving.episode, score_margin=0.25)
    assert second == replace(
        wanted, episode=limits, reranking=RerankingConfig(n_candidates=3, sure_probability=0.5)
    )
    assert (tmp_path / "weights" / "CURRENT").read_text(encoding="utf-8") == "2\n"


def test_a_version_is_released_again_with_its_noisy_channel_model(tmp_path: Path) -> None:
    serving = ServingConfig(abstention_bias=2.0, episode=EpisodeLimits(max_searches=2))
    first = save_retrieve_version(
        tmp_path / "first", adapter(tmp_path / "one", 1.0), serving=serving, training={"stage": "supervised"}
    )
    told = adapter(tmp_path / "told", 2.0)
    (tmp_path / "told" / "config.json").write_text(
        json.dumps({"config": {"channel_of": first}}), encoding="utf-8"
    )
    weights = tmp_path / "weights"
    chosen = (serving, {})
    release_retrieve(
        tmp_path / "first",
        chosen,
        "2",
        "card",
        weights,
        RerankingConfig(n_candidates=4),
        channel=tmp_path / "told",
    )
    manifest = read_retrieve_manifest(weights / "2")
    assert (weights / "2" / ADAPTER).read_bytes() == (tmp_path / "one" / ADAPTER).read_bytes()
    assert (weights / "2" / CHANNEL_ADAPTER).read_bytes() == told.read_bytes()
    assert set(manifest["files"]) == {ADAPTER, CHANNEL_ADAPTER}
    assert manifest["training"] == {"stage": "supervised", "channel_model": {"config": {"channel_of": first}}}
    assert ServingConfig.from_json(manifest["serving"]) == replace(
        serving, reranking=RerankingConfig(n_candidates=4)
    )
    release_retrieve(
        weights / "2", (ServingConfig.from_json(manifest["serving"]), {}), "again", "card", weights
    )
    again = read_retrieve_manifest(weights / "again")
    assert (again["files"], again["serving"]) == (manifest["files"], manifest["serving"])
    with pytest.raises(DataError, match=f"noisy-channel model of {first}, not of"):
        release_retrieve(weights / "2", chosen, "3", "card", weights, channel=tmp_path / "told")


def test_a_run_is_released_with_the_channel_model_of_its_start(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    start = adapter(tmp_path / "start", 1.0)
    save_retrieve_version(weights / "1", start, serving=ServingConfig(), training={"backwards": {"seed": 3}})
    chosen = (ServingConfig(), {"f1": 0.5})
    adapter(tmp_path / "run", 2.0)
    went_on = {"config": {}, "start": file_digest(start)}
    (tmp_path / "run" / "config.json").write_text(json.dumps(went_on), encoding="utf-8")
    with pytest.raises(DataError, match="has no noisy-channel model"):
        release_retrieve(tmp_path / "run", chosen, "2", "card", weights, channel=weights / "1")
    told = adapter(tmp_path / "told", 3.0)
    save_retrieve_version(
        weights / "1b",
        start,
        serving=ServingConfig(),
        channel_adapter=told,
        training={"backwards": {"seed": 3}},
    )
    release_retrieve(tmp_path / "run", chosen, "2", "card", weights, channel=weights / "1b")
    assert (weights / "2" / CHANNEL_ADAPTER).read_bytes() == told.read_bytes()
    manifest = read_retrieve_manifest(weights / "2")
    assert manifest["training"] == {**went_on, "channel_model": {"seed": 3}}  # by its old name in version 1b
    (tmp_path / "run" / "config.json").write_text('{"config": {}, "start": "another"}', encoding="utf-8")
    with pytest.raises(DataError, match="did not go on from"):
        release_retrieve(tmp_path / "run", chosen, "3", "card", weights, channel=weights / "1b")
