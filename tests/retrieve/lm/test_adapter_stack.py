"""Two adapters merged one after the other and the two as one change the base alike."""

from __future__ import annotations

import pytest
import torch
from fixture_causal_lm import make_causal_lm, make_retrieve_version

from prep.errors import WeightsError
from retrieve.lm.adapter import apply_adapter, save_adapter
from retrieve.lm.adapter_stack import stack_adapters
from retrieve.lm.base import load_base
from retrieve.lm.special_tokens import TAGS
from retrieve.model import ADAPTER


@pytest.fixture
def base(tmp_path):
    return make_causal_lm(tmp_path / "base")


@pytest.fixture
def below(tmp_path, base):
    make_retrieve_version(tmp_path / "below", base)
    return tmp_path / "below" / ADAPTER


@pytest.fixture
def above(tmp_path, base):
    """An adapter with another rank and scale, on fewer modules and tokens than the one below it."""
    model, _ = load_base(base, dtype=torch.float32)
    torch.manual_seed(9)
    updates = {
        name: (torch.randn(3, module.in_features), torch.randn(module.out_features, 3))
        for name, module in model.named_modules()
        if name.endswith(("q_proj", "v_proj"))
    }
    path = tmp_path / "above.safetensors"
    save_adapter(path, updates, TAGS[:2], torch.randn(2, 16), scale=0.5)
    return path


def test_the_stack_does_what_one_after_the_other_does(base, below, above, tmp_path):
    stack_adapters(below, above, tmp_path / "stack.safetensors")
    one_after_the_other, tokenizer = load_base(base, dtype=torch.float32)
    apply_adapter(one_after_the_other, tokenizer, below)
    apply_adapter(one_after_the_other, tokenizer, above)
    stacked, tokenizer = load_base(base, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in stacked.state_dict().items()}
    apply_adapter(stacked, tokenizer, tmp_path / "stack.safetensors")
    for name, weight in stacked.state_dict().items():
        torch.testing.assert_close(weight, one_after_the_other.state_dict()[name], rtol=1e-5, atol=1e-5)
    assert not torch.equal(
        before["model.layers.0.mlp.up_proj.weight"], stacked.model.layers[0].mlp.up_proj.weight
    )


def test_half_the_way_is_the_mean_of_start_and_end(base, below, above, tmp_path):
    states = {}
    for share in (0.0, 0.5, 1.0):
        stack_adapters(below, above, tmp_path / "stack.safetensors", share=share)
        model, tokenizer = load_base(base, dtype=torch.float32)
        apply_adapter(model, tokenizer, tmp_path / "stack.safetensors")
        states[share] = model.state_dict()
    start, tokenizer = load_base(base, dtype=torch.float32)
    apply_adapter(start, tokenizer, below)
    for name, weight in start.state_dict().items():
        torch.testing.assert_close(states[0.0][name], weight)
        # adapters are kept in bfloat16, which is what the tolerance is for
        torch.testing.assert_close(states[0.5][name], (weight + states[1.0][name]) / 2, rtol=2e-2, atol=2e-2)
        assert torch.equal(states[0.5][name], weight) == torch.equal(states[1.0][name], weight)


def test_a_file_that_is_no_adapter_is_refused(below, tmp_path):
    (tmp_path / "broken").write_bytes(b"nothing of the sort")
    with pytest.raises(WeightsError, match="not an adapter"):
        stack_adapters(below, tmp_path / "broken", tmp_path / "stack.safetensors")
