"""A twin of the model that tells episodes backwards, with an adapter of its own behind the results.

What the model has read of the results serves both: the twin's adapter acts only on what stands behind them, so that the
results are read once, and reports are the model's own, token by token. Whatever the adapter leaves alone the two share.
Source of an adapter that begins to act within a text: activated LoRA, https://arxiv.org/abs/2504.12397
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prep.errors import WeightsError
from prep.model.lora import merge_updates, read_updates
from retrieve.lm.attention_mask import added_masks

__all__ = ["LaidBehind", "lay_behind", "load_teller", "twin"]


def twin(model: nn.Module) -> Any:
    """Return a model that shares every parameter and buffer with another; those that are replaced there stay here."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


def load_teller(model: nn.Module, path: Path) -> Any:
    """Return the twin that tells backwards by the updates at `path`. Raises WeightsError where they do not fit."""
    updates, _, _ = read_updates(path)
    teller = twin(model)
    modules: dict[str, Any] = dict(teller.named_modules())
    if missing := sorted(updates.keys() - modules.keys()):
        raise WeightsError(f"{path} does not fit the model: it has no {missing[0]}")
    for name in updates:
        weight = modules[name].weight
        modules[name].weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    merge_updates(teller, updates)
    return teller


@dataclass(frozen=True, slots=True)
class LaidBehind:
    """Several texts behind what was read: their ids (1, n), and what a model that reads them is given besides."""

    ids: torch.Tensor
    given: dict[str, Any]


def lay_behind(model: Any, n_read: int, parts: Sequence[Sequence[int]]) -> LaidBehind:
    """Lay texts out so that one reading serves them all: each sees what was read, (1, n_read), and itself."""
    device = model.device
    owner = [0] * n_read + [number for number, part in enumerate(parts, start=1) for _ in part]
    positions = [*range(n_read), *(n_read + at for part in parts for at in range(len(part)))]
    of, places = torch.tensor([owner], device=device), torch.tensor([positions], device=device)
    allowed = (of.unsqueeze(1) == of[:, n_read:].unsqueeze(2)) | (of == 0).unsqueeze(1)
    masks = added_masks(model, allowed, places, n_read=n_read)
    ids = torch.tensor([[token for part in parts for token in part]], device=device)
    return LaidBehind(ids, {"attention_mask": masks, "position_ids": places[:, n_read:]})
