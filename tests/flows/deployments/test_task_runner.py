"""Ingest and synthesis spread over the processes of a Dask cluster give what one process gives."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixture_prep import subprocess_environment

from flows.candidates.dataset_folder import find_dataset
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.demo.demo_corpus import write_corpus
from flows.deployments import prefect_settings
from flows.models.serving import serving_prep
from prep.errors import ConfigError, DependencyError, VersionMismatch
from prep.ingest import ingest
from prep.store.workspace import Workspace
from training.questions.generated_questions import GeneratedBatch, QuestionBatch

pytestmark = [pytest.mark.loopback, pytest.mark.usefixtures("prefect_server")]

# Dask looks for this machine's address, so it runs in a process of its own, where the network is not watched.
SPREAD = """
import json, os, sys
from flows.deployments import prefect_settings

def main():
    prefect_settings.configure(sys.argv[3])
    from flows.deployments.ingest_flow import ingest
    from flows.deployments.synthesize_flow import synthesize
    receipts = [ingest([sys.argv[2]], sys.argv[1])]
    os.environ["DIPTYCH_TASK_WORKERS"] = "1"  # two sentences are one batch
    receipts.append(synthesize(sys.argv[1], n_examples=int(sys.argv[4]), n_generated=int(sys.argv[5])))
    print(json.dumps(receipts))

if __name__ == "__main__":
    main()
"""
N_EXAMPLES, N_GENERATED = 8, 2
TOPICS = {
    "bridges": "# Bridges of Barlin\n\nThe old stone bridge of Barlin was opened in 1893 by the mayor Anna Holt.\n",
    "fountains": "# Fountains of Tolgate\n\nThe blue fountain of Tolgate was built by Peter Marsh in 1712.\n",
}


def chunks_of(workspace: Workspace) -> dict[str, list[tuple[object, ...]]]:
    with workspace.open_generation() as generation:
        return {
            document.id: [(c.id, c.text, c.headings, c.role) for c in generation.document_chunks(document.id)]
            for document in generation.documents()
        }


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty short documents."""
    folder = tmp_path_factory.mktemp("dask") / "docs"
    folder.mkdir()
    for name, text in TOPICS.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    small = [path for path in write_corpus(folder.parent / "all") if path.stat().st_size < 1500]
    for path in small[: 20 - len(TOPICS)]:
        path.rename(folder / path.name)
    return folder


@pytest.fixture(scope="module")
def plain(docs: Path) -> Workspace:
    """The documents, ingested by this process."""
    workspace = Workspace(docs.parent / "plain")
    ingest(workspace, [docs], serving_prep(workspace), progress=False)
    return workspace


@pytest.fixture(scope="module")
def spread(docs: Path, prefect_server: str) -> tuple[Workspace, list[dict[str, Any]]]:
    """The documents, ingested by two workers of Dask and asked about by one; and the receipts of both flows."""
    pytest.importorskip("prefect_dask")
    workspace = Workspace(docs.parent / "spread")
    script = docs.parent / "spread.py"
    script.write_text(SPREAD, encoding="utf-8")
    words = [workspace.path, docs, docs.parent / "prefect", N_EXAMPLES, N_GENERATED]
    done = subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        env=subprocess_environment()
        | prefect_settings.SETTINGS
        | {"PREFECT_API_URL": prefect_server, "OMP_NUM_THREADS": "1"}
        | {"DIPTYCH_TASK_RUNNER": "dask", "DIPTYCH_TASK_WORKERS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    receipts: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return workspace, receipts


@pytest.mark.slow
def test_documents_prepared_by_dask_s_workers_make_the_same_generation(
    spread: tuple[Workspace, list[dict[str, Any]]], plain: Workspace
) -> None:
    workspace, (receipt, _) = spread
    assert receipt["n_processes"] == 2
    assert receipt["n_documents"] == 20
    assert chunks_of(workspace) == chunks_of(plain)


@pytest.mark.slow
def test_questions_generated_by_dask_s_worker_are_those_of_one_process(
    spread: tuple[Workspace, list[dict[str, Any]]], plain: Workspace
) -> None:
    workspace, (_, receipt) = spread
    assert receipt["n_processes"] == 1
    expected = synthesize_data(plain, TrainingSettings(n_examples=N_EXAMPLES, n_generated=N_GENERATED))
    made = find_dataset(workspace, receipt["dataset"])
    assert made.digest == expected.digest
    assert made.generated | {"seconds": 0, "kept_per_minute": 0} == expected.generated | {
        "seconds": 0,
        "kept_per_minute": 0,
    }
    assert made.generated["written"] > 0
    assert made.training().questions == expected.training().questions


class Counts:
    """BatchGenerator that says which batch it was given."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    @property
    def about(self) -> dict[str, Any]:
        return {}

    def generate(self, batches: Iterable[QuestionBatch]) -> Iterator[GeneratedBatch]:
        for batch in batches:
            self.seeds.append(batch.seed)
            yield {"outcomes": [{"question": str(batch.seed), "reason": "none"}], "seconds": 0.0}


def test_batches_are_generated_ahead_and_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow

    from flows.deployments import question_tasks as question_tasks

    counts = Counts()
    monkeypatch.setattr(question_tasks, "_local_generator", lambda *of: counts)

    @flow
    def some(n: int) -> list[str]:
        by_tasks = question_tasks.TaskGenerator(Workspace(tmp_path), "g", None, ahead=3)
        generated = by_tasks.generate([QuestionBatch((), seed) for seed in range(9)])
        return [next(generated)["outcomes"][0]["question"] for _ in range(n)]

    assert some(9) == [str(n) for n in range(9)]
    counts.seeds.clear()
    assert some(2) == ["0", "1"]
    assert sorted(counts.seeds) in ([0, 1, 2, 3], [0, 1, 2, 3, 4])  # three are begun at a time


def test_a_worker_with_other_versions_says_so(tmp_path: Path) -> None:
    from flows.deployments.question_tasks import generate_batch

    with pytest.raises(VersionMismatch, match="install the same Diptych"):
        generate_batch.fn(
            str(tmp_path), "g", "", None, {"writer": "other", "reader": "other"}, QuestionBatch((), 0)
        )


def test_threads_of_this_machine_are_what_runs_tasks_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.deployments.task_runner import TaskRunnerSettings, task_runner

    for name in [name for name in os.environ if name.startswith("DIPTYCH_TASK")]:
        monkeypatch.delenv(name)
    settings = TaskRunnerSettings.from_environment()
    assert not settings.is_distributed
    assert type(task_runner(settings)).__name__ == "ThreadPoolTaskRunner"


@pytest.mark.parametrize(
    ("name", "value"),
    [("DIPTYCH_TASK_RUNNER", "cloud"), ("DIPTYCH_TASK_WORKERS", "0"), ("DIPTYCH_TASK_WORKERS", "many")],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.deployments.task_runner import TaskRunnerSettings

    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}={value}|{name}='{value}'"):
        TaskRunnerSettings.from_environment()


def test_workers_without_a_server_are_refused() -> None:
    pytest.importorskip("prefect_dask")
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.deployments.task_runner import TaskRunnerSettings, task_runner

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ConfigError, match="prefect server start"),
    ):
        task_runner(TaskRunnerSettings(runner="dask"))


def test_a_runner_that_is_not_installed_names_its_extra() -> None:
    from flows.deployments.task_runner import TaskRunnerSettings, task_runner

    if importlib.util.find_spec("prefect_ray") is not None:
        pytest.skip("prefect-ray is installed")
    with pytest.raises(DependencyError, match=r"diptych\[ray\]"):
        task_runner(TaskRunnerSettings(runner="ray"))
