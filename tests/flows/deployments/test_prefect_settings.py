"""Prefect is set up before it is imported, quietly, and a flow runs through its harness."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flows.deployments import prefect_settings


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=env | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_configure_keeps_prefect_inside_the_given_home_and_does_not_import_it(tmp_path):
    code = (
        "import os, sys; from flows.deployments.prefect_settings import configure\n"
        f"print(configure({str(tmp_path / 'home')!r}), os.environ['PREFECT_HOME'], 'prefect' in sys.modules)"
    )
    done = run_python(code)
    assert done.stdout.split() == [str(tmp_path / "home"), str(tmp_path / "home"), "False"], done.stderr
    assert (tmp_path / "home").is_dir()


def test_what_the_user_set_wins(tmp_path):
    code = (
        "import os; from flows.deployments.prefect_settings import configure\n"
        f"print(configure({str(tmp_path / 'home')!r}), os.environ['DO_NOT_TRACK'])"
    )
    done = run_python(code, PREFECT_HOME=str(tmp_path / "mine"), DO_NOT_TRACK="0")
    assert done.stdout.split() == [str(tmp_path / "mine"), "0"], done.stderr


def test_importing_the_settings_leaves_the_environment_alone():
    code = (
        "import os; before = dict(os.environ); import flows.deployments.prefect_settings\n"
        "print(before == dict(os.environ))"
    )
    assert run_python(code).stdout.strip() == "True"


@pytest.mark.loopback
def test_a_flow_runs_on_the_harness_with_our_settings(prefect_server):
    from prefect import flow
    from prefect.settings import get_current_settings

    @flow
    def double(number: int) -> int:
        return 2 * number

    assert double(21) == 42
    settings = get_current_settings()
    assert settings.results.default_serializer == "json"
    assert settings.server.analytics_enabled is False
    assert settings.server.ephemeral.startup_timeout_seconds == int(
        prefect_settings.SETTINGS["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"]
    )
