"""The reinforcement stage of a retrieve candidate: GRPO on its own reports about the workspace's passages.

Reports are rewarded by the data set's answers, feedback examples among them (`training.rewards`). Training starts from
the update of the version before, so the new version grows no larger.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import fresh_folder
from flows.candidates.dataset_folder import Dataset
from flows.candidates.question_sets import limit_cloze
from flows.candidates.stage import RetrieveRun, StageResult
from flows.candidates.training_settings import TrainingSettings
from prep.errors import DataError
from prep.manifest import read_json, write_json
from training.data.dataset import LabelledSet, load_set

if TYPE_CHECKING:
    from pathlib import Path

    from retrieve.model import ServingConfig
    from training.evaluation.packed_environment import PackedEnvironment
    from training.rl.policy import Policy
    from training.rl.reinforce_config import ReinforceConfig
    from training.traces.packed_example_set import PackedExampleSet

__all__ = ["configure", "train"]

# Questions of a step; steps a minute, over which the rate falls: about as many as a CPU core makes.
_QUESTIONS_A_STEP, _STEPS_A_MINUTE = 16, 2
_PACK_SIZES = (4, 2, 1)  # questions in a pack: the most for which there are packs enough
_MEASURED = 32  # questions, before and after
_SAMPLED = 2  # reports on each question, to find out whether all are right


def configure(start: Path, serving: ServingConfig, settings: TrainingSettings, dataset: Dataset) -> Any:
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
        questions=_QUESTIONS_A_STEP,
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


def train(run: RetrieveRun, config: Any) -> StageResult:
    """Reinforce, and write the version. Raises DataError where there are too few questions."""
    import torch

    from training.evaluation.gains import figures_of
    from training.evaluation.packed_environment import PackedEnvironment
    from training.rl.policy import Policy
    from training.rl.reinforce import reinforce

    training = replace(run.training, questions=limit_cloze(run.training.questions))
    packs = _training_packs(training, run)
    config = replace(config, questions_per_context=packs.n_questions)
    measured_on, measured = _measured_packs(training, run)
    policy = Policy(
        run.start,
        rank=config.rank,
        alpha=config.alpha,
        frozen_layers=config.frozen_layers,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    started = time.monotonic()
    environment = _without_settled(PackedEnvironment(packs, policy.model), policy, config, run)
    sampling_s = time.monotonic() - started
    result = reinforce(
        policy,
        environment,
        PackedEnvironment(measured, policy.model),
        run.folder,
        config,
        start=run.start,
        stop_after_s=max(run.allowed_s - sampling_s, 1.0),
        on_progress=lambda row: run.report_progress(sampling_s + row["seconds"]),
    )
    fresh_folder(run.draft)
    version = run.save(result.adapter, run.serving, result.n_steps)
    figures = {f"start, {measured_on}": result.before, f"reinforced, {measured_on}": result.after}
    metrics: dict[str, dict[str, float | None]] = {
        name: dict(figures_of(rows, config.prices)) for name, rows in figures.items()
    }
    return StageResult(version=version, seconds=result.seconds, metrics=metrics, curves=("reward", "entropy"))


def _without_settled(
    environment: PackedEnvironment, policy: Policy, config: ReinforceConfig, run: RetrieveRun
) -> PackedEnvironment:
    """Return the packs that are not answered rightly each time; all of them where these are too few for a step.

    Most synthetic questions are too easy to learn from (LOG.md, 2026-11-29). The packs' numbers are kept in the run's
    folder, so that an interrupted run goes on with the same.
    """
    kept = run.folder / "unsettled.json"
    digest = environment.digest
    found = read_json(kept) if kept.exists() else {}
    if found.get("of") != digest:
        with policy.generating():
            numbers = environment.unsolved(
                _SAMPLED, temperature=config.temperature, seed=config.seed, progress=True
            )
        found = {"of": digest, "packs": numbers}
        run.folder.mkdir(parents=True, exist_ok=True)
        os.replace(write_json(kept, found), kept)
    enough = len(found["packs"]) * config.questions_per_context >= _QUESTIONS_A_STEP
    return environment.select(found["packs"]) if enough else environment


def _training_packs(questions: LabelledSet, run: RetrieveRun) -> PackedExampleSet:
    """Return packs with as many questions each as there are packs enough for a step. Raises DataError."""
    from training.traces.packed_example_set import PackedExampleSet

    for n in _PACK_SIZES:
        try:
            packs = PackedExampleSet.draw(
                questions, run.pool, n, n_passages=_n_passages(run), seed=run.settings.seed
            )
        except DataError:
            continue
        if len(packs.examples) * n >= _QUESTIONS_A_STEP:
            return packs
    raise DataError(f"fewer than {_QUESTIONS_A_STEP} questions can be trained on: ask or synthesise more")


def _measured_packs(training: LabelledSet, run: RetrieveRun) -> tuple[str, PackedExampleSet]:
    """Return packs of one question each to measure on, held out where possible, and what these are called.

    Raises DataError where no question can be measured.
    """
    held_out = load_set(run.dataset.held_out)
    if held_out.questions and (packs := _single_packs(held_out, run)) is not None:
        return "held out", packs
    if (packs := _single_packs(training, run)) is not None:
        return "trained on", packs
    raise DataError("no question can be measured on the passages that are served")


def _single_packs(questions: LabelledSet, run: RetrieveRun) -> PackedExampleSet | None:
    """Return packs of one question, each used once; None where none of them is answered."""
    from training.traces.packed_example_set import PackedExampleSet

    try:
        packs = PackedExampleSet.draw(
            questions, run.pool, 1, n_passages=_n_passages(run), often=1, seed=run.settings.seed
        )
    except DataError:
        return None
    measured = packs.examples[:_MEASURED]
    answered = any(not question.withheld for pack in measured for question in pack.questions)
    return replace(packs, examples=measured) if answered else None


def _n_passages(run: RetrieveRun) -> int:
    return run.serving.episode.passages_per_search
