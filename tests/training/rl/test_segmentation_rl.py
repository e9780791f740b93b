"""Cuts rewarded by retrieval: reward follows its definition, training raises it, runs resume, versions load."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_encoder import WORDS
from fixture_stages import log_rows, save_start, write_labelled_set

from prep.document import Span
from prep.errors import ConfigError, DataError
from prep.model.config import ChunkLimits, PrepConfig
from prep.model.heads import HeadsConfig
from prep.model.prep_model import PrepModel
from training.data.dataset import load_set
from training.metrics.chunking_metrics import cover, precision_omega
from training.prep_model.vector_pages import VectorSet
from training.rl.segmentation_config import SegmentationConfig
from training.rl.segmentation_rewards import (
    add_vectors,
    near_evidence,
    read_stretches,
    score_segmentation,
    worth_of_breaks,
)
from training.rl.segmentation_rl import TrainedCuts, train_segmentation

PREP = PrepConfig(
    limits=ChunkLimits(target_tokens=20, max_tokens=48),
    heads=HeadsConfig(layers=1, state_size=16, width=8, dilations=(1, 2)),
    vectors="shared",
    window_tokens=64,
    overlap_tokens=8,
    unit_tokens=16,
)
CONFIG = SegmentationConfig(
    sets=(VectorSet(name="pairs"),),
    measured=(VectorSet(name="pairs"),),
    stretch_units=8,
    draws=6,
    stretches=8,
    steps=40,
    budget_tokens=14,
    learning_rate=0.01,
    warmup_steps=2,
    start_weight=0.003,
    trains="heads",
    checkpoint_steps=8,
    evaluate_steps=20,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines in twos: evidence is always the two with the same word, so a cut between them loses."""
    folder = tmp_path_factory.mktemp("data") / "pairs"
    documents, questions = [], []
    for i in range(30):
        text = ""
        for j in range(8):
            word = WORDS[(i * 3 + j) % len(WORDS)]
            pair = f"{word} {word} {word} {word} it.\n{word} {word} {word} {word} by.\n"
            evidence = {"document_id": f"d{i:02d}", "start": len(text), "end": len(text) + len(pair) - 1}
            questions.append({"id": f"q{i}-{j}", "question": word, "answers": [word], "evidence": [evidence]})
            text += pair
        documents.append({"id": f"d{i:02d}", "title": "", "text": text, "format": "text"})
    write_labelled_set(folder, documents, questions)
    return folder.parent


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrepModel]:
    return save_start(tmp_path_factory.mktemp("begun"), PREP, seed=5)


@pytest.fixture(scope="module")
def base(begun: tuple[Path, PrepModel]) -> Path:
    return begun[0]


@pytest.fixture(scope="module")
def start(begun: tuple[Path, PrepModel]) -> PrepModel:
    return begun[1]


@pytest.fixture(scope="module")
def trained(
    data: Path, start: PrepModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainedCuts]:
    run = tmp_path_factory.mktemp("run")
    return run, train_segmentation(data, run, start, CONFIG)


def test_the_reward_follows_its_definition(data: Path, start: PrepModel) -> None:
    """Search over all chunks by hand, and score with the chunking suite's own functions."""
    stretches = read_stretches(data, start, CONFIG, worth_of_breaks(start), held_out=True)
    assert len(stretches) >= 5
    pages = list({id(s.page): s.page for s in stretches}.values())
    stretch = stretches[2]
    n_units = stretch.last - stretch.first
    pieces = [(at, min(at + 3, n_units)) for at in range(0, n_units, 3)]
    spans, vectors, costs = [], [], []
    for page in pages:
        edges = page.pieces
        if page is stretch.page:
            inside = [(a + stretch.first, b + stretch.first) for a, b in pieces]
            outside = [(a, b) for a, b in edges if b <= stretch.first or a >= stretch.last]
            edges = [*inside, *outside]
        places = [(page.reading, first, last, page.plan.header(first)) for first, last in edges]
        sequences = start.chunk_states(places)
        vectors.append(start.vector_encoder.encode_states(sequences, layers=start.config.heads.layers))
        costs += [len(one.tolist()) - start.encoder.n_special for one in sequences]
        for first, last in edges:
            units = page.reading.units
            spans.append((page.document_id, units[first].start, units[last - 1].end))
    pool = np.concatenate(vectors)
    add_vectors(start, [(stretch.page, stretch.placed(pieces))])
    scores = score_segmentation(stretch, pieces, CONFIG)

    asked = load_set(data / "pairs").questions
    asked = [q for q in asked if q.evidence[0].document_id == stretch.page.document_id]
    units = stretch.page.reading.units
    low, high = units[stretch.first].start, units[stretch.last - 1].end
    inside_questions = [q for q in asked if low <= q.evidence[0].start and q.evidence[0].end <= high]
    assert len(inside_questions) == len(scores)
    for question, row in zip(inside_questions, scores, strict=True):
        scores = pool @ start.encode_queries([question.question])[0]
        best = np.argsort(-scores, kind="stable")
        left, shown, found = float(CONFIG.budget_tokens), 0.0, 0.0
        for i in best:
            share = min(1.0, max(0.0, left) / costs[i])
            covered = cover(question.evidence, [Span(*spans[i])])
            length = spans[i][2] - spans[i][1]
            shown += share * length
            found += share * covered.precision * length
            left -= costs[i]
        (evidence,) = question.evidence
        total = evidence.end - evidence.start
        near = [Span(*span) for span in spans if span[0] == stretch.page.document_id]
        expected = [
            found / total,
            found / (shown + total - found),
            precision_omega(question.evidence, near),
        ]
        assert list(row[1:]) == pytest.approx(expected, abs=1e-6)
        assert row[0] == pytest.approx(expected[0] + 2.0 * expected[1] + 0.5 * expected[2], abs=1e-6)


def test_breaks_near_the_evidence_are_credited() -> None:
    evidence = np.zeros((2, 9))
    evidence[0, 3:5] = 7.0
    evidence[1, 0] = 2.0
    near = near_evidence(evidence, 2)
    assert [list(np.flatnonzero(row)) for row in near] == [[1, 2, 3, 4, 5], [0, 1]]
    assert near_evidence(evidence, 0).all()


def test_training_raises_the_reward_on_documents_held_out(trained: tuple[Path, TrainedCuts]) -> None:
    _, result = trained
    assert result.after.reward > result.before.reward
    assert result.gain.is_gain
    assert result.gain.difference == pytest.approx(result.after.reward - result.before.reward)


def test_a_stopped_run_goes_on_to_the_same_heads_and_another_is_refused(
    data: Path, start: PrepModel, trained: tuple[Path, TrainedCuts], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained[0], tmp_path / "run"))
    newest = max((run / "checkpoints").iterdir())
    (newest / "complete").unlink()  # as if killed while it was being written
    again = train_segmentation(data, run, start, CONFIG)
    assert log_rows(run) == [pytest.approx(row, rel=1e-6) for row in log_rows(trained[0])]
    for name, value in again.heads.state_dict().items():
        torch.testing.assert_close(value, trained[1].heads.state_dict()[name])
    with pytest.raises(ConfigError, match=r"other settings or data \(draws\)"):
        train_segmentation(data, run, start, replace(CONFIG, draws=4))


def test_boundary_training_leaves_roles_as_they_are(
    data: Path, start: PrepModel, base: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, trains="boundary", steps=4)
    result = train_segmentation(data, tmp_path / "run", start, config)
    assert start.heads is not None
    before, after = start.heads.state_dict(), result.heads.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "boundary.weight",
        "boundary.bias",
    }
    version = result.version(config, start).save(tmp_path / "v", start.encoder)
    model = PrepModel.load(tmp_path / "v", base=base, precision="float32")
    assert model.version == version
    assert model.heads is not None
    assert torch.equal(model.heads.state_dict()["boundary.bias"], after["boundary.bias"])


def test_cuts_of_a_version_with_vectors_of_chunks_are_rewarded_too(
    data: Path, base: Path, start: PrepModel, tmp_path: Path
) -> None:
    config = replace(start.config, vectors="chunk")
    other = PrepModel(start.encoder, start.heads, config, "chunk")
    result = train_segmentation(data, tmp_path / "run", other, replace(CONFIG, steps=2))
    assert result.steps == 2


def test_rules_cannot_be_trained_and_sets_without_questions_are_named(
    data: Path, base: Path, start: PrepModel, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no trained heads"):
        train_segmentation(data, tmp_path, PrepModel.untrained(base=base, config=PREP), CONFIG)
    (tmp_path / "bare").mkdir()
    shutil.copy(data / "pairs" / "documents.jsonl", tmp_path / "bare")
    with pytest.raises(DataError, match="stretch"):
        train_segmentation(tmp_path, tmp_path / "run", start, replace(CONFIG, sets=(VectorSet(name="bare"),)))


def test_settings_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('steps = 7\n[[sets]]\nname = "mine"\n', encoding="utf-8")
    assert SegmentationConfig.from_toml(path).sets == (VectorSet(name="mine"),)
    for wrong in ({"draws": 1}, {"steps": 0}, {"temperature": 0.0}, {"iou_weight": -1.0}, {"trains": "all"}):
        with pytest.raises(ConfigError):
            replace(CONFIG, **wrong)
