"""A tiny real causal LM that reads the language reference in few tokens, and a retrieve version on it."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prep.store.workspace import Workspace
from retrieve.lm.adapter import save_adapter
from retrieve.lm.base import load_base
from retrieve.lm.special_tokens import MARKERS, TAGS
from retrieve.model import ADAPTER, ServingConfig, save_retrieve_version


@cache
def trained_tokens() -> str:
    """Return a byte-level BPE trained on the language reference, as JSON."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=1500,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((topics[name] for name in sorted(topics)), trainer)
    return str(backend.to_str())


def make_causal_lm(folder: Path, *, head_dim: int = 8) -> Path:
    """Write a random Llama of two small layers, its tokens those of the language reference, tags and markers.

    head_dim: engines have kernels for some lengths of a head only.
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(trained_tokens()),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )
    tokenizer.add_tokens([*TAGS, *MARKERS])
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=head_dim,
            max_position_embeddings=8192,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            tie_word_embeddings=True,
        )
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def make_retrieve_version(folder: Path, base: Path) -> str:
    """Write a version on `base` whose adapter is random and small, and return its name."""
    model, tokenizer = load_base(base, dtype=torch.float32)
    tokens = [*TAGS, *MARKERS]
    known = tokenizer.get_vocab()
    rows = model.get_input_embeddings().weight.detach()[[known[token] for token in tokens]]
    torch.manual_seed(4)
    updates = {
        name: (0.1 * torch.randn(2, module.in_features), 0.1 * torch.randn(module.out_features, 2))
        for name, module in model.named_modules()
        if name.endswith("_proj")
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_adapter(folder / ADAPTER, updates, tokens, rows, scale=2.0)
    return save_retrieve_version(folder, folder / ADAPTER, serving=ServingConfig(), source=str(base))


def serve_tiny_model(workspace: Workspace, folder: Path) -> str:
    """Make a tiny version below `folder` and promote it in `workspace`; return its name."""
    version = make_retrieve_version(folder / "version", make_causal_lm(folder / "base"))
    with workspace.new_model("retrieve", version) as target:
        shutil.copytree(folder / "version", target, dirs_exist_ok=True)
    workspace.promote("retrieve", version)
    return version
