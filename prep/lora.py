"""Low-rank updates of a model's linear layers: pairs of matrices on disk, merged into the weights in use.

`<module>.A` (r, in) and `<module>.B` (out, r) update that module's weight by `scale * B @ A`. Merged weights need no
adapter library and no time when serving. Source: LoRA, https://arxiv.org/abs/2106.09685
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from prep.errors import WeightsError

__all__ = ["Updates", "layer_number", "merge_updates", "read_updates", "save_updates", "stack_updates"]

#: Module name → (A, B). Updates that were read from a file have the scale in B.
Updates: TypeAlias = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def save_updates(
    path: Path,
    updates: Updates,
    *,
    scale: float,
    dtype: torch.dtype = torch.bfloat16,
    beside: Mapping[str, torch.Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write one safetensors file.

    beside: further tensors by name. metadata: further entries. Equal contents give equal bytes.
    """
    from safetensors.torch import save_file

    state = {f"{name}.A": a for name, (a, _) in updates.items()}
    state |= {f"{name}.B": b for name, (_, b) in updates.items()}
    state |= dict(beside or {})
    save_file(
        {name: tensor.detach().to(dtype).contiguous().cpu() for name, tensor in state.items()},
        path,
        metadata={"scale": repr(scale), **(metadata or {})},
    )
    _settle_header(path)


def _settle_header(path: Path) -> None:
    """Sort the metadata, which safetensors writes in any order, so that equal updates are equal bytes."""
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        settled = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(settled) <= length:  # spaces at the end are part of the format
            file.seek(8)
            file.write(settled.ljust(length))


def read_updates(
    path: Path,
) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], dict[str, torch.Tensor], dict[str, str]]:
    """Return the updates in float32, the further tensors unchanged, and the metadata.

    Raises WeightsError for a file that cannot be read or has half a pair.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            scale = float(metadata["scale"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = sorted(name[:-2] for name in tensors if name.endswith(".A"))
        updates = {
            name: (tensors.pop(f"{name}.A").float(), scale * tensors.pop(f"{name}.B").float())
            for name in names
        }
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{path} is not an adapter that can be read: {error!r}") from error
    return updates, tensors, metadata


@torch.no_grad()
def merge_updates(model: nn.Module, updates: Updates) -> None:
    """Add the updates to the model's weights, in place. Raises WeightsError where a module is missing or differs."""
    modules: dict[str, Any] = dict(model.named_modules())
    try:
        for name, (a, b) in updates.items():
            weight = modules[name].weight
            weight.copy_((weight.float() + (b @ a).to(weight.device)).to(weight.dtype))
    except (KeyError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"the low-rank updates do not fit the model: {error!r}") from error


def stack_updates(below: Updates, above: Updates) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the updates whose merging equals merging `below` and then `above`.

    Low-rank updates add up: their factors concatenated are one update of the summed rank, exactly.
    """
    stacked = {}
    for name in sorted(below.keys() | above.keys()):
        parts = [side[name] for side in (below, above) if name in side]
        stacked[name] = (torch.cat([a for a, _ in parts], dim=0), torch.cat([b for _, b in parts], dim=1))
    return stacked


def layer_number(module: str) -> int | None:
    """Return the number of the transformer layer that a module's name belongs to; None outside the layers."""
    return next((int(part) for part in module.split(".") if part.isdecimal()), None)
