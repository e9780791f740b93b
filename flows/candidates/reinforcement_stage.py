"""The reinforcement stage of a retrieve candidate: its reports on the passages that are served, paid by their worth.

What people said of answers is what a report is judged by here (`training.rewards`): the corpus in use is where the
model practises. It goes on from the own pairs of the version it begins with, so the version grows no larger.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import fresh_folder
from flows.candidates.supervised_stage import few_gaps
from flows.candidates.training_sets import Dataset, PassSettings
from prep.errors import DataError
from prep.manifest import read_json, write_json
from training.data.dataset import LabelledSet, load_set

if TYPE_CHECKING:
    from pathlib import Path

    from flows.candidates.retrieve_candidates import Begun, Trained
    from retrieve.model import ServingConfig
    from training.evaluation.packed_environment import PackedEnvironment
    from training.rl.policy import Policy
    from training.rl.reinforce_config import ReinforceConfig
    from training.traces.packed_example_set import PackedExampleSet

__all__ = ["configure", "train"]

# Questions of a step, and how many steps a minute the rate falls over: about as many as a CPU core makes.
_PRACTISED, _STEPS_A_MINUTE = 16, 2
_ON_A_SHEET = (4, 2, 1)  # as many as there are enough sheets with
_MEASURED = 32  # questions, before and after
_SAMPLED = 2  # reports on each question, to find out whether it is settled


def configure(start: Path, serving: ServingConfig, settings: PassSettings, dataset: Dataset) -> Any:
    """Return the stage's settings, of any data set the same. Raises WeightsError."""
    del dataset
    from retrieve.lm.adapter import read_adapter
    from retrieve.model import ADAPTER
    from training.rl.reinforce_config import ReinforceConfig

    adapter = read_adapter(start / ADAPTER)
    n_layers = len(
        {name.split(".layers.")[1].split(".")[0] for name in adapter.updates if ".layers." in name}
    )
    rank = next(iter(adapter.updates.values()))[0].shape[0]
    return ReinforceConfig(
        steps=max(1, round(_STEPS_A_MINUTE * settings.minutes)),
        questions=_PRACTISED,
        temperature=0.7,
        learning_rate=1e-4,
        warmup_steps=2,
        schedule="linear",
        kl_weight=0.0,
        frozen_layers=n_layers // 3,
        rank=rank,
        alpha=2 * rank,
        checkpoint_steps=4,
        evaluate_steps=10**9,
        seed=settings.seed,
    )


def train(begun: Begun, config: Any) -> Trained:
    """Practise, and write the version. Raises DataError where there are too few questions."""
    import torch

    from flows.candidates.retrieve_candidates import Trained
    from training.evaluation.gains import figures_of
    from training.evaluation.packed_environment import PackedEnvironment
    from training.rl.policy import Policy
    from training.rl.reinforce import reinforce

    practised = replace(begun.training, questions=few_gaps(begun.training.questions))
    drawn = _practice(practised, begun)
    config = replace(config, questions_per_context=drawn.n_questions)
    held_out = load_set(begun.dataset.held_out)
    where, measured = "held out", _measured(held_out, begun) if held_out.questions else None
    if measured is None:
        where, measured = "practised", _measured(practised, begun)
    if measured is None:
        raise DataError("no question can be measured on the passages that are served")
    policy = Policy(
        begun.start,
        rank=config.rank,
        alpha=config.alpha,
        frozen_layers=config.frozen_layers,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    started = time.monotonic()
    practice = _unsettled(PackedEnvironment(drawn, policy.model), policy, config, begun)
    looked_s = time.monotonic() - started
    result = reinforce(
        policy,
        practice,
        PackedEnvironment(measured, policy.model),
        begun.run,
        config,
        start=begun.start,
        stop_after_s=max(begun.allowed_s - looked_s, 1.0),
        on_progress=lambda row: begun.tell(looked_s + row["seconds"]),
    )
    fresh_folder(begun.draft)
    version = begun.save(result.adapter, begun.serving, result.n_steps)
    figures = {f"start, {where}": result.before, f"reinforced, {where}": result.after}
    metrics: dict[str, dict[str, float | None]] = {
        name: dict(figures_of(rows, config.prices)) for name, rows in figures.items()
    }
    return Trained(version, result.seconds, metrics, ("reward", "entropy"))


def _unsettled(
    practice: PackedEnvironment, policy: Policy, config: ReinforceConfig, begun: Begun
) -> PackedEnvironment:
    """Return the sheets that are not answered rightly each time; all of them where these are too few for a step.

    Most of what is made of documents is too easy: it would be practised in vain (LOG.md, 2026-11-29). Which sheets
    these are is kept in the run's folder, so that a run that was cut short goes on with the same.
    """
    kept = begun.run / "unsettled.json"
    wanted = practice.digest
    found = read_json(kept) if kept.exists() else {}
    if found.get("of") != wanted:
        with policy.generating():
            numbers = practice.unsolved(
                _SAMPLED, temperature=config.temperature, seed=config.seed, progress=True
            )
        found = {"of": wanted, "sheets": numbers}
        begun.run.mkdir(parents=True, exist_ok=True)
        os.replace(write_json(kept, found), kept)
    enough = len(found["sheets"]) * config.questions_per_context >= _PRACTISED
    return practice.select(found["sheets"]) if enough else practice


def _practice(questions: LabelledSet, begun: Begun) -> PackedExampleSet:
    """Return sheets with as many questions each as there are enough sheets for a step with. Raises DataError."""
    from training.traces.packed_example_set import PackedExampleSet

    for n in _ON_A_SHEET:
        try:
            drawn = PackedExampleSet.draw(
                questions, begun.pool, n, n_passages=_shown(begun), seed=begun.settings.seed
            )
        except DataError:
            continue
        if len(drawn.examples) * n >= _PRACTISED:
            return drawn
    raise DataError(f"fewer than {_PRACTISED} questions can be practised on: ask or synthesise more")


def _measured(questions: LabelledSet, begun: Begun) -> PackedExampleSet | None:
    """Return sheets of one question, which is asked once, to measure on; None where none of them is answered."""
    from training.traces.packed_example_set import PackedExampleSet

    try:
        drawn = PackedExampleSet.draw(
            questions, begun.pool, 1, n_passages=_shown(begun), often=1, seed=begun.settings.seed
        )
    except DataError:
        return None
    measured = drawn.examples[:_MEASURED]
    answered = any(not question.withheld for sheet in measured for question in sheet.questions)
    return replace(drawn, examples=measured) if answered else None


def _shown(begun: Begun) -> int:
    return begun.serving.episode.passages_per_search
