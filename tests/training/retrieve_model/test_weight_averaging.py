"""Averages of adapters: the mean of what they hold, of one origin only, and released like a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from prep.errors import ConfigError
from retrieve.lm.adapter import read_adapter, save_adapter
from training.retrieve_model.release_retrieve import chosen_serving, release_retrieve
from training.retrieve_model.weight_averaging import average_adapters, main


def adapter(path: Path, value: float, *, rank: int = 2, tokens: tuple[str, ...] = ("<a>", "<b>")) -> Path:
    pair = (torch.full((rank, 4), value), torch.full((3, rank), 2 * value))
    save_adapter(path, {"layer.q": pair}, list(tokens), torch.full((len(tokens), 4), value), scale=2.0)
    return path


def test_pairs_and_rows_are_the_mean_of_all(tmp_path: Path) -> None:
    paths = [adapter(tmp_path / str(value), value) for value in (1.0, 2.0, 6.0)]
    paths.append(adapter(tmp_path / "turned", 3.0, tokens=("<b>", "<a>")))
    average_adapters(paths, tmp_path / "mean")
    mean = read_adapter(tmp_path / "mean")
    assert torch.equal(mean.updates["layer.q"][0], torch.full((2, 4), 3.0))
    assert torch.equal(mean.updates["layer.q"][1], torch.full((3, 2), 12.0))  # with the scale in it
    assert set(mean.rows) == {"<a>", "<b>"}
    assert all(torch.equal(row, torch.full((4,), 3.0)) for row in mean.rows.values())


def test_weights_lead_from_a_mean_back_to_what_it_is_of(tmp_path: Path) -> None:
    start, end = adapter(tmp_path / "start", 1.0), adapter(tmp_path / "end", 3.0)
    average_adapters([start, end], tmp_path / "mean")
    average_adapters([start, tmp_path / "mean"], tmp_path / "again", [-1.0, 2.0])
    again, ended = read_adapter(tmp_path / "again"), read_adapter(end)
    for one, other in zip(again.updates["layer.q"], ended.updates["layer.q"], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.rows["<a>"], ended.rows["<a>"])
    for weights in ([1.0], [0.5, 0.6]):
        with pytest.raises(ConfigError, match="sum to 1"):
            average_adapters([start, end], tmp_path / "mean", weights)


def test_one_adapter_or_different_ones_are_refused(tmp_path: Path) -> None:
    one = adapter(tmp_path / "one", 1.0)
    with pytest.raises(ConfigError, match="at least two"):
        average_adapters([one], tmp_path / "mean")
    for other in (adapter(tmp_path / "rank", 1.0, rank=3), adapter(tmp_path / "rows", 1.0, tokens=("<a>",))):
        with pytest.raises(ConfigError, match=f"{other.name} changes other"):
            average_adapters([one, other], tmp_path / "mean")


def test_an_average_is_released_like_a_run(tmp_path: Path) -> None:
    paths = [str(adapter(tmp_path / str(value), value)) for value in (1.0, 3.0)]
    main(["--adapters", *paths, "--out", str(tmp_path / "run")])
    best = {"offset": 0.5, "f1": 0.7, "abstention_f1": 0.7, "search_offset": None, "searches": 1.0}
    tuning = [{"passages": 3, "best": best}]
    release_retrieve(tmp_path / "run", chosen_serving(tuning), "9.9", "card", tmp_path / "weights")
    manifest = json.loads((tmp_path / "weights" / "9.9" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["serving"]["abstention_bias"] == 0.5
    assert len(manifest["training"]["adapters"]) == 2
