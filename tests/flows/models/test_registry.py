"""The registry: where versions come from, what differs, what the gate said, and that files are checked."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from fixture_candidates import SETTINGS
from fixture_causal_lm import make_causal_lm, make_retrieve_version

from flows.candidates.candidate_folder import Candidate
from flows.candidates.dataset_folder import Dataset
from flows.candidates.prep_candidates import train_prep_candidate
from flows.cli.app import main
from flows.models.gate_decisions import Gain, GateDecision, read_decisions
from flows.models.lineage import Lineage, code_version, note_lineage
from flows.models.registry import (
    ModelVersion,
    ancestors,
    compare_versions,
    describe_version,
    find_version,
    flatten,
    list_versions,
)
from flows.models.weight_distance import weight_distances
from prep.errors import ChecksumMismatch, StoreError, WeightsError
from prep.lora import save_updates
from prep.manifest import read_manifest
from prep.store.workspace import Workspace
from retrieve.lm.adapter import read_adapter, save_adapter
from retrieve.model import ADAPTER, ServingConfig, save_retrieve_version


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal_lm(tmp_path_factory.mktemp("base"))


def keep(
    workspace: Workspace, base: Path, folder: Path, *, factor: float, lineage: Lineage | None = None
) -> str:
    """Keep a retrieve version whose updates are those of the tiny one, times `factor`."""
    make_retrieve_version(folder, base)
    adapter = read_adapter(folder / ADAPTER)
    tokens = list(adapter.rows)
    updates = {name: (a, factor * b) for name, (a, b) in adapter.updates.items()}
    save_adapter(folder / ADAPTER, updates, tokens, torch.stack(list(adapter.rows.values())), scale=1.0)
    version = save_retrieve_version(
        folder,
        folder / ADAPTER,
        serving=ServingConfig(abstention_bias=factor),
        source=str(base),
        metrics={"development": {"f1": factor / 10}},
    )
    if lineage is not None:
        note_lineage(workspace, "retrieve", folder, lineage)
    with workspace.new_model("retrieve", version) as target:
        shutil.copytree(folder, target, dirs_exist_ok=True)
    return version


def goes_on_from(start: str, digest: str = "0123456789ab") -> Lineage:
    return Lineage(
        start=start,
        dataset={"digest": digest, "documents": 12, "questions": 40, "held_out": 9, "feedback_examples": 3},
        config={"learning_rate": 1e-4, "minutes": 20.0},
        generation="g1",
        metrics={"candidate": {"f1": 0.5}},
        seconds=61.23,
    )


def decide(workspace: Workspace, created: str, candidate: str, *, promoted: bool, **more: object) -> Path:
    moment = created[:19].replace("-", "").replace(":", "")
    folder = workspace.path / "reports" / "gate" / f"{moment}Z-retrieve-{candidate}"
    folder.mkdir(parents=True)
    content = {
        "format": 1,
        "created": created,
        "kind": "retrieve",
        "candidate": candidate,
        "current": "retrieve-before",
        "promoted": promoted,
        "reasons": ["reward +0.100: better for sure" if promoted else "reward -0.100: worse for sure"],
        "figures": {"current": {"reward": 0.4, "f1": 0.5}, "candidate": {"reward": 0.5, "f1": 0.6}},
        "gains": {"reward": {"mean": 0.1, "low": 0.05, "high": 0.15}},
        "questions": {"set": "gate-set-1", "n": 60},
        **more,
    }
    (folder / "decision.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_the_lineage_of_an_older_version_counts_feedback_examples(tmp_path: Path) -> None:
    dataset = {"digest": "0123456789ab", "documents": 12, "lessons": 3}
    manifest = {"lineage": {"start": "retrieve-a", "dataset": dataset}}
    version = ModelVersion("retrieve", "retrieve-b", tmp_path, manifest, False, False, False)
    assert version.lineage["dataset"] == {"digest": "0123456789ab", "documents": 12, "feedback_examples": 3}


def test_a_candidate_says_what_it_was_trained_on_from_what_and_with_which_code(
    workspace: Workspace, dataset: Dataset, retrieve_candidate: Candidate, tmp_path: Path
) -> None:
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    manifest = read_manifest(place.model_path("retrieve", retrieve_candidate.version))
    assert manifest["lineage"]["start"] == place.current().retrieve
    assert manifest["lineage"]["dataset"] == {
        "digest": dataset.digest,
        "documents": dataset.n_documents,
        "questions": dataset.n_questions,
        "held_out": dataset.n_held_out,
        "feedback_examples": 0,
    }
    assert manifest["lineage"]["generation"] == place.current().generation
    assert manifest["lineage"]["config"]["learning_rate"] == 1e-4
    assert manifest["lineage"]["code"] == code_version()
    heads = train_prep_candidate(place, dataset, SETTINGS)
    version = find_version(place, "prep", heads.version)
    assert ancestors(place, version) == [(find_version(place, "prep", "shipped").version, "shipped, serving")]
    about = describe_version(place, version)
    assert about["metrics"]["candidate.paragraph_f1"] == heads.metrics["candidate"]["paragraph_f1"]
    assert about["configuration"]["training.stage"] == "supervised"
    assert about["dataset"]["digest"] == dataset.digest
    assert all(state["is_intact"] for state in about["files"])
    place.promote("retrieve", retrieve_candidate.version)  # the note changes no checksum


def test_the_line_back_is_followed_past_what_was_pruned(tmp_path: Path, base: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    shipped = find_version(place, "retrieve", "shipped")
    first = keep(place, base, tmp_path / "1", factor=1.0, lineage=goes_on_from(shipped.version))
    second = keep(place, base, tmp_path / "2", factor=2.0, lineage=goes_on_from(first))
    third = keep(place, base, tmp_path / "3", factor=3.0, lineage=goes_on_from(second))
    place.promote("retrieve", second)
    place.promote("retrieve", third)
    newest = find_version(place, "retrieve", None)
    assert newest.version == third
    assert newest.state == "serving"
    assert find_version(place, "retrieve", second).state == "served before"
    line = [(second, "served before"), (first, "kept"), (shipped.version, "shipped")]
    assert ancestors(place, newest) == line
    assert ancestors(place, shipped) == []
    shutil.rmtree(place.model_path("retrieve", second))
    shutil.rmtree(place.model_path("retrieve", first))
    assert ancestors(place, newest) == [(second, "gone"), (first, "gone"), (shipped.version, "shipped")]


def test_versions_that_were_kept_before_lineages_were_noted_still_load_and_show(
    tmp_path: Path, base: Path
) -> None:
    place = Workspace(tmp_path / "workspace")
    version = keep(place, base, tmp_path / "1", factor=1.0)
    place.promote("retrieve", version)
    about = describe_version(place, find_version(place, "retrieve"))
    assert (about["dataset"], about["code"], about["ancestors"]) == (None, None, [])
    assert about["metrics"] == {"development.f1": 0.1}
    assert about["configuration"]["serving.abstention_bias"] == 1.0


def test_a_version_that_starts_from_itself_has_an_end(tmp_path: Path, base: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    version = keep(place, base, tmp_path / "1", factor=1.0)
    manifest = place.model_path("retrieve", version) / "manifest.json"
    content = json.loads(manifest.read_text()) | {"lineage": {"start": version, "ancestors": [version]}}
    manifest.write_text(json.dumps(content))
    assert ancestors(place, find_version(place, "retrieve", version)) == []


def test_a_difference_names_settings_data_figures_and_how_far_the_weights_moved(
    tmp_path: Path, base: Path
) -> None:
    place = Workspace(tmp_path / "workspace")
    first = keep(place, base, tmp_path / "1", factor=1.0, lineage=goes_on_from("elsewhere", "aaaa"))
    second = keep(place, base, tmp_path / "2", factor=1.25, lineage=goes_on_from(first, "bbbb"))
    versions = [find_version(place, "retrieve", name) for name in (first, second)]
    found = compare_versions(*versions)
    settings = {change.name: (change.before, change.after) for change in found.configuration}
    assert settings == {"serving.abstention_bias": (1.0, 1.25)}
    origin = {change.name: (change.before, change.after) for change in found.origin}
    assert origin["dataset.digest"] == ("aaaa", "bbbb")
    assert origin["start"] == ("elsewhere", first)
    (figure,) = found.metrics
    assert (figure.name, figure.difference) == ("development.f1", pytest.approx(0.025))
    groups = found.weights[ADAPTER]
    assert set(groups) == {"layer 0", "layer 1", "token_rows"}
    assert groups["token_rows"] == 0
    assert groups["layer 1"] == pytest.approx(0.25 / 1.25, abs=2e-3)  # bfloat16 on the disk
    assert compare_versions(versions[0], versions[0]).weights == {ADAPTER: {"all": 0.0}}
    assert compare_versions(versions[0], versions[0]).metrics == []


def test_updates_are_compared_by_what_they_add_and_not_by_their_factors(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    a, b, c, d = random(3, 7), random(6, 3), random(2, 7), random(6, 2)
    turned = torch.linalg.qr(random(3, 3)).Q
    folders = [tmp_path / name for name in ("first", "turned", "moved")]
    name = "model.layers.2.mlp.up_proj"
    for folder, factors in zip(
        folders,
        ((a, b), (turned @ a, b @ turned.T), (torch.cat([a, c]), torch.cat([b, d], dim=1))),
        strict=True,
    ):
        folder.mkdir()
        save_updates(folder / "w.safetensors", {name: factors}, scale=0.5, dtype=torch.float32)
    digests = ({"w.safetensors": "x"}, {"w.safetensors": "y"})
    same = weight_distances(folders[0], folders[1], digests)
    assert same["w.safetensors"]["layer 2"] == pytest.approx(0, abs=1e-5)
    moved = weight_distances(folders[0], folders[2], digests)
    whole = (b @ a, b @ a + d @ c)
    expected = torch.linalg.norm(whole[1] - whole[0]) / max(torch.linalg.norm(part) for part in whole)
    assert moved["w.safetensors"]["layer 2"] == pytest.approx(float(expected), rel=1e-4)
    alone = weight_distances(folders[0], folders[2], ({"w.safetensors": "x"}, {}))
    assert alone["w.safetensors"] == {"layer 2": 1.0}
    (folders[2] / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        weight_distances(folders[0], folders[2], digests)


def test_a_damaged_version_is_listed_shown_as_damaged_and_not_compared(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workspace(tmp_path / "workspace")
    first = keep(place, base, tmp_path / "1", factor=1.0)
    second = keep(place, base, tmp_path / "2", factor=2.0)
    with (place.model_path("retrieve", first) / ADAPTER).open("ab") as file:
        file.write(b"x")
    assert main(["models", "show", "retrieve", first, "--workspace", str(place.path)]) == 2
    shown = capsys.readouterr()
    assert "DAMAGED" in shown.out
    assert ADAPTER in shown.err
    with pytest.raises(ChecksumMismatch):
        compare_versions(find_version(place, "retrieve", second), find_version(place, "retrieve", first))
    (place.model_path("retrieve", second) / "manifest.json").write_text("{")
    listed = {version.version: version for version in list_versions(place, "retrieve")}
    assert "damaged" in listed[second].damage
    assert listed[first].damage == ""
    assert main(["models", "list", "--workspace", str(place.path)]) == 0
    assert f"{second}   damaged" in capsys.readouterr().out


def test_what_the_gate_said_is_read_whatever_else_the_file_holds(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    assert read_decisions(place) == ([], [])
    decide(place, "2026-03-02T10:00:00+00:00", "r2", promoted=False, extra={"more": 1}, questions=None)
    decide(place, "2026-03-01T10:00:00+00:00", "r1", promoted=True)
    (decide(place, "2026-03-03T10:00:00+00:00", "r3", promoted=True) / "decision.json").write_text("[]")
    decide(place, "2026-03-04T10:00:00+00:00", "r4", promoted=True, kind="reranker")
    decide(place, "2026-03-05T10:00:00+00:00", "r5", promoted=True, figures={"current": {"f1": math.nan}})
    decisions, unreadable = read_decisions(place)
    assert [one.candidate for one in decisions] == ["r1", "r2", "r5"]
    assert unreadable == ["20260303T100000Z-retrieve-r3", "20260304T100000Z-retrieve-r4"]
    assert decisions[0].headline == "reward"
    assert decisions[0].gains["reward"] == Gain(0.1, 0.05, 0.15)
    assert [one.served.get("reward") for one in decisions] == [0.5, 0.4, None]
    assert (decisions[1].n_questions, decisions[2].headline) == (0, None)
    with pytest.raises(FileNotFoundError):
        GateDecision.read(tmp_path)


def test_show_and_diff_tell_on_the_command_line_what_they_know(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workspace(tmp_path / "workspace")
    shipped = find_version(place, "retrieve").version
    first = keep(place, base, tmp_path / "1", factor=1.0, lineage=goes_on_from(shipped))
    second = keep(place, base, tmp_path / "2", factor=2.0, lineage=goes_on_from(first))
    place.promote("retrieve", second)
    decide(place, "2026-03-01T10:00:00+00:00", first, promoted=False)
    where = ["--workspace", str(place.path)]
    assert main(["models", "show", "retrieve", first, *where]) == 0
    shown = capsys.readouterr().out
    for words in (
        f"retrieve {first}\n",
        f"{shipped}   shipped, served before",
        "0123456789ab: 12 documents, 40 questions, 9 held out, 3 feedback examples",
        "training.learning_rate",
        "development.f1",
        "intact",
        "2026-03-01 10:00   refused   beside retrieve-before   reward -0.100: worse for sure",
    ):
        assert words in shown
    assert main(["models", "show", "retrieve", "--json", *where]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["version"] == second
    assert about["serving"]
    assert [row["version"] for row in about["ancestors"]] == [first, shipped]
    assert main(["models", "diff", "retrieve", first, *where]) == 0
    told = capsys.readouterr().out
    assert f"retrieve {first} → {second}" in told
    assert "serving.abstention_bias   1 → 2" in told
    assert "adapter.safetensors   layer 0" in told
    assert main(["models", "diff", "retrieve", first, second, "--json", *where]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["metrics"] == [{"name": "development.f1", "before": 0.1, "after": 0.2, "difference": 0.1}]
    assert main(["models", "list", *where]) == 0
    listed = capsys.readouterr().out
    assert f"from {shipped}   gate: refused" in listed
    assert main(["models", "show", "retrieve", "nothing", *where]) == 2
    assert first in capsys.readouterr().err


def test_prune_says_what_it_removes_and_does_so_only_when_asked_in_earnest(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Workspace(tmp_path / "workspace")
    made = [keep(place, base, tmp_path / str(n), factor=float(n)) for n in range(1, 5)]
    oldest = place.models_by_age("retrieve")
    assert sorted(oldest) == sorted(made)
    place.promote("retrieve", oldest[0])
    where = ["--workspace", str(place.path), "--json"]
    assert main(["models", "prune", "--keep", "1", "--dry-run", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["version"] for row in said["removed"]] == oldest[1:3]
    assert all(row["bytes"] > 1000 for row in said["removed"])
    assert sorted(place.model_versions("retrieve")) == sorted(made)
    assert main(["models", "prune", "--keep", "1", *where[:2]]) == 0
    assert "2 versions removed" in capsys.readouterr().out
    assert sorted(place.model_versions("retrieve")) == sorted([oldest[0], oldest[3]])
    assert main(["models", "prune", "--keep", "0", *where]) == 2
    with pytest.raises(StoreError):
        find_version(place, "retrieve", oldest[1])


def test_nested_values_have_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1, {"e": 2}]}, "f": None}) == {
        "a.b.c": 1,
        "a.d": [1, {"e": 2}],
        "f": None,
    }
