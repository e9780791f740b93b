"""Settings of a stage from TOML: unknown keys are errors, old names are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from prep.errors import ConfigError
from training.prep_model.contrastive_config import ContrastiveConfig
from training.rl.reinforce_config import ReinforceConfig
from training.runs.config_file import RENAMED_SETTINGS, read_config


def test_an_old_name_of_a_setting_is_read_as_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("questions = 8\nsheet_questions = 4\n", encoding="utf-8")
    assert read_config(ReinforceConfig, path) == ReinforceConfig(questions=8, questions_per_context=4)
    path.write_text("questions_per_context = 2\nsheet_questions = 4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="questions_per_context twice"):
        read_config(ReinforceConfig, path)


def test_an_old_name_of_another_stages_setting_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("sheet_questions = 4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"unknown settings in .*sheet_questions"):
        read_config(ContrastiveConfig, path)


def test_no_new_name_is_an_old_one() -> None:
    assert not set(RENAMED_SETTINGS) & set(RENAMED_SETTINGS.values())


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        read_config(ReinforceConfig, tmp_path / "missing.toml")
