"""One small file says what is current, one process writes, and every change can be taken back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixture_prep import LinePrep, subprocess_environment

from prep.document import Document
from prep.errors import (
    ChecksumMismatch,
    ConfigError,
    EmptyStore,
    StoreError,
    VersionMismatch,
    WorkspaceLocked,
)
from prep.ingest import IngestSettings, ingest
from prep.manifest import verify_folder, write_manifest
from prep.store.current import Current
from prep.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def ingest_text(workspace: Workspace, text: str, prep: LinePrep | None = None, keep: int = 3) -> str:
    report = ingest(
        workspace,
        [Document("only", "", text)],
        prep or LinePrep(),
        progress=False,
        settings=IngestSettings(keep_generations=keep),
    )
    return report.generation


def add_model(workspace: Workspace, kind: str, version: str) -> None:
    with workspace.new_model(kind, version, {"metrics": {"f1": 0.5}}) as folder:  # type: ignore[arg-type]
        (folder / "model.safetensors").write_bytes(version.encode() * 100)


def test_looking_at_a_workspace_that_is_not_there_touches_nothing(workspace: Workspace) -> None:
    assert workspace.current() == Current(None, None, None)
    assert workspace.generations() == []
    assert workspace.model_versions("prep") == []
    with pytest.raises(EmptyStore, match="diptych ingest"):
        workspace.open_generation()
    assert not workspace.path.exists()


def test_ingest_makes_its_generation_current(workspace: Workspace) -> None:
    generation = ingest_text(workspace, "alpha")
    assert workspace.current().generation == generation
    with workspace.open_generation(prep_version="lines-1") as opened:
        assert opened.id == generation
    assert json.loads((workspace.path / "CURRENT.json").read_text())["generation"] == generation


def test_generation_of_another_prep_version_does_not_open(workspace: Workspace) -> None:
    ingest_text(workspace, "alpha")
    with pytest.raises(VersionMismatch, match=r"'lines-1'.*'lines-2'"):
        workspace.open_generation(prep_version="lines-2")


def test_rollback_returns_to_the_generation_before_and_back_again(workspace: Workspace) -> None:
    first, second = ingest_text(workspace, "alpha"), ingest_text(workspace, "beta")
    assert workspace.rollback_generation().generation == first
    with workspace.open_generation() as opened:
        assert opened.document("only").text == "alpha"
    assert workspace.rollback_generation().generation == second


def test_nothing_to_roll_back_to_is_an_error(workspace: Workspace) -> None:
    ingest_text(workspace, "alpha")
    with pytest.raises(StoreError, match="no generation before"):
        workspace.rollback_generation()
    with pytest.raises(StoreError, match="no other retrieve model"):
        workspace.rollback("retrieve")


def test_rollback_to_a_damaged_generation_is_refused(workspace: Workspace) -> None:
    first, second = ingest_text(workspace, "alpha"), ingest_text(workspace, "beta")
    with (workspace.generations_path / first / "index.faiss").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ChecksumMismatch):
        workspace.rollback_generation()
    assert workspace.current().generation == second


def test_old_generations_go_but_never_the_current_or_the_one_before(workspace: Workspace) -> None:
    ids = [ingest_text(workspace, f"text {number}", keep=2) for number in range(5)]
    assert workspace.generations() == ids[-2:]
    workspace.rollback_generation()
    later = ingest_text(workspace, "text 5", keep=1)
    assert workspace.generations() == [ids[3], later]
    assert workspace.prune(keep=0) == []


def test_generation_in_use_by_a_reader_is_not_removed(workspace: Workspace) -> None:
    first = ingest_text(workspace, "alpha", keep=1)
    reader = workspace.open_generation()
    for number in range(3):
        ingest_text(workspace, f"text {number}", keep=1)
    assert first in workspace.generations()
    assert reader.document("only").text == "alpha"
    reader.close()
    workspace.prune(keep=1)
    assert first not in workspace.generations()


def test_unknown_generation_is_an_error_that_names_the_known(workspace: Workspace) -> None:
    generation = ingest_text(workspace, "alpha")
    with pytest.raises(StoreError, match=f"'nothing'.*{generation}"):
        workspace.open_generation("nothing")


@pytest.mark.parametrize("name", ["", "../outside", ".partial-1", "a/b"])
def test_names_that_leave_the_workspace_are_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(StoreError):
        workspace.model_path("prep", name)
    with pytest.raises(StoreError):
        workspace.swap(generation=name)


def test_swap_refuses_targets_and_names_that_do_not_exist(workspace: Workspace) -> None:
    generation = ingest_text(workspace, "alpha")
    with pytest.raises(StoreError, match="not complete"):
        workspace.swap(generation="20200101T000000-00000000")
    with pytest.raises(StoreError, match="'reranker'"):
        workspace.swap(reranker=None)
    assert workspace.current().generation == generation


def test_damaged_current_file_is_a_store_error(workspace: Workspace) -> None:
    ingest_text(workspace, "alpha")
    (workspace.path / "CURRENT.json").write_text("{")
    with pytest.raises(StoreError, match=r"CURRENT\.json is damaged"):
        workspace.current()


def test_promoted_model_can_be_rolled_back_to_the_shipped_one(workspace: Workspace) -> None:
    for version in ("r1", "r2"):
        add_model(workspace, "retrieve", version)
    assert workspace.model_versions("retrieve") == ["r1", "r2"]
    assert workspace.current().retrieve is None
    workspace.promote("retrieve", "r1")
    assert workspace.rollback("retrieve").retrieve is None
    assert workspace.rollback("retrieve").retrieve == "r1"
    workspace.promote("retrieve", "r2")
    assert workspace.rollback("retrieve").retrieve == "r1"


def test_damaged_or_missing_model_is_not_promoted(workspace: Workspace) -> None:
    add_model(workspace, "retrieve", "r1")
    (workspace.model_path("retrieve", "r1") / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ChecksumMismatch, match=r"model\.safetensors"):
        workspace.promote("retrieve", "r1")
    with pytest.raises(StoreError, match=r"'r9'.*r1"):
        workspace.promote("retrieve", "r9")
    assert workspace.current().retrieve is None


def test_model_version_is_written_once_and_whole(workspace: Workspace) -> None:
    add_model(workspace, "prep", "p1")
    with pytest.raises(StoreError, match="never change"):
        add_model(workspace, "prep", "p1")
    with pytest.raises(IsADirectoryError), workspace.new_model("prep", "p2") as folder:
        folder.write_bytes(b"fails before the model is whole")
    assert workspace.model_versions("prep") == ["p1"]
    assert [path.name for path in (workspace.path / "models" / "prep").iterdir()] == ["p1"]


def test_model_may_name_its_own_version_in_the_manifest_it_writes(workspace: Workspace) -> None:
    with workspace.new_model("prep") as folder:
        (folder / "weights" / "deep").mkdir(parents=True)
        (folder / "weights" / "deep" / "model.safetensors").write_bytes(b"weights")
        write_manifest(folder, {"kind": "prep", "version": "p-0123abcd"})
    assert workspace.model_versions("prep") == ["p-0123abcd"]
    workspace.promote("prep", "p-0123abcd")
    with pytest.raises(StoreError, match="'p1' is that of retrieve model 'r1'"):
        add_mislabelled_model(workspace)
    with pytest.raises(StoreError, match="not complete"):
        add_unnamed_model(workspace)
    assert workspace.model_versions("prep") == ["p-0123abcd"]


def add_mislabelled_model(workspace: Workspace) -> None:
    with workspace.new_model("prep", "p1") as folder:
        write_manifest(folder, {"kind": "retrieve", "version": "r1"})


def add_unnamed_model(workspace: Workspace) -> None:
    with workspace.new_model("prep") as folder:
        (folder / "model.safetensors").write_bytes(b"weights")


def test_prep_model_and_its_generation_become_current_and_go_back_together(workspace: Workspace) -> None:
    for version in ("p1", "p2"):
        add_model(workspace, "prep", version)
    first = ingest_text(workspace, "alpha", LinePrep("p1"))
    second = ingest_text(workspace, "alpha", LinePrep("p2"))
    assert first != second
    now = workspace.current()
    assert (now.generation, now.prep) == (second, "p2")
    now = workspace.rollback_generation()
    assert (now.generation, now.prep) == (first, "p1")
    now = workspace.rollback("prep")
    assert (now.generation, now.prep) == (second, "p2")


def test_promoted_prep_model_brings_the_newest_generation_it_built(workspace: Workspace) -> None:
    for version in ("p1", "p2"):
        add_model(workspace, "prep", version)
    first = ingest_text(workspace, "alpha", LinePrep("p1"))
    for text in ("beta", "gamma"):
        last = ingest_text(workspace, text, LinePrep("p2"))
    now = workspace.rollback("prep")
    assert (now.generation, now.prep) == (first, "p1")
    now = workspace.promote("prep", "p2")
    assert (now.generation, now.prep) == (last, "p2")


def test_what_the_prep_model_before_built_stays_however_much_is_ingested(workspace: Workspace) -> None:
    for version in ("p1", "p2"):
        add_model(workspace, "prep", version)
    old = [ingest_text(workspace, text, LinePrep("p1")) for text in ("alpha", "beta")]
    for number in range(5):
        last = ingest_text(workspace, f"gamma {number}", LinePrep("p2"))
    assert workspace.generations_of("p1") == old[1:]
    assert len(workspace.generations()) == 4
    now = workspace.rollback("prep")
    assert (now.generation, now.prep) == (old[1], "p1")
    assert workspace.generations_of("p2")[-1] == last


def test_prep_model_without_a_generation_is_promoted_and_the_store_says_what_to_do(
    workspace: Workspace,
) -> None:
    add_model(workspace, "prep", "p1")
    generation = ingest_text(workspace, "alpha")
    now = workspace.promote("prep", "p1")
    assert (now.generation, now.prep) == (generation, "p1")
    with pytest.raises(VersionMismatch, match="diptych ingest"):
        workspace.open_generation(prep_version="p1")
    assert workspace.rollback("prep").prep is None


def test_second_writer_is_refused_and_may_write_once_the_first_has_died(workspace: Workspace) -> None:
    script = (
        "import sys, time\nfrom prep.store.workspace import Workspace\n"
        "with Workspace(sys.argv[1]).lock():\n    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(workspace.path)],
        stdout=subprocess.PIPE,
        text=True,
        env=subprocess_environment(),
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(WorkspaceLocked, match="another process is writing"),
            workspace.lock(timeout_s=0.2),
        ):
            pass
        holder.kill()
        holder.wait()
        with workspace.lock(timeout_s=5), workspace.lock():
            pass
    finally:
        holder.kill()
        holder.communicate()


READER = """
import json, sys
from fixture_prep import LinePrep
from prep.store.workspace import Workspace

query = LinePrep().encode_queries(["state"])
while True:
    current = Workspace(sys.argv[1]).open_generation(prep_version="lines-1")
    with current:
        rows = current.search(query, 50)[1][0]
        found = current.chunks([row for row in rows if row >= 0])
        texts = {chunk.text for chunk in found} | {document.text for document in current.documents()}
        titles = {document.title for document in current.documents()}
        print(json.dumps([current.id, len(found), sorted(texts), sorted(titles)]), flush=True)
"""


def test_reader_during_swaps_sees_one_generation_or_another_never_a_mixture(workspace: Workspace) -> None:
    def write(number: int) -> str:
        documents = [Document(f"d{n}", f"title {number}", f"state {number}") for n in range(number + 5)]
        settings = IngestSettings(keep_generations=1)
        return ingest(workspace, documents, LinePrep(), progress=False, settings=settings).generation

    expected = {write(0): 0}
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(workspace.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=subprocess_environment(),
    )
    try:
        assert reader.stdout is not None
        lines = [reader.stdout.readline()]
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and len(expected) < 40:
            expected[write(len(expected))] = len(expected)
        assert reader.poll() is None, reader.stderr.read() if reader.stderr else ""
    finally:
        reader.kill()
        output, _ = reader.communicate()
    lines += [line for line in output.splitlines(keepends=True) if line.endswith("\n")]
    seen = set()
    for generation, n_found, texts, titles in map(json.loads, lines):
        number = expected[generation]
        seen.add(number)
        assert (n_found, texts, titles) == (number + 5, [f"state {number}"], [f"title {number}"])
    assert len(seen) >= 3


def age_models(workspace: Workspace, kind: str, versions: list[str]) -> None:
    """Add versions, the first the oldest, by the time of their manifests."""
    for place, version in enumerate(versions):
        add_model(workspace, kind, version)
        manifest = workspace.model_path(kind, version) / "manifest.json"  # type: ignore[arg-type]
        os.utime(manifest, (1_700_000_000 + place, 1_700_000_000 + place))


def test_old_models_go_but_never_what_serves_what_served_before_or_what_a_generation_needs(
    workspace: Workspace,
) -> None:
    age_models(workspace, "retrieve", ["r9", "r8", "r7", "r6", "r5"])
    age_models(workspace, "prep", ["p9", "p8", "p7", "p6"])
    for version in ("r8", "r9"):
        workspace.promote("retrieve", version)
    ingest_text(workspace, "alpha", LinePrep("p8"), keep=9)
    for version in ("p9", "p7"):
        workspace.promote("prep", version)
    expected = [("prep", "p6")]
    age_models(workspace, "prep", ["p1"])
    os.utime(workspace.model_path("prep", "p1") / "manifest.json", (1_800_000_000, 1_800_000_000))
    assert workspace.models_by_age("prep") == ["p9", "p8", "p7", "p6", "p1"]
    expected += [("retrieve", "r7"), ("retrieve", "r6")]
    before = workspace.current()

    assert workspace.prune_models(1, needed=expected, dry_run=True) == []
    assert workspace.prune_models(1, dry_run=True) == expected
    assert workspace.model_versions("prep") == ["p1", "p6", "p7", "p8", "p9"]
    assert workspace.prune_models(1) == expected
    assert workspace.model_versions("prep") == ["p1", "p7", "p8", "p9"]
    assert workspace.model_versions("retrieve") == ["r5", "r8", "r9"]
    assert workspace.prune_models(1) == []
    assert workspace.current() == before
    assert workspace.rollback("retrieve").retrieve == "r8"
    with workspace.open_generation(prep_version="p8") as generation:
        assert generation.document("only").text == "alpha"


def test_the_time_a_manifest_names_counts_before_the_time_of_the_file(workspace: Workspace) -> None:
    for version, created in (("r1", "2026-03-01T00:00:00+00:00"), ("r2", "2026-02-01T00:00:00+00:00")):
        with workspace.new_model("retrieve", version, {"created_at": created}) as folder:
            (folder / "model.safetensors").write_bytes(b"weights")
    assert workspace.models_by_age("retrieve") == ["r2", "r1"]
    assert workspace.prune_models(keep=1) == [("retrieve", "r2")]


def test_nothing_is_pruned_where_it_is_not_known_what_is_needed(workspace: Workspace) -> None:
    age_models(workspace, "prep", ["p1", "p2", "p3"])
    generation = ingest_text(workspace, "alpha", LinePrep("p1"))
    (workspace.generations_path / generation / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        workspace.prune_models(1)
    with pytest.raises(ConfigError, match="keep=0"):
        workspace.prune_models(0)
    assert workspace.model_versions("prep") == ["p1", "p2", "p3"]


PRUNER = "import sys\nfrom prep.store.workspace import Workspace\nWorkspace(sys.argv[1]).prune_models(1)\n"


def test_pruning_that_is_killed_leaves_whole_versions_and_the_next_goes_on(workspace: Workspace) -> None:
    age_models(workspace, "retrieve", ["r1", "r2", "r3", "r4"])
    workspace.promote("retrieve", "r4")
    killed = subprocess.run(
        [sys.executable, "-c", PRUNER, str(workspace.path)],
        env={**subprocess_environment(), "DIPTYCH_FAULT_AT": "during-prune"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert workspace.model_versions("retrieve") == ["r2", "r3", "r4"]
    for version in workspace.model_versions("retrieve"):
        verify_folder(workspace.model_path("retrieve", version))
    assert workspace.prune_models(1) == [("retrieve", "r2"), ("retrieve", "r3")]
    assert workspace.clean() == 1
    assert [path.name for path in (workspace.path / "models" / "retrieve").iterdir()] == ["r4"]
