"""Supervised training of the retrieve model on traces: low-rank adapters and our own tokens' embeddings.

Our own loop instead of trl's SFTTrainer, because on a CPU four things it does not offer make it several times faster:
logits are computed at labelled positions only (the vocabulary is a quarter of the model), the frozen base stays in
bfloat16 while the optimiser keeps float32 masters of what is trained, batches have a few fixed shapes so that the
layers can be compiled, and only the tags' and markers' embedding rows are trained. Runs on CUDA unchanged.

Resumable (`training.run_folder`): a run that is started again goes on with the same batches in the same order.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn
from tqdm.auto import tqdm

from prep.errors import ConfigError, DataError
from prep.manifest import file_digest
from retrieve.adapter import read_adapter, save_adapter
from retrieve.tags import MARKERS, TAGS
from training.lora import decoder_of, freeze_layers, start_values, updates_of, wrap
from training.packs import (
    Example,
    Pack,
    encode_traces,
    in_batches,
    lay_out_packs,
    make_packs,
    pack_steps,
)
from training.run_folder import RunFolder, learning_rate, restore_training, training_tensors
from training.traces import Trace

__all__ = ["Example", "SupervisedConfig", "TrainResult", "encode_traces", "train_supervised"]

_CUDA_TOKENS = 16_384  # of one batch of packs, padding and all; it fitted 80 GB with the embedded base


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedConfig:
    """Hyperparameters of the supervised stage. Tuned values name their experiment in LOG.md.

    packed: traces with the same first segment share its reading (`training.packs`), packs as long as the last of
    `lengths` at most; without padding, so nothing is compiled.
    """

    rank: int = 32
    alpha: int = 64
    learning_rate: float = 5e-4
    warmup_steps: int = 40
    final_fraction: float = 0.05  # of the learning rate, at the end of the cosine
    n_epochs: float = 1.0
    batch_tokens: int = 4096
    lengths: tuple[int, ...] = (256, 384, 512, 768)
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    checkpoint_every: int = 50
    evaluate_every: int = 100
    compile: Literal["auto", "never"] = "auto"
    packed: bool = False
    frozen_layers: int = 0  # lowest layers left as they are, and the token rows with them: cheaper going on
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frozen_layers < 0:
            raise ConfigError(f"frozen_layers={self.frozen_layers!r} must not be negative")
        if self.rank < 1 or self.learning_rate <= 0 or self.n_epochs <= 0:
            raise ConfigError("rank, learning_rate and n_epochs must be positive")
        if list(self.lengths) != sorted(set(self.lengths)) or self.lengths[-1] > self.batch_tokens:
            raise ConfigError(f"lengths={self.lengths!r} must rise and fit batch_tokens={self.batch_tokens}")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run came to. `curve`: one row per logged step; `evaluations`: one per evaluation."""

    adapter: Path
    n_steps: int
    n_examples: int
    n_too_long: int
    seconds: float
    curve: list[dict[str, float]]
    evaluations: list[dict[str, float]]


def train_supervised(
    model: Any,
    tokenizer: Any,
    traces: Sequence[Trace],
    out: Path,
    config: SupervisedConfig | None = None,
    *,
    held_out: Sequence[Trace] = (),
    progress: bool = True,
    stop_after_s: float | None = None,
    start_from: Path | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> TrainResult:
    """Train an adapter for `model` on `traces` and write it to `out`/adapter.safetensors.

    held_out: traces for teacher-forced measures as it runs. stop_after_s: end early,
    the learning rate lowered in time and the last state saved. start_from: an adapter of the same rank to go on from.
    Raises DataError where no trace fits, ConfigError, WeightsError.
    """
    config = config or SupervisedConfig()
    started = time.monotonic()
    torch.manual_seed(config.seed)
    device, pad = model.device, tokenizer.pad_token_id
    examples = encode_traces(tokenizer, traces)
    fitting = _fitting(examples, config)
    if not fitting:
        raise DataError(f"none of {len(examples)} traces fits {config.lengths[-1]} tokens")
    packs = make_packs(examples, config.lengths[-1]) if config.packed else []
    batches = (
        pack_steps(packs, config.batch_tokens, config.seed, config.n_epochs)
        if packs
        else _batches(fitting, config)
    )
    held = _fixed_batches(_fitting(encode_traces(tokenizer, held_out), config), config)
    learner = _Learner(model, tokenizer, config)
    if start_from is not None:
        learner.start_from(start_from)
    if config.compile == "auto" and not packs and _can_compile(device):
        learner.compile_layers()
    optimiser = torch.optim.AdamW(
        learner.masters.values(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    start = None if start_from is None else file_digest(start_from)
    run = RunFolder(
        out, {"config": asdict(config), "data": _digest(fitting), "start": start, "examples": len(fitting)}
    )
    step = 0
    running: list[float] = []  # losses since the last logged row
    if (checkpoint := run.resume()) is not None:
        restore_training(checkpoint.tensors, learner.masters, optimiser)
        learner.scatter_masters()
        step, running = checkpoint.step, checkpoint.notes["running"]

    def keep() -> None:
        tensors = training_tensors(learner.masters, optimiser)
        run.checkpoint(
            step, tensors, beside=lambda folder: learner.save(folder / "adapter.safetensors"), running=running
        )

    bar = tqdm(total=len(batches), initial=step, desc="train retrieve", unit="step", disable=not progress)
    while step < len(batches):
        elapsed = time.monotonic() - started
        if stop_after_s is not None and elapsed > stop_after_s:
            break
        rate = learning_rate(
            step,
            len(batches),
            config.learning_rate,
            warmup_steps=config.warmup_steps,
            final_fraction=config.final_fraction,
            spent=elapsed / stop_after_s if stop_after_s else 0.0,
        )
        if packs:
            losses = learner.packed_losses([packs[index] for index in batches[step]])
        else:
            batch = _tensors([fitting[index] for index in batches[step]], config, pad, device)
            losses = iter([learner.loss(*batch)[0]])
        loss, norm = learner.update(losses, optimiser, rate)
        step += 1
        running.append(loss)
        bar.update()
        if step % 10 == 0 or step == len(batches):
            row = {"step": step, "loss": sum(running) / len(running), "rate": rate, "norm": norm}
            row["seconds"] = time.monotonic() - started
            running.clear()
            run.log(row)
            bar.set_postfix(loss=f"{row['loss']:.3f}")
            if report:
                report(row)
        if held and (step % config.evaluate_every == 0 or step == len(batches)):
            measures = {"step": step, **_evaluate(learner, held, config, pad, device)}
            run.log(measures)
            tqdm.write(json.dumps(measures))
        if step % config.checkpoint_every == 0:
            keep()
    bar.close()
    keep()
    adapter = out / "adapter.safetensors"
    learner.save(adapter)
    rows = run.rows()
    return TrainResult(
        adapter,
        step,
        len(fitting),
        len(examples) - len(fitting),
        time.monotonic() - started,
        [row for row in rows if "loss" in row],
        [row for row in rows if "held_loss" in row],
    )


class _Learner:
    """The model with what is trained in it: LoRA pairs and token rows, with float32 masters for the optimiser."""

    def __init__(self, model: Any, tokenizer: Any, config: SupervisedConfig) -> None:
        self.wrapped = wrap(model, rank=config.rank, alpha=config.alpha)
        self.model = cast(Any, self.wrapped.get_base_model())
        self.body = decoder_of(self.wrapped)
        self.embedding: Any = self.model.get_input_embeddings()
        self.head = self.model.get_output_embeddings().weight
        known = tokenizer.get_vocab()
        self.tokens = [*TAGS, *MARKERS]
        self.token_ids = torch.tensor([known[token] for token in self.tokens], device=self.head.device)
        self.row_of = torch.full((self.head.shape[0],), -1, device=self.head.device)
        self.row_of[self.token_ids] = torch.arange(len(self.tokens), device=self.head.device)
        self.rows = nn.Parameter(self.embedding.weight.detach()[self.token_ids].clone())
        self.rank = config.rank
        self.scale = config.alpha / config.rank
        self.trained: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in self.wrapped.named_parameters() if parameter.requires_grad
        }
        self.trained["token_rows"] = self.rows
        self.masters = {
            name: nn.Parameter(parameter.detach().float()) for name, parameter in self.trained.items()
        }
        self.clip_norm = config.clip_norm
        self.at_once = _CUDA_TOKENS if self.head.device.type == "cuda" else 0
        if config.frozen_layers:
            self._freeze(config.frozen_layers)

    def _freeze(self, n_layers: int) -> None:
        """Train neither the lowest layers nor the token rows."""
        freeze_layers(self.body, n_layers)
        self.rows.requires_grad_(False)

    @torch.no_grad()
    def start_from(self, path: Path) -> None:
        """Take over an adapter's values. Raises ConfigError where its rank or its modules differ."""
        adapter = read_adapter(path)
        shapes = {name: master.shape for name, master in self.masters.items() if name != "token_rows"}
        for name, value in start_values(adapter, shapes, scale=self.scale, path=path).items():
            self.masters[name].copy_(value)
        for place, token in enumerate(self.tokens):
            if token in adapter.rows:
                self.masters["token_rows"][place] = adapter.rows[token]
        self.scatter_masters()

    def compile_layers(self) -> None:
        """Compile each layer; the layers share their code, so a shape is compiled once for all."""
        torch._dynamo.config.cache_size_limit = max(64, torch._dynamo.config.cache_size_limit)
        for layer in self.body.layers:
            layer.compile(dynamic=False)

    def loss(self, ids: torch.Tensor, labelled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean cross-entropy at labelled positions and whether each is predicted, in reading order.

        ids, labelled: (batch, length). Padding is at the right, so the causal mask alone is enough.
        """
        hidden = self.body(inputs_embeds=self._embed(ids), use_cache=False).last_hidden_state
        state = hidden[:, :-1][labelled[:, 1:]]
        target = ids[:, 1:][labelled[:, 1:]]
        logits = self._logits(state)
        return nn.functional.cross_entropy(logits, target), logits.argmax(dim=-1) == target

    def packed_losses(self, packs: Sequence[Pack]) -> Iterator[torch.Tensor]:
        """Yield what each batch of packs has of the mean cross-entropy at the labels of all of them.

        On a CPU a batch is one pack, for padding is work; on CUDA launching is.
        """
        n_labels = sum(pack.n_labels for pack in packs)
        for batch in in_batches(packs, self.at_once):
            layout, before, target = lay_out_packs(self.model, batch)
            embedded = self._embed(layout.ids)
            hidden = self.body(inputs_embeds=embedded, use_cache=False, **layout.given).last_hidden_state
            logits = self._logits(hidden.flatten(0, 1)[before])
            yield nn.functional.cross_entropy(logits, target, reduction="sum") / n_labels

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of ids, our tokens' rows being those in training."""
        row = self.row_of[ids]
        scale = getattr(self.embedding, "embed_scale", None)
        rows = self.rows if scale is None else self.rows * scale.to(self.rows.dtype)
        return torch.where((row >= 0).unsqueeze(-1), rows[row.clamp(min=0)], self.embedding(ids))

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = states @ self.head.T
        return logits.index_copy(1, self.token_ids, states @ self.rows.T).float()

    def update(
        self, losses: Iterable[torch.Tensor], optimiser: torch.optim.Optimizer, rate: float
    ) -> tuple[float, float]:
        """Take one step on the sum of the losses; returns it and the gradient's norm before clipping."""
        for group in optimiser.param_groups:
            group["lr"] = rate
        total = 0.0
        for loss in losses:
            torch.autograd.backward(loss)
            total += float(loss.detach())
        for name, parameter in self.trained.items():
            self.masters[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = nn.utils.clip_grad_norm_(self.masters.values(), self.clip_norm)
        optimiser.step()
        self.scatter_masters()
        return total, float(norm)

    @torch.no_grad()
    def scatter_masters(self) -> None:
        """Put the masters' values into the model."""
        for name, parameter in self.trained.items():
            parameter.copy_(self.masters[name])

    def save(self, path: Path) -> None:
        """Write the adapter."""
        updates = updates_of(self.masters.items())
        save_adapter(path, updates, self.tokens, self.masters["token_rows"], scale=self.scale)


def _digest(examples: Sequence[Example]) -> str:
    data = hashlib.sha256()
    for example in examples:
        data.update(array("i", example.ids).tobytes() + bytes(example.labelled))
    return data.hexdigest()[:16]


def _fitting(examples: Sequence[Example], config: SupervisedConfig) -> list[Example]:
    return [example for example in examples if len(example.ids) <= config.lengths[-1]]


def _batches(examples: Sequence[Example], config: SupervisedConfig) -> list[list[int]]:
    """Return the example numbers of every step: like lengths together, order drawn by seed, epoch after epoch."""
    rng = random.Random(config.seed)
    steps: list[list[int]] = []
    for epoch in range(math.ceil(config.n_epochs)):
        order = list(range(len(examples)))
        rng.shuffle(order)
        if epoch + 1 > config.n_epochs:
            order = order[: round(len(order) * (config.n_epochs - epoch))]
        steps_now = []
        for length in config.lengths:
            members = [index for index in order if _bucket(len(examples[index].ids), config) == length]
            size = config.batch_tokens // length
            steps_now += [members[at : at + size] for at in range(0, len(members), size)]
        rng.shuffle(steps_now)
        steps += steps_now
    return steps


def _fixed_batches(examples: Sequence[Example], config: SupervisedConfig) -> list[list[Example]]:
    batches = []
    for length in config.lengths:
        members = [example for example in examples if _bucket(len(example.ids), config) == length]
        size = config.batch_tokens // length
        batches += [members[at : at + size] for at in range(0, len(members), size)]
    return batches


def _bucket(n_tokens: int, config: SupervisedConfig) -> int:
    return next(length for length in config.lengths if n_tokens <= length)


def _tensors(
    examples: Sequence[Example], config: SupervisedConfig, pad: int, device: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and label mask (rows, length), always as many rows as the length allows, the rest padding."""
    length = _bucket(max(len(example.ids) for example in examples), config)
    n_rows = config.batch_tokens // length
    ids = torch.full((n_rows, length), pad)
    labelled = torch.zeros((n_rows, length), dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        labelled[row, : len(example.ids)] = torch.tensor(example.labelled)
    return ids.to(device), labelled.to(device)


@torch.no_grad()
def _evaluate(
    learner: _Learner, batches: Sequence[Sequence[Example]], config: SupervisedConfig, pad: int, device: Any
) -> dict[str, float]:
    """Teacher-forced measures: loss per label, labels predicted, traces predicted whole, pointers predicted."""
    losses: list[float] = []
    right = labels = whole = traces = pointers = pointers_right = 0
    markers = set(learner.token_ids[len(TAGS) :].tolist())
    for batch in batches:
        ids, labelled = _tensors(batch, config, pad, device)
        loss, hits = learner.loss(ids, labelled)
        losses.append(float(loss.detach()))
        at = 0
        for example in batch:
            targets = [token for token, label in zip(example.ids, example.labelled, strict=True) if label]
            own = hits[at : at + len(targets)].tolist()
            at += len(targets)
            right, labels = right + sum(own), labels + len(own)
            whole, traces = whole + all(own), traces + 1
            pointed = [hit for token, hit in zip(targets, own, strict=True) if token in markers]
            pointers, pointers_right = pointers + len(pointed), pointers_right + sum(pointed)
    return {
        "held_loss": sum(losses) / len(losses),
        "labels_right": right / labels,
        "whole_right": whole / traces,
        "pointers_right": pointers_right / max(1, pointers),
    }


def _can_compile(device: torch.device) -> bool:
    """Compiling pays in long runs and needs a C++ compiler on a CPU."""
    return device.type == "cuda" or shutil.which("g++") is not None or shutil.which("clang++") is not None


def main() -> None:
    import argparse

    from retrieve.base import load_base
    from training.dataset import load_set
    from training.mixture import left_out, read_traces

    parser = argparse.ArgumentParser(
        description="Train the retrieve model's adapter on written traces; resumes by itself."
    )
    parser.add_argument(
        "--traces", type=Path, required=True, help="folder with train.jsonl and held_out.jsonl"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run: log, checkpoints, adapter"
    )
    parser.add_argument(
        "--leave-out",
        type=Path,
        help="no traces of this labelled set's questions: kept for reinforcement (training.sheet_practice)",
    )
    parser.add_argument(
        "--base", default=None, help="causal LM by path or hub name (default: the embedded one)"
    )
    parser.add_argument(
        "--start-from", type=Path, default=None, help="an adapter of the same rank to go on from"
    )
    parser.add_argument(
        "--stop-after-s", type=float, default=None, help="end by then, the rate lowered in time"
    )
    defaults = SupervisedConfig()
    options = (
        "learning_rate",
        "n_epochs",
        "rank",
        "frozen_layers",
        "batch_tokens",
        "evaluate_every",
        "checkpoint_every",
        "seed",
    )
    for name in options:
        default = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=defaults.lengths, help="padded to; longer is left out"
    )
    parser.add_argument(
        "--packed", action="store_true", help="read once what traces begin with, up to the longest length"
    )
    parser.add_argument("--compile", choices=("auto", "never"), default=defaults.compile)
    arguments = parser.parse_args()
    traces = read_traces(arguments.traces / "train.jsonl")
    if arguments.leave_out is not None:
        n_built = len(traces)
        traces = left_out(traces, load_set(arguments.leave_out).questions)
        print(f"{n_built - len(traces)} of {n_built} traces left out", flush=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, tokenizer = load_base(arguments.base, device=device)
    config = SupervisedConfig(
        **{name: getattr(arguments, name) for name in options},
        alpha=2 * arguments.rank,
        lengths=tuple(arguments.lengths),
        compile=arguments.compile,
        packed=arguments.packed,
    )
    result = train_supervised(
        model,
        tokenizer,
        traces,
        arguments.out,
        config,
        held_out=read_traces(arguments.traces / "held_out.jsonl"),
        stop_after_s=arguments.stop_after_s,
        start_from=arguments.start_from,
        report=lambda row: print(json.dumps(row), flush=True),
    )
    print(
        f"{result.n_steps} steps over {result.n_examples} traces in {result.seconds:.0f} s: {result.adapter}"
    )


if __name__ == "__main__":
    main()
