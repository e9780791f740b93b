"""Average adapters that were trained from the same start: often better than each, at no cost in serving.

    python -m training.retrieve_model.weight_averaging \
        --adapters START/adapter.safetensors RUN/adapter.safetensors --out FOLDER

What a run learns by heart and what it learns to do lie in different directions: halfway back to the start the former
fades first (Wortsman et al., https://arxiv.org/abs/2203.05482 and https://arxiv.org/abs/2109.01903). The pairs are
averaged, not their products, so the adapters must have one origin: pairs of different origin have nothing in common.
The folder is released like a run (`training.retrieve_model.release_retrieve`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from prep.errors import ConfigError
from prep.manifest import file_digest
from retrieve.lm.adapter import Adapter, read_adapter, save_adapter

__all__ = ["average_adapters"]

_SCALE = 2.0  # what B is multiplied by when it is used, as in training; a power of two, so nothing is rounded


def average_adapters(paths: Sequence[Path], out: Path, weights: Sequence[float] | None = None) -> None:
    """Write the mean of adapters in float32, rounded once, or their sum by weights, which are one each and sum to 1.

    A negative weight goes beyond: 2 and -1 of a mean and its start is where the run ended. Raises ConfigError where
    adapters differ in what they change, or weights are not so.
    """
    if len(paths) < 2:
        raise ConfigError("an average needs at least two adapters")
    weights = [1 / len(paths)] * len(paths) if weights is None else list(weights)
    if len(weights) != len(paths) or abs(sum(weights) - 1) > 1e-6:
        raise ConfigError(f"weights={weights} must be one for each of {len(paths)} adapters and sum to 1")
    adapters = [read_adapter(path) for path in paths]
    first = _shapes(adapters[0])
    for path, adapter in zip(paths, adapters, strict=True):
        if _shapes(adapter) != first:
            raise ConfigError(f"{path} changes other modules or tokens than {paths[0]}, or has another rank")
    updates = {
        name: (
            _sum([one.updates[name][0] for one in adapters], weights),
            _sum([one.updates[name][1] for one in adapters], weights),
        )
        for name in adapters[0].updates
    }
    tokens = list(adapters[0].rows)
    rows = _sum([torch.stack([one.rows[token] for token in tokens]) for one in adapters], weights)
    pairs = {name: (a, b / _SCALE) for name, (a, b) in updates.items()}
    save_adapter(out, pairs, tokens, rows, scale=_SCALE)


def _sum(values: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    return torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum(dim=0)


def _shapes(adapter: Adapter) -> tuple[dict[str, tuple[torch.Size, torch.Size]], set[str]]:
    return {name: (a.shape, b.shape) for name, (a, b) in adapter.updates.items()}, set(adapter.rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Average from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--adapters",
        type=Path,
        nargs="+",
        required=True,
        help="adapter files of one origin",
    )
    parser.add_argument("--weights", type=float, nargs="+", help="of each, which sum to 1 (all alike)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter, and what it is of")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    average_adapters(options.adapters, options.out / "adapter.safetensors", options.weights)
    made_of = [file_digest(path) for path in options.adapters]
    config = {"stage": "average", "weights": options.weights}
    described = {"config": config, "adapters": made_of}
    (options.out / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
