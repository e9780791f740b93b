"""Overlapping windows over a document's units, so that every unit is read with context on both sides.

Works on token counts alone: what a unit is comes from `prep.model.line_features`, and reading a window is
`prep.model.encoder`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prep.errors import ConfigError

__all__ = ["Window", "plan_windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """Units [start, end) are read together; [own_start, own_end) take their states from this window.

    The owned stretches of a document's windows tile its units.
    """

    start: int
    end: int
    own_start: int
    own_end: int


def plan_windows(unit_tokens: Sequence[int], max_tokens: int, overlap_tokens: int) -> list[Window]:
    """Cover the units with windows of at most `max_tokens`, neighbours sharing about `overlap_tokens`.

    unit_tokens: tokens of each unit, none above max_tokens. Each shared unit belongs to the window in whose
    inside it lies deeper. Linear time. Raises ConfigError for a unit that cannot fit or an overlap that would
    not advance.
    """
    if not 0 <= overlap_tokens <= max_tokens // 2:
        raise ConfigError(
            f"overlap_tokens={overlap_tokens!r} must lie in 0..{max_tokens // 2} (max_tokens // 2)"
        )
    n_units = len(unit_tokens)
    spans: list[tuple[int, int]] = []
    start = end = total = 0
    while end < n_units:
        while end < n_units and total + unit_tokens[end] <= max_tokens:
            total += unit_tokens[end]
            end += 1
        if end == start:
            raise ConfigError(f"unit {end} has {unit_tokens[end]} tokens and cannot fit {max_tokens}")
        spans.append((start, end))
        if end == n_units:
            break
        # Step back over the overlap, but always leave room for the next unit and always move on.
        shared, following = 0, end
        while following - 1 > start and shared + unit_tokens[following - 1] <= overlap_tokens:
            if shared + unit_tokens[following - 1] + unit_tokens[end] > max_tokens:
                break
            following -= 1
            shared += unit_tokens[following]
        start, total = following, shared
    windows: list[Window] = []
    own_start = 0
    for i, (left, right) in enumerate(spans):
        own_end = right if i + 1 == len(spans) else _middle(unit_tokens, spans[i + 1][0], right)
        windows.append(Window(left, right, own_start, own_end))
        own_start = own_end
    return windows


def _middle(unit_tokens: Sequence[int], left: int, right: int) -> int:
    """The unit boundary that halves the tokens of units [left, right)."""
    half = sum(unit_tokens[left:right]) / 2
    seen = 0
    for unit in range(left, right):
        if seen + unit_tokens[unit] / 2 > half:
            return unit
        seen += unit_tokens[unit]
    return right
