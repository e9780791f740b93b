"""Traces in padded batches of a few fixed shapes, so that layers can be compiled; the rest is packed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import torch

from training.retrieve_model.supervised_config import SupervisedConfig
from training.traces.packing import TokenizedTrace

__all__ = ["fitting", "fixed_batches", "padded_tensors", "plan_steps"]


def fitting(examples: Sequence[TokenizedTrace], config: SupervisedConfig) -> list[TokenizedTrace]:
    """Return the examples that are not longer than the longest length."""
    return [example for example in examples if len(example.ids) <= config.lengths[-1]]


def plan_steps(examples: Sequence[TokenizedTrace], config: SupervisedConfig) -> list[list[int]]:
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


def fixed_batches(examples: Sequence[TokenizedTrace], config: SupervisedConfig) -> list[list[TokenizedTrace]]:
    """Return the examples in batches of one length each, in their order: for measuring."""
    batches = []
    for length in config.lengths:
        members = [example for example in examples if _bucket(len(example.ids), config) == length]
        size = config.batch_tokens // length
        batches += [members[at : at + size] for at in range(0, len(members), size)]
    return batches


def _bucket(n_tokens: int, config: SupervisedConfig) -> int:
    return next(length for length in config.lengths if n_tokens <= length)


def padded_tensors(
    examples: Sequence[TokenizedTrace], config: SupervisedConfig, pad: int, device: Any
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
