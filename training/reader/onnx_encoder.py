"""An encoder out of an ONNX file with dynamically quantised weights, as a folder that sentence-transformers opens.

Some packages carry encoders of BERT's kind in eight bits, exported by Optimum, and nothing else does where no model hub
can be reached. A whole matrix shares one scale there, which costs such an encoder little (LOG.md, 2026-12-01).
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prep.errors import BaseModelError

__all__ = ["convert_onnx_encoder"]

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_MODEL = re.compile(r"(?:/|^)(encoder/layer\.\d+/\S+?)/MatMul")
_MODULES = "sentence_transformers.models"


def convert_onnx_encoder(onnx_file: Path, folder: Path, *, pooling: str = "cls") -> None:
    """Write the encoder of an ONNX file into `folder` in float32, with the tokenizer and configuration beside the file.

    pooling: "cls" or "mean". Raises BaseModelError where the file holds other weights than the configuration's.
    """
    import onnx
    from onnx import numpy_helper
    from transformers import AutoConfig, AutoModel

    graph = onnx.load(str(onnx_file)).graph
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    tensors: dict[str, Any] = {}
    for name, values in held.items():
        if name.startswith(("encoder.", "embeddings.")) and values.dtype == np.float32 and values.ndim:
            tensors[name] = values
        elif name.startswith("embeddings.") and name.endswith("_quantized"):
            tensors[name.removesuffix("_quantized")] = _dequantised(held, name)
    for node in graph.node:
        module = _MODEL.search(node.name)
        if node.op_type == "MatMulInteger" and module and node.input[1] in held:
            weight = _dequantised(held, node.input[1]).T  # x W there, W x here
            tensors[module[1].replace("/", ".") + ".weight"] = np.ascontiguousarray(weight)
    source = onnx_file.parent
    make: Any = AutoModel.from_config
    model = make(AutoConfig.from_pretrained(str(source)), add_pooling_layer=False)
    try:
        model.load_state_dict({name: torch.from_numpy(np.array(one)) for name, one in tensors.items()})
    except RuntimeError as error:
        raise BaseModelError(
            f"{onnx_file} does not hold the encoder of {source}/config.json: {error}"
        ) from None
    model.save_pretrained(folder)
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copy(source / name, folder / name)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    _write(
        folder / "modules.json",
        [
            {"idx": place, "name": str(place), "path": path, "type": f"{_MODULES}.{kind}"}
            for place, (kind, path) in enumerate(modules)
        ],
    )
    for _, path in modules[1:]:
        (folder / path).mkdir(exist_ok=True)
    _write(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": int(model.config.hidden_size),
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
        },
    )


def _dequantised(held: dict[str, Any], name: str) -> Any:
    stem = name.removesuffix("_quantized")
    values = held[name].astype(np.float32) - held[f"{stem}_zero_point"].astype(np.float32)
    return values * held[f"{stem}_scale"].astype(np.float32)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
