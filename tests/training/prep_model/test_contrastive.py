"""Contrastive training on a tiny encoder: it learns, goes on after a stop, and what is shipped is what was trained."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixture_encoder import WORDS
from fixture_stages import log_rows, save_start, write_labelled_set

from prep.errors import ConfigError, WeightsError
from prep.lora import read_updates, save_updates
from prep.manifest import file_digest
from prep.model.config import ChunkLimits, PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import HeadsConfig
from prep.model.prep_model import PrepModel
from training.data.dataset import load_set
from training.prep_model.contrastive import (
    TrainedVectors,
    _VectorTrainer,
    train_contrastive,
)
from training.prep_model.contrastive_config import ContrastiveConfig
from training.prep_model.release_prep import release_prep
from training.prep_model.vector_batches import cut_groups
from training.prep_model.vector_pages import VectorSet, read_pages

# The adapter library asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

HEADS = HeadsConfig(layers=1, state_size=16, width=8, dilations=(1, 2))
PREP = PrepConfig(
    limits=ChunkLimits(target_tokens=20, max_tokens=40),
    heads=HEADS,
    window_tokens=48,
    overlap_tokens=8,
    unit_tokens=16,
)
CONFIG = ContrastiveConfig(
    sets=(VectorSet(name="words", title_in_question=True),),
    measured=(VectorSet(name="words", title_in_question=True),),
    sizes=(14, 24),
    rank=4,
    learning_rate=2e-2,
    epochs=3.0,
    group_tokens=120,
    group_questions=4,
    batch_tokens=300,
    anchor_weight=0.1,
    checkpoint_steps=4,
    evaluate_steps=10,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of ten sentences about two words each, and a question for every second sentence."""
    folder = tmp_path_factory.mktemp("data")
    documents, questions = [], []
    for i in range(24):
        text = ""
        for j in range(10):
            word, other = WORDS[(i + j) % len(WORDS)], WORDS[(3 * i + 7 * j) % len(WORDS)]
            sentence = f"{word} {other} {word} {word} is {other} {j}. "
            if j % 2 == 0:
                evidence = {
                    "document_id": f"d{i:02d}",
                    "start": len(text),
                    "end": len(text) + len(sentence) - 1,
                }
                row: dict[str, Any] = {"id": f"q{i}-{j}", "question": f"{other} {word}", "answers": [other]}
                questions.append(row | {"evidence": [evidence]})
            text += sentence
        documents.append({"id": f"d{i:02d}", "title": f"d {i}", "text": text, "format": "text"})
    write_labelled_set(folder / "words", documents, questions)
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrepModel]:
    return save_start(tmp_path_factory.mktemp("begun"), PREP, seed=3)


@pytest.fixture(scope="module")
def base(begun: tuple[Path, PrepModel]) -> Path:
    return begun[0]


@pytest.fixture(scope="module")
def start(begun: tuple[Path, PrepModel]) -> PrepModel:
    return begun[1]


@pytest.fixture(scope="module")
def trained(
    data: Path, start: PrepModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainedVectors]:
    run = tmp_path_factory.mktemp("run")
    return run, train_contrastive(data, run, CONFIG, start=start)


def test_the_loss_falls_and_only_upper_layers_change(trained: tuple[Path, TrainedVectors]) -> None:
    run, result = trained
    losses = [row["contrast"] for row in log_rows(run, "contrast")]
    assert len(losses) == result.steps
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    assert result.updates
    assert all(".layer.0." not in name for name in result.updates)
    assert any(float(b.abs().max()) > 0 for _, b in result.updates.values())


def test_held_out_documents_are_never_read_for_training(data: Path, start: PrepModel, tmp_path: Path) -> None:
    ids = []
    for held_out in (False, True):
        pages = read_pages(data, CONFIG.sets, start, tmp_path, held_out=held_out)
        ids.append({page.document_id for page in pages})
    assert len(ids[0] | ids[1]) == 24
    assert len(ids[1]) == 4
    assert not ids[0] & ids[1]
    whole = [replace(one, split=False) for one in CONFIG.sets]
    pages = read_pages(data, whole, start, tmp_path, held_out=False)
    assert {page.document_id for page in pages} == ids[0] | ids[1]


def test_evidence_is_shared_among_the_chunks_that_hold_it(
    data: Path, start: PrepModel, tmp_path: Path
) -> None:
    pages = read_pages(data, CONFIG.sets, start, tmp_path, held_out=False, sizes=(14,))
    asked = [(page, one) for page in pages for one in page.questions]
    assert len(asked) == 20 * 5
    assert all(sum(one.shares.values()) == pytest.approx(1) for _, one in asked)
    assert all(0 <= chunk < page.n_chunks for page, one in asked for chunk in one.shares)
    assert asked[0][1].text.startswith("d ")  # the title, for questions that do not name their document


def test_a_stopped_run_goes_on_with_the_same_losses_and_another_is_refused(
    data: Path, start: PrepModel, trained: tuple[Path, TrainedVectors], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained[0], tmp_path / "run"))
    newest = max((run / "checkpoints").iterdir())
    (newest / "complete").unlink()  # as if killed while it was being written
    again = train_contrastive(data, run, CONFIG, start=start)
    assert log_rows(run, "contrast") == [
        pytest.approx(row, rel=1e-4) for row in log_rows(trained[0], "contrast")
    ]
    for name, (a, b) in trained[1].updates.items():
        torch.testing.assert_close(again.updates[name], (a, b), atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigError, match=r"other settings or data \(temperature\)"):
        train_contrastive(data, run, replace(CONFIG, temperature=0.1), start=start)


@pytest.mark.parametrize("queries", ["base", "trained"])
def test_a_shipped_version_gives_the_vectors_that_were_trained(
    data: Path,
    base: Path,
    start: PrepModel,
    trained: tuple[Path, TrainedVectors],
    tmp_path: Path,
    queries: Any,
) -> None:
    config = replace(CONFIG, queries=queries)
    version = trained[1].version(config, start).save(tmp_path / "v", start.encoder, card="# Card\n")
    model = PrepModel.load(tmp_path / "v", base=base, precision="float32")
    assert model.version == version != start.version
    assert model.config.vectors == "shared"
    question = ["is the of"]
    assert np.allclose(model.encode_queries(question), start.encode_queries(question)) == (queries == "base")
    # Cuts are those of the start, and vectors those of the trainer, whose updates are not merged.
    trainer = _VectorTrainer(start, config)
    with torch.no_grad():
        for name, parameter in trainer.trained.items():
            module = name.removeprefix("base_model.model.").split(".lora_")[0]
            a, b = trained[1].updates[module]
            parameter.copy_(a if ".lora_A." in name else b / 2)
    pages = read_pages(data, CONFIG.sets, start, tmp_path / "cuts", held_out=True)
    documents = load_set(data / "words").documents
    for page in pages:
        with torch.no_grad():
            expected = trainer.chunk_vectors([page.sequence(c) for c in range(page.n_chunks)]).numpy()
        document = documents[page.document_id]
        chunks = [chunk for chunk in model.prepare(document) if chunk.role != "boilerplate"]
        cut = [chunk for chunk in start.prepare(document) if chunk.role != "boilerplate"]
        assert [(c.start, c.end) for c in chunks] == [(c.start, c.end) for c in cut]
        # Lower states are kept in float16, updates in bfloat16.
        np.testing.assert_allclose(np.stack([c.vector for c in chunks]), expected, atol=0.02)
        np.testing.assert_allclose(np.stack([c.vector for c in cut]), page.anchors, atol=2e-3)


def test_groups_are_neighbours_and_hold_the_evidence_of_their_questions(
    data: Path, start: PrepModel, tmp_path: Path
) -> None:
    pages = read_pages(data, CONFIG.sets, start, tmp_path, held_out=False, sizes=(14,))
    for page in pages:
        groups = cut_groups(page, CONFIG)
        assert groups
        chunks = [chunk for group in groups for chunk in group.chunks]
        assert chunks == sorted(set(chunks))
        for group in groups:
            assert group.n_tokens == sum(len(page.sequence(chunk)) for chunk in group.chunks)
            assert group.n_tokens <= CONFIG.group_tokens
            assert all(set(asked.shares) <= set(group.chunks) for asked in group.questions)


def test_the_gain_is_measured_by_document(trained: tuple[Path, TrainedVectors]) -> None:
    result = trained[1]
    measures, gains = result.measures["words"], result.gains["words"]
    for way in ("chunks", "start"):
        difference = measures["trained"].at_1 - measures[way].at_1
        assert gains[way]["at_1"].difference == pytest.approx(difference)
        assert gains[way]["at_1"].n_groups == 4
    assert gains["start"]["at_1"].p_not_above_zero < 0.025


def test_an_encoder_with_updates_leaves_the_one_it_came_from_alone(
    base: Path, trained: tuple[Path, TrainedVectors]
) -> None:
    encoder = Encoder.load(base, precision="float32")
    before = encoder.encode(["the of and"])
    changed = encoder.with_updates(trained[1].updates)
    assert np.array_equal(encoder.encode(["the of and"]), before)
    assert not np.allclose(changed.encode(["the of and"]), before)
    wrong = {name: (a[:, :3], b) for name, (a, b) in trained[1].updates.items()}
    with pytest.raises(WeightsError, match="do not fit"):
        encoder.with_updates(wrong)


def test_updates_of_the_layers_that_the_heads_read_are_refused(
    base: Path, start: PrepModel, trained: tuple[Path, TrainedVectors], tmp_path: Path
) -> None:
    folder = tmp_path / "v"
    trained[1].version(CONFIG, start).save(folder, start.encoder)
    path = folder / "encoder.safetensors"
    updates, _, _ = read_updates(path)
    lower = {name.replace(".layer.1.", ".layer.0."): pair for name, pair in updates.items()}
    save_updates(path, lower, scale=1.0)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["encoder.safetensors"] = file_digest(path)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"layer\.0\..* whose states the heads were trained on"):
        PrepModel.load(folder, base=base)


def test_settings_are_read_from_toml_and_senseless_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('epochs = 1.5\nsizes = [30]\n[[sets]]\nname = "mine"\ndocuments = 4\n', encoding="utf-8")
    config = ContrastiveConfig.from_toml(path)
    assert (config.epochs, config.sizes, config.sets) == (1.5, (30,), (VectorSet(name="mine", documents=4),))
    path.write_text("epoch = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="epoch"):
        ContrastiveConfig.from_toml(path)
    for wrong in ({"rank": 0}, {"temperature": 0.0}, {"batch_tokens": 200}, {"sizes": ()}):
        with pytest.raises(ConfigError):
            replace(CONFIG, **wrong)


def test_a_release_keeps_the_weights_and_settles_the_settings(
    base: Path, start: PrepModel, trained: tuple[Path, TrainedVectors], tmp_path: Path
) -> None:
    trained[1].version(CONFIG, start).save(tmp_path / "v", start.encoder)
    weights = tmp_path / "weights"
    version = release_prep(
        tmp_path / "v", "0.9", "# Card\n", weights, base=base, target_tokens=15, topic_probability=0.4
    )
    assert (weights / "CURRENT").read_text(encoding="utf-8") == "0.9\n"
    assert (weights / "0.9" / "README.md").read_text(encoding="utf-8") == "# Card\n"
    before, after = (
        PrepModel.load(folder, base=base, precision="float32") for folder in (tmp_path / "v", weights / "0.9")
    )
    assert after.version == version != before.version
    assert (after.limits.target_tokens, after.config.topic_probability) == (15, 0.4)
    assert np.array_equal(after.encode_queries(["the of"]), before.encode_queries(["the of"]))
    manifests = [
        json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for folder in (tmp_path / "v", weights / "0.9")
    ]
    assert manifests[0]["metrics"] == manifests[1]["metrics"]
    assert manifests[0]["training"] == manifests[1]["training"]
