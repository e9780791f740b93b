"""Attention masks for several texts in one sequence: causal by position, narrowed to a window in sliding layers.

Serving and training build their masks here, so that both see the same.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["added_masks", "sliding_window"]


def sliding_window(model: Any) -> int | None:
    """Return how many places a model's sliding layers see, themselves among them; None where it has none."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ()
    return config.sliding_window if "sliding_attention" in kinds else None


def added_masks(
    model: Any,
    allowed: torch.Tensor,
    positions: torch.Tensor,
    *,
    n_read: int = 0,
    n_gone: int | None = None,
) -> Any:
    """Return what is added to attention scores: (rows, 1, n - n_read, n), one for each kind of layer.

    allowed: which places a place may see if they are not ahead of it, (rows, n - n_read, n). positions: of each place,
    (rows, n). n_read: places in the cache. n_gone: how many of them sliding layers have dropped; by default all that
    lie outside the window.
    """
    distance = positions[:, n_read:].unsqueeze(2) - positions.unsqueeze(1)
    seen = allowed & (distance >= 0)
    full = _added(seen, model.dtype)
    if (window := sliding_window(model)) is None:
        return full
    near = seen & (distance < window)
    gone = max(0, n_read - (window - 1)) if n_gone is None else n_gone
    return {"full_attention": full, "sliding_attention": _added(near[:, :, gone:], model.dtype)}


def _added(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    nothing = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return nothing.masked_fill(~allowed, torch.finfo(dtype).min).unsqueeze(1)
