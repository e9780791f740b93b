"""Two adapters, one trained on top of the other, as a single adapter on the base.

Training that goes on from a version starts with that version's adapter merged, so what it writes is an update
of an update.
"""

from __future__ import annotations

from pathlib import Path

import torch

from prep.low_rank import stack_updates
from retrieve.adapter import read_adapter, save_adapter

__all__ = ["stack_adapters"]


def stack_adapters(below: Path, above: Path, target: Path) -> None:
    """Write to `target` the adapter that does what merging `below` and then `above` does.

    `above` was trained on the base with `below` merged; its token rows are the ones that count, and those of
    `below` remain for tokens it does not have. Raises WeightsError for a file that is no adapter.
    """
    first, second = read_adapter(below), read_adapter(above)
    updates = stack_updates(first.updates, second.updates)
    rows = {**first.rows, **second.rows}
    save_adapter(target, updates, list(rows), torch.stack(list(rows.values())), scale=1.0)
