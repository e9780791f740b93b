"""A reader reads, is saved, and reads the same again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_encoder import make_bert
from safetensors.torch import save_file

from prep.errors import ChecksumMismatch, WeightsError
from prep.manifest import write_manifest
from prep.model.encoder import Encoder
from retrieve.episode.episode import Passage
from retrieve.reader.calibration import Calibration
from retrieve.reader.inputs import InputLimits
from retrieve.reader.network import ReaderNetwork, trained_parameters
from retrieve.reader.reader import Reader

PASSAGES = [
    Passage("a", "Museum", ("Hours",), 10, 47, "It is on the hill. Open from 9 to 5.\n", 0.5),
    Passage("b", "Tower", (), 0, 19, "The tower is for it", 0.25),
    Passage("c", "", (), 5, 6, ".", 0.0),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def reader(base: Path) -> Reader:
    torch.manual_seed(0)
    encoder = Encoder.load(base, precision="float32")
    network = ReaderNetwork(encoder.model, encoder.dimension)
    for head in (network.span, network.sentence, network.passage, network.answer_type):
        torch.nn.init.normal_(head.weight)
    return Reader(encoder, network, InputLimits(), Calibration(threshold=0.25))


def test_what_is_read_stands_in_the_passages(reader: Reader) -> None:
    reading = reader.read("is it on the hill", PASSAGES)
    assert reading.relevance.shape == (3,)
    assert {(one.passage, one.start, one.end) for one in reading.sentences} == {
        (0, 0, 18),
        (0, 19, 36),
        (1, 0, 19),
        (2, 0, 1),
    }
    assert [one.logit for one in reading.sentences] == sorted(
        (one.logit for one in reading.sentences), reverse=True
    )
    for span in reading.spans:
        assert 0 <= span.start < span.end <= len(PASSAGES[span.passage].text)
        assert 0 < span.probability < 1
    assert sum(span.probability for span in reading.spans) < 1
    assert sum(reading.types.values()) == pytest.approx(1)
    assert reading.answer_type in reading.types
    assert reading.null_probability == pytest.approx(1 - reading.confidence)


def test_a_passage_reads_the_same_beside_others_and_alone(reader: Reader) -> None:
    together = reader.read("is it on the hill", PASSAGES)
    for number, passage in enumerate(PASSAGES):
        alone = reader.read("is it on the hill", [passage])
        np.testing.assert_allclose(alone.relevance[0], together.relevance[number], atol=1e-4)


def test_the_best_span_is_the_likeliest_of_all(reader: Reader) -> None:
    reading = reader.read("is it", PASSAGES[:2])
    assert reading.spans[0].probability == max(span.probability for span in reading.spans)


def test_nothing_to_read_is_no_evidence(reader: Reader) -> None:
    reading = reader.read("is it", [])
    assert (reading.sentences, reading.spans) == ((), ())
    assert reading.signals == (-30.0, -30.0, -30.0, -30.0, 0.0, 0.0)
    assert reading.confidence < 1e-6


def test_a_saved_reader_reads_the_same_without_its_base(reader: Reader, tmp_path: Path) -> None:
    manifest = reader.save(tmp_path / "version", note="a test")
    assert manifest["note"] == "a test"
    again = Reader.load(tmp_path / "version", precision="float32")
    assert (again.limits, again.calibration) == (reader.limits, reader.calibration)
    assert again.encoder.tokenize(["on the hill"]) == reader.encoder.tokenize(["on the hill"])
    first, second = (one.read("is it on the hill", PASSAGES) for one in (reader, again))
    np.testing.assert_allclose(first.relevance, second.relevance, atol=0.1)
    again.save(tmp_path / "again")
    third = Reader.load(tmp_path / "again", precision="float32").read("is it on the hill", PASSAGES)
    np.testing.assert_allclose(second.relevance, third.relevance, atol=0.02)


def test_a_reader_of_layers_and_heads_alone_is_completed_by_the_embedded_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder.load(precision="float32")
    network = ReaderNetwork(encoder.model, encoder.dimension)
    settings = {"limits": asdict(InputLimits()), "calibration": Calibration().to_json()}
    (tmp_path / "reader.json").write_text(json.dumps(settings))
    trained = {name: one.half() for name, one in trained_parameters(network).items()}
    save_file(trained, tmp_path / "reader.safetensors")
    write_manifest(tmp_path, {"kind": "reader", "encoder": encoder.fingerprint})
    old = Reader.load(tmp_path, precision="float32")
    new = Reader(encoder, network, InputLimits(), Calibration())
    first, second = (one.read("is it on the hill", PASSAGES).relevance for one in (old, new))
    np.testing.assert_allclose(first, second, atol=0.02)
    write_manifest(tmp_path, {"kind": "reader", "encoder": "another"})
    with pytest.raises(WeightsError, match="another encoder"):
        Reader.load(tmp_path)


def test_a_changed_file_is_refused(reader: Reader, tmp_path: Path) -> None:
    reader.save(tmp_path / "version")
    path = tmp_path / "version" / "reader.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ChecksumMismatch):
        Reader.load(tmp_path / "version")


def test_weights_of_another_encoder_are_refused(reader: Reader, tmp_path: Path) -> None:
    reader.save(tmp_path / "version")
    config = tmp_path / "version" / "config.json"
    changed = {**json.loads(config.read_text()), "num_hidden_layers": 2}
    config.write_text(json.dumps(changed))
    write_manifest(tmp_path / "version", {"kind": "reader"})
    with pytest.raises(WeightsError, match="do not fit"):
        Reader.load(tmp_path / "version")
