"""Traces as token ids: alone, or several behind the one prompt that they begin with, which is then read once.

A pack is laid out like the completions of a prompt when episodes are scored (`training.traces.packed_logprobs`):
every trace sees the prompt and itself, at the positions it would have alone, so that training on a pack is training
on its traces.
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
    "Pack",
    "TokenizedTrace",
    "encode_traces",
    "in_batches",
    "lay_out_packs",
    "make_packs",
    "pack_steps",
]


@dataclass(frozen=True, slots=True)
class TokenizedTrace:
    """Token ids of one trace, and which of them are labels (never the first). n_first: of its first segment."""

    ids: tuple[int, ...]
    labelled: tuple[bool, ...]
    n_first: int = 0


@dataclass(frozen=True, slots=True)
class Pack:
    """A prompt without labels, and what different traces have behind it."""

    prompt: tuple[int, ...]
    parts: tuple[TokenizedTrace, ...]

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + sum(len(part.ids) for part in self.parts)

    @property
    def n_labels(self) -> int:
        return sum(sum(part.labelled) for part in self.parts)


def lay_out_packs(
    model: Any,
    rows: Sequence[Sequence[Pack]],
    *,
    shape: tuple[int, int] = (0, 0),
) -> tuple[Layout, torch.Tensor, torch.Tensor]:
    """Return packs in rows of one batch, where the states stand that predict labels, and the labels, both (n_labels,).

    The places are those of the rows' states behind one another. shape: see
    `training.traces.packed_logprobs.lay_out_rows`.
    """
    groups = [[(pack.prompt, [part.ids for part in pack.parts]) for pack in row] for row in rows]
    layout = lay_out_rows(model, groups, shape=shape)
    parts = [part for row in rows for pack in row for part in pack.parts]
    written = [token for part in parts for token in part.ids]
    labelled = [label for part in parts for label in part.labelled]
    before = [at for at, label in zip(layout.before, labelled, strict=True) if label]
    target = [token for token, label in zip(written, labelled, strict=True) if label]
    return layout, torch.tensor(before, device=model.device), torch.tensor(target, device=model.device)


def in_batches(packs: Sequence[Pack], shape: tuple[int, int]) -> list[list[list[Pack]]]:
    """Return packs in batches of rows: each row filled to a length, long packs first, each batch with so many rows.

    shape: rows and their length; a pack alone is a batch where there is one row of no length.
    """
    n_rows, length = shape
    rows: list[list[Pack]] = []
    filled: list[int] = []
    for pack in sorted(packs, key=lambda pack: pack.n_tokens, reverse=True):
        at = next((at for at, n in enumerate(filled) if n + pack.n_tokens <= length), len(rows))
        if at == len(rows):
            rows.append([])
            filled.append(0)
        rows[at].append(pack)
        filled[at] += pack.n_tokens
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


def make_packs(examples: Sequence[TokenizedTrace], longest: int) -> list[Pack]:
    """Put traces with the same first segment behind one prompt, packs of at most `longest` tokens, in their order.

    examples: the traces' token ids. A trace that is longer alone is left out.
    """
    groups: dict[tuple[int, ...], list[TokenizedTrace]] = {}
    for example in examples:
        if len(example.ids) <= longest:
            groups.setdefault(example.ids[: example.n_first], []).append(example)
    packs: list[Pack] = []
    for prompt, members in groups.items():
        n_prompt = len(prompt)
        parts: list[TokenizedTrace] = []
        n_tokens = n_prompt
        for member in members:
            part = TokenizedTrace(member.ids[n_prompt:], member.labelled[n_prompt:])
            if parts and n_tokens + len(part.ids) > longest:
                packs.append(Pack(prompt, tuple(parts)))
                parts, n_tokens = [], n_prompt
            parts.append(part)
            n_tokens += len(part.ids)
        packs.append(Pack(prompt, tuple(parts)))
    return packs


def pack_steps(packs: Sequence[Pack], batch_tokens: int, seed: int, n_epochs: float) -> list[list[int]]:
    """Return the numbers of each step's packs, as many as hold `batch_tokens`; each epoch in an order of its own."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < n_epochs * len(packs):
        epoch = list(range(len(packs)))
        rng.shuffle(epoch)
        order += epoch
    steps: list[list[int]] = [[]]
    filled = 0
    for number in order[: round(n_epochs * len(packs))]:
        if steps[-1] and filled + packs[number].n_tokens > batch_tokens:
            steps.append([])
            filled = 0
        steps[-1].append(number)
        filled += packs[number].n_tokens
    return [step for step in steps if step]
