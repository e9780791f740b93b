from __future__ import annotations

import json
from pathlib import Path

import pytest

from prep.errors import DataError
from training.runs.loss_curves import _series, draw_run, smooth

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_every_figure_of_the_log_is_drawn(tmp_path: Path) -> None:
    rows = [{"step": i + 1, "loss": 1 / (i + 1), "seconds": i} for i in range(80)]
    rows += [
        {"step": 40, "set": "wiki", "at_1": 0.5, "n_questions": 7},
        {"step": 40, "set": "med", "at_1": 0.6},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 81, "lo')
    series = _series(rows)
    assert series.keys() == {"loss", "wiki, at_1", "med, at_1"}
    assert series["wiki, at_1"] == [(40, 0.5)]
    picture = draw_run(tmp_path).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000


def test_a_run_without_a_log_has_no_curves(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no curve"):
        draw_run(tmp_path)


def test_smoothing_keeps_length_and_mean_of_a_straight_line() -> None:
    line = [float(step) for step in range(100)]
    assert len(smooth(line)) == 100
    assert smooth(line)[20:80] == pytest.approx(line[20:80])
