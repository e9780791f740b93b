"""The loop that the stages share: what it logs, where it stops, and that a resumed run is the same run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prep.errors import ConfigError
from training.runs.run_folder import RunFolder
from training.runs.training_loop import Schedule, TrainingLoop, learning_rate

SCHEDULE = Schedule(
    n_steps=10, learning_rate=0.1, warmup_steps=2, log_steps=4, evaluate_steps=5, checkpoint_steps=3
)


class Killed(Exception):
    pass


class Regression:
    """One weight that is to become 3."""

    def __init__(self, folder: Path, schedule: Schedule = SCHEDULE, **options: Any) -> None:
        self.weight = nn.Parameter(torch.zeros(1))
        self.folder = RunFolder(folder, {"stage": "test"})
        optimiser = torch.optim.AdamW([self.weight], lr=1.0, weight_decay=0.0)
        self.loop = TrainingLoop(self.folder, {"weight": self.weight}, optimiser, schedule, **options)
        self.taken: list[int] = []

    def train(self, *, killed_at: int = -1, **options: Any) -> int:
        def take_step(step: int) -> dict[str, float]:
            if step == killed_at:
                raise Killed
            self.taken.append(step)
            loss = ((self.weight - 3) ** 2).sum() * (1 + step % 3)
            loss.backward()  # type: ignore[no-untyped-call]
            return {"loss": float(loss.detach())}

        return self.loop.run(take_step, description="test", progress=False, **options)

    def log(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in self.folder.rows()]


def test_a_row_of_the_log_is_the_mean_of_the_steps_since_the_last(tmp_path: Path) -> None:
    every = Regression(tmp_path / "every", replace(SCHEDULE, log_steps=1))
    assert every.train() == 10
    losses = [row["loss"] for row in every.log()]
    fourth = Regression(tmp_path / "fourth")
    fourth.train()
    rows = fourth.log()
    assert [row["step"] for row in rows] == [4, 8, 10]
    assert rows[0]["loss"] == pytest.approx(sum(losses[:4]) / 4)
    assert rows[2]["loss"] == pytest.approx(sum(losses[8:]) / 2)
    assert rows[1]["rate"] == learning_rate(7, 10, 0.1, warmup_steps=2)
    assert abs(float(fourth.weight.detach()) - 3) < 3


@pytest.mark.parametrize("killed_at", [2, 4, 7, 9])
def test_a_killed_run_goes_on_to_the_same_log_and_weights(tmp_path: Path, killed_at: int) -> None:
    whole = Regression(tmp_path / "whole")
    whole.train()
    killed = Regression(tmp_path / "killed")
    with pytest.raises(Killed):
        killed.train(killed_at=killed_at)
    resumed = Regression(tmp_path / "killed")
    assert resumed.loop.step == killed_at // 3 * 3
    resumed.train()
    assert resumed.taken == list(range(killed_at // 3 * 3, 10))
    assert resumed.log() == whole.log()
    assert torch.equal(resumed.weight, whole.weight)


def test_a_finished_run_takes_no_step_and_its_weights_are_there(tmp_path: Path) -> None:
    first = Regression(tmp_path)
    first.train()
    updates: list[float] = []
    again = Regression(tmp_path, on_update=lambda: updates.append(1.0))
    assert len(updates) == 1  # what was restored
    assert again.train() == 10
    assert again.taken == []
    assert torch.equal(again.weight, first.weight)


def test_a_run_without_time_stops_at_once_and_one_with_little_lowers_the_rate(tmp_path: Path) -> None:
    stopped = Regression(tmp_path / "stopped", replace(SCHEDULE, stop_after_s=0.0))
    assert stopped.train() == 0
    assert not stopped.folder.checkpoints()
    begun = Regression(tmp_path / "begun", replace(SCHEDULE, stop_after_s=1000.0), started=-1e9)
    assert begun.train() == 0  # the time before the loop counts
    assert learning_rate(5, 10, 1.0, warmup_steps=0, spent=0.9) < learning_rate(5, 10, 1.0, warmup_steps=0)


def test_evaluations_come_at_their_steps_and_at_the_end(tmp_path: Path) -> None:
    def evaluate(step: int) -> Iterator[dict[str, Any]]:
        yield {"held_loss": float(step)}

    loop = Regression(tmp_path, replace(SCHEDULE, evaluate_steps=4))
    loop.train(evaluate=evaluate)
    assert [row["step"] for row in loop.log() if "held_loss" in row] == [4, 8, 10]


def test_gradients_are_clipped_and_the_norm_before_is_logged(tmp_path: Path) -> None:
    loop = Regression(tmp_path, replace(SCHEDULE, n_steps=1, clip_norm=0.5))
    loop.train()
    assert loop.log()[0]["norm"] == pytest.approx(6.0)
    assert loop.weight.grad is not None
    assert float(loop.weight.grad.abs()) == pytest.approx(0.5)


def test_a_checkpoint_holds_what_is_written_beside_it(tmp_path: Path) -> None:
    loop = Regression(tmp_path)
    rows: list[dict[str, float]] = []
    loop.train(beside=lambda folder: (folder / "more.json").write_text("{}"), on_log=rows.append)
    assert [row["step"] for row in rows] == [4, 8, 10]
    kept = loop.folder.checkpoints()
    assert [folder.name for folder in kept] == ["step-0000009", "step-0000010"]
    assert all((folder / "more.json").exists() for folder in kept)
    assert json.loads((kept[0] / "notes.json").read_text())["unlogged"][0]["loss"] > 0


def test_a_schedule_without_steps_between_logs_is_refused() -> None:
    with pytest.raises(ConfigError, match="log_steps=0"):
        replace(SCHEDULE, log_steps=0)
