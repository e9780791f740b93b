"""Low-rank pairs on a causal LM while it is trained: wrapped by peft, filled from an adapter file, read out again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from prep.errors import ConfigError
from retrieve.lm.adapter import Adapter

__all__ = ["decoder_of", "freeze_layers", "start_values", "updates_of", "wrap"]

_PREFIX = "base_model.model."


def wrap(model: Any, *, rank: int, alpha: int, full_precision: bool = False) -> Any:
    """Return the model with a pair on every linear layer but the head; only the pairs require gradients.

    full_precision: the pairs are float32 whatever the model is; else they have its dtype.
    """
    from peft import LoraConfig, get_peft_model

    model.requires_grad_(False)
    lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", lora_dropout=0.0)
    return cast(Any, get_peft_model(model, lora, autocast_adapter_dtype=full_precision))


def decoder_of(wrapped: Any) -> Any:
    """Return the layers of a wrapped causal LM without its head."""
    model = wrapped.get_base_model()
    return model.get_decoder() if hasattr(model, "get_decoder") else model.model


def freeze_layers(body: Any, n_layers: int) -> None:
    """Leave the lowest layers as they are: the backward pass ends above them. Raises ConfigError if none is left."""
    if n_layers >= len(body.layers):
        raise ConfigError(f"frozen_layers={n_layers} leaves none of {len(body.layers)} layers to train")
    for layer in body.layers[:n_layers]:
        layer.requires_grad_(False)


def start_values(
    adapter: Adapter, shapes: Mapping[str, torch.Size], *, scale: float, path: Path
) -> dict[str, torch.Tensor]:
    """Return the adapter's values by the names peft gives the pairs.

    shapes: of the pairs, by name. scale: what B is multiplied by when it is used. Raises ConfigError, naming `path`,
    where its rank or its modules differ.
    """
    values = {}
    for name, shape in shapes.items():
        module, _, kind = name.removeprefix(_PREFIX).partition(".lora_")
        a, b = adapter.updates.get(module, (None, None))
        value = a if kind.startswith("A") else b if b is None else b / scale
        if value is None or value.shape != shape:
            raise ConfigError(
                f"{path} cannot be gone on from with rank {min(shape)}: {module} is missing or differs"
            )
        values[name] = value
    return values


def updates_of(
    pairs: Iterable[tuple[str, torch.Tensor]],
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return module name → (A, B), as `retrieve.lm.adapter.save_adapter` takes them, from pairs by peft's names."""
    values = dict(pairs)
    return {
        name.removeprefix(_PREFIX).split(".lora_A.")[0]: (value, values[name.replace(".lora_A.", ".lora_B.")])
        for name, value in values.items()
        if ".lora_A." in name
    }
