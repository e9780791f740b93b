"""The loop of every stage that trains with AdamW: schedule, clipping, log, evaluations, checkpoints, progress bar.

A stage gives the function of one step; the loop takes care of the rest. A run that was stopped goes on from its newest
complete checkpoint (`training.runs.run_folder`) with the same steps in the same order.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from prep.checks import check_counts
from training.runs.run_folder import RunFolder

__all__ = [
    "Schedule",
    "StepFunction",
    "TrainingLoop",
    "learning_rate",
    "restore_training",
    "training_tensors",
]

#: Called with the number of a step, from 0: leaves gradients on the trained parameters, returns figures for the log.
StepFunction: TypeAlias = Callable[[int], Mapping[str, float]]

_MOMENTS = {"step": "step", "mean": "exp_avg", "square": "exp_avg_sq"}  # our names → those of AdamW


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The course of a run. learning_rate: the peak; final_fraction: of it, at the end of the cosine.

    log_steps: a row of the log is the mean of so many steps. stop_after_s: the run ends by then, the rate lowered in
    time; None for no limit.
    """

    n_steps: int
    learning_rate: float
    warmup_steps: int
    final_fraction: float = 0.0
    clip_norm: float = 1.0
    log_steps: int = 1
    evaluate_steps: int = 100
    checkpoint_steps: int = 50
    stop_after_s: float | None = None

    def __post_init__(self) -> None:
        check_counts(self, "log_steps", "evaluate_steps", "checkpoint_steps")


class TrainingLoop:
    """A run of a stage, resumed where its folder holds a checkpoint. step: how many steps were taken."""

    def __init__(
        self,
        run: RunFolder,
        trained: Mapping[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        *,
        started: float | None = None,
        on_update: Callable[[], None] = lambda: None,
    ) -> None:
        """trained: what is checkpointed and clipped, by name; the optimiser is AdamW over the same parameters.

        started: `time.monotonic()` at the start of the run, where work came before the loop. on_update: called after
        the parameters changed, by a step or by a checkpoint.
        """
        self.run_folder, self.trained, self.optimiser, self.schedule = run, trained, optimiser, schedule
        self.started = time.monotonic() if started is None else started
        self.on_update = on_update
        self.step = 0
        self._unlogged: list[dict[str, float]] = []  # figures of the steps since the last row of the log
        if (checkpoint := run.resume()) is not None:
            restore_training(checkpoint.tensors, trained, optimiser)
            on_update()
            self.step, self._unlogged = checkpoint.step, checkpoint.notes["unlogged"]

    def run(
        self,
        take_step: StepFunction,
        *,
        description: str,
        evaluate: Callable[[int], Iterable[Mapping[str, Any]]] | None = None,
        on_log: Callable[[dict[str, float]], None] | None = None,
        beside: Callable[[Path], object] | None = None,
        progress: bool | None = None,
    ) -> int:
        """Take the steps that are left, or as many as the time allows; returns how many steps the run has.

        evaluate: called with the step every `evaluate_steps` and at the last step; its rows go to the log. on_log:
        called with each row of the steps' figures. beside: called with the folder of each checkpoint, to write more
        files there. progress: whether to show a bar; None shows it on a terminal.
        """
        from tqdm.auto import tqdm

        schedule, n_steps = self.schedule, self.schedule.n_steps
        disable = None if progress is None else not progress
        bar = tqdm(total=n_steps, initial=self.step, desc=description, unit="step", disable=disable)
        while self.step < n_steps and not self._out_of_time():
            rate = self._set_rate()
            self.optimiser.zero_grad()
            figures = dict(take_step(self.step))
            norm = nn.utils.clip_grad_norm_(self.trained.values(), schedule.clip_norm)
            self.optimiser.step()
            self.on_update()
            self.step += 1
            self._unlogged.append(figures | {"norm": float(norm)})
            bar.update()
            at_end = self.step == n_steps
            if self.step % schedule.log_steps == 0 or at_end:
                row = self._log(rate)
                bar.set_postfix({name: f"{row[name]:.3f}" for name in list(figures)[:2]})
                if on_log is not None:
                    on_log(row)
            if evaluate is not None and (self.step % schedule.evaluate_steps == 0 or at_end):
                for measures in evaluate(self.step):
                    self.run_folder.log({"step": self.step, **measures})
                    tqdm.write(json.dumps({"step": self.step, **measures}))
            if self.step % schedule.checkpoint_steps == 0:
                self._checkpoint(beside)
        bar.close()
        self._checkpoint(beside)
        return self.step

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def _out_of_time(self) -> bool:
        allowed = self.schedule.stop_after_s
        return allowed is not None and self._elapsed_s > allowed

    def _set_rate(self) -> float:
        schedule = self.schedule
        rate = learning_rate(
            self.step,
            schedule.n_steps,
            schedule.learning_rate,
            warmup_steps=schedule.warmup_steps,
            final_fraction=schedule.final_fraction,
            spent=self._elapsed_s / schedule.stop_after_s if schedule.stop_after_s else 0.0,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _log(self, rate: float) -> dict[str, float]:
        n = len(self._unlogged)
        means = {name: sum(row[name] for row in self._unlogged) / n for name in self._unlogged[-1]}
        row = {"step": self.step, **means, "rate": rate, "seconds": self._elapsed_s}
        self._unlogged.clear()
        self.run_folder.log(row)
        return row

    def _checkpoint(self, beside: Callable[[Path], object] | None) -> None:
        tensors = training_tensors(self.trained, self.optimiser)
        self.run_folder.checkpoint(self.step, tensors, beside=beside, unlogged=self._unlogged)


def learning_rate(
    step: int,
    n_steps: int,
    peak: float,
    *,
    warmup_steps: int,
    final_fraction: float = 0.0,
    spent: float = 0.0,
) -> float:
    """Return the rate of a step: a linear warm-up, then a cosine to `final_fraction` of the peak.

    spent: the part of the allowed time that is gone, 0 to 1; the cosine runs over the steps or the time, whichever
    ends first.

    >>> [learning_rate(step, 4, 1.0, warmup_steps=2) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(done, spent))))
    return peak * (final_fraction + (1 - final_fraction) * cosine)


def training_tensors(
    trained: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Return values and AdamW moments by name, for a checkpoint; moments only of what has been moved."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in trained.items():
        tensors[f"{name}.value"] = parameter.detach()
        state = optimiser.state.get(parameter) or {}
        tensors |= {
            f"{name}.{ours}": torch.as_tensor(state[theirs])
            for ours, theirs in _MOMENTS.items()
            if theirs in state
        }
    return tensors


@torch.no_grad()
def restore_training(
    tensors: Mapping[str, torch.Tensor],
    trained: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Put back what `training_tensors` returned."""
    for name, parameter in trained.items():
        parameter.copy_(tensors[f"{name}.value"])
        if f"{name}.step" not in tensors:
            continue
        moments = {theirs: tensors[f"{name}.{ours}"] for ours, theirs in _MOMENTS.items()}
        optimiser.state[parameter] = {
            key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
        }
