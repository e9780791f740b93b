"""A prep version opened by sentence-transformers gives the vectors that the prep model gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_encoder import make_bert
from sentence_transformers import SentenceTransformer

from prep import PrepModel
from prep.errors import WeightsError
from prep.lora import Updates
from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.prep_version import save_version, shipped_version

TEXTS = [
    "Where are the boundaries?",
    "x",
    "A much longer sentence, which goes on about boundaries, roles and vectors. " * 12,
]
CONFIG = PrepConfig(trained=False, queries="trained")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("base") / "bert")


def updates() -> Updates:
    """Large ones, of a layer that the heads do not read."""
    torch.manual_seed(7)
    name = "encoder.layer.2.output.dense"
    return {name: (torch.randn(2, 32), torch.randn(16, 2))}


def saved(folder: Path, base: Path, config: PrepConfig = CONFIG) -> PrepModel:
    save_version(folder, None, config, Encoder.load(base, precision="float32"), updates=updates())
    return PrepModel.load(folder, base=base, precision="float32")


def distance(ours: object, theirs: object) -> float:
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())


def test_a_version_opens_in_its_own_folder(tmp_path: Path, base: Path) -> None:
    prep = saved(tmp_path / "v", base)
    opened = SentenceTransformer(
        str(tmp_path / "v"),
        trust_remote_code=True,
        model_kwargs={"base": base},
        device="cpu",
        local_files_only=True,
    )
    assert distance(prep.encode_queries(TEXTS), opened.encode_query(TEXTS)) < 1e-5
    assert distance(prep.vector_encoder.encode(TEXTS), opened.encode_document(TEXTS)) < 1e-5
    assert distance(prep.encoder.encode(TEXTS), opened.encode(TEXTS)) > 1e-3, "the updates change nothing"


def test_a_version_for_another_base_is_refused(tmp_path: Path, base: Path) -> None:
    saved(tmp_path / "v", base)
    with pytest.raises(WeightsError, match=r"was trained on bert .* name the right one"):
        SentenceTransformer(str(tmp_path / "v"), trust_remote_code=True, local_files_only=True)


@pytest.mark.parametrize("queries", ["base", "trained"])
def test_an_exported_version_needs_nothing_of_diptych(tmp_path: Path, base: Path, queries: str) -> None:
    prep = saved(tmp_path / "v", base, replace(CONFIG, queries=queries))
    prep.save_sentence_transformer(tmp_path / "exported")
    opened = SentenceTransformer(str(tmp_path / "exported"), device="cpu", local_files_only=True)
    assert distance(prep.encode_queries(TEXTS), opened.encode_query(TEXTS)) < 1e-5
    assert distance(prep.vector_encoder.encode(TEXTS), opened.encode_document(TEXTS)) < 1e-5
    same = distance(prep.encode_queries(TEXTS), opened.encode_document(TEXTS)) < 1e-5
    assert same == (queries == "trained")


def test_a_version_of_two_encoders_says_how_it_is_exported(tmp_path: Path, base: Path) -> None:
    saved(tmp_path / "v", base, replace(CONFIG, queries="base"))
    with pytest.raises(WeightsError, match="save_sentence_transformer"):
        SentenceTransformer(
            str(tmp_path / "v"), trust_remote_code=True, model_kwargs={"base": base}, local_files_only=True
        )


def test_an_exported_version_is_a_base_again(tmp_path: Path, base: Path) -> None:
    prep = saved(tmp_path / "v", base)
    prep.save_sentence_transformer(tmp_path / "exported")
    encoder = Encoder.load(tmp_path / "exported", precision="float32")
    assert distance(prep.encode_queries(TEXTS), encoder.encode_queries(TEXTS)) < 1e-5


@pytest.mark.slow
def test_the_shipped_version_opens_and_agrees_with_the_prep_model(tmp_path: Path) -> None:
    prep = PrepModel.load(precision="float32")
    prep.save_sentence_transformer(tmp_path / "exported")
    for opened in (
        SentenceTransformer(
            str(shipped_version()), trust_remote_code=True, device="cpu", local_files_only=True
        ),
        SentenceTransformer(str(tmp_path / "exported"), device="cpu", local_files_only=True),
    ):
        assert distance(prep.encode_queries(TEXTS), opened.encode_query(TEXTS)) < 1e-5
        assert distance(prep.vector_encoder.encode(TEXTS), opened.encode_document(TEXTS)) < 1e-5
        assert distance(prep.encoder.encode(TEXTS), opened.encode(TEXTS)) > 1e-3


@pytest.mark.slow
def test_the_embedded_encoder_is_what_sentence_transformers_makes_of_it() -> None:
    """Its pooling and length are written down in `prep.model.base_encoder` instead of being read."""
    encoder = Encoder.load(precision="float32")
    opened = SentenceTransformer(str(encoder.folder), device="cpu", local_files_only=True)
    assert (opened.max_seq_length, opened[1].pooling_mode) == (encoder.max_tokens, encoder.pooling)
    assert {prompt for prompt in opened.prompts.values() if prompt} == set()
    assert distance(encoder.encode_queries(TEXTS), opened.encode_query(TEXTS)) < 1e-5
    assert distance(encoder.encode(TEXTS), opened.encode_document(TEXTS)) < 1e-5
