"""Adapter files: low-rank updates of the base's linear layers, and the embedding rows of our own tokens.

One safetensors file in the format of `prep.lora`. Its `token_rows` (n, hidden) replace the embeddings of
`tokens`, and their rows in an output head that is not tied to the embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prep.errors import WeightsError
from prep.lora import merge_updates, read_updates, save_updates, stack_updates

__all__ = ["Adapter", "apply_adapter", "apply_rows", "read_adapter", "save_adapter", "stack_adapters"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter file in float32. updates: module name → (A, scale · B); rows: token → (hidden,)."""

    updates: dict[str, tuple[torch.Tensor, torch.Tensor]]
    rows: dict[str, torch.Tensor]


def save_adapter(
    path: Path,
    updates: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    tokens: list[str],
    rows: torch.Tensor,
    *,
    scale: float,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write one adapter file. updates: module name → (A, B); rows: (len(tokens), hidden)."""
    named = {"tokens": json.dumps(tokens, ensure_ascii=False)}
    save_updates(path, updates, scale=scale, dtype=dtype, beside={"token_rows": rows}, metadata=named)


def read_adapter(path: Path) -> Adapter:
    """Read what `save_adapter` wrote. Raises WeightsError for a file that is no adapter."""
    updates, beside, metadata = read_updates(path)
    try:
        tokens: list[str] = json.loads(metadata["tokens"])
        rows = dict(zip(tokens, beside["token_rows"].float(), strict=True))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not an adapter that can be read: {error!r}") from error
    return Adapter(updates, rows)


@torch.no_grad()
def apply_adapter(model: Any, tokenizer: Any, path: Path) -> None:
    """Merge the adapter at `path` into `model`, in place. Raises WeightsError where it does not fit the base."""
    adapter = read_adapter(path)
    try:
        merge_updates(model, adapter.updates)
        apply_rows(model, tokenizer, adapter)
    except (KeyError, IndexError, AttributeError, RuntimeError, WeightsError) as error:
        raise WeightsError(
            f"the adapter {path} does not fit the base model: {error!r}. "
            "Use the base that it was trained on, or train again."
        ) from error


@torch.no_grad()
def apply_rows(model: Any, tokenizer: Any, adapter: Adapter) -> None:
    """Put the adapter's token rows into the model's embeddings, in place; the updates are left alone.

    Raises KeyError for a token that the tokenizer does not know.
    """
    known = tokenizer.get_vocab()
    ids = torch.tensor([known[token] for token in adapter.rows])
    embedding = model.get_input_embeddings().weight
    rows = torch.stack(list(adapter.rows.values())).to(embedding)
    embedding[ids.to(embedding.device)] = rows
    head = model.get_output_embeddings()
    if head is not None and head.weight is not embedding:  # training uses the rows as both
        head.weight[ids.to(head.weight.device)] = rows.to(head.weight)


def stack_adapters(below: Path, above: Path, target: Path, *, interpolation: float = 1.0) -> None:
    """Write to `target` the one adapter that does what merging `below` and then `above` does.

    `above` was trained on the base with `below` merged, as in training that goes on from a version. Its token rows win;
    those of `below` remain for tokens it does not have. interpolation: the point between `below` (0) and both (1) that
    is written; 0.5 is the mean of start and end. Raises WeightsError for a file that is no adapter.
    """
    first, second = read_adapter(below), read_adapter(above)
    above_updates = {name: (a, interpolation * b) for name, (a, b) in second.updates.items()}
    updates = stack_updates(first.updates, above_updates)
    rows = {**first.rows, **second.rows}
    for token in first.rows.keys() & second.rows.keys():
        rows[token] = torch.lerp(first.rows[token], second.rows[token], interpolation)
    save_adapter(target, updates, list(rows), torch.stack(list(rows.values())), scale=1.0)
