"""A trained adapter on disk: low-rank updates of the base's linear layers, and the rows of our own tokens.

One safetensors file. `<module>.A` (r, in) and `<module>.B` (out, r) update that module's weight by
`scale * B @ A`; `token_rows` (n, hidden) replace the embeddings of `tokens`, and their rows of an output head
that is not tied to them. Applied by merging, so that serving needs no adapter library and costs no time.
Source: LoRA, https://arxiv.org/abs/2106.09685
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prep.errors import WeightsError

__all__ = ["Adapter", "apply_adapter", "read_adapter", "save_adapter"]


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
    state = {f"{name}.A": a.detach().to(dtype).contiguous().cpu() for name, (a, _) in updates.items()}
    state |= {f"{name}.B": b.detach().to(dtype).contiguous().cpu() for name, (_, b) in updates.items()}
    state["token_rows"] = rows.detach().to(dtype).contiguous().cpu()
    save_file(state, path, metadata={"scale": repr(scale), "tokens": json.dumps(tokens, ensure_ascii=False)})


def read_adapter(path: Path) -> Adapter:
    """Read what `save_adapter` wrote. Raises WeightsError for a file that is no adapter."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            scale = float(metadata["scale"])
            tokens: list[str] = json.loads(metadata["tokens"])
            names = sorted(key[:-2] for key in file.keys() if key.endswith(".A"))  # noqa: SIM118
            updates = {
                name: (file.get_tensor(f"{name}.A").float(), scale * file.get_tensor(f"{name}.B").float())
                for name in names
            }
            rows = dict(zip(tokens, file.get_tensor("token_rows").float(), strict=True))
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{path} is not an adapter that can be read: {error!r}") from error
    return Adapter(updates, rows)


@torch.no_grad()
def apply_adapter(model: Any, tokenizer: Any, path: Path) -> None:
    """Merge the adapter at `path` into `model`, in place. Raises WeightsError where it does not fit the base."""
    adapter = read_adapter(path)
    modules = dict(model.named_modules())
    try:
        for name, (a, b) in adapter.updates.items():
            weight = modules[name].weight
            weight.copy_((weight.float() + (b @ a).to(weight.device)).to(weight.dtype))
        known = tokenizer.get_vocab()
        ids = torch.tensor([known[token] for token in adapter.rows])
        embedding = model.get_input_embeddings().weight
        rows = torch.stack(list(adapter.rows.values())).to(embedding)
        embedding[ids.to(embedding.device)] = rows
        head = model.get_output_embeddings()
        if head is not None and head.weight is not embedding:  # rows are trained as both at once
            head.weight[ids.to(head.weight.device)] = rows.to(head.weight)
    except (KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise WeightsError(
            f"the adapter {path} does not fit the base model: {error!r}. "
            "Use the base that it was trained on, or train again."
        ) from error
