"""Settings of a cycle are read from TOML, older names of them too, and a mistake is named."""

from __future__ import annotations

import json

import pytest

from flows.retraining.cycle_config import CycleSettings, cycle_settings
from prep.errors import ConfigError
from prep.store.workspace import Workspace

OLDER = """
lessons = false
[lesson_weights]
helpful = 0.5
[frozen]
n_questions = 7
[training]
share = 0.25
n_asked = 3
"""
TODAY = """
feedback_examples = false
[feedback_weights]
helpful = 0.5
[gate_set]
n_questions = 7
[training]
interpolation = 0.25
n_generated = 3
"""


def test_settings_are_read_from_the_workspace_and_a_mistake_is_named(tmp_path):
    place = Workspace(tmp_path)
    assert cycle_settings(place) == CycleSettings()
    text = 'kinds = ["retrieve"]\n[training]\nminutes = 3.0\n[gate]\nmin_questions = 7\n[gate_set]\nlabelled = ["a"]\n'
    (tmp_path / "retrain.toml").write_text(text, encoding="utf-8")
    settings = cycle_settings(place)
    assert (settings.kinds, settings.training.minutes) == (("retrieve",), 3.0)
    assert (settings.gate.min_questions, settings.gate_set.labelled) == (7, ("a",))
    for wrong, named in (
        ("[gate]\nspeed = 1\n", "speed"),
        ("gate = 1\n", "gate"),
        ('kinds = ["ask"]\n', "kinds"),
    ):
        (tmp_path / "wrong.toml").write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match=named):
            cycle_settings(place, tmp_path / "wrong.toml")


def test_older_names_of_settings_are_read(tmp_path):
    for name, text in (("older.toml", OLDER), ("today.toml", TODAY)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    older, today = (CycleSettings.from_toml(tmp_path / name) for name in ("older.toml", "today.toml"))
    assert older == today != CycleSettings()
    assert (today.feedback_examples, today.gate_set.n_questions) == (False, 7)
    assert (today.training.interpolation, today.training.n_generated) == (0.25, 3)
    assert "share" not in json.dumps(older.to_json()["training"])


@pytest.mark.parametrize(
    "text", ["lessons = true\nfeedback_examples = true\n", "[training]\nshare = 1.0\ninterpolation = 1.0\n"]
)
def test_a_setting_under_both_names_is_refused(text, tmp_path):
    (tmp_path / "both.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="old name"):
        CycleSettings.from_toml(tmp_path / "both.toml")
