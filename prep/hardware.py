"""The number type that suits the processor, for both models."""

from __future__ import annotations

import torch

__all__ = ["cpu_dtype"]


def cpu_dtype() -> torch.dtype:
    """Return bfloat16 where the CPU multiplies it fast (AMX or AVX-512 BF16; see LOG.md), else float32."""
    probes = (
        getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    return torch.bfloat16 if any(probe is not None and probe() for probe in probes) else torch.float32
