"""The run folder of a reinforcement run, kept by a callback of trl's trainer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from training.evaluation.environment import Environment
from training.evaluation.gains import figures_of
from training.rl.policy import Policy
from training.rl.reinforce_config import ReinforceConfig
from training.runs.run_folder import RunFolder

__all__ = ["RunCallback"]

# What trl logs of a step → what our log calls it.
_LOGGED = {
    "mean_reward": "reward",
    "spread": "reward_std",
    "without_spread": "skipped",
    **{name: name for name in ("loss", "entropy", "kl")},
    **{name: name for name in ("f1", "citation_precision", "citation_recall", "abstention_right")},
    **{name: name for name in ("searches", "tokens")},
    "grad_norm": "norm",
    "sampling/sampling_logp_difference/mean": "engine_difference",  # vLLM's log-probabilities to the policy's
}


class RunCallback(TrainerCallback):
    """Writes the run's log and checkpoints, measures held-out questions, and stops in time.

    trl's own checkpoint of a step comes first; ours counts once it is whole.
    """

    def __init__(
        self,
        policy: Policy,
        held_out: Environment,
        folder: RunFolder,
        config: ReinforceConfig,
        started: float,
        stop_after_s: float | None,
        on_progress: Callable[[dict[str, float]], None] | None,
    ) -> None:
        self.policy, self.held_out, self.folder, self.config = policy, held_out, folder, config
        self.started, self.stop_after_s, self.on_progress = started, stop_after_s, on_progress
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show progress."""
        self.bar = tqdm(
            total=self.config.steps, initial=state.global_step, desc="reinforce", unit="step", disable=None
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the end."""
        self.bar.close()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the figures of a step."""
        logs = kwargs["logs"]
        if "mean_reward" in logs:
            row = {ours: float(logs[theirs]) for theirs, ours in _LOGGED.items() if theirs in logs}
            row = {"step": state.global_step, **row, "seconds": time.monotonic() - self.started}
            self.folder.log(row)
            if self.on_progress is not None:
                self.on_progress(row)
            self.bar.set_postfix(reward=f"{row['reward']:.3f}", skipped=f"{row['skipped']:.2f}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure, and stop where the time is over."""
        self.bar.update()
        if state.global_step % self.config.evaluate_steps == 0 and state.global_step < self.config.steps:
            with self.policy.generating():
                result = self.held_out.measure(max_searches=self.config.searches)
            held = {f"held_{name}": value for name, value in figures_of(result, self.config.prices).items()}
            self.folder.log({"step": state.global_step, **held})
        if self.stop_after_s is not None and time.monotonic() - self.started > self.stop_after_s:
            control.should_training_stop = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write our checkpoint once the trainer's is whole: a run goes on from there."""
        self.folder.checkpoint(state.global_step, self.policy.pairs)
