"""The key-value caches of prompts, one prompt a row, as they are selected, copied and concatenated."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

__all__ = ["KVCacheBatch", "copy_cache"]


def copy_cache(cache: Any) -> Any:
    """Return a cache that shares its tensors with another. Layers replace tensors and never write into them."""
    other = copy.copy(cache)
    other.layers = [copy.copy(layer) for layer in cache.layers]
    return other


@dataclass(slots=True)
class KVCacheBatch:
    """Prefilled prompts, one a row, padded on the left.

    mask: (rows, n), 0 at padding. positions: (rows, 1) of the last token. logits: (rows, vocabulary) of the next.
    """

    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    padded: bool
    logits: torch.Tensor

    def copy(self) -> KVCacheBatch:
        """Return the same rows with a cache of their own; the tensors are shared."""
        return replace(self, cache=copy_cache(self.cache))

    def select(self, rows: Sequence[int]) -> KVCacheBatch:
        """Return the rows of these numbers, in their order; a number may come twice. The cache is used up."""
        chosen = torch.tensor(rows, device=self.mask.device)
        self.cache.reorder_cache(chosen)
        return KVCacheBatch(
            self.cache, self.mask[chosen], self.positions[chosen], self.padded, self.logits[chosen]
        )

    @staticmethod
    def concat(batches: Sequence[KVCacheBatch]) -> KVCacheBatch:
        """Return batches of one row each as one batch, padded on the left to the longest."""
        longest = max(batches, key=lambda batch: batch.mask.shape[1])
        width = longest.mask.shape[1]
        cache = copy_cache(longest.cache)
        for number, layer in enumerate(cache.layers):
            layers = [batch.cache.layers[number] for batch in batches]
            layer.keys = _padded([one.keys for one in layers])
            layer.values = _padded([one.values for one in layers])
        return KVCacheBatch(
            cache,
            torch.cat([nn.functional.pad(batch.mask, (width - batch.mask.shape[1], 0)) for batch in batches]),
            torch.cat([batch.positions for batch in batches]),
            any(batch.padded or batch.mask.shape[1] < width for batch in batches),
            torch.cat([batch.logits for batch in batches]),
        )


def _padded(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stack (1, heads, places, size) with zeros in front of the shorter ones."""
    most = max(one.shape[2] for one in tensors)
    return torch.cat([nn.functional.pad(one, (0, 0, most - one.shape[2], 0)) for one in tensors])
