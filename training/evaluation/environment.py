"""The interface of an environment: questions whose episodes can be run, judged and measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from retrieve.decoding.decoder import Decoder
from training.metrics.results import AnswerRow, AnswersResult

__all__ = ["Environment"]


class Environment(Protocol):
    """Questions over a store (`StoreEnvironment`), or packed examples of several (`PackedEnvironment`)."""

    @property
    def decoder(self) -> Decoder:
        """The decoder that generates the episodes."""

    @property
    def digest(self) -> str:
        """Identifies the questions."""

    def __len__(self) -> int: ...

    def use_decoder(self, decoder: Decoder) -> None:
        """Generate the episodes with another decoder."""

    def episodes(
        self,
        numbers: Sequence[int],
        n: int,
        *,
        searches: int,
        temperature: float,
        generator: torch.Generator,
    ) -> list[tuple[Any, AnswerRow]]:
        """Run n episodes of each of the numbered questions or examples; those of one come one after another."""

    def measure(
        self, *, max_searches: int, label: str = "", kept: Path | None = None, progress: bool = False
    ) -> AnswersResult:
        """Answer every question greedily. kept: a file for the rows as they come, those there are not asked again."""
