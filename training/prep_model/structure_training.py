"""Stage one of the prep model: train the heads on synthetic structure labels.

The pages come from `training.prep_model.structure_examples`, the scores from `training.prep_model.structure_scores`.
A run that was stopped goes on (`training.runs.training_loop`).

    python -m training.prep_model.structure_training --data DATA --run RUN [--config FILE.toml] [--ship FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prep.errors import ConfigError
from prep.lora import Updates
from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import StructureHeads
from prep.model.prep_model import PrepModel
from prep.model.prep_version import SavedVersion, read_version
from training.prep_model.structure_config import StructureConfig
from training.prep_model.structure_examples import (
    StructureExample,
    build_examples,
    make_pages,
    split_documents,
)
from training.prep_model.structure_scores import Scores, evaluate_heads
from training.prep_model.trained_version import TrainedVersion
from training.runs.loss_curves import draw_run
from training.runs.run_folder import RunFolder
from training.runs.training_loop import Schedule, TrainingLoop

__all__ = ["TrainedHeads", "train_structure"]


@dataclass(slots=True)
class TrainedHeads:
    """The result of a run: heads, their scores on held-out pages, the rules' scores, and both per damage.

    start_scores: of the heads that training started from, on the same pages.
    """

    heads: StructureHeads
    scores: Scores
    rule_scores: Scores
    by_damage: dict[str, tuple[Scores, Scores]]
    steps: int
    start_scores: Scores | None = None

    def version(
        self,
        config: StructureConfig,
        prepared: PrepConfig,
        *,
        updates: Updates | None = None,
        vectors_of: SavedVersion | None = None,
    ) -> TrainedVersion:
        """Return the version that these heads make, with the updates of the encoder, if any.

        prepared: its settings. vectors_of: the version whose vectors and updates it has; the figures and the training
        of that version are kept under "vectors".
        """
        by_damage = {
            damage: {"heads": asdict(heads), "rules": asdict(rules)}
            for damage, (heads, rules) in self.by_damage.items()
        }
        metrics: dict[str, Any] = {
            "held_out": asdict(self.scores),
            "held_out_rules": asdict(self.rule_scores),
            "by_damage": by_damage,
        }
        training: dict[str, Any] = {
            "stage": "supervised",
            "steps": self.steps,
            "seed": config.seed,
            "config": config.to_json(),
        }
        if vectors_of is not None:
            updates = vectors_of.updates
            metrics["vectors"], training["vectors"] = vectors_of.metrics, vectors_of.training
        return TrainedVersion(
            heads=self.heads,
            config=replace(prepared, heads=config.heads, trained=True),
            updates=updates,
            metrics=metrics,
            training=training,
        )


def train_structure(
    data: str | Path,
    run: str | Path,
    config: StructureConfig,
    *,
    base: str | Path | None = None,
    start: StructureHeads | None = None,
) -> TrainedHeads:
    """Train the heads, or go on with a run that was stopped; returns them with their scores.

    start: heads of the same shape to go on from, left as they are; new ones if None.

    Writes below `run`: what `training.runs.run_folder` says, a row a step, and features/. Same seed, same machine:
    same heads.
    """
    torch.set_num_threads(config.threads)
    folder = Path(run)
    reader = PrepModel.untrained(
        base=base, config=PrepConfig(heads=config.heads, trained=False), precision=config.precision
    )
    if reader.encoder.dimension != config.heads.state_size:
        raise ConfigError(
            f"heads.state_size={config.heads.state_size} is not the base's {reader.encoder.dimension}"
        )
    if start is not None and start.config != config.heads:
        raise ConfigError(f"the heads to go on from are shaped {start.config}, not {config.heads}")
    key = config.digest("sets", "joined", "held_out_every", "pages", "page_characters", "shard_pages", "seed")
    cache = folder / "features" / f"{key}-{config.heads.layers}-{reader.encoder.fingerprint[:8]}"
    train_documents, held_documents = split_documents(data, config)
    training = build_examples(
        list(make_pages(train_documents, config, seed=config.seed)), reader, cache / "train", config
    )
    held = build_examples(
        list(make_pages(held_documents, replace(config, pages=1), seed=config.seed + 1, share=0.2)),
        reader,
        cache / "held",
        config,
        rules=True,
    )
    identity = {**config.to_json(), "threads": None, "device": None, "start": _digest(start)}
    identity["base"] = reader.encoder.fingerprint
    heads, steps = _fit(training, RunFolder(folder, identity), config, start)
    measured = evaluate_heads(heads, held)
    begun = None if start is None else evaluate_heads(start, held).scores
    return TrainedHeads(
        heads, measured.scores, measured.rule_scores, measured.by_damage, steps, start_scores=begun
    )


def _fit(
    examples: Sequence[StructureExample],
    run: RunFolder,
    config: StructureConfig,
    start: StructureHeads | None,
) -> tuple[StructureHeads, int]:
    torch.manual_seed(config.seed)
    heads = StructureHeads(config.heads).to(config.device)
    if start is not None:
        heads.load_state_dict(start.state_dict())
    trained = dict(heads.named_parameters())
    optimiser = torch.optim.AdamW(trained.values(), lr=config.learning_rate, weight_decay=config.weight_decay)
    n_batches = len(_epoch(examples, config, 0))
    batches: dict[int, list[list[int]]] = {}  # of the epoch at hand

    def take_step(step: int) -> dict[str, float]:
        epoch, at = divmod(step, n_batches)
        if epoch not in batches:
            batches.clear()
            batches[epoch] = _epoch(examples, config, epoch)
        # Dropout does not depend on where a run was stopped.
        torch.manual_seed(config.seed * 1_000_003 + step)
        losses = _losses(heads, [examples[i] for i in batches[epoch][at]], config)
        loss = (
            config.boundary_weight * losses["boundary"]
            + config.role_weight * losses["role"]
            + config.level_weight * losses["level"]
        )
        torch.autograd.backward(loss)
        return {
            "loss": float(loss.detach()),
            "epoch": epoch,
            **{name: float(value.detach()) for name, value in losses.items()},
        }

    n_steps = n_batches * config.epochs
    schedule = Schedule(
        n_steps=n_steps,
        learning_rate=config.learning_rate,
        warmup_steps=max(1, int(n_steps * config.warmup)),
        checkpoint_steps=config.checkpoint_steps,
    )
    heads.train()
    steps = TrainingLoop(run, trained, optimiser, schedule).run(take_step, description="training heads")
    return heads.cpu().eval(), steps


def _epoch(examples: Sequence[StructureExample], config: StructureConfig, epoch: int) -> list[list[int]]:
    """Batches of pages of like length, in an order that the seed and the epoch alone decide."""
    rng = random.Random(config.seed * 7919 + epoch)
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].states) + rng.uniform(0, 20), i))
    batches = [order[i : i + config.batch_pages] for i in range(0, len(order), config.batch_pages)]
    rng.shuffle(batches)
    return batches


def _losses(
    heads: StructureHeads, examples: Sequence[StructureExample], config: StructureConfig
) -> dict[str, torch.Tensor]:
    n = max(len(example.states) for example in examples)
    shape = (len(examples), n)
    states = torch.zeros((*shape, examples[0].states.shape[1]))
    surface = torch.zeros((*shape, examples[0].surface.shape[1]))
    mask = torch.zeros(shape, dtype=torch.bool)
    targets = {name: torch.full(shape, -1, dtype=torch.long) for name in ("boundary", "role", "level")}
    for row, example in enumerate(examples):
        length = len(example.states)
        states[row, :length] = torch.from_numpy(example.states.astype(np.float32))
        surface[row, :length] = torch.from_numpy(example.surface)
        mask[row, :length] = True
        for name, target in targets.items():
            target[row, :length] = torch.from_numpy(getattr(example.labels, name))
    device = config.device
    outputs = heads(states.to(device), surface.to(device), mask.to(device))
    losses: dict[str, torch.Tensor] = {}
    for name, logits in zip(("boundary", "role", "level"), outputs, strict=True):
        wanted = targets[name].to(device)
        if bool((wanted >= 0).any()):
            losses[name] = nn.functional.cross_entropy(
                logits.flatten(0, 1), wanted.flatten(), ignore_index=-1
            )
        else:
            losses[name] = logits.sum() * 0.0
    return losses


def _digest(heads: StructureHeads | None) -> str | None:
    if heads is None:
        return None
    digest = hashlib.sha256()
    for name, value in sorted(heads.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="train the prep model's heads on synthetic structure labels")
    parser.add_argument("--data", required=True, help="folder of labelled sets")
    parser.add_argument("--run", required=True, help="folder for features, checkpoints and the log")
    parser.add_argument("--config", help="TOML file with settings")
    parser.add_argument("--ship", help="write a loadable version to this folder")
    parser.add_argument(
        "--vectors-from",
        help="ship with the vectors and settings of this version, which the heads then serve",
    )
    options = parser.parse_args(argv)
    config = StructureConfig.from_toml(options.config) if options.config else StructureConfig()
    result = train_structure(options.data, options.run, config)
    scores = {
        "heads": asdict(result.scores),
        "rules": asdict(result.rule_scores),
        "by_damage": {k: [asdict(a), asdict(b)] for k, (a, b) in result.by_damage.items()},
    }
    (Path(options.run) / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"heads": scores["heads"], "rules": scores["rules"]}, indent=2))
    print(draw_run(options.run))
    if options.ship:
        kept = read_version(Path(options.vectors_from)) if options.vectors_from else None
        settings = PrepConfig() if kept is None else kept.config
        print(result.version(config, settings, vectors_of=kept).save(options.ship, Encoder.load()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
