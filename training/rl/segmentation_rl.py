"""Stage three of the prep model: cuts rewarded by what retrieval finds.

The cuts of a stretch of text are drawn from the distribution that the boundary scores define
(`training.rl.segmentation_policy`); every draw is indexed as it would be, by the vectors its chunks would have, and
searched with the questions on the stretch among all other chunks of the corpus. Reward is how much of the evidence
the best chunks hold and how little else. The advantage of a draw is its reward over that of the other draws of the
same stretch (leave-one-out, Ahmadian et al., https://arxiv.org/abs/2402.14740), question by question, and goes to the
breaks near the question's evidence, which decide it. Because the distribution is exact, the gradient by every break
score is the break's indicator less its marginal. No question is needed where the model serves.

    python -m training.rl.segmentation_rl --data DATA --run RUN --start VERSION [--config FILE.toml] [--ship FOLDER]
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from prep.errors import ConfigError
from prep.model.heads import StructureHeads
from prep.model.prep_model import PrepModel
from prep.model.segmentation import segment
from training.metrics.significance import Difference, paired_bootstrap
from training.prep_model.trained_version import TrainedVersion
from training.rl.segmentation_config import SegmentationConfig
from training.rl.segmentation_policy import SegmentationPolicy
from training.rl.segmentation_rewards import (
    Doubles,
    SegmentedDocument,
    Stretch,
    add_vectors,
    by_page,
    near_evidence,
    read_stretches,
    score_segmentation,
    worth_of_breaks,
)
from training.runs.loss_curves import draw_run
from training.runs.run_folder import RunFolder
from training.runs.training_loop import Schedule, TrainingLoop

__all__ = ["CutScores", "TrainedCuts", "train_segmentation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutScores:
    """Means over questions, of the cuts that serve (the likeliest ones)."""

    n_questions: int
    reward: float
    recall: float
    iou: float
    omega: float


@dataclass(frozen=True, slots=True)
class TrainedCuts:
    """The result of a run. before, after: on held-out documents; gain: of the reward, paired, resampled by document."""

    heads: StructureHeads
    before: CutScores
    after: CutScores
    gain: Difference
    steps: int
    seconds: float

    def version(self, config: SegmentationConfig, start: PrepModel) -> TrainedVersion:
        """Return the version with these heads and the start's vectors."""
        figures = {"before": asdict(self.before), "after": asdict(self.after), "gain": asdict(self.gain)}
        return TrainedVersion(
            heads=self.heads,
            config=start.config,
            updates=start.updates,
            metrics={"held_out_cuts": figures},
            training={
                "stage": "reinforcement",
                "start": start.version,
                "steps": self.steps,
                "config": asdict(config),
            },
        )


def train_segmentation(
    data: str | Path,
    run: str | Path,
    start: PrepModel,
    config: SegmentationConfig | None = None,
) -> TrainedCuts:
    """Train the boundary scores of `start`, or go on with a run.

    Deterministic by seed on one machine. Raises ConfigError, DataError where no question lies in a stretch.
    """
    config = config or SegmentationConfig()
    if start.heads is None:
        raise ConfigError(f"{start.version} has no trained heads: run the supervised stage before")
    worth = worth_of_breaks(start)
    training = read_stretches(data, start, config, worth, held_out=False)
    held = read_stretches(data, start, config, worth, held_out=True)
    heads = copy.deepcopy(start.heads).requires_grad_(False)
    folder = RunFolder(run, {**asdict(config), "start": start.version})
    started = time.monotonic()
    steps = _fit(heads, training, held, start, folder, config, worth)
    seconds = time.monotonic() - started
    heads.requires_grad_(False)
    before, after = (_rows(one, held, start, config, worth) for one in (start.heads, heads))
    gain = paired_bootstrap(
        [row[0] for row in before.rows],
        [row[0] for row in after.rows],
        groups=before.documents,
        seed=config.seed,
    )
    return TrainedCuts(heads, before.scores, after.scores, gain, steps, seconds)


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: list[Doubles]
    documents: list[str]

    @property
    def scores(self) -> CutScores:
        reward, recall, iou, omega = np.stack(self.rows).mean(0)
        return CutScores(
            n_questions=len(self.rows),
            reward=float(reward),
            recall=float(recall),
            iou=float(iou),
            omega=float(omega),
        )


def _rows(
    heads: StructureHeads,
    stretches: Sequence[Stretch],
    start: PrepModel,
    config: SegmentationConfig,
    worth: Doubles,
) -> _Rows:
    """Score the likeliest cuts, question by question."""
    cuts: list[tuple[Stretch, list[tuple[int, int]]]] = []
    with torch.inference_mode():
        for page, of_page in by_page(stretches):
            scores = _break_scores(heads, page, worth).numpy()
            for stretch in of_page:
                plan, part = page.plan, slice(stretch.first, stretch.last)
                pieces = segment(
                    plan.counts[part],
                    plan.header_tokens[part],
                    [float(score) for score in scores[part]],
                    plan.limits,
                    plan.prior,
                )
                cuts.append((stretch, pieces))
    add_vectors(start, [(stretch.page, stretch.placed(pieces)) for stretch, pieces in cuts])
    rows: list[Doubles] = []
    documents: list[str] = []
    for stretch, pieces in cuts:
        of_stretch = score_segmentation(stretch, pieces, config)
        rows += list(of_stretch)
        documents += [stretch.page.document_id] * len(of_stretch)
    return _Rows(rows, documents)


def _break_scores(heads: StructureHeads, page: SegmentedDocument, worth: Doubles) -> torch.Tensor:
    """Return (n_units,) float64: what a break after each unit is worth, as the heads see it now."""
    reading = page.reading
    assert reading.states is not None
    logits, _, _ = heads(
        torch.from_numpy(reading.states).unsqueeze(0), torch.from_numpy(reading.surface).unsqueeze(0)
    )
    boundary = torch.softmax(logits[0], dim=-1).double()
    return boundary @ torch.from_numpy(worth) + torch.from_numpy(page.constant)


def _fit(
    heads: StructureHeads,
    training: Sequence[Stretch],
    held: Sequence[Stretch],
    start: PrepModel,
    run: RunFolder,
    config: SegmentationConfig,
    worth: Doubles,
) -> int:
    heads.eval()
    moved = heads.boundary if config.trains == "boundary" else heads
    moved.requires_grad_(True)
    trained = {name: p for name, p in heads.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(trained.values(), lr=config.learning_rate, weight_decay=0.0)

    def take_step(step: int) -> dict[str, float]:
        rng = np.random.default_rng([config.seed, step])
        repeats = config.stretches > len(training)
        chosen = [training[i] for i in rng.choice(len(training), config.stretches, replace=repeats)]
        loss, row = _loss(heads, chosen, start, config, worth, rng)
        torch.autograd.backward(loss)
        return row

    def evaluate(_: int) -> Iterator[dict[str, float]]:
        scores = asdict(_rows(heads, held, start, config, worth).scores)
        yield {f"held_{name}": value for name, value in scores.items()}

    schedule = Schedule(
        n_steps=config.steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        final_fraction=0.1,
        evaluate_steps=config.evaluate_steps,
        checkpoint_steps=config.checkpoint_steps,
    )
    loop = TrainingLoop(run, trained, optimiser, schedule)
    if loop.step == 0:
        for row in evaluate(0):
            run.log({"step": 0, **row})
    return loop.run(take_step, description="training cuts", evaluate=evaluate)


@dataclass(frozen=True, slots=True)
class _Draws:
    """A stretch, the worth of its breaks (with gradients), the policy they make, and what was drawn from it."""

    stretch: Stretch
    scores: torch.Tensor
    policy: SegmentationPolicy
    pieces: list[list[tuple[int, int]]]


def _loss(
    heads: StructureHeads,
    stretches: Sequence[Stretch],
    start: PrepModel,
    config: SegmentationConfig,
    worth: Doubles,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return a loss whose gradient by the break scores is the policy gradient, and what the step saw."""
    draws: list[_Draws] = []
    for page, of_page in by_page(stretches):
        scores = _break_scores(heads, page, worth)
        values = scores.detach().numpy()
        for stretch in of_page:
            part = slice(stretch.first, stretch.last)
            policy = SegmentationPolicy(
                page.plan.counts[part],
                page.plan.header_tokens[part],
                [float(value) for value in values[part]],
                page.plan.limits,
                page.plan.prior,
                temperature=config.temperature,
            )
            drawn = [policy.sample(rng) for _ in range(config.draws)]
            draws.append(_Draws(stretch, scores[part], policy, drawn))
    add_vectors(start, [(one.stretch.page, one.stretch.placed(p)) for one in draws for p in one.pieces])
    loss = torch.zeros((), dtype=torch.float64)
    rewards: list[float] = []
    spreads: list[float] = []
    lengths: list[float] = []
    skipped = 0
    for one in draws:
        stretch = one.stretch
        reward = np.stack([score_segmentation(stretch, pieces, config)[:, 0] for pieces in one.pieces])
        rewards.append(float(reward.mean()))
        spreads.append(float(reward.std(0).mean()))
        lengths.append(float(np.mean([len(pieces) for pieces in one.pieces])))
        begun = torch.tensor(stretch.page.plan.scores[stretch.first : stretch.last], dtype=torch.float64)
        loss = loss + config.start_weight * ((one.scores - begun) ** 2).mean()
        if np.ptp(reward, axis=0).max() < 1e-9:
            skipped += 1
            continue
        gradient = _gradient(one, reward, config)
        loss = loss - (torch.from_numpy(gradient) * one.scores).sum()
    row = {
        "reward": float(np.mean(rewards)),
        "spread": float(np.mean(spreads)),
        "pieces": float(np.mean(lengths)),
        "skipped": skipped / len(stretches),
    }
    return loss / len(stretches), row


def _gradient(one: _Draws, reward: Doubles, config: SegmentationConfig) -> Doubles:
    """Return (units,): the policy gradient of the mean reward by the break scores. reward: (draws, questions)."""
    advantage = (reward - reward.mean(0)) * config.draws / (config.draws - 1)
    credit = advantage @ near_evidence(one.stretch.evidence, config.credit_units) / reward.shape[1]
    marginals = one.policy.break_marginals()
    breaks = np.zeros((len(one.pieces), len(marginals)))
    for row, pieces in zip(breaks, one.pieces, strict=True):
        row[[last - 1 for _, last in pieces]] = 1.0
    gradient: Doubles = (credit * (breaks - marginals)).mean(0) / config.temperature
    gradient[-1] = 0.0
    return gradient


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(
        description="train the prep model's cuts on what retrieval finds; resumes by itself"
    )
    parser.add_argument("--data", required=True, help="folder of labelled sets")
    parser.add_argument("--run", required=True, help="folder for checkpoints and the log")
    parser.add_argument("--start", required=True, help="the prep version to start from")
    parser.add_argument(
        "--target-tokens", type=int, help="another target size of the chunks than the start's"
    )
    parser.add_argument("--config", help="TOML file with settings")
    parser.add_argument("--ship", help="write a loadable version to this folder")
    options = parser.parse_args(argv)
    config = SegmentationConfig.from_toml(options.config) if options.config else SegmentationConfig()
    start = PrepModel.load(options.start, target_tokens=options.target_tokens)
    result = train_segmentation(options.data, options.run, start, config)
    shown = {"before": asdict(result.before), "after": asdict(result.after), "gain": asdict(result.gain)}
    print(json.dumps({"steps": result.steps, "seconds": round(result.seconds), **shown}, indent=2))
    print(draw_run(options.run))
    if options.ship:
        print(result.version(config, start).save(options.ship, start.encoder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
