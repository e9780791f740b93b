"""Texts that begin alike, read as the tree that they are: what several share is in the cache once.

A beam search copies what was read of a prompt for every beam, at every token, or lays the beams out behind it, each
token seeing the prompt, those before it on its own beam, and itself. The latter is done here, for several prompts at
once: a prompt is a row, and every token of a beam a column behind it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from retrieve.decoding.kv_cache import Rows
from retrieve.lm.attention_mask import added_masks, sliding_window

if TYPE_CHECKING:
    from retrieve.episode.grammar import Constraint

__all__ = ["Beam", "BeamTree"]


@dataclass(slots=True)
class Beam:
    """What was written behind a prompt, its log-probability in nats, and its place in the grammar.

    columns: of the tree, those of its tokens that were read.
    """

    tokens: tuple[int, ...]
    logprob: float
    state: Constraint
    columns: tuple[int, ...] = ()


class BeamTree:
    """Prompts, one a row, with the beams behind them."""

    def __init__(self, model: Any, rows: Rows) -> None:
        """rows: prompts as they were read; their cache is used up."""
        self.model, self.cache = model, rows.cache
        # A sliding layer would let go of a prompt's places as if all beams stood behind one another.
        self.cache.layers = [_kept_whole(layer) for layer in rows.cache.layers]
        self.prompts = rows.mask > 0  # (rows, places)
        self.positions = (rows.mask.cumsum(dim=1) - 1).clamp(min=0)  # (rows, columns)
        window = sliding_window(model)
        self.n_gone = 0 if window is None else max(0, rows.mask.shape[1] - (window - 1))

    def keep(self, rows: Sequence[int]) -> None:
        """Leave these prompts alone in the tree."""
        kept = torch.tensor(rows, device=self.prompts.device)
        self.cache.reorder_cache(kept)
        self.prompts, self.positions = self.prompts[kept], self.positions[kept]

    def read(self, beams: Sequence[Sequence[Beam]]) -> torch.Tensor:
        """Read the last token of each row's beams, all as long as each other, and give each its column.

        Returns the logits of what comes next, (rows, most beams of a row, vocabulary).
        """
        device, n_rows, n_new = self.prompts.device, len(beams), max(map(len, beams))
        n_prompt, n_columns = self.prompts.shape[1], self.positions.shape[1]
        ids = torch.zeros((n_rows, n_new), dtype=torch.long, device=device)
        allowed = torch.zeros((n_rows, n_new, n_columns + n_new), dtype=torch.bool, device=device)
        allowed[:, :, :n_prompt] = self.prompts.unsqueeze(1)
        # What stands where a row has fewer beams sees itself, too: it must see something.
        allowed[:, range(n_new), range(n_columns, n_columns + n_new)] = True
        for row, some in enumerate(beams):
            for at, beam in enumerate(some):
                ids[row, at] = beam.tokens[-1]
                allowed[row, at, list(beam.columns)] = True
                beam.columns = (*beam.columns, n_columns + at)
        depth = next(len(beam.tokens) for some in beams for beam in some)
        new = (self.positions[:, n_prompt - 1 : n_prompt] + depth).expand(-1, n_new)
        self.positions = torch.cat([self.positions, new], dim=1)
        masks = added_masks(
            self.model,
            allowed,
            self.positions,
            n_read=n_columns,
            n_gone=self.n_gone,
        )
        output = self.model(
            input_ids=ids,
            attention_mask=masks,
            position_ids=new,
            past_key_values=self.cache,
            use_cache=True,
        )
        logits: torch.Tensor = output.logits.float()
        return logits


def _kept_whole(layer: Any) -> Any:
    """Return a layer of a cache that lets go of nothing from here on."""
    from transformers.cache_utils import DynamicLayer

    if not layer.is_sliding:
        return copy.copy(layer)
    whole: Any = DynamicLayer()  # type: ignore[no-untyped-call]
    whole.lazy_initialization(layer.keys, layer.values)
    whole.keys, whole.values = layer.keys, layer.values
    return whole
