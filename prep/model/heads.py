"""The trained part of the prep model: from unit states to boundary, role and heading-level scores.

A small convolutional network runs over a document's units (not its tokens), so a decision depends on some thirty units
on either side at little cost. Its inputs are token states of the base's lower layers, pooled per unit by
`prep.model.encoded_document`, and the surface features of `prep.model.line_features`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn

from prep.document import ROLES
from prep.errors import ConfigError
from prep.model.line_features import BOUNDARY_LEVELS, FEATURES

__all__ = ["N_HEADING_LEVELS", "HeadsConfig", "StructureHeads"]

N_HEADING_LEVELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsConfig:
    """Shape of the heads.

    layers: the number of the base's lower layers that give the states. state_size: the base's dimension. n_surface:
    surface features a unit. dilations: of the residual convolutions, one each. cohesion: numbers of units on either
    side of a break that are compared. cohesion_heads: comparisons for each of these numbers. Raises ConfigError for a
    value out of range.
    """

    layers: int = 2
    state_size: int = 384
    n_surface: int = len(FEATURES)
    width: int = 192
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.1
    cohesion: tuple[int, ...] = (1, 2, 4, 8)
    cohesion_heads: int = 4

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0 or self.kernel < 1:
            raise ConfigError(f"kernel={self.kernel!r} must be odd")
        if min(self.width, self.state_size, self.n_surface) < 1 or self.layers < 0:
            raise ConfigError("width, state_size and n_surface must be positive, layers not negative")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout!r} must lie in 0..1")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**asdict(self), "dilations": list(self.dilations), "cohesion": list(self.cohesion)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> HeadsConfig:
        """Read what `to_json` wrote; an unknown key is a ConfigError."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown heads settings: {sorted(unknown)}")
        dilations = tuple(values.get("dilations", (1, 2, 4)))
        # Versions before 0.2 have no cohesion heads.
        return cls(**{**values, "dilations": dilations, "cohesion": tuple(values.get("cohesion", ()))})


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


class _Cohesion(nn.Module):
    """Cohesion across every break: cosines between means of projected unit states before and after it.

    Lexical cohesion (Hearst, https://aclanthology.org/J97-1003; Choi, https://aclanthology.org/A00-2004) with learned
    projections instead of words. A convolution adds its inputs and cannot compare them.
    """

    def __init__(self, size: int, widths: tuple[int, ...], heads: int, head_size: int = 32) -> None:
        super().__init__()
        self.widths, self.heads = widths, heads
        self.project = nn.Linear(size, heads * head_size)

    def forward(self, states: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Return (b, n, widths * heads) for the break after each unit; 0 where nothing follows."""
        b, n, _ = states.shape
        projected = (self.project(states) * keep).view(b, n, self.heads, -1).double()
        edges = nn.functional.pad(projected.cumsum(1), (0, 0, 0, 0, 1, 0))
        at = torch.arange(n, device=states.device)
        found = []
        for width in self.widths:
            left = edges[:, at + 1] - edges[:, (at + 1 - width).clamp(min=0)]
            right = edges[:, (at + 1 + width).clamp(max=n)] - edges[:, at + 1]
            found.append(nn.functional.cosine_similarity(left, right, dim=-1).to(states.dtype))
        return torch.cat(found, dim=-1)


class StructureHeads(nn.Module):
    """Unit states and surface features to logits."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.states_norm = nn.LayerNorm(2 * config.state_size)
        self.from_states = nn.Linear(2 * config.state_size, config.width)
        self.from_surface = nn.Linear(config.n_surface, config.width)
        self.cohesion = self.from_cohesion = None
        if config.cohesion:
            self.cohesion = _Cohesion(2 * config.state_size, config.cohesion, config.cohesion_heads)
            self.from_cohesion = nn.Linear(len(config.cohesion) * config.cohesion_heads, config.width)
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
        """The number of units to either side that a decision depends on."""
        own = sum(dilation * (self.config.kernel // 2) for dilation in self.config.dilations)
        return own + max(self.config.cohesion, default=0)

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
        states = self.states_norm(states)
        x = self.from_states(states) + self.from_surface(surface)
        if self.cohesion is not None and self.from_cohesion is not None:
            x = x + self.from_cohesion(self.cohesion(states, keep))
        x = self.drop(nn.functional.gelu(x)) * keep
        for block in self.blocks:
            x = block(x, keep) * keep
        x = self.norm(x)
        return self.boundary(x), self.role(x), self.level(x)
