"""Two adapters, one trained on top of the other, as a single adapter on the base.

Training that goes on from a version starts with that version's adapter merged, so what it writes is an update
of an update. Low-rank updates add up: side by side, their factors are one update of the summed rank, exactly.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from prep.errors import WeightsError
from retrieve.adapter import save_adapter

__all__ = ["stack_adapters"]


def stack_adapters(below: Path, above: Path, target: Path) -> None:
    """Write to `target` the adapter that does what merging `below` and then `above` does.

    `above` was trained on the base with `below` merged; its token rows are the ones that count, and those of
    `below` remain for tokens it does not have. Raises WeightsError for a file that is no adapter.
    """
    try:
        first, second = _read(below), _read(above)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{below} and {above} cannot be stacked: {error!r}") from error
    updates = {}
    for name in sorted(first.updates.keys() | second.updates.keys()):
        parts = [side.updates[name] for side in (first, second) if name in side.updates]
        updates[name] = (torch.cat([a for a, _ in parts], dim=0), torch.cat([b for _, b in parts], dim=1))
    rows = {**first.rows, **second.rows}
    save_adapter(target, updates, list(rows), torch.stack(list(rows.values())), scale=1.0)


class _Adapter:
    """One adapter file: module → (A, scale · B), token → row."""

    def __init__(
        self, updates: dict[str, tuple[torch.Tensor, torch.Tensor]], rows: dict[str, torch.Tensor]
    ) -> None:
        self.updates = updates
        self.rows = rows


def _read(path: Path) -> _Adapter:
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        scale = float(metadata["scale"])
        tokens: list[str] = json.loads(metadata["tokens"])
        names = [key[:-2] for key in file.keys() if key.endswith(".A")]  # noqa: SIM118
        updates = {
            name: (file.get_tensor(f"{name}.A").float(), scale * file.get_tensor(f"{name}.B").float())
            for name in names
        }
        rows = dict(zip(tokens, file.get_tensor("token_rows").float(), strict=True))
    return _Adapter(updates, rows)
