"""Tiny real causal LMs, made on the spot: a Gemma 3 over a pruned vocabulary, a Llama over byte-level BPE.

The first has what the embedded base has: byte fallback, tags and markers as tokens. The second has nothing of it:
no tags, no beginning-of-text token, an output head of its own.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from prep.lora import save_updates
from retrieve.lm.vocabulary import CONTROL, build_tokenizer, prune

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "was",
    "none",
    "bees",
    "make",
    "honey",
    "from",
    "nectar",
    "glass",
    "sand",
    "kestrel",
    "vole",
    "hover",
    "nest",
    "report",
    "search",
    "answer",
    "what",
]
GREEK = [chr(code) for code in range(0x0391, 0x03A2)]
KATAKANA = [chr(code) for code in range(0x30A1, 0x30F7)]
NUMERALS = [chr(code) for code in range(0x2460, 0x2469)]


def base_tokens() -> list[str]:
    """Return a base's tokens as `prune` expects them: control, bytes, words with their beginnings, characters."""
    tokens = [*CONTROL, "<start_of_turn>", "<unused7>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["\n", "\n\n", "▁", "▁▁"]
    for word in WORDS:
        tokens += [f"▁{word[:length]}" for length in range(1, len(word) + 1)]
    tokens += [
        *string.ascii_letters,
        *string.digits,
        *string.punctuation,
        "\t",
        *NUMERALS,
        *GREEK,
        *KATAKANA,
        "›",
        "⟦",
        "⟧",
        "é",
        "蜂",
    ]
    return list(dict.fromkeys(tokens))


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the tiny Gemma: our own pruning and building, over a vocabulary of some 600 tokens."""
    wrapper: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = wrapper(
        tokenizer_object=build_tokenizer(prune(base_tokens())),
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
    return tokenizer


def make_gemma(folder: Path, *, seed: int = 3, window: int = 32) -> Path:
    """Write a random Gemma 3 of two layers, one of them with a sliding window, by default shorter than its prompts."""
    tokenizer = gemma_tokenizer()
    torch.manual_seed(seed)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=window,
        layer_types=["sliding_attention", "full_attention"],
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        initializer_range=0.3,  # far from uniform, so that the greedy choice is no near tie
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_llama(folder: Path, *, seed: int = 4) -> Path:
    """Write a random Llama with byte-level BPE, joined line ends and special tokens, and an untied head."""
    tokens = ["<|end|>", *sorted(ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for left, right in [("Ċ", "Ċ"), (".", "Ċ"), ("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e"), ("Ġ", "Ġ")]:
        merges.append((left, right))
        tokens.append(left + right)
    backend = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<|end|>", special=True), AddedToken("<|turn|>", special=True)])
    wrapper: Any = PreTrainedTokenizerFast
    tokenizer = wrapper(tokenizer_object=backend, eos_token="<|end|>", clean_up_tokenization_spaces=False)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        eos_token_id=0,
        bos_token_id=None,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_updates(model: Any, path: Path, *, layers: tuple[int, ...] = (0, 1), seed: int = 5) -> Path:
    """Write random low-rank updates of the linear layers of some of a model's layers."""
    generator = torch.Generator().manual_seed(seed)
    names = [f".layers.{layer}." for layer in layers]
    updates = {
        name: (
            torch.randn(2, module.in_features, generator=generator),
            torch.randn(module.out_features, 2, generator=generator),
        )
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and any(part in name for part in names)
    }
    save_updates(path, updates, scale=0.1)
    return path
