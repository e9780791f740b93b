"""Stage one of the prep model: train the heads on synthetic structure labels.

Documents of known structure are cut to pages, damaged by a seeded draw, read once by the frozen base (the
states are kept on disk), and the heads are trained on them. Everything can be stopped and started again:
finished shards and checkpoints carry a marker and are not made twice. Shipping a version is `ship`;
rendering and damages are `training.structure` and `training.damage`.

    python -m training.prep_supervised --data DATA --run RUN [--config FILE.toml] [--ship FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prep.document import ROLES, Document, Floats
from prep.encoder import Precision
from prep.errors import ConfigError, DataError
from prep.heads import HeadsConfig, StructureHeads
from prep.model import PrepConfig, PrepModel, save_version
from prep.structure import Predictions, rule_predictions
from training.damage import damage_page, random_damages
from training.structure import (
    Labels,
    Page,
    StructuredDocument,
    Style,
    join_documents,
    label_units,
    random_style,
    read_structured,
    render,
)

__all__ = [
    "Example",
    "Scores",
    "SupervisedConfig",
    "TrainedHeads",
    "build_examples",
    "evaluate_heads",
    "make_pages",
    "prediction_scores",
    "ship",
    "split_documents",
    "train_supervised",
]

COMPLETE = "COMPLETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedConfig:
    """One supervised run.

    sets: names of labelled sets below the data folder and how many of their documents at most. joined: sets
    whose prose is put together to topics, and how many such documents. held_out_every: every n-th document
    of a set, in order of its id, is for measuring alone. pages: damaged pages a document. page_characters:
    about how long. Losses are summed with the given weights. device: cpu or cuda.
    """

    sets: Mapping[str, int] = field(
        default_factory=lambda: {
            "docs_peps": 400,
            "docs_vue": 112,
            "docs_powershell": 150,
            "docs_handbook": 241,
            "docs_prometheus": 124,
            "docs_rust_book": 110,
            "docs_site_policy": 63,
            "medquad": 350,
            "qmsum_train": 162,
            "new_wiki": 48,
            "policyqa_dev": 20,
            "contractnli": 95,
            "drcd_dev": 60,
        }
    )
    joined: Mapping[str, int] = field(
        default_factory=lambda: {"new_wiki": 260, "medquad": 120, "docs_peps": 40, "drcd_dev": 30}
    )
    held_out_every: int = 6
    pages: int = 1
    page_characters: int = 5000
    shard_pages: int = 200
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    epochs: int = 8
    batch_pages: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.05
    boundary_weight: float = 1.0
    role_weight: float = 1.0
    level_weight: float = 0.3
    checkpoint_steps: int = 100
    seed: int = 17
    threads: int = 1
    device: str = "cpu"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in (
            "held_out_every",
            "pages",
            "page_characters",
            "shard_pages",
            "epochs",
            "batch_pages",
            "threads",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be at least 1")
        if self.held_out_every < 2:
            raise ConfigError("held_out_every=1 would hold out everything")
        if self.learning_rate <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(
                f"learning_rate={self.learning_rate!r}, warmup={self.warmup!r} are out of range"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {
            **asdict(replace(self, heads=HeadsConfig())),
            "sets": dict(self.sets),
            "joined": dict(self.joined),
            "heads": self.heads.to_json(),
        }

    @classmethod
    def from_toml(cls, path: str | Path) -> SupervisedConfig:
        """Read settings; an unknown key is a ConfigError."""
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown settings in {path}: {sorted(unknown)}")
        if "heads" in values:
            values["heads"] = HeadsConfig.from_json(values["heads"])
        return cls(**values)

    def digest(self, *names: str) -> str:
        """A short hash of the named settings, or of all of them."""
        values = self.to_json()
        chosen = {name: values[name] for name in names} if names else values
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(slots=True)
class Example:
    """One page as the heads see it. states: (n, 2d) float16; surface: (n, s); rules: the baseline's
    predictions.
    """

    document_id: str
    damages: tuple[str, ...]
    states: np.ndarray[Any, np.dtype[np.float16]]
    surface: Floats
    labels: Labels
    rules: Predictions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How well boundaries and roles are found. Counts are units; F1 of an empty class is 0."""

    n_units: int
    paragraph_f1: float
    section_f1: float
    boundary_accuracy: float
    role_accuracy: float
    heading_f1: float
    boilerplate_precision: float
    boilerplate_recall: float
    level_accuracy: float


@dataclass(slots=True)
class TrainedHeads:
    """What a run gives: the heads, their scores on held-out pages, the rules' scores, and both per damage.

    start_scores: those of the heads that it went on from, on the same pages.
    """

    heads: StructureHeads
    scores: Scores
    rule_scores: Scores
    by_damage: dict[str, tuple[Scores, Scores]]
    steps: int
    start_scores: Scores | None = None


# ---- pages


def split_documents(
    data: str | Path, config: SupervisedConfig
) -> tuple[dict[str, list[StructuredDocument]], dict[str, list[StructuredDocument]]]:
    """Read the sets and hold out every n-th document of each. Returns (train, held out), by set."""
    train: dict[str, list[StructuredDocument]] = {}
    held: dict[str, list[StructuredDocument]] = {}
    for name, limit in config.sets.items():
        folder = Path(data) / name
        if not folder.is_dir():
            raise DataError(f"there is no set {name!r} in {data}")
        documents = sorted(read_structured(folder), key=lambda document: document.id)
        train[name] = [d for i, d in enumerate(documents) if i % config.held_out_every][:limit]
        held[name] = [d for i, d in enumerate(documents) if i % config.held_out_every == 0][
            : max(limit // config.held_out_every, 1)
        ]
    return train, held


def make_pages(
    documents: Mapping[str, Sequence[StructuredDocument]],
    config: SupervisedConfig,
    *,
    seed: int,
    share: float = 1.0,
) -> Iterator[Page]:
    """Yield damaged pages: `config.pages` of each document, and joined ones (`share` of their number)."""
    for name in sorted(documents):
        for document in documents[name]:
            for copy in range(config.pages):
                rng = random.Random(f"{seed}/{name}/{document.id}/{copy}")
                yield _page(_cut(document, config.page_characters, rng), rng)
    for name in sorted(config.joined):
        if not documents.get(name):
            continue
        for number in range(max(1, round(config.joined[name] * share))):
            rng = random.Random(f"{seed}/joined/{name}/{number}")
            joined = join_documents(documents[name], rng, n_stretches=rng.randint(4, 9))
            if joined.blocks:
                yield _page(joined, rng, prose=True)


def _page(document: StructuredDocument, rng: random.Random, *, prose: bool = False) -> Page:
    style = random_style(rng)
    names = random_damages(rng)
    if prose:  # what separates topics must be what is said, not how it is set
        names = rng.choice(
            (("one_line",), ("one_line",), ("rewrap", "lose_blank_lines"), ("lose_blank_lines",))
        )
        style = Style(markup="plain")
    page = damage_page(render(document, style), names, rng)
    return replace(
        page, title=page.title if rng.random() < 0.8 else "", damages=("joined", *names) if prose else names
    )


def _cut(document: StructuredDocument, characters: int, rng: random.Random) -> StructuredDocument:
    """A stretch of blocks of about that length: the beginning, or from a random block on."""
    blocks = document.blocks
    total = sum(len(block.text) for block in blocks)
    if total <= characters * 1.3:
        return document
    start = 0
    if rng.random() > 0.3:
        position, wanted = 0, rng.uniform(0, total - characters)
        while position < wanted:
            position += len(blocks[start].text)
            start += 1
    stop, taken = start, 0
    while stop < len(blocks) and taken < characters:
        taken += len(blocks[stop].text)
        stop += 1
    return replace(document, blocks=blocks[start:stop])


# ---- examples


def build_examples(
    pages: Sequence[Page], reader: PrepModel, folder: Path, config: SupervisedConfig, *, rules: bool = False
) -> list[Example]:
    """Read pages through the frozen base. Shards already in `folder` are loaded, not made again."""
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    examples: list[Example] = []
    starts = range(0, len(pages), config.shard_pages)
    for start in tqdm(starts, desc=f"reading {folder.name}", unit="shard", disable=None):
        path = folder / f"shard-{start:06d}.safetensors"
        if not path.is_file():
            _write_shard(path, pages[start : start + config.shard_pages], reader)
        examples.extend(_read_shard(path, rules))
    return examples


def _write_shard(path: Path, pages: Sequence[Page], reader: PrepModel) -> None:
    from safetensors.numpy import save_file

    readings = [reader.read_page(Document(p.document_id, p.title, p.text)) for p in pages]
    reader.add_states(readings)
    labels = [label_units(page, reading.units) for page, reading in zip(pages, readings, strict=True)]
    ruled = [rule_predictions(r.document.text, r.units, r.marks, r.document.title) for r in readings]
    states = [r.states for r in readings if r.states is not None]
    tensors = {
        "states": np.concatenate(states).astype(np.float16),
        "surface": np.concatenate([r.surface for r in readings]),
        "boundary": np.concatenate([one.boundary for one in labels]),
        "role": np.concatenate([one.role for one in labels]),
        "level": np.concatenate([one.level for one in labels]),
        "rule_boundary": np.concatenate([one.boundary for one in ruled]).astype(np.float16),
        "rule_role": np.concatenate([one.role for one in ruled]).astype(np.float16),
        "rule_level": np.concatenate([one.level for one in ruled]).astype(np.float16),
        "edges": np.cumsum([0, *(len(r.units) for r in readings)]),
    }
    about = [{"document_id": page.document_id, "damages": list(page.damages)} for page in pages]
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"pages": json.dumps(about)})
    os.replace(partial, path)


def _read_shard(path: Path, rules: bool) -> Iterator[Example]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stream:
        about = json.loads(stream.metadata()["pages"])
        data = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    edges = data["edges"]
    for row, left, right in zip(about, edges[:-1], edges[1:], strict=True):
        if left == right:
            continue
        part = {key: value[left:right] for key, value in data.items() if key != "edges"}
        baseline = (
            Predictions(
                part["rule_boundary"].astype(np.float32),
                part["rule_role"].astype(np.float32),
                part["rule_level"].astype(np.float32),
            )
            if rules
            else None
        )
        yield Example(
            str(row["document_id"]),
            tuple(row["damages"]),
            part["states"],
            part["surface"],
            Labels(part["boundary"], part["role"], part["level"]),
            baseline,
        )


# ---- training


def train_supervised(
    data: str | Path,
    run: str | Path,
    config: SupervisedConfig,
    *,
    base: str | Path | None = None,
    start: StructureHeads | None = None,
) -> TrainedHeads:
    """Train the heads, or go on with a run that was stopped; returns them with their scores.

    start: heads of the same shape to go on from, left as they are; new ones if None.

    Writes below `run`: config.json, features/, log.jsonl (a row a step), checkpoints/step-N/ (complete only
    with their marker), scores.json. Same seed, same machine: same heads.
    """
    torch.set_num_threads(config.threads)
    folder = Path(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_json(), indent=2) + "\n", encoding="utf-8")
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
    heads, steps = _fit(training, folder, config, start)
    trained = evaluate_heads(heads, held, steps)
    if start is not None:
        trained.start_scores = evaluate_heads(start, held).scores
    return trained


def _fit(
    examples: Sequence[Example], folder: Path, config: SupervisedConfig, start: StructureHeads | None
) -> tuple[StructureHeads, int]:
    from tqdm import tqdm

    torch.manual_seed(config.seed)
    heads = StructureHeads(config.heads).to(config.device)
    if start is not None:
        heads.load_state_dict(start.state_dict())
    optimizer = torch.optim.AdamW(
        heads.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    batches = _epoch(examples, config, 0)
    n_steps = len(batches) * config.epochs
    step = _resume(heads, optimizer, folder, config)
    bar = tqdm(total=n_steps, initial=step, desc="training heads", unit="step", disable=None)
    started = time.monotonic()
    heads.train()
    fresh = True
    while step < n_steps:
        epoch, at = divmod(step, len(batches))
        if at == 0 or fresh:
            batches, fresh = _epoch(examples, config, epoch), False
        torch.manual_seed(
            config.seed * 1_000_003 + step
        )  # dropout does not depend on where a run was stopped
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, n_steps, config.warmup)
        losses = _losses(heads, [examples[i] for i in batches[at]], config)
        loss = (
            config.boundary_weight * losses["boundary"]
            + config.role_weight * losses["role"]
            + config.level_weight * losses["level"]
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(heads.parameters(), 1.0)
        optimizer.step()
        step += 1
        row = {
            "step": step,
            "epoch": epoch,
            "loss": round(float(loss.detach()), 5),
            **{k: round(float(v.detach()), 5) for k, v in losses.items()},
            "seconds": round(time.monotonic() - started, 2),
        }
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        bar.update()
        bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
        if step % config.checkpoint_steps == 0 or step == n_steps:
            _checkpoint(heads, optimizer, folder, config, step)
    bar.close()
    return heads.cpu().eval(), step


def _epoch(examples: Sequence[Example], config: SupervisedConfig, epoch: int) -> list[list[int]]:
    """Batches of pages of like length, in an order that the seed and the epoch alone decide."""
    rng = random.Random(config.seed * 7919 + epoch)
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].states) + rng.uniform(0, 20), i))
    batches = [order[i : i + config.batch_pages] for i in range(0, len(order), config.batch_pages)]
    rng.shuffle(batches)
    return batches


def _schedule(step: int, n_steps: int, warmup: float) -> float:
    ramp = max(1, int(n_steps * warmup))
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + float(np.cos(np.pi * (step - ramp) / max(1, n_steps - ramp))))


def _losses(
    heads: StructureHeads, examples: Sequence[Example], config: SupervisedConfig
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


def _checkpoint(
    heads: StructureHeads,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    config: SupervisedConfig,
    step: int,
) -> None:
    from safetensors.torch import save_file

    target = folder / "checkpoints" / f"step-{step:07d}"
    target.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in heads.state_dict().items()},
        target / "heads.safetensors",
    )
    names = [name for name, _ in heads.named_parameters()]
    moments = {
        f"{names[index]}/{key}": value.detach().cpu().contiguous()
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }
    save_file(moments, target / "optimizer.safetensors")
    (target / COMPLETE).write_text(json.dumps({"step": step, "config": config.digest()}), encoding="utf-8")


def _resume(
    heads: StructureHeads, optimizer: torch.optim.Optimizer, folder: Path, config: SupervisedConfig
) -> int:
    """Load the latest complete checkpoint of this very configuration; 0 where there is none."""
    from safetensors.torch import load_file

    for target in sorted((folder / "checkpoints").glob("step-*"), reverse=True):
        marker = target / COMPLETE
        if not marker.is_file():
            continue
        about = json.loads(marker.read_text(encoding="utf-8"))
        if about["config"] != config.digest():
            continue
        heads.load_state_dict(load_file(target / "heads.safetensors"))
        moments = load_file(target / "optimizer.safetensors")
        state: dict[int, dict[str, torch.Tensor]] = {}
        for index, (name, _) in enumerate(heads.named_parameters()):
            prefix = f"{name}/"
            state[index] = {k.removeprefix(prefix): v for k, v in moments.items() if k.startswith(prefix)}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return int(about["step"])
    return 0


# ---- measuring


def evaluate_heads(heads: StructureHeads, held: Sequence[Example], steps: int = 0) -> TrainedHeads:
    """Score heads and rules on held-out pages, together and for every damage."""
    heads.eval()
    ours: list[Predictions] = []
    with torch.inference_mode():
        for example in held:
            outputs = heads(
                torch.from_numpy(example.states.astype(np.float32)).unsqueeze(0),
                torch.from_numpy(example.surface).unsqueeze(0),
            )
            boundary, role, level = (torch.softmax(logits[0], -1).numpy() for logits in outputs)
            ours.append(Predictions(boundary, role, level))
    labels = [example.labels for example in held]
    rules = [example.rules for example in held if example.rules is not None]
    by_damage: dict[str, tuple[Scores, Scores]] = {}
    for name in sorted({damage for example in held for damage in example.damages} | {"(none)"}):
        rows = [i for i, e in enumerate(held) if name in e.damages or (name == "(none)" and not e.damages)]
        if rows:
            chosen = [labels[i] for i in rows]
            by_damage[name] = (
                prediction_scores([ours[i] for i in rows], chosen),
                prediction_scores([rules[i] for i in rows], chosen),
            )
    return TrainedHeads(
        heads, prediction_scores(ours, labels), prediction_scores(rules, labels), by_damage, steps
    )


def prediction_scores(predictions: Sequence[Predictions], labels: Sequence[Labels]) -> Scores:
    """Score predictions against labels. A boundary of a level is found where that level or a higher is
    predicted.
    """
    boundary = np.concatenate([p.boundary for p in predictions])
    role = np.concatenate([p.role for p in predictions]).argmax(1)
    level = np.concatenate([p.level for p in predictions]).argmax(1)
    true_boundary = np.concatenate([one.boundary for one in labels])
    true_role = np.concatenate([one.role for one in labels])
    true_level = np.concatenate([one.level for one in labels])
    known = true_boundary >= 0
    paragraph = boundary[:, 2:].sum(1) >= 0.5
    section = boundary[:, 3] >= 0.5
    heading = np.isin(role, [ROLES.index("heading"), ROLES.index("title")])
    true_heading = np.isin(true_role, [ROLES.index("heading"), ROLES.index("title")])
    junk, true_junk = role == ROLES.index("boilerplate"), true_role == ROLES.index("boilerplate")
    levelled = true_level >= 0
    found = float((junk & true_junk).sum())
    return Scores(
        n_units=int(known.sum()),
        paragraph_f1=_f1(paragraph[known], true_boundary[known] >= 2),
        section_f1=_f1(section[known], true_boundary[known] == 3),
        boundary_accuracy=float((boundary.argmax(1)[known] == true_boundary[known]).mean()),
        role_accuracy=float((role[true_role >= 0] == true_role[true_role >= 0]).mean()),
        heading_f1=_f1(heading[known], true_heading[known]),
        boilerplate_precision=found / max(float(junk[known].sum()), 1.0),
        boilerplate_recall=found / max(float(true_junk[known].sum()), 1.0),
        level_accuracy=float((level[levelled] == true_level[levelled]).mean()) if levelled.any() else 0.0,
    )


def _f1(found: np.ndarray[Any, np.dtype[np.bool_]], wanted: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    hits = float((found & wanted).sum())
    return 2 * hits / max(float(found.sum() + wanted.sum()), 1.0)


def ship(
    result: TrainedHeads,
    folder: str | Path,
    config: SupervisedConfig,
    prepared: PrepConfig,
    *,
    base: str | Path | None = None,
    card: str = "",
) -> str:
    """Write a version that `PrepModel.load` reads; returns its version string."""
    from prep.encoder import Encoder

    encoder = Encoder.load(base)
    metrics = {
        "held_out": asdict(result.scores),
        "held_out_rules": asdict(result.rule_scores),
        "by_damage": {k: {"heads": asdict(a), "rules": asdict(b)} for k, (a, b) in result.by_damage.items()},
    }
    about = {"stage": "supervised", "steps": result.steps, "seed": config.seed, "config": config.to_json()}
    settled = replace(prepared, heads=config.heads, trained=True)
    return save_version(folder, result.heads, settled, encoder, card=card, metrics=metrics, training=about)


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description="train the prep model's heads on synthetic structure labels")
    parser.add_argument("--data", required=True, help="folder of labelled sets")
    parser.add_argument("--run", required=True, help="folder for features, checkpoints and the log")
    parser.add_argument("--config", help="TOML file with settings")
    parser.add_argument("--ship", help="write a loadable version to this folder")
    options = parser.parse_args(argv)
    config = SupervisedConfig.from_toml(options.config) if options.config else SupervisedConfig()
    result = train_supervised(options.data, options.run, config)
    scores = {
        "heads": asdict(result.scores),
        "rules": asdict(result.rule_scores),
        "by_damage": {k: [asdict(a), asdict(b)] for k, (a, b) in result.by_damage.items()},
    }
    (Path(options.run) / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"heads": scores["heads"], "rules": scores["rules"]}, indent=2))
    if options.ship:
        print(ship(result, options.ship, config, PrepConfig()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
