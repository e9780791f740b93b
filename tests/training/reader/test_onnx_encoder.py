"""An encoder comes out of an ONNX file as it went in, but for what eight bits lose."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fixture_encoder import make_bert
from onnx import helper, numpy_helper
from safetensors.torch import load_file

from prep.errors import BaseModelError
from prep.model.encoder import Encoder
from training.reader.onnx_encoder import convert_onnx_encoder


def quantised(name: str, weights: np.ndarray) -> list[onnx.TensorProto]:
    scale = float(np.abs(weights).max()) / 127
    values = {
        "quantized": np.round(weights / scale).astype(np.int8),
        "scale": np.array(scale, dtype=np.float32),
        "zero_point": np.array(0, dtype=np.int8),
    }
    return [numpy_helper.from_array(one, f"{name}_{part}") for part, one in values.items()]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with an `model.onnx` beside it: its weights and the nodes that multiply by them."""
    folder = make_bert(tmp_path_factory.mktemp("base"), layers=2)
    tensors, nodes = [], []
    for name, tensor in load_file(folder / "model.safetensors").items():
        weights = tensor.numpy()
        if name.startswith("pooler."):
            continue
        if name.startswith("embeddings.") and weights.ndim > 1:
            tensors += quantised(name, weights)
        elif weights.ndim > 1:
            stored = f"onnx::MatMul_{len(nodes)}"
            tensors += quantised(stored, weights.T)
            module = "/" + name.removesuffix(".weight").replace(".", "/").replace("layer/", "layer.")
            nodes.append(
                helper.make_node(
                    "MatMulInteger", ["x", f"{stored}_quantized"], ["y"], f"{module}/MatMul_quant"
                )
            )
        else:
            tensors.append(numpy_helper.from_array(weights, name))
    onnx.save(helper.make_model(helper.make_graph(nodes, "encoder", [], [], tensors)), folder / "model.onnx")
    return folder


def test_its_vectors_are_those_of_the_encoder(base: Path, tmp_path: Path) -> None:
    convert_onnx_encoder(base / "model.onnx", tmp_path, pooling="mean")
    texts = ["is it on the hill", "the tower is for it"]
    before, after = (Encoder.load(folder, precision="float32").encode(texts) for folder in (base, tmp_path))
    assert after.shape == before.shape
    np.testing.assert_allclose((before * after).sum(1), 1.0, atol=1e-2)
    assert not np.allclose((before[0] * after[1]).sum(), 1.0, atol=1e-3)


def test_a_file_without_a_layer_is_refused(base: Path, tmp_path: Path) -> None:
    model = onnx.load(str(base / "model.onnx"))
    del model.graph.node[0]
    source = shutil.copytree(base, tmp_path / "source")
    onnx.save(model, source / "model.onnx")
    with pytest.raises(BaseModelError, match="does not hold"):
        convert_onnx_encoder(source / "model.onnx", tmp_path / "out")


def test_states_follow_the_pooling_that_is_asked_for(base: Path, tmp_path: Path) -> None:
    convert_onnx_encoder(base / "model.onnx", tmp_path)
    encoder = Encoder.load(tmp_path, precision="float32")
    states = torch.randn(1, 3, 16)
    assert torch.equal(encoder.pool(states, torch.ones(1, 3)), states[:, 0])
