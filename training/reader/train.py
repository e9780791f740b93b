"""Train the reader on examples, for so many minutes: AdamW, bfloat16 where it is fast, checkpoints to go on from.

A step reads some questions with all their passages: the pairs are run through the encoder like by like, so that
padding is small, and the loss is taken over all of them. The rate falls in a straight line to the end of the time. A
second list of examples may take over from the first at a share of the time (`ReaderTraining.second_from`).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prep.checks import check_counts
from prep.errors import ConfigError
from prep.hardware import cpu_dtype
from prep.model.encoder import Encoder, like_lengths
from retrieve.reader.calibration import Calibration
from retrieve.reader.inputs import InputLimits, PairBatch, join_pairs
from retrieve.reader.network import ReaderNetwork, ReaderScores, trained_parameters
from retrieve.reader.reader import Reader
from training.reader.examples import Example, ExampleFiles, RightPlaces, type_number
from training.reader.loss import LossWeights, Targets, reader_loss
from training.runs.run_folder import RunFolder
from training.runs.training_loop import restore_training, training_tensors

__all__ = [
    "ReaderTraining",
    "TrainedReader",
    "batch_loss",
    "checkpoint_reader",
    "new_network",
    "train_reader",
]

_LOG = logging.getLogger(__name__)
_BATCH_TOKENS = 2600  # of one pass through the encoder
_LOGGED_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderTraining:
    """How the reader is trained. minutes: of training, over all its parts where it was interrupted."""

    minutes: float = 90.0
    questions_per_step: int = 8
    learning_rate: float = 1.5e-4
    heads_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.03
    clip: float = 1.0
    checkpoint_minutes: float = 5.0
    max_steps: int = 1_000_000
    seed: int = 0
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        check_counts(self, "questions_per_step", "max_steps")
        if self.minutes <= 0 or self.learning_rate <= 0:
            raise ConfigError("minutes and learning_rate must be positive")


@dataclass(frozen=True, slots=True)
class TrainedReader:
    """A trained network, after so many steps and seconds of training."""

    network: ReaderNetwork
    n_steps: int
    seconds: float


def new_network(encoder: Encoder, seed: int = 0) -> ReaderNetwork:
    """Return a network that starts from the encoder's weights, in float32, with heads of small random weights."""
    torch.manual_seed(seed)
    network = ReaderNetwork(encoder.model, encoder.dimension).float()
    # transformers' attention of its own trains a fifth faster here than the fused one (LOG.md, 2026-12-01).
    choose: Any = getattr(encoder.model, "set_attn_implementation", None)
    if choose is not None:
        choose("eager")
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # a few thousand steps over data seen once do not overfit, and masks cost time
    network.requires_grad_(False)
    for parameter in trained_parameters(network).values():
        parameter.requires_grad_(True)
    return network


def train_reader(
    examples: Callable[[float], ExampleFiles],
    encoder: Encoder,
    folder: str | Path,
    settings: ReaderTraining,
    *,
    start: Mapping[str, torch.Tensor] | None = None,
    on_step: Callable[[dict[str, float]], object] | None = None,
) -> TrainedReader:
    """Train a reader and return it; what is in `folder` already is gone on from.

    examples: gives what to learn from at a share of the time that is spent; another object, another list from there.
    start: the trained weights of another reader of this encoder, to begin with instead of fresh heads.
    on_step: called with every logged row.
    """
    network = new_network(encoder, settings.seed)
    trained = trained_parameters(network)
    if start is not None:
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(start[name])
    of_encoder = [one for name, one in trained.items() if name.startswith("encoder.")]
    of_heads = [one for name, one in trained.items() if not name.startswith("encoder.")]
    optimiser = torch.optim.AdamW(
        [
            {"params": of_encoder, "peak": settings.learning_rate},
            {"params": of_heads, "peak": settings.heads_learning_rate},
        ],
        weight_decay=settings.weight_decay,
    )
    run = RunFolder(folder, {"settings": asdict(settings), "encoder": encoder.fingerprint})
    step, spent_s = 0, 0.0
    if (found := run.resume()) is not None:
        restore_training(found.tensors, trained, optimiser)
        step, spent_s = found.step, float(found.notes["spent_s"])
        _LOG.info("going on from step %d, %.0f s", step, spent_s)
    total_s = settings.minutes * 60
    network.train()
    sums: dict[str, float] = {}
    n_summed = 0
    files: ExampleFiles | None = None
    batches: Iterator[list[Example]] = iter(())
    before = last_checkpoint = time.monotonic()
    while spent_s < total_s and step < settings.max_steps:
        share = spent_s / total_s
        wanted = examples(share)
        if wanted is not files:
            batches = _batches(wanted.examples, settings, skip=step if files is None else 0)
            files = wanted
            before = time.monotonic()  # reading them is not training
        rate = min(1.0, share / settings.warmup_share) if settings.warmup_share else 1.0
        rate = max(rate, 0.02) if share < settings.warmup_share else (1 - share) / (1 - settings.warmup_share)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * rate
        batch = next(batches)
        parts = batch_loss(network, encoder, files, batch, settings.weights)
        optimiser.zero_grad()
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.values(), settings.clip)
        optimiser.step()
        step += 1
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + float(part.detach())
        n_summed += 1
        now = time.monotonic()
        spent_s, before = spent_s + now - before, now
        if step % _LOGGED_EVERY == 0:
            means = {name: round(value / n_summed, 4) for name, value in sums.items()}
            sums, n_summed = {}, 0
            row = {"step": step, "spent_s": round(spent_s, 1), "rate": rate, **means}
            run.log(row)
            if on_step is not None:
                on_step(row)
        if now - last_checkpoint > settings.checkpoint_minutes * 60:
            run.checkpoint(step, training_tensors(trained, optimiser), spent_s=spent_s)
            last_checkpoint = now
    run.checkpoint(step, training_tensors(trained, optimiser), spent_s=spent_s)
    return TrainedReader(network.eval(), step, spent_s)


def batch_loss(
    network: ReaderNetwork,
    encoder: Encoder,
    files: ExampleFiles,
    batch: Sequence[Example],
    weights: LossWeights,
) -> dict[str, torch.Tensor]:
    """Return the parts of the loss of some examples."""
    pairs = [
        (question, place, files.passages[number])
        for question, example in enumerate(batch)
        for place, number in enumerate(example.passages)
    ]
    lengths = [
        len(batch[question].question) + len(passage.header) + len(passage.text)
        for question, _, passage in pairs
    ]
    scores, joined, order = [], [], []
    dtype = cpu_dtype()
    for rows in like_lengths(lengths, _BATCH_TOKENS):
        part = join_pairs(encoder, [(batch[pairs[row][0]].question, pairs[row][2]) for row in rows])
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            scores.append(network(part))
        joined.append(part)
        order += rows
    targets = _targets(batch, [pairs[row][:2] for row in order], joined)
    return reader_loss(ReaderScores.joined(scores), targets, weights)


def _targets(
    batch: Sequence[Example], order: Sequence[tuple[int, int]], joined: Sequence[PairBatch]
) -> Targets:
    """Return what is right, in the order in which the pairs were run: (question, place in its passages) each."""
    sizes = [
        (
            part.first_token[row + 1] - part.first_token[row],
            part.first_sentence[row + 1] - part.first_sentence[row],
        )
        for part in joined
        for row in range(len(part.first_token) - 1)
    ]
    passages, types, pair_question = [], [], []
    sentences: list[bool] = []
    starts: list[bool] = []
    ends: list[bool] = []
    sentence_question: list[int] = []
    token_question: list[int] = []
    nothing = RightPlaces((), (), ())
    for (question, place), (n_tokens, n_sentences) in zip(order, sizes, strict=True):
        example = batch[question]
        right = example.right.get(place, nothing)
        is_right = place in example.right
        passages.append(is_right)
        types.append(type_number(example.answer_type) if is_right else -1)
        pair_question.append(question)
        sentences += _marks(n_sentences, right.sentences)
        starts += _marks(n_tokens, right.starts)
        ends += _marks(n_tokens, right.ends)
        sentence_question += [question] * n_sentences
        token_question += [question] * n_tokens
    return Targets(
        len(batch),
        torch.tensor(pair_question),
        torch.tensor(sentence_question),
        torch.tensor(token_question),
        torch.tensor(passages),
        torch.tensor(sentences),
        torch.tensor(starts),
        torch.tensor(ends),
        torch.tensor([example.soft for example in batch]),
        torch.tensor([example.no_span for example in batch]),
        torch.tensor(types),
    )


def _marks(size: int, places: Sequence[int]) -> list[bool]:
    marks = [False] * size
    for place in places:
        marks[place] = True
    return marks


def _batches(examples: Sequence[Example], settings: ReaderTraining, *, skip: int) -> Iterator[list[Example]]:
    """Yield examples in the order given, then again in others, without end; skip: so many batches came before."""
    order = list(range(len(examples)))
    size = settings.questions_per_step
    skip = skip * size % max(1, len(examples))
    epoch = 0
    if not examples:
        raise ConfigError("there are no examples to train on")
    waiting: list[int] = order[skip:]
    while True:
        while len(waiting) < size:
            epoch += 1
            random.Random(f"{settings.seed} {epoch}").shuffle(order)
            waiting += order
        yield [examples[row] for row in waiting[:size]]
        waiting = waiting[size:]


def checkpoint_reader(
    folder: str | Path,
    encoder: Encoder,
    calibration: Calibration,
    *,
    limits: InputLimits | None = None,
) -> tuple[Reader, int]:
    """Return the reader of a run's newest checkpoint, and after how many steps. Raises ConfigError where none is.

    encoder: the base that it was trained from; its weights become the reader's.
    """
    from safetensors.torch import load_file

    found = sorted(Path(folder).glob("checkpoints/step-*/complete"))
    if not found:
        raise ConfigError(f"{folder} has no complete checkpoint")
    held = load_file(found[-1].parent / "state.safetensors")
    network = ReaderNetwork(encoder.model, encoder.dimension)
    with torch.no_grad():
        for name, parameter in trained_parameters(network).items():
            parameter.copy_(held[f"{name}.value"])
    step = int(found[-1].parent.name.removeprefix("step-"))
    return Reader(encoder, network, limits or InputLimits(), calibration), step
