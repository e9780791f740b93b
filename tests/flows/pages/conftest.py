"""A workspace without content, and its experience log."""

from __future__ import annotations

from pathlib import Path

import pytest

from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "handbook")


@pytest.fixture
def log(place: Workspace) -> ExperienceLog:
    return ExperienceLog(place.path / "experience.sqlite")
