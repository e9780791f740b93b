"""The result of a stage of the prep model's training: heads, updates and settings, to be saved as a version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prep.lora import Updates
from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import StructureHeads
from prep.model.prep_version import save_version

__all__ = ["TrainedVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedVersion:
    """A version that is not on disk yet. updates: of the encoder, None for the base's own vectors.

    metrics: what was measured; training: how it was trained, both as plain values for the manifest.
    """

    heads: StructureHeads | None
    config: PrepConfig
    updates: Updates | None
    metrics: dict[str, Any]
    training: dict[str, Any]

    def save(self, folder: str | Path, encoder: Encoder, *, card: str = "") -> str:
        """Write a folder that `PrepModel.load` reads; returns the version string. encoder: the base."""
        return save_version(
            folder,
            self.heads,
            self.config,
            encoder,
            updates=self.updates,
            card=card,
            metrics=self.metrics,
            training=self.training,
        )
