"""What every test shares: no model hub, loopback for those that need it, the folder of public sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

# Set before transformers is imported anywhere: a test that asks a hub is wrong, and is told so at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each process; torch reads it when it is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = ["127.0.0.1", "::1"]
PREFECT_STARTED = pytest.StashKey[bool]()

# Its tests share a Prefect server, so one process runs them all.
PREFECT_ROOM = "tests/flows/deployments/"
# What takes longest comes first, so that the processes end together; the other slow files follow.
LONG_FILES = (
    "tests/promises/test_schedule.py",
    PREFECT_ROOM,
    "tests/flows/retraining/test_cycle.py",
    "tests/promises/test_stored_reports.py",
    "tests/training/rl/test_reinforce.py",
    "tests/flows/retraining/test_flywheel_cycles.py",
)

# Warnings are errors here. These are of libraries calling one another, and theirs to mend.
THEIR_WARNINGS = (
    # peft asks transformers' models by the name that was given up in transformers 5.
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "loopback: talks to a server of its own on this machine, nothing else")
    for warning in THEIR_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Open loopback for the tests that say so; long files first where several processes run tests, else Prefect last.

    A file's tests stay in one process (`-n 2 --dist loadfile --no-loadscope-reorder`), and share what it sets up.
    """
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        found = [n for n, beginning in enumerate(LONG_FILES) if item.nodeid.startswith(beginning)]
        return min(found, default=len(LONG_FILES)), item.path not in slow_files

    for item in items:
        if item.get_closest_marker("loopback"):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=place)
    else:
        items.sort(key=lambda item: item.get_closest_marker("loopback") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, hand a process a file at a time, and Prefect's room as if it were one file."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return PREFECT_ROOM if nodeid.startswith(PREFECT_ROOM) else super()._split_scope(nodeid)

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave loopback open once a Prefect server was started: its client's threads use it until the session ends."""
    if "prefect_server" in getattr(item, "fixturenames", ()):
        item.config.stash[PREFECT_STARTED] = True
    elif item.config.stash.get(PREFECT_STARTED, False):
        item.add_marker(pytest.mark.allow_hosts(LOOPBACK))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the public evaluation sets, named by DIPTYCH_DATA; the test is skipped without it."""
    named = os.environ.get("DIPTYCH_DATA", "")
    if not named or not Path(named).is_dir():
        pytest.skip("set DIPTYCH_DATA to the folder of public sets to run this test")
    return Path(named)
