from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_encoder import make_bert

from prep.document import ROLES, Document
from prep.errors import ConfigError, DataError
from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import HeadsConfig, StructureHeads
from prep.model.line_features import Predictions
from prep.model.prep_model import PrepModel
from prep.model.prep_version import SavedVersion, read_version
from training.pages.render import Labels
from training.prep_model.structure_config import StructureConfig
from training.prep_model.structure_examples import make_pages, split_documents
from training.prep_model.structure_scores import prediction_scores
from training.prep_model.structure_training import train_structure

CONFIG = StructureConfig(
    sets={"docs": 30},
    joined={"docs": 4},
    held_out_every=3,
    page_characters=900,
    shard_pages=8,
    epochs=6,
    batch_pages=4,
    learning_rate=5e-3,
    checkpoint_steps=5,
    heads=HeadsConfig(layers=1, state_size=16, width=32, dilations=(1, 2)),
    precision="float32",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "docs").mkdir()
    rows = []
    for i in range(24):
        body = " ".join(f"The words of part {i} are on line {j} and it was so." for j in range(7))
        text = f"# Document {i}\n\n{body}\n\n## First {i}\n\n- one item\n- two items\n\n```\nx = {i}\n```\n\n"
        text += f"## Second {i}\n\n{body}\n\nLast words.\n"
        rows.append({"id": f"d{i:02d}", "title": f"Document {i}", "text": text, "format": "markdown"})
    (folder / "docs" / "documents.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, data: Path, base: Path
) -> tuple[Path, dict[str, torch.Tensor]]:
    run = tmp_path_factory.mktemp("run")
    result = train_structure(data, run, CONFIG, base=base)
    assert result.scores.n_units > 50
    assert {"joined"} <= set(result.by_damage)
    return run, result.heads.state_dict()


def rows_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def without_time(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "seconds"}


def test_held_out_documents_are_never_trained_on(data: Path) -> None:
    train, held = split_documents(data, CONFIG)
    ids = {document.id for document in train["docs"]}, {document.id for document in held["docs"]}
    assert len(ids[0]) == 16
    assert len(ids[1]) == 8
    assert not ids[0] & ids[1]


def test_pages_are_decided_by_the_seed(data: Path) -> None:
    train, _ = split_documents(data, CONFIG)
    one = list(make_pages(train, CONFIG, seed=1))
    assert one == list(make_pages(train, CONFIG, seed=1))
    assert one != list(make_pages(train, CONFIG, seed=2))


def test_training_lowers_the_loss_and_leaves_complete_checkpoints(
    trained: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    run, _ = trained
    losses = [row["loss"] for row in rows_of(run)]
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    steps = sorted(path.parent.name for path in run.glob("checkpoints/*/complete"))
    assert len(steps) == 2
    assert steps[-1] == f"step-{len(losses):07d}"


def test_a_stopped_run_goes_on_from_its_last_complete_checkpoint_to_the_same_heads(
    tmp_path: Path, trained: tuple[Path, dict[str, torch.Tensor]], data: Path, base: Path
) -> None:
    run, expected = trained
    resumed = Path(shutil.copytree(run, tmp_path / "run"))
    newest = max((resumed / "checkpoints").iterdir())
    (newest / "complete").unlink()  # as if killed while it was being written
    result = train_structure(data, resumed, CONFIG, base=base)
    assert [without_time(row) for row in rows_of(resumed)] == [without_time(row) for row in rows_of(run)]
    for name, value in result.heads.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name


def test_a_folder_of_another_run_is_refused(
    tmp_path: Path, trained: tuple[Path, dict[str, torch.Tensor]], data: Path, base: Path
) -> None:
    run, _ = trained
    with pytest.raises(ConfigError, match=r"other settings or data \(epochs\)"):
        train_structure(data, run, replace(CONFIG, epochs=1), base=base)
    with pytest.raises(ConfigError, match=r"other settings or data \(start\)"):
        train_structure(data, run, CONFIG, base=base, start=StructureHeads(CONFIG.heads))


def test_going_on_from_heads_starts_where_they_are_and_leaves_them_alone(
    tmp_path: Path, trained: tuple[Path, dict[str, torch.Tensor]], data: Path, base: Path
) -> None:
    start = StructureHeads(CONFIG.heads)
    start.load_state_dict(trained[1])
    result = train_structure(data, tmp_path, replace(CONFIG, epochs=1), base=base, start=start)
    assert np.mean([row["loss"] for row in rows_of(tmp_path)[:4]]) < np.mean(
        [row["loss"] for row in rows_of(trained[0])[:4]]
    )
    assert result.start_scores is not None
    assert all(torch.equal(value, trained[1][name]) for name, value in start.state_dict().items())
    assert any(not torch.equal(v, trained[1][name]) for name, v in result.heads.state_dict().items())
    wider = replace(CONFIG, heads=replace(CONFIG.heads, width=16))
    with pytest.raises(ConfigError, match="to go on from"):
        train_structure(data, tmp_path / "wider", wider, base=base, start=start)


def test_a_shipped_version_is_loaded_by_the_prep_model(
    tmp_path: Path, trained: tuple[Path, dict[str, torch.Tensor]], data: Path, base: Path
) -> None:
    run, _ = trained
    result = train_structure(data, run, CONFIG, base=base)
    version = result.version(CONFIG, PrepConfig()).save(tmp_path / "v", Encoder.load(base), card="# Card\n")
    model = PrepModel.load(tmp_path / "v", base=base)
    assert model.version == version
    assert (tmp_path / "v" / "README.md").read_text(encoding="utf-8") == "# Card\n"
    text = "# A\n\nThe words are on it. It was so.\n\n## B\n\n- one item\n"
    assert "".join(chunk.text for chunk in model.prepare(Document("d", "A", text))) == text
    manifest = json.loads((tmp_path / "v" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["training"]["seed"] == CONFIG.seed
    assert manifest["metrics"]["held_out"]["n_units"] == result.scores.n_units


def test_scores_count_what_is_found() -> None:
    def one_hot(rows: list[int], n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return np.eye(n, dtype=np.float32)[rows]

    text, heading, junk = (ROLES.index(r) for r in ("text", "heading", "boilerplate"))
    labels = Labels(
        np.array([3, 0, 2, 1, -1]), np.array([text, heading, junk, text, -1]), np.array([-1, 1, -1, -1, -1])
    )
    predictions = Predictions(
        one_hot([3, 0, 1, 2, 3], 4),
        one_hot([text, heading, text, junk, text], 8),
        one_hot([0, 1, 0, 0, 0], 3),
    )
    scores = prediction_scores([predictions], [labels])
    assert scores.n_units == 4
    assert scores.section_f1 == 1.0
    assert scores.paragraph_f1 == pytest.approx(2 * 1 / (2 + 2))
    assert scores.boundary_accuracy == 0.5
    assert scores.role_accuracy == 0.5
    assert scores.heading_f1 == 1.0
    assert scores.boilerplate_precision == 0.0
    assert scores.boilerplate_recall == 0.0
    assert scores.level_accuracy == 1.0


def test_settings_are_read_from_toml_and_unknown_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("epochs = 3\n[sets]\ndocs = 5\n[heads]\nlayers = 1\n", encoding="utf-8")
    config = StructureConfig.from_toml(path)
    assert (config.epochs, dict(config.sets), config.heads.layers) == (3, {"docs": 5}, 1)
    path.write_text("epoch = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="epoch"):
        StructureConfig.from_toml(path)


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'docs'"):
        split_documents(tmp_path, CONFIG)


def test_heads_of_another_width_than_the_base_are_refused(tmp_path: Path, data: Path, base: Path) -> None:
    with pytest.raises(ConfigError, match="state_size=384"):
        train_structure(data, tmp_path, replace(CONFIG, heads=HeadsConfig(layers=1)), base=base)


def test_heads_can_be_shipped_with_the_vectors_of_another_version(
    tmp_path: Path, trained: tuple[Path, dict[str, torch.Tensor]], data: Path, base: Path
) -> None:
    result = train_structure(data, trained[0], CONFIG, base=base)
    query = f"encoder.layer.{CONFIG.heads.layers}.attention.self.query"
    updates = {query: (torch.ones(2, 16), torch.ones(16, 2))}
    settings = replace(PrepConfig(heads=CONFIG.heads), vectors="shared", queries="trained")
    vectors = SavedVersion(
        version="v",
        config=settings,
        base={},
        heads=None,
        updates=updates,
        metrics={"at_1": 0.5},
        training={"n": 3},
    )
    result.version(CONFIG, settings, vectors_of=vectors).save(tmp_path / "v", Encoder.load(base))
    saved = read_version(tmp_path / "v")
    assert saved.updates is not None
    torch.testing.assert_close(saved.updates[query], updates[query])
    assert (saved.metrics["vectors"], saved.training["vectors"]) == ({"at_1": 0.5}, {"n": 3})
    assert (saved.config.vectors, saved.config.queries) == ("shared", "trained")
