"""Packing: traces with the same prompt in one sequence, so that the prompt is read once.

A packed sequence is laid out like the completions of a prompt (`training.traces.packed_logprobs`): every trace sees the
prompt and itself, at the positions it would have alone, so that the loss is that of the single traces.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.traces.packed_logprobs import Layout, lay_out_rows
from training.traces.traces import Trace

__all__ = [
    "PackedSequence",
    "TokenizedTrace",
    "batch_packed",
    "encode_traces",
    "lay_out_packed",
    "pack_traces",
    "plan_packed_steps",
]


@dataclass(frozen=True, slots=True)
class TokenizedTrace:
    """Token ids of one trace, and which of them are labels (never the first). n_first: of its first segment."""

    ids: tuple[int, ...]
    labelled: tuple[bool, ...]
    n_first: int = 0


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """A prompt without labels, and the parts of different traces that follow it."""

    prompt: tuple[int, ...]
    parts: tuple[TokenizedTrace, ...]

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + sum(len(part.ids) for part in self.parts)

    @property
    def n_labels(self) -> int:
        return sum(sum(part.labelled) for part in self.parts)


def lay_out_packed(
    model: Any,
    rows: Sequence[Sequence[PackedSequence]],
    *,
    shape: tuple[int, int] = (0, 0),
) -> tuple[Layout, torch.Tensor, torch.Tensor]:
    """Return packed sequences in rows of one batch, the indices of the states that predict labels, and the labels.

    Indices and labels: (n_labels,); indices count the states of all rows flattened. shape: see
    `training.traces.packed_logprobs.lay_out_rows`.
    """
    groups = [[(sequence.prompt, [part.ids for part in sequence.parts]) for sequence in row] for row in rows]
    layout = lay_out_rows(model, groups, shape=shape)
    parts = [part for row in rows for sequence in row for part in sequence.parts]
    written = [token for part in parts for token in part.ids]
    labelled = [label for part in parts for label in part.labelled]
    before = [at for at, label in zip(layout.before, labelled, strict=True) if label]
    target = [token for token, label in zip(written, labelled, strict=True) if label]
    return layout, torch.tensor(before, device=model.device), torch.tensor(target, device=model.device)


def batch_packed(
    packed: Sequence[PackedSequence], shape: tuple[int, int]
) -> list[list[list[PackedSequence]]]:
    """Return packed sequences in batches of rows, each row filled to a length, long sequences first.

    shape: rows of a batch and their length; (1, 0) gives each sequence a batch of its own.
    """
    n_rows, length = shape
    rows: list[list[PackedSequence]] = []
    filled: list[int] = []
    for sequence in sorted(packed, key=lambda sequence: sequence.n_tokens, reverse=True):
        at = next((at for at, n in enumerate(filled) if n + sequence.n_tokens <= length), len(rows))
        if at == len(rows):
            rows.append([])
            filled.append(0)
        rows[at].append(sequence)
        filled[at] += sequence.n_tokens
    return [rows[at : at + n_rows] for at in range(0, len(rows), n_rows)]


def encode_traces(tokenizer: Any, traces: Sequence[Trace]) -> list[TokenizedTrace]:
    """Return the token ids of traces; segments meet at tags, so tokenising them apart changes nothing.

    Equal segments are read once.
    """
    texts = list(dict.fromkeys(text for trace in traces for text, _ in trace.segments))
    encoded = (
        tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"] if texts else []
    )
    ids_of = dict(zip(texts, encoded, strict=True))
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    examples = []
    for trace in traces:
        ids, labelled = [*begin], [False] * len(begin)
        for text, trained in trace.segments:
            ids += ids_of[text]
            labelled += [trained] * len(ids_of[text])
        n_first = len(begin) + len(ids_of[trace.segments[0][0]])
        examples.append(TokenizedTrace(tuple(ids), tuple(labelled), n_first))
    return examples


def pack_traces(examples: Sequence[TokenizedTrace], longest: int) -> list[PackedSequence]:
    """Return traces packed by their first segment, sequences of at most `longest` tokens, in their order.

    A trace that is longer by itself is left out.
    """
    groups: dict[tuple[int, ...], list[TokenizedTrace]] = {}
    for example in examples:
        if len(example.ids) <= longest:
            groups.setdefault(example.ids[: example.n_first], []).append(example)
    packed: list[PackedSequence] = []
    for prompt, members in groups.items():
        n_prompt = len(prompt)
        parts: list[TokenizedTrace] = []
        n_tokens = n_prompt
        for member in members:
            part = TokenizedTrace(member.ids[n_prompt:], member.labelled[n_prompt:])
            if parts and n_tokens + len(part.ids) > longest:
                packed.append(PackedSequence(prompt, tuple(parts)))
                parts, n_tokens = [], n_prompt
            parts.append(part)
            n_tokens += len(part.ids)
        packed.append(PackedSequence(prompt, tuple(parts)))
    return packed


def plan_packed_steps(
    packed: Sequence[PackedSequence], batch_tokens: int, seed: int, n_epochs: float
) -> list[list[int]]:
    """Return the numbers of each step's sequences, up to `batch_tokens` in all; every epoch is shuffled anew."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < n_epochs * len(packed):
        epoch = list(range(len(packed)))
        rng.shuffle(epoch)
        order += epoch
    steps: list[list[int]] = [[]]
    filled = 0
    for number in order[: round(n_epochs * len(packed))]:
        if steps[-1] and filled + packed[number].n_tokens > batch_tokens:
            steps.append([])
            filled = 0
        steps[-1].append(number)
        filled += packed[number].n_tokens
    return [step for step in steps if step]
