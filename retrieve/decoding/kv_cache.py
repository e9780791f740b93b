"""Prompts that were read, one a row, and what is written behind each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from retrieve.decoding.reranking import Compared
from retrieve.episode.grammar import Decision

__all__ = ["Rows", "Written", "copied_cache", "joined"]


def copied_cache(cache: Any) -> Any:
    """Return a cache that goes its own way: its layers put new keys and values in the place of old ones."""
    other = copy.copy(cache)
    other.layers = [copy.copy(layer) for layer in cache.layers]
    return other


@dataclass(slots=True)
class Rows:
    """Prompts that were read, one a row, to be written on.

    mask: (rows, n), 0 at padding. positions: (rows, 1) of the last token. logits: (rows, vocabulary) of the next.
    """

    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    padded: bool
    logits: torch.Tensor

    def copied(self) -> Rows:
        """Return the same with a cache of its own. What was read is shared: layers never write into it."""
        return replace(self, cache=copied_cache(self.cache))

    def taken(self, source: Sequence[int]) -> Rows:
        """Return these rows in place of all, some of them several times; the cache is changed."""
        rows = torch.tensor(source, device=self.mask.device)
        self.cache.reorder_cache(rows)
        return Rows(self.cache, self.mask[rows], self.positions[rows], self.padded, self.logits[rows])


def joined(alone: Sequence[Rows]) -> Rows:
    """Return prompts that were each read by itself as the rows of one, as if they had been padded on the left."""
    longest = max(alone, key=lambda rows: rows.mask.shape[1])
    width = longest.mask.shape[1]
    cache = copied_cache(longest.cache)
    for number, layer in enumerate(cache.layers):
        read = [rows.cache.layers[number] for rows in alone]
        layer.keys = _padded([one.keys for one in read])
        layer.values = _padded([one.values for one in read])
    return Rows(
        cache,
        torch.cat([nn.functional.pad(rows.mask, (width - rows.mask.shape[1], 0)) for rows in alone]),
        torch.cat([rows.positions for rows in alone]),
        any(rows.padded or rows.mask.shape[1] < width for rows in alone),
        torch.cat([rows.logits for rows in alone]),
    )


def _padded(read: Sequence[torch.Tensor]) -> torch.Tensor:
    """Put (1, heads, places, size) below one another, zeros in front of the shorter ones."""
    most = max(one.shape[2] for one in read)
    return torch.cat([nn.functional.pad(one, (0, 0, most - one.shape[2], 0)) for one in read])


@dataclass(slots=True)
class Written:
    """Tokens of an action with their log-probability together, in nats, and the margins of what they decided.

    rivals: what it was compared with, the greedy report first. alternative: one of them, to be given beside it.
    n_compared: tokens written and read for that, its own not among them.
    """

    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    margins: dict[Decision, float] = field(default_factory=dict)
    rivals: tuple[Compared, ...] = ()
    alternative: str = ""
    n_compared: int = 0
