"""What every test shares: no model hub, loopback for those that need it, the folder of public sets."""

from __future__ import annotations

import os
from pathlib import Path

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
    """Open loopback for the tests that say so, and start the long files early where several processes run tests.

    A file's tests stay in one process (`-n 2 --dist loadfile --no-loadscope-reorder`), and share what it sets up.
    xdist's groups would keep all of Prefect's tests together, but xdist 3.8 cannot name them to pytest 9.2.
    """
    long_files = {item.path for item in items if item.get_closest_marker("slow")}
    for item in items:
        if item.get_closest_marker("loopback"):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: (not item.get_closest_marker("loopback"), item.path not in long_files))
    else:
        items.sort(key=lambda item: item.get_closest_marker("loopback") is not None)


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
