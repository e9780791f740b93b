"""Promise: a real Prefect server and worker run the drift check by schedule, and its event has the workspace retrained.

Server, worker and whoever asks the server are processes of their own on loopback. The deployments are those of
prefect.yaml; the drift check's schedule alone is made quicker.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixture_causal_lm import serve_tiny_model
from fixture_cycle import TOML, log_questions
from fixture_prep import free_port, subprocess_environment

from flows.demo.demo_corpus import write_corpus
from flows.deployments import prefect_settings
from flows.models.serving import serving_prep
from flows.retraining.cycle import retrain_workspace
from flows.retraining.cycle_config import cycle_settings
from flows.retraining.cycle_folder import OUTCOME, cycles
from prep.ingest import ingest
from prep.store.workspace import Workspace

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 900.0
DEPLOYED = ("drift", "on-drift")

# Asks the server until a run of each deployment has ended, and prints what became of them.
WATCH = """
import json, sys, time
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

names, give_up = sys.argv[2:], time.monotonic() + float(sys.argv[1])
ended = {}
with get_client(sync_client=True) as client:
    while len(ended) < len(names) and time.monotonic() < give_up:
        for name in names:
            chosen = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
            for run in client.read_flow_runs(deployment_filter=chosen):
                if run.state is not None and run.state.is_final():
                    ended.setdefault(name, {"state": run.state.name, "message": run.state.message,
                                            "scheduled": run.auto_scheduled, "by": run.created_by.type})
        time.sleep(1)
print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace retrained once, whose questions since are on something else."""
    folder = tmp_path_factory.mktemp("schedule")
    place = Workspace(folder / "workspace")
    serve_tiny_model(place, folder / "model")
    small = [path for path in write_corpus(folder / "docs") if path.stat().st_size < 1600][:12]
    ingest(place, small, serving_prep(place), progress=False)
    (place.path / "retrain.toml").write_text(TOML, encoding="utf-8")
    now = datetime.now(UTC)
    log_questions(
        place, [f"What does statement {n} of Python do?" for n in range(30)], now - timedelta(days=1)
    )
    retrain_workspace(place, cycle_settings(place))
    log_questions(
        place, [f"How much honey do {n} bees make in a year?" for n in range(30)], now + timedelta(minutes=5)
    )
    return place


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a server on a free port of loopback; gives the environment in which Prefect's commands reach it."""
    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    inherited = {k: v for k, v in subprocess_environment().items() if not k.startswith("PREFECT_")}
    environment = {
        **inherited,
        **prefect_settings.SETTINGS,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    }
    with process(["server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"], environment, home):
        wait = (
            "import os, time, urllib.request\n"
            "give_up = time.monotonic() + 300\n"
            "while True:\n"
            "    try:\n"
            "        urllib.request.urlopen(os.environ['PREFECT_API_URL'] + '/health', timeout=5); break\n"
            "    except OSError:\n"
            "        assert time.monotonic() < give_up, 'the server did not start'\n"
            "        time.sleep(0.5)\n"
        )
        started = subprocess.run(
            [sys.executable, "-c", wait], env=environment, capture_output=True, text=True, check=False
        )
        assert started.returncode == 0, started.stderr + (home / "server.log").read_text(encoding="utf-8")
        yield environment


@contextlib.contextmanager
def process(words: list[str], environment: dict[str, str], home: Path) -> Iterator[None]:
    """Run one of Prefect's commands for as long as the block lasts."""
    with (home / f"{words[0]}.log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "prefect", *words], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            running.terminate()
            try:
                running.wait(timeout=30)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def command(words: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def quicker(folder: Path, workspace: Workspace) -> Path:
    """Write prefect.yaml for this workspace with the two deployments, the drift check soon and then every minute."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    soon = datetime.now(UTC) + timedelta(seconds=25)  # by then they are deployed, else it is a minute later
    content["deployments"] = [one for one in content["deployments"] if one["name"] in DEPLOYED]
    for one in content["deployments"]:
        one["parameters"] = {"workspace": str(workspace.path)}
        if "schedules" in one:
            one["schedules"] = [{"interval": 60, "anchor_date": soon.isoformat()}]
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_scheduled_run_finds_drift_and_its_event_triggers_retraining(server, workspace, tmp_path):
    home = Path(server["PREFECT_HOME"])
    command(["work-pool", "create", "diptych", "--type", "process"], server)
    command(["deploy", "--all", "--prefect-file", str(quicker(tmp_path, workspace))], server)
    with process(["worker", "start", "--pool", "diptych"], server, home):
        seen = subprocess.run(
            [sys.executable, "-c", WATCH, str(PATIENCE_S), *DEPLOYED],
            env=server,
            capture_output=True,
            text=True,
            check=False,
        )
    log = (home / "worker.log").read_text(encoding="utf-8")
    assert seen.returncode == 0, seen.stderr
    ended = json.loads(seen.stdout)
    assert {name: run["state"] for name, run in ended.items()} == dict.fromkeys(DEPLOYED, "Completed"), log
    assert ended["drift"]["scheduled"]
    assert (ended["on-drift"]["scheduled"], ended["on-drift"]["by"]) == (False, "AUTOMATION")
    assert len(cycles(workspace)) >= 2
    assert (cycles(workspace)[1] / OUTCOME).is_file()
