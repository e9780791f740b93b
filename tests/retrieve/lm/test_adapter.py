"""Adapters: what is saved and merged computes what the wrapped model computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_causal_lm import make_causal_lm, make_retrieve_version
from peft import LoraConfig, get_peft_model
from tiny_models import make_gemma, make_llama

from prep.errors import WeightsError
from retrieve.lm.adapter import apply_adapter, save_adapter, stack_adapters
from retrieve.lm.base import load_base
from retrieve.lm.special_tokens import MARKERS, TAGS
from retrieve.model import ADAPTER

TOKENS = [*TAGS, *MARKERS]
# The adapter library asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module", params=["tied", "untied"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = make_gemma if request.param == "tied" else make_llama
    return make(tmp_path_factory.mktemp("base"))


def wrapped_model(base: Path) -> tuple[Any, Any, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Return a model wrapped by the adapter library with random updates, and those updates by module."""
    model, tokenizer = load_base(base, dtype=torch.float32)
    wrapped = get_peft_model(
        model, LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", init_lora_weights=False)
    ).eval()
    found = dict(wrapped.named_parameters())
    updates = {
        name.removeprefix("base_model.model.").split(".lora_A.")[0]: (
            a,
            found[name.replace("lora_A", "lora_B")],
        )
        for name, a in found.items()
        if ".lora_A." in name
    }
    return wrapped, tokenizer, updates


@torch.inference_mode()
def test_a_merged_adapter_computes_what_the_wrapped_model_does(base: Path, tmp_path: Path) -> None:
    wrapped, tokenizer, updates = wrapped_model(base)
    assert len(updates) == 14
    ids = torch.tensor([[tokenizer.convert_tokens_to_ids(token) for token in TOKENS] + [20, 30, 40]])
    rows = torch.randn((len(TOKENS), 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        own = ids[0, : len(TOKENS)]
        wrapped.get_input_embeddings().weight[own] = rows
        wrapped.get_output_embeddings().weight[own] = rows
    path = tmp_path / "adapter.safetensors"
    save_adapter(path, updates, TOKENS, rows, scale=2.0, dtype=torch.float32)
    model, tokenizer = load_base(base, dtype=torch.float32)
    before = model(ids).logits
    apply_adapter(model, tokenizer, path)
    expected = wrapped(ids).logits
    torch.testing.assert_close(model(ids).logits, expected, atol=1e-4, rtol=1e-4)
    assert float((before - expected).abs().max()) > 0.1


def test_an_adapter_that_does_not_fit_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_base(base, dtype=torch.float32)
    name = "model.layers.0.self_attn.q_proj"
    good, rows = (torch.zeros(1, 32), torch.zeros(32, 1)), torch.zeros(1, 32)
    cases: dict[str, tuple[dict[str, Any], list[str], torch.Tensor]] = {
        "module": ({"model.layers.9.self_attn.q_proj": good}, ["<report>"], rows),
        "shape": ({name: (torch.zeros(1, 31), torch.zeros(32, 1))}, ["<report>"], rows),
        "no-weight": ({"model.layers": good}, ["<report>"], rows),
        "token": ({}, ["<unheard>"], rows),
        "rows": ({}, ["<report>"], torch.zeros(1, 31)),
    }
    for case, (updates, tokens, own) in cases.items():
        path = tmp_path / f"{case}.safetensors"
        save_adapter(path, updates, tokens, own, scale=1.0)
        with pytest.raises(WeightsError, match=case):
            apply_adapter(model, tokenizer, path)


def test_a_damaged_or_missing_adapter_is_a_weights_error(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_base(base, dtype=torch.float32)
    damaged = tmp_path / "damaged.safetensors"
    save_adapter(damaged, {}, ["<report>"], torch.zeros(1, 32), scale=1.0)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    for path in (damaged, tmp_path / "missing.safetensors"):
        with pytest.raises(WeightsError, match="not an adapter that can be read"):
            apply_adapter(model, tokenizer, path)


def test_equal_adapters_are_equal_bytes(tmp_path):
    updates = {"layers.0.q_proj": (torch.ones(2, 8), torch.zeros(8, 2))}
    for number in range(12):
        save_adapter(tmp_path / str(number), updates, TOKENS, torch.zeros(len(TOKENS), 8), scale=2.0)
    assert len({(tmp_path / str(number)).read_bytes() for number in range(12)}) == 1


@pytest.fixture
def causal_base(tmp_path):
    return make_causal_lm(tmp_path / "base")


@pytest.fixture
def below(tmp_path, causal_base):
    make_retrieve_version(tmp_path / "below", causal_base)
    return tmp_path / "below" / ADAPTER


@pytest.fixture
def above(tmp_path, causal_base):
    """An adapter with another rank and scale, on fewer modules and tokens than the one below it."""
    model, _ = load_base(causal_base, dtype=torch.float32)
    torch.manual_seed(9)
    updates = {
        name: (torch.randn(3, module.in_features), torch.randn(module.out_features, 3))
        for name, module in model.named_modules()
        if name.endswith(("q_proj", "v_proj"))
    }
    path = tmp_path / "above.safetensors"
    save_adapter(path, updates, TAGS[:2], torch.randn(2, 16), scale=0.5)
    return path


def test_the_stack_does_what_one_after_the_other_does(causal_base, below, above, tmp_path):
    stack_adapters(below, above, tmp_path / "stack.safetensors")
    one_after_the_other, tokenizer = load_base(causal_base, dtype=torch.float32)
    apply_adapter(one_after_the_other, tokenizer, below)
    apply_adapter(one_after_the_other, tokenizer, above)
    stacked, tokenizer = load_base(causal_base, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in stacked.state_dict().items()}
    apply_adapter(stacked, tokenizer, tmp_path / "stack.safetensors")
    for name, weight in stacked.state_dict().items():
        torch.testing.assert_close(weight, one_after_the_other.state_dict()[name], rtol=1e-5, atol=1e-5)
    assert not torch.equal(
        before["model.layers.0.mlp.up_proj.weight"], stacked.model.layers[0].mlp.up_proj.weight
    )


def test_half_the_way_is_the_mean_of_start_and_end(causal_base, below, above, tmp_path):
    states = {}
    for share in (0.0, 0.5, 1.0):
        stack_adapters(below, above, tmp_path / "stack.safetensors", interpolation=share)
        model, tokenizer = load_base(causal_base, dtype=torch.float32)
        apply_adapter(model, tokenizer, tmp_path / "stack.safetensors")
        states[share] = model.state_dict()
    start, tokenizer = load_base(causal_base, dtype=torch.float32)
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
