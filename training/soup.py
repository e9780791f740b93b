"""Average adapters that were trained from the same start: often better than each, at no cost in serving.

    python -m training.soup --adapters START/adapter.safetensors RUN/adapter.safetensors --out FOLDER

What a run learns by heart and what it learns to do lie in different directions: halfway back to the start the former
fades first (Wortsman et al., https://arxiv.org/abs/2203.05482 and https://arxiv.org/abs/2109.01903). The pairs are
averaged, not their products, so the adapters must have one origin: pairs of different origin have nothing in common.
The folder is released like a run (`training.release_retrieve`); it reads as the runs do, both ways or one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from prep.errors import ConfigError
from prep.manifest import file_digest
from retrieve.adapter import Adapter, read_adapter, save_adapter

__all__ = ["average_adapters"]

_SCALE = 2.0  # what B is multiplied by when it is used, as in training; a power of two, so nothing is rounded


def average_adapters(paths: Sequence[Path], out: Path) -> None:
    """Write the mean of adapters in float32, rounded once. Raises ConfigError where they differ in what they change."""
    if len(paths) < 2:
        raise ConfigError("an average needs at least two adapters")
    adapters = [read_adapter(path) for path in paths]
    first = _shapes(adapters[0])
    for path, adapter in zip(paths, adapters, strict=True):
        if _shapes(adapter) != first:
            raise ConfigError(f"{path} changes other modules or tokens than {paths[0]}, or has another rank")
    updates = {
        name: (
            _mean([one.updates[name][0] for one in adapters]),
            _mean([one.updates[name][1] for one in adapters]),
        )
        for name in adapters[0].updates
    }
    tokens = list(adapters[0].rows)
    rows = _mean([torch.stack([one.rows[token] for token in tokens]) for one in adapters])
    pairs = {name: (a, b / _SCALE) for name, (a, b) in updates.items()}
    save_adapter(out, pairs, tokens, rows, scale=_SCALE)


def _mean(values: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(values)).mean(dim=0)


def _shapes(adapter: Adapter) -> tuple[dict[str, tuple[torch.Size, torch.Size]], set[str]]:
    return {name: (a.shape, b.shape) for name, (a, b) in adapter.updates.items()}, set(adapter.rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Average from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapters", type=Path, nargs="+", required=True, help="adapter files of one origin")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter, and what it is of")
    parser.add_argument("--two-way", action="store_true", help="they read results in both directions")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    average_adapters(options.adapters, options.out / "adapter.safetensors")
    made_of = [file_digest(path) for path in options.adapters]
    described = {"config": {"stage": "average", "two_way": options.two_way}, "adapters": made_of}
    (options.out / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
