"""The promise: a wheel holds every file of the packages, templates and style sheets included."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("prep", "retrieve", "training", "flows")


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    # Without the weights, which take long to compress. Building in a copy leaves the checkout as it is.
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("weights", "__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tmp_path / name)
    files = {
        path.relative_to(tmp_path).as_posix()
        for package in PACKAGES
        for path in (tmp_path / package).rglob("*")
        if path.is_file()
    }
    assert sum("/templates/" in name for name in files) > 10
    wheels = tmp_path / "wheels"
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(wheels), str(tmp_path)],
        capture_output=True,
        timeout=120,
        check=True,
    )
    (wheel,) = wheels.glob("*.whl")
    with ZipFile(wheel) as archive:
        assert files <= set(archive.namelist())
