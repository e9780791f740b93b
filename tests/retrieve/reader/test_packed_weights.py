"""Weights come back from fewer bits nearly as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prep.errors import WeightsError
from retrieve.reader.packed_weights import load_packed, save_packed


def test_more_bits_lose_less_and_what_is_not_packed_loses_least(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {"matrix": torch.randn(24, 64), "bias": torch.randn(64), "odd": torch.randn(3, 7)}
    losses = {}
    for kind in ("Q8_0", "Q5_0", "Q4_0"):
        save_packed(tmp_path / kind, tensors, dict.fromkeys(tensors, kind))
        found = load_packed(tmp_path / kind)
        assert {name: (one.shape, one.dtype) for name, one in found.items()} == {
            name: (one.shape, torch.float32) for name, one in tensors.items()
        }
        losses[kind] = float((found["matrix"] - tensors["matrix"]).norm() / tensors["matrix"].norm())
        torch.testing.assert_close(found["bias"], tensors["bias"], atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(found["odd"], tensors["odd"], atol=2e-3, rtol=1e-3)
    assert losses["Q8_0"] < 0.01 < losses["Q5_0"] < losses["Q4_0"] < 0.1
    sizes = [(tmp_path / kind).stat().st_size for kind in losses]
    assert sizes == sorted(sizes, reverse=True)


def test_a_file_that_holds_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_packed(tmp_path / "weights")
