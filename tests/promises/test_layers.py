"""The packages stand in one order, the heavy imports stay where they belong, and importing does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("prep", "retrieve", "training", "flows")


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that are imported after `code` ran in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(done.stdout.split())


def test_the_import_contracts_of_pyproject_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_contracts_name_every_package():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(contracts["root_packages"]) == set(PACKAGES)
    (layers,) = [one for one in contracts["contracts"] if one["name"].startswith("each package")]
    assert layers["layers"] == ["flows", "training", "retrieve", "prep"]


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_stays_light(package):
    heavy = {"torch", "transformers", "faiss", "prefect", "trl", "peft", "datasets", "matplotlib", "jinja2"}
    assert not modules_after(f"import {package}") & heavy


def test_the_command_line_is_parsed_without_a_heavy_import():
    heavy = {"torch", "transformers", "faiss", "prefect", "trl", "numpy", "pydantic", "jinja2"}
    code = "from flows.cli.app import parse; parse(['ask', 'why?'])"
    assert not modules_after(code) & heavy


@pytest.mark.parametrize("module", ["prep.ingest", "retrieve.researcher", "flows.cli.app"])
def test_ingest_and_ask_need_no_prefect_and_no_training_library(module):
    assert not modules_after(f"import {module}") & {"prefect", "trl", "fastapi"}
