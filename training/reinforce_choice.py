"""Reinforcement of the choice among rival reports: what tells backwards is trained so that the better report wins.

    python -m training.reinforce_choice --sets SETS --held HELD --version V --out RUN

SETS and HELD come from `python -m training.rival_sets`, on sheets that may be trained on and on held-out ones. The
policy is the choice: a softmax, over the rivals of a question, of the question's log-probability behind each. All of
them are judged, so the expected reward is a sum: nothing is drawn, and its gradient has no noise of drawing (minimum
risk training: Shen et al. 2016, https://aclanthology.org/P16-1159). Reports themselves stay as they are. How likely a
report is has no part in it, for of what a version was trained on it knows the likely one by heart.

Resumable (`training.run_folder`). RUN/adapter.safetensors is released with `training.release_retrieve --backwards RUN`;
RUN/held.jsonl holds HELD as the trained choice scores it, for `training.tune_comparing`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tqdm.auto import tqdm

from prep.errors import ConfigError, DataError
from prep.low_rank import layer_number, read_updates
from prep.manifest import file_digest, json_digest
from retrieve.comparing import Comparing
from retrieve.model import BACKWARDS, RetrieveModel, read_retrieve_manifest
from training.backwards import told
from training.gains import figures_of
from training.learner import Learner
from training.packs import Pack, encode_traces, make_packs
from training.results import AnswersResult
from training.rewards import Prices, reward
from training.rival_sets import RivalSet, read_rival_sets
from training.run_folder import RunFolder, learning_rate, restore_training, training_tensors
from training.supervised import SupervisedConfig, check_tells_behind
from training.traces import Trace

__all__ = ["ChoiceConfig", "reinforce_choice", "rescored"]

_NO_LIMIT = 10**9  # tokens of a pack


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceConfig:
    """sharpness: what a nat counts in the softmax. sets_per_step: questions whose rivals differ in reward."""

    learning_rate: float = 1e-4
    warmup_steps: int = 10
    sharpness: float = 0.5
    sets_per_step: int = 16
    n_epochs: float = 1.0
    checkpoint_every: int = 20
    evaluate_every: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.learning_rate, self.sharpness, self.n_epochs) <= 0 or self.sets_per_step < 1:
            raise ConfigError(
                f"learning_rate={self.learning_rate!r}, sharpness={self.sharpness!r}, n_epochs={self.n_epochs!r} "
                f"and sets_per_step={self.sets_per_step!r} must be positive"
            )


def reinforce_choice(
    version: Path,
    sets: Sequence[RivalSet],
    out: Path,
    config: ChoiceConfig | None = None,
    *,
    held: Sequence[RivalSet] = (),
    comparing: Comparing | None = None,
    base: str | Path | None = None,
    progress: bool = True,
    stop_after_s: float | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Path:
    """Train what tells a version's episodes backwards to choose better; returns the adapter, in `out`.

    held: measured as it runs, with `comparing` (by default as the version is served). Raises ConfigError for a version
    that tells nothing backwards, DataError where no rivals differ in reward.
    """
    config = config or ChoiceConfig()
    started = time.monotonic()
    torch.manual_seed(config.seed)
    model = RetrieveModel.load(version, base=base)
    learner = _learner(version, model)
    choosing = [one for one in sets if len({reward(row, Prices(token=0.0)) for row in one.rows}) > 1]
    if not choosing:
        raise DataError(f"of {len(sets)} questions none has rivals that differ in reward")
    steps = _steps(len(choosing), config)
    optimiser = torch.optim.AdamW(
        learner.masters.values(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    identity = {"behind": model.version, **asdict(config)}
    data = json_digest([one.as_json() for one in choosing])
    start = file_digest(version / BACKWARDS)
    run = RunFolder(out, {"config": identity, "data": data, "start": start, "sets": len(choosing)})
    step = 0
    running: list[float] = []  # expected rewards since the last logged row
    if (checkpoint := run.resume()) is not None:
        restore_training(checkpoint.tensors, learner.masters, optimiser)
        learner.scatter_masters()
        step, running = checkpoint.step, checkpoint.notes["running"]

    def keep() -> None:
        run.checkpoint(step, training_tensors(learner.masters, optimiser), running=running)

    def evaluate() -> list[RivalSet]:
        scored = rescored(learner, model.tokenizer, held)
        if held and not any(row["step"] == step and "held_reward" in row for row in run.rows()):
            run.log({"step": step, **_figures(scored, comparing or model.serving.comparing)})
            tqdm.write(json.dumps(run.rows()[-1]))
        return scored

    if step == 0:
        evaluate()
    bar = tqdm(total=len(steps), initial=step, desc="reinforce choice", unit="step", disable=not progress)
    while step < len(steps):
        elapsed = time.monotonic() - started
        if stop_after_s is not None and elapsed > stop_after_s:
            break
        rate = learning_rate(
            step,
            len(steps),
            config.learning_rate,
            warmup_steps=config.warmup_steps,
            final_fraction=0.05,
            spent=elapsed / stop_after_s if stop_after_s else 0.0,
        )
        some = [choosing[number] for number in steps[step]]
        loss, norm = learner.update(
            _losses(learner, model.tokenizer, some, config.sharpness), optimiser, rate
        )
        step += 1
        running.append(-loss)
        bar.update()
        if step % 5 == 0 or step == len(steps):
            row = {"step": step, "expected_reward": fmean(running), "rate": rate, "norm": norm}
            row["seconds"] = time.monotonic() - started
            running.clear()
            run.log(row)
            bar.set_postfix(reward=f"{row['expected_reward']:.3f}")
            if report:
                report(row)
        if step % config.evaluate_every == 0 and step < len(steps):
            evaluate()
        if step % config.checkpoint_every == 0:
            keep()
    bar.close()
    lines = (json.dumps(one.as_json()) for one in evaluate())
    (out / "held.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    keep()
    adapter = out / "adapter.safetensors"
    learner.save(adapter)
    return adapter


def rescored(learner: Learner, tokenizer: Any, sets: Sequence[RivalSet]) -> list[RivalSet]:
    """Return the sets with the questions' log-probabilities as the learner has them now."""
    found = []
    with torch.no_grad():
        for one in sets:
            if len(one.rivals) == 1:
                found.append(one)
                continue
            behind = _behind(learner, _pack(tokenizer, one)).tolist()
            rivals = tuple(
                replace(rival, backwards=value) for rival, value in zip(one.rivals, behind, strict=True)
            )
            found.append(replace(one, rivals=rivals))
    return found


def _learner(version: Path, model: RetrieveModel) -> Learner:
    """Return a version's teller, to be trained on."""
    if BACKWARDS not in read_retrieve_manifest(version)["files"]:
        raise ConfigError(f"{model.version} tells nothing backwards: see training.supervised --behind")
    check_tells_behind(model)
    updates, _, _ = read_updates(version / BACKWARDS)
    rank = next(iter(updates.values()))[0].shape[0]
    trained = SupervisedConfig(
        rank=rank,
        alpha=2 * rank,
        frozen_layers=min(layer_number(name) or 0 for name in updates),
        packed=True,
        behind=model.version,
    )
    learner = Learner(model.model, model.tokenizer, trained)
    learner.start_from(version / BACKWARDS)
    return learner


def _steps(n: int, config: ChoiceConfig) -> list[list[int]]:
    """Return the numbers of each step's sets; each epoch in an order of its own."""
    rng = random.Random(config.seed)
    order: list[int] = []
    while len(order) < config.n_epochs * n:
        order += rng.sample(range(n), n)
    order = order[: max(1, round(config.n_epochs * n))]
    return [order[at : at + config.sets_per_step] for at in range(0, len(order), config.sets_per_step)]


def _pack(tokenizer: Any, one: RivalSet) -> Pack:
    """Return the question behind each rival, behind one reading of the results."""
    first = ((one.told.results, False), (one.told.asked, False))
    traces = [told(Trace("", "", (*first, (rival.text, True)))) for rival in one.rivals]
    (pack,) = make_packs(encode_traces(tokenizer, [trace for trace in traces if trace]), _NO_LIMIT)
    return pack


def _behind(learner: Learner, pack: Pack) -> torch.Tensor:
    """Return the log-probability of the question behind each part of a pack, (n_parts,), in nats."""
    each = torch.split(learner.logprobs_behind(pack), [sum(part.labelled) for part in pack.parts])
    return torch.stack([one.sum() for one in each])


def _losses(
    learner: Learner, tokenizer: Any, sets: Sequence[RivalSet], sharpness: float
) -> Iterator[torch.Tensor]:
    """Yield each question's part of the mean expected reward, negative."""
    for one in sets:
        chosen = torch.softmax(sharpness * _behind(learner, _pack(tokenizer, one)), dim=0)
        worth = torch.tensor([reward(row, Prices(token=0.0)) for row in one.rows], device=chosen.device)
        yield -(chosen * worth).sum() / len(sets)


def _figures(sets: Sequence[RivalSet], comparing: Comparing) -> dict[str, float]:
    rows = tuple(one.with_(comparing)[0] for one in sets)
    figures = figures_of(AnswersResult("rival sets", "chosen", 0, rows), Prices(token=0.0))
    return {f"held_{name}": value for name, value in figures.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Train the choice from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", required=True, type=Path, nargs="+")
    parser.add_argument("--held", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--version", required=True, type=Path, help="folder of a version that tells backwards"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--stop-after-s", type=float, default=None)
    defaults = ChoiceConfig()
    for name, default in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args(argv)
    sets, held = (
        [one for path in paths for one in read_rival_sets(path)] for paths in (arguments.sets, arguments.held)
    )
    adapter = reinforce_choice(
        arguments.version,
        sets,
        arguments.out,
        ChoiceConfig(**{name: getattr(arguments, name) for name in asdict(defaults)}),
        held=held,
        stop_after_s=arguments.stop_after_s,
        report=lambda row: print(json.dumps(row), flush=True),
    )
    print(adapter)


if __name__ == "__main__":
    main()
