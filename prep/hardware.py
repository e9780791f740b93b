"""What the processor is good at: one question, asked by both models when they choose a dtype."""

from __future__ import annotations

import torch

__all__ = ["cpu_dtype"]


def cpu_dtype() -> torch.dtype:
    """Return bfloat16 where the CPU multiplies it fast (AMX; see LOG.md), else float32."""
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return torch.bfloat16 if probe is not None and probe() else torch.float32
