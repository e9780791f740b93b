"""Settings of a training pass are checked."""

from __future__ import annotations

import pytest

from flows.candidates.training_settings import TrainingSettings
from prep.errors import ConfigError


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_examples": 0},
        {"held_out_every": 1},
        {"minutes": 0},
        {"prep_epochs": 0},
        {"retrieve_start": "first"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingSettings(**wrong)
