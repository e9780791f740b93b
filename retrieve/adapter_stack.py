"""Two adapters, one trained on top of the other, as a single adapter on the base.

Training that goes on from a version starts with that version's adapter merged, so what it writes is an update
of an update. Low-rank updates add up: side by side, their factors are one update of the summed rank, exactly.
"""

from __future__ import annotations

from pathlib import Path

import torch

from retrieve.adapter import read_adapter, save_adapter

__all__ = ["stack_adapters"]


def stack_adapters(below: Path, above: Path, target: Path) -> None:
    """Write to `target` the adapter that does what merging `below` and then `above` does.

    `above` was trained on the base with `below` merged; its token rows are the ones that count, and those of
    `below` remain for tokens it does not have. Raises WeightsError for a file that is no adapter.
    """
    first, second = read_adapter(below), read_adapter(above)
    updates = {}
    for name in sorted(first.updates.keys() | second.updates.keys()):
        parts = [side.updates[name] for side in (first, second) if name in side.updates]
        updates[name] = (torch.cat([a for a, _ in parts], dim=0), torch.cat([b for _, b in parts], dim=1))
    rows = {**first.rows, **second.rows}
    save_adapter(target, updates, list(rows), torch.stack(list(rows.values())), scale=1.0)
