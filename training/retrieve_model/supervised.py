"""Supervised training of the retrieve model on traces: low-rank adapters and our own tokens' embeddings.

Our own loop instead of trl's SFTTrainer, because on a CPU four things it does not offer make it several times faster:
logits are computed at labelled positions only (the vocabulary is a quarter of the model), the frozen base stays in
bfloat16 while the optimiser keeps float32 masters of what is trained, batches have a few fixed shapes so that the
layers can be compiled, and only the tags' and markers' embedding rows are trained. Runs on CUDA unchanged.

Resumable (`training.runs.run_folder`): a run that is started again goes on with the same batches in the same order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from prep.errors import ConfigError, DataError
from prep.manifest import file_digest
from retrieve.lm.special_tokens import TAGS
from retrieve.model import RetrieveModel
from training.retrieve_model.padded_batches import fitting, fixed_batches, padded_tensors, plan_steps
from training.retrieve_model.supervised_config import SupervisedConfig
from training.retrieve_model.trainer import AdapterTrainer
from training.runs.run_folder import RunFolder
from training.runs.training_loop import Schedule, TrainingLoop
from training.traces.channel_traces import channel_traces
from training.traces.packing import (
    PackedSequence,
    TokenizedTrace,
    encode_traces,
    pack_traces,
    plan_packed_steps,
)
from training.traces.traces import Trace

__all__ = ["TrainResult", "train_supervised"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The result of a run. `curve`: one row per logged step; `evaluations`: one per evaluation."""

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
    on_progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainResult:
    """Train an adapter for `model` on `traces` and write it to `out`/adapter.safetensors.

    held_out: traces for teacher-forced measures as it runs. stop_after_s: end early,
    the learning rate lowered in time and the last state saved. start_from: an adapter of the same rank to go on from.
    Raises DataError where no trace fits, ConfigError, WeightsError.
    """
    config = config or SupervisedConfig()
    if config.channel_of and held_out:
        raise ConfigError(
            "a noisy-channel model is measured by its reranking (training.retrieve_model.tune_reranking)"
        )
    started = time.monotonic()
    torch.manual_seed(config.seed)
    work = _Work.of(tokenizer, traces, held_out, config)
    trainer = AdapterTrainer(model, tokenizer, config)
    if start_from is not None:
        trainer.start_from(start_from)
    compiles = (
        config.compile == "auto" and not config.channel_of
    )  # suffixes of a shared prefix have any shape
    if compiles and _can_compile(model.device, packed=bool(work.packed)):
        trainer.compile_layers()
    optimiser = torch.optim.AdamW(
        trainer.masters.values(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    start = None if start_from is None else file_digest(start_from)
    made_of = {"data": _digest(work.examples), "start": start, "examples": len(work.examples)}
    run = RunFolder(out, {"config": asdict(config), **made_of})
    schedule = Schedule(
        n_steps=len(work.steps),
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        final_fraction=config.final_fraction,
        clip_norm=config.clip_norm,
        log_steps=10,
        evaluate_steps=config.evaluate_every,
        checkpoint_steps=config.checkpoint_every,
        stop_after_s=stop_after_s,
    )
    loop = TrainingLoop(
        run, trainer.masters, optimiser, schedule, started=started, on_update=trainer.scatter_masters
    )
    step = loop.run(
        lambda step: {"loss": trainer.backward(work.losses(step, trainer))},
        description="train retrieve",
        evaluate=(lambda _: [_evaluate(trainer, work)]) if work.held_out else None,
        on_log=on_progress,
        beside=lambda folder: trainer.save(folder / "adapter.safetensors"),
        progress=progress,
    )
    adapter = out / "adapter.safetensors"
    trainer.save(adapter)
    rows = run.rows()
    return TrainResult(
        adapter,
        step,
        len(work.examples),
        work.n_too_long,
        time.monotonic() - started,
        [row for row in rows if "loss" in row],
        [row for row in rows if "held_loss" in row],
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """The data of a run. steps: the numbers of each step's packed sequences, or examples where nothing is packed.

    held_out: batches of one length each.
    """

    config: SupervisedConfig
    pad: int
    examples: list[TokenizedTrace]
    packed: list[PackedSequence]
    steps: list[list[int]]
    held_out: list[list[TokenizedTrace]]
    n_too_long: int

    @classmethod
    def of(
        cls, tokenizer: Any, traces: Sequence[Trace], held_out: Sequence[Trace], config: SupervisedConfig
    ) -> _Work:
        """Raises DataError where no trace fits."""
        examples = encode_traces(tokenizer, channel_traces(traces) if config.channel_of else traces)
        kept = fitting(examples, config)
        if not kept:
            raise DataError(f"none of {len(examples)} traces fits {config.lengths[-1]} tokens")
        packed = pack_traces(examples, config.lengths[-1]) if config.packed else []
        if packed:
            steps = plan_packed_steps(packed, config.batch_tokens, config.seed, config.n_epochs)
        else:
            steps = plan_steps(kept, config)
        held = fixed_batches(fitting(encode_traces(tokenizer, held_out), config), config)
        return cls(config, tokenizer.pad_token_id, kept, packed, steps, held, len(examples) - len(kept))

    def losses(self, step: int, trainer: AdapterTrainer) -> Iterator[torch.Tensor]:
        """Yield the parts of a step's loss."""
        if self.packed:
            yield from trainer.packed_losses([self.packed[number] for number in self.steps[step]])
        else:
            examples = [self.examples[number] for number in self.steps[step]]
            yield trainer.loss(*self.tensors(examples, trainer))[0]

    def tensors(
        self, examples: Sequence[TokenizedTrace], trainer: AdapterTrainer
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and label mask of examples of one length, see `training.retrieve_model.padded_batches`."""
        return padded_tensors(examples, self.config, self.pad, trainer.head.device)


def _digest(examples: Sequence[TokenizedTrace]) -> str:
    data = hashlib.sha256()
    for example in examples:
        data.update(array("i", example.ids).tobytes() + bytes(example.labelled))
    return data.hexdigest()[:16]


@torch.no_grad()
def _evaluate(trainer: AdapterTrainer, work: _Work) -> dict[str, float]:
    """Teacher-forced measures: loss per label, labels predicted, traces predicted whole, pointers predicted."""
    losses: list[float] = []
    right = labels = whole = traces = pointers = pointers_right = 0
    markers = set(trainer.token_ids[len(TAGS) :].tolist())
    for batch in work.held_out:
        ids, labelled = work.tensors(batch, trainer)
        loss, hits = trainer.loss(ids, labelled)
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


def _can_compile(device: torch.device, *, packed: bool) -> bool:
    """Compiling pays in long runs and needs a C++ compiler on a CPU, where packed sequences have no fixed shape."""
    if device.type == "cuda":
        return True
    return not packed and (shutil.which("g++") is not None or shutil.which("clang++") is not None)


# Settings with a command-line option of the same name.
_OPTIONS = (
    "learning_rate",
    "n_epochs",
    "rank",
    "frozen_layers",
    "batch_tokens",
    "evaluate_every",
    "checkpoint_every",
    "seed",
)


def _parser() -> argparse.ArgumentParser:
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
        help="no traces of this labelled set's questions: kept for reinforcement (training.traces.packed_example_set)",
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
    for name in _OPTIONS:
        default = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=defaults.lengths, help="padded to; longer is left out"
    )
    parser.add_argument(
        "--packed", action="store_true", help="pack traces with the same prompt, up to the longest length"
    )
    parser.add_argument(
        "--channel-of",
        type=Path,
        metavar="VERSION",
        help="train the noisy-channel model of this version (retrieve.decoding.noisy_channel)",
    )
    parser.add_argument("--compile", choices=("auto", "never"), default=defaults.compile)
    return parser


def main() -> None:
    from retrieve.lm.base import load_base
    from training.data.dataset import load_set
    from training.traces.mixture import left_out, read_traces

    arguments = _parser().parse_args()
    traces = read_traces(arguments.traces / "train.jsonl")
    if arguments.leave_out is not None:
        n_built = len(traces)
        traces = left_out(traces, load_set(arguments.leave_out).questions)
        print(f"{n_built - len(traces)} of {n_built} traces left out", flush=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.channel_of is not None:
        version = RetrieveModel.load(arguments.channel_of, base=arguments.base, device=device)
        model, tokenizer, channel_of = version.model, version.tokenizer, version.version
    else:
        (model, tokenizer), channel_of = load_base(arguments.base, device=device), ""
    config = SupervisedConfig(
        **{name: getattr(arguments, name) for name in _OPTIONS},
        alpha=2 * arguments.rank,
        lengths=tuple(arguments.lengths),
        compile=arguments.compile,
        packed=arguments.packed or bool(channel_of),
        channel_of=channel_of,
    )
    result = train_supervised(
        model,
        tokenizer,
        traces,
        arguments.out,
        config,
        held_out=() if channel_of else read_traces(arguments.traces / "held_out.jsonl"),
        stop_after_s=arguments.stop_after_s,
        start_from=arguments.start_from,
        on_progress=lambda row: print(json.dumps(row), flush=True),
    )
    print(
        f"{result.n_steps} steps over {result.n_examples} traces in {result.seconds:.0f} s: {result.adapter}"
    )


if __name__ == "__main__":
    main()
