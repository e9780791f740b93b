"""Ingest spread over the processes of a Dask cluster gives what one process gives."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixture_prep import subprocess_environment

from flows import prefect_settings
from flows.corpus import write_corpus
from flows.serving import serving_prep
from prep.errors import ConfigError, DependencyError
from prep.ingest import ingest
from prep.workspace import Workspace

pytestmark = [pytest.mark.loopback, pytest.mark.usefixtures("prefect_server")]

# Dask looks for this machine's address, so it runs in a process of its own, where the network is not watched.
SPREAD = """
import json, sys
from flows import prefect_settings

def main():
    prefect_settings.configure(sys.argv[3])
    from flows.ingest import ingest
    print(json.dumps(ingest([sys.argv[2]], sys.argv[1])))

if __name__ == "__main__":
    main()
"""


def chunks_of(workspace: Workspace) -> dict[str, list[tuple[object, ...]]]:
    with workspace.open_generation() as generation:
        return {
            document.id: [(c.id, c.text, c.headings, c.role) for c in generation.document_chunks(document.id)]
            for document in generation.documents()
        }


@pytest.mark.slow
def test_documents_prepared_by_dask_s_workers_make_the_same_generation(
    tmp_path: Path, prefect_server: str
) -> None:
    pytest.importorskip("prefect_dask")
    (tmp_path / "docs").mkdir()
    small = [path for path in write_corpus(tmp_path / "all") if path.stat().st_size < 1500]
    for path in small[:20]:
        path.rename(tmp_path / "docs" / path.name)
    plain = Workspace(tmp_path / "plain")
    ingest(plain, [tmp_path / "docs"], serving_prep(plain), progress=False)
    script = tmp_path / "spread.py"
    script.write_text(SPREAD, encoding="utf-8")
    spread = Workspace(tmp_path / "spread")
    words = [str(spread.path), str(tmp_path / "docs"), str(tmp_path / "prefect")]
    done = subprocess.run(
        [sys.executable, str(script), *words],
        env=subprocess_environment()
        | prefect_settings.SETTINGS
        | {"PREFECT_API_URL": prefect_server, "OMP_NUM_THREADS": "1"}
        | {"DIPTYCH_TASK_RUNNER": "dask", "DIPTYCH_TASK_WORKERS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout.splitlines()[-1])
    assert receipt["n_processes"] == 2
    assert receipt["n_documents"] == 20
    assert chunks_of(spread) == chunks_of(plain)


def test_threads_of_this_machine_are_what_runs_tasks_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.spread import SpreadSettings, task_runner

    for name in [name for name in os.environ if name.startswith("DIPTYCH_TASK")]:
        monkeypatch.delenv(name)
    settings = SpreadSettings.from_environment()
    assert not settings.is_spread
    assert type(task_runner(settings)).__name__ == "ThreadPoolTaskRunner"


@pytest.mark.parametrize(
    ("name", "value"),
    [("DIPTYCH_TASK_RUNNER", "cloud"), ("DIPTYCH_TASK_WORKERS", "0"), ("DIPTYCH_TASK_WORKERS", "many")],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.spread import SpreadSettings

    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}={value}|{name}='{value}'"):
        SpreadSettings.from_environment()


def test_workers_without_a_server_are_refused() -> None:
    pytest.importorskip("prefect_dask")
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.spread import SpreadSettings, task_runner

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ConfigError, match="prefect server start"),
    ):
        task_runner(SpreadSettings(runner="dask"))


def test_a_runner_that_is_not_installed_names_its_extra() -> None:
    from flows.spread import SpreadSettings, task_runner

    if importlib.util.find_spec("prefect_ray") is not None:
        pytest.skip("prefect-ray is installed")
    with pytest.raises(DependencyError, match=r"diptych\[ray\]"):
        task_runner(SpreadSettings(runner="ray"))
