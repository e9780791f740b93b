"""Weights in a file in eight bits or fewer: matrices in GGUF's blocks of 32, everything else in half precision.

The kind of every packed tensor is in the file's metadata. Whoever reads the file gets float32 back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from prep.errors import WeightsError

__all__ = ["load_packed", "save_packed"]

_PACKED = "packed"
_BLOCK = 32


def save_packed(path: Path, tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, str]) -> None:
    """Write tensors to a safetensors file. kinds: "Q8_0", "Q5_0" and so on for those to pack.

    A tensor whose last dimension is no multiple of 32 is not packed.
    """
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize
    from safetensors.torch import save_file

    packed = {
        name: kind
        for name, kind in kinds.items()
        if tensors[name].dim() > 1 and not tensors[name].shape[-1] % _BLOCK
    }
    written = {}
    for name, tensor in tensors.items():
        if name in packed:
            values = tensor.detach().float().cpu().numpy()
            written[name] = torch.from_numpy(quantize(values, GGMLQuantizationType[packed[name]]))
        else:
            written[name] = tensor.detach().to(torch.float16).contiguous()
    save_file(written, path, metadata={_PACKED: json.dumps(packed, sort_keys=True)})


def load_packed(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file in float32, also of one without packed ones. Raises WeightsError."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize
    from safetensors import SafetensorError, safe_open

    tensors = {}
    try:
        with safe_open(path, "pt") as file:
            packed = json.loads((file.metadata() or {}).get(_PACKED, "{}"))
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                if name in packed:
                    values = dequantize(tensor.numpy(), GGMLQuantizationType[packed[name]])
                    tensor = torch.from_numpy(np.ascontiguousarray(values))
                tensors[name] = tensor.float()
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    return tensors
