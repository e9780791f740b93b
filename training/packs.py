"""Traces as token ids: alone, or several behind the one prompt that they begin with, which is then read once.

A pack is laid out like the completions of a prompt when episodes are scored (`training.packed`): every trace sees the
prompt and itself, at the positions it would have alone, so that training on a pack is training on its traces.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.packed import Layout, lay_out
from training.traces import Trace

__all__ = ["Example", "Pack", "encode_trace", "make_packs", "pack_steps"]


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one trace, and which of them are labels (never the first)."""

    ids: tuple[int, ...]
    labelled: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Pack:
    """A prompt without labels, and what different traces have behind it."""

    prompt: tuple[int, ...]
    parts: tuple[Example, ...]

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + sum(len(part.ids) for part in self.parts)

    @property
    def n_labels(self) -> int:
        return sum(sum(part.labelled) for part in self.parts)

    def lay_out(self, model: Any) -> tuple[Layout, torch.Tensor, torch.Tensor]:
        """Return the layout, where the states stand that predict labels, and the labels, both (n_labels,)."""
        layout = lay_out(model, self.prompt, [part.ids for part in self.parts])
        labelled = [label for part in self.parts for label in part.labelled]
        before = [at for at, label in zip(layout.before, labelled, strict=True) if label]
        mask = torch.tensor(labelled, device=model.device)
        return layout, torch.tensor(before, device=model.device), layout.ids[len(self.prompt) :][mask]


def encode_trace(tokenizer: Any, trace: Trace) -> Example:
    """Return the token ids of a trace; segments meet at tags, so tokenising them apart changes nothing."""
    ids: list[int] = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    labelled = [False] * len(ids)
    for text, trained in trace.segments:
        part = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        ids += part
        labelled += [trained] * len(part)
    return Example(tuple(ids), tuple(labelled))


def make_packs(
    traces: Sequence[Trace], examples: Sequence[Example], tokenizer: Any, longest: int
) -> list[Pack]:
    """Put traces with the same first segment behind one prompt, packs of at most `longest` tokens, in their order.

    examples: the traces' token ids. A trace that is longer alone is left out.
    """
    groups: dict[str, list[Example]] = {}
    for trace, example in zip(traces, examples, strict=True):
        if len(example.ids) <= longest:
            groups.setdefault(trace.segments[0][0], []).append(example)
    packs: list[Pack] = []
    for first, members in groups.items():
        n_prompt = len(encode_trace(tokenizer, Trace("", "", ((first, False),))).ids)
        prompt = members[0].ids[:n_prompt]
        parts: list[Example] = []
        n_tokens = n_prompt
        for member in members:
            part = Example(member.ids[n_prompt:], member.labelled[n_prompt:])
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
