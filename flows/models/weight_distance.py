"""How far the weights of two versions are apart, by groups of tensors.

For a group it is ‖a − b‖ / max(‖a‖, ‖b‖), over all its weights: 0 where they are the same, 1 where one side has none,
at most 2. Low-rank updates are compared as the matrices that they add to the base, not by their factors, which can
differ where the update does not; the base, which is the same for both, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prep.errors import WeightsError
from prep.lora import layer_number

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["weight_distances"]

SUFFIX = ".safetensors"


def weight_distances(
    first: Path, second: Path, files: tuple[Mapping[str, str], Mapping[str, str]]
) -> dict[str, dict[str, float]]:
    """Return file → group → distance for the weights in two versions' folders.

    files: file → SHA-256 of each side's manifest; files of the same digest are not read: their group "all" is at 0.
    Raises WeightsError for a file that is not readable as weights.
    """
    found: dict[str, dict[str, float]] = {}
    for name in sorted(files[0].keys() | files[1].keys()):
        if not name.endswith(SUFFIX):
            continue
        if files[0].get(name) == files[1].get(name):
            found[name] = {"all": 0.0}
            continue
        sides = [
            _read(folder / name) if name in held else {}
            for folder, held in zip((first, second), files, strict=True)
        ]
        found[name] = _distances(*sides)
    return found


#: Group → name of a tensor → the tensor, or the two factors of an update.
_Groups = dict[str, dict[str, Any]]


def _read(path: Path) -> _Groups:
    from safetensors import SafetensorError, safe_open

    from prep.lora import read_updates
    from retrieve.reader.packed_weights import load_packed

    try:
        with safe_open(path, "pt") as file:
            is_low_rank = "scale" in (file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    tensors: dict[str, Any] = {}
    if is_low_rank:
        updates, others, _ = read_updates(path)
        tensors = {**updates, **others}
    else:
        tensors = {**load_packed(path)}
    groups: _Groups = {}
    for name, value in tensors.items():
        groups.setdefault(_group(name), {})[name] = value
    return groups


def _group(name: str) -> str:
    """Return the layer that a tensor belongs to, else the module that it is of."""
    layer = layer_number(name) if "layer" in name else None
    return f"layer {layer}" if layer is not None else name.split(".", maxsplit=1)[0]


def _distances(first: _Groups, second: _Groups) -> dict[str, float]:
    distances = {}
    for group in sorted(first.keys() | second.keys(), key=_in_order):
        a, b = first.get(group, {}), second.get(group, {})
        squares = [_squares(a.get(name), b.get(name)) for name in a.keys() | b.keys()]
        difference, largest = (
            sum(s[0] for s in squares),
            max(sum(s[1] for s in squares), sum(s[2] for s in squares)),
        )
        distances[group] = math.sqrt(difference / largest) if largest > 0 else 0.0
    return distances


def _in_order(group: str) -> tuple[str, int, str]:
    words = group.split()
    return (words[0], int(words[1]), "") if len(words) == 2 else (words[0], -1, group)


def _squares(a: Any, b: Any) -> tuple[float, float, float]:
    """Return the squared norms of a − b, a and b; None has none. Tensors of different shapes share nothing."""
    of_a, of_b = _square(a), _square(b)
    if a is None or b is None:
        return of_a + of_b, of_a, of_b
    if isinstance(a, tuple) and isinstance(b, tuple):
        if a[0].shape[1] != b[0].shape[1] or a[1].shape[0] != b[1].shape[0]:
            return of_a + of_b, of_a, of_b
        import torch

        # a − b is itself one update, of the summed rank.
        joined = (torch.cat([a[0], b[0]], dim=0), torch.cat([a[1], -b[1]], dim=1))
        return max(0.0, _square(joined)), of_a, of_b
    if isinstance(a, tuple) or isinstance(b, tuple) or a.shape != b.shape:
        return of_a + of_b, of_a, of_b
    return _square(a.double() - b.double()), of_a, of_b


def _square(value: Tensor | tuple[Tensor, Tensor] | None) -> float:
    """Return the squared Frobenius norm of a tensor, or of B @ A without making it: tr(BᵀB · AAᵀ)."""
    if value is None:
        return 0.0
    if isinstance(value, tuple):
        a, b = (factor.double() for factor in value)
        return float(((b.T @ b) * (a @ a.T)).sum())
    return float(value.double().square().sum())
