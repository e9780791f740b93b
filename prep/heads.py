"""The trained part of the prep model: from unit states to boundary, role and heading-level scores.

One small convolutional network runs over a document's units (not over its tokens), so that a decision sees
some thirty units on either side at next to no cost. Its inputs are token states of the base's lower layers,
pooled per unit by `prep.model`, and the surface features of `prep.structure`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn

from prep.document import ROLES
from prep.errors import ConfigError
from prep.structure import BOUNDARY_LEVELS, FEATURES

__all__ = ["N_HEADING_LEVELS", "HeadsConfig", "StructureHeads"]

N_HEADING_LEVELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsConfig:
    """Shape of the heads.

    layers: how many of the base's layers the states come from. state_size: the base's dimension.
    dilations: one residual convolution each. n_surface: surface features a unit.
    """

    layers: int = 2
    state_size: int = 384
    n_surface: int = len(FEATURES)
    width: int = 192
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0 or self.kernel < 1:
            raise ConfigError(f"kernel={self.kernel!r} must be odd")
        if min(self.width, self.state_size, self.n_surface) < 1 or self.layers < 0:
            raise ConfigError("width, state_size and n_surface must be positive, layers not negative")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout!r} must lie in 0..1")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**asdict(self), "dilations": list(self.dilations)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> HeadsConfig:
        """Read what `to_json` wrote; an unknown key is a ConfigError."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown heads settings: {sorted(unknown)}")
        return cls(**{**values, "dilations": tuple(values.get("dilations", (1, 2, 4)))})


class _Residual(nn.Module):
    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, 2 * width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x: (batch, units, width); mask: (batch, units, 1), so that padding never leaks into a unit."""
        mixed: torch.Tensor = self.mix((self.norm(x) * mask).transpose(1, 2)).transpose(1, 2)
        gated = nn.functional.glu(mixed, dim=-1)
        result: torch.Tensor = x + self.drop(self.out(gated))
        return result


class StructureHeads(nn.Module):
    """Unit states and surface features to logits."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.states_norm = nn.LayerNorm(2 * config.state_size)
        self.from_states = nn.Linear(2 * config.state_size, config.width)
        self.from_surface = nn.Linear(config.n_surface, config.width)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            _Residual(config.width, config.kernel, dilation, config.dropout) for dilation in config.dilations
        )
        self.norm = nn.LayerNorm(config.width)
        self.boundary = nn.Linear(config.width, len(BOUNDARY_LEVELS))
        self.role = nn.Linear(config.width, len(ROLES))
        self.level = nn.Linear(config.width, N_HEADING_LEVELS)

    @property
    def reach(self) -> int:
        """How many units to either side a decision depends on."""
        return sum(dilation * (self.config.kernel // 2) for dilation in self.config.dilations)

    def forward(
        self, states: torch.Tensor, surface: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return boundary (b, n, 4), role (b, n, 8) and level (b, n, 3) logits.

        states: (b, n, 2 * state_size), mean and first token state of each unit. surface: (b, n, n_surface).
        mask: (b, n), True where there is a unit; all of them if None.
        """
        if mask is None:
            mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        keep = mask.unsqueeze(-1).to(states.dtype)
        x = self.from_states(self.states_norm(states)) + self.from_surface(surface)
        x = self.drop(nn.functional.gelu(x)) * keep
        for block in self.blocks:
            x = block(x, keep) * keep
        x = self.norm(x)
        return self.boundary(x), self.role(x), self.level(x)
