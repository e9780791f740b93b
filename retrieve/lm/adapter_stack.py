"""Two adapters, one trained on top of the other, as a single adapter on the base.

Training that goes on from a version starts with that version's adapter merged, so what it writes is an update
of an update.
"""

from __future__ import annotations

from pathlib import Path

import torch

from prep.model.lora import stack_updates
from retrieve.lm.adapter import read_adapter, save_adapter

__all__ = ["stack_adapters"]


def stack_adapters(below: Path, above: Path, target: Path, *, share: float = 1.0) -> None:
    """Write to `target` the adapter that does what merging `below` and then `above` does.

    `above` was trained on the base with `below` merged; its token rows are the ones that count, and those of `below`
    remain for tokens it does not have. share: how much of the way from `below` to both is gone; 0.5 is the mean of
    start and end (see `training.retrieve_model.weight_averaging`). Raises WeightsError for a file that is no adapter.
    """
    first, second = read_adapter(below), read_adapter(above)
    above_updates = {name: (a, share * b) for name, (a, b) in second.updates.items()}
    updates = stack_updates(first.updates, above_updates)
    rows = {**first.rows, **second.rows}
    for token in first.rows.keys() & second.rows.keys():
        rows[token] = torch.lerp(first.rows[token], second.rows[token], share)
    save_adapter(target, updates, list(rows), torch.stack(list(rows.values())), scale=1.0)
