"""The twin that tells backwards shares with the model all that its adapter leaves alone, and changes nothing there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_gemma, make_llama, make_updates

from prep.errors import WeightsError
from prep.model.lora import merge_updates, read_updates
from retrieve.decoding.channel_model import load_teller, twin
from retrieve.lm.base import load_base

IDS = torch.tensor([[5, 80, 90, 100, 110]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("make", [make_gemma, make_llama])
def test_the_twin_is_the_model_with_the_updates_merged_and_the_model_stays_as_it_is(
    make: Any, tmp_path: Path
) -> None:
    model, _ = load_base(make(tmp_path / "base"), dtype=torch.float32)
    before = logits(model)
    path = make_updates(model, tmp_path / "backwards.safetensors", layers=(1,))
    teller = load_teller(model, path)
    assert torch.equal(logits(model), before)
    merge_updates(model, read_updates(path)[0])
    assert torch.allclose(logits(teller), logits(model), atol=1e-5)
    assert not torch.allclose(logits(teller), before, atol=1e-2)


def test_only_what_the_updates_change_is_not_shared(tmp_path: Path) -> None:
    model, _ = load_base(make_gemma(tmp_path / "base"), dtype=torch.float32)
    teller = load_teller(model, make_updates(model, tmp_path / "backwards.safetensors", layers=(1,)))
    own, shared = dict(teller.named_parameters()), dict(model.named_parameters())
    different = {name for name in shared if own[name] is not shared[name]}
    assert different
    assert all(".layers.1." in name and "proj" in name for name in different)
    assert all(one is other for one, other in zip(twin(model).parameters(), model.parameters(), strict=True))


def test_updates_of_another_model_are_refused(tmp_path: Path) -> None:
    gemma, _ = load_base(make_gemma(tmp_path / "gemma"), dtype=torch.float32)
    llama, _ = load_base(make_llama(tmp_path / "llama"), dtype=torch.float32)
    path = make_updates(gemma, tmp_path / "backwards.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_teller(llama, path)
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(path.read_bytes().replace(b"model.layers.1.", b"model.layers.9."))
    with pytest.raises(WeightsError, match=r"does not fit the model: it has no model\.layers\.9"):
        load_teller(gemma, renamed)
