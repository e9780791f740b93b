"""Settings of a training pass over a workspace: how much data is made, and how long each stage trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from prep.checks import check_counts
from prep.errors import ConfigError

__all__ = ["RETRIEVE_STARTS", "RetrieveStart", "TrainingSettings"]

RetrieveStart: TypeAlias = Literal["serving", "shipped"]
RETRIEVE_STARTS: tuple[RetrieveStart, ...] = get_args(RetrieveStart)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How much data is made from the documents, and how long a stage trains.

    n_examples: synthetic questions at most; n_generated: of them, at most so many that the model writes, the others are
    cloze questions. held_out_every: the synthetic questions on one in so many documents are held out.
    minutes: the most that training the retrieve model or the chunk vectors may take. prep_pages: damaged pages
    a document; prep_epochs: passes of the prep model's heads over them. vector_epochs: passes of the chunk vectors over
    their questions, time allowing. cut_steps: steps of reinforcement of the cuts.
    retrieve_start: what a retrieve candidate is trained from: the version that serves, or the one that comes with the
    package, so that it learns the whole log anew, nothing twice, and the version grows no larger.
    interpolation: how far the candidate goes from there to the trained version; at a third of the way it has forgotten
    less and memorised less than at the end, or half way (LOG.md, 2026-11-30).
    """

    n_examples: int = 960
    n_generated: int = 240
    held_out_every: int = 6
    minutes: float = 20.0
    prep_epochs: int = 8
    prep_pages: int = 2
    vector_epochs: int = 10
    cut_steps: int = 100
    retrieve_start: RetrieveStart = "serving"
    interpolation: float = 0.35
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "n_examples", "prep_epochs", "prep_pages", "vector_epochs", "cut_steps")
        if self.n_generated < 0:
            raise ConfigError(f"n_generated={self.n_generated!r} must not be negative")
        if self.held_out_every < 2:
            raise ConfigError(f"held_out_every={self.held_out_every!r} must be at least 2: nothing is left")
        if self.minutes <= 0:
            raise ConfigError(f"minutes={self.minutes!r} must be above 0")
        if self.retrieve_start not in RETRIEVE_STARTS:
            raise ConfigError(
                f"retrieve_start={self.retrieve_start!r} must be one of {', '.join(RETRIEVE_STARTS)}"
            )
        if not 0 < self.interpolation <= 1:
            raise ConfigError(f"interpolation={self.interpolation!r} must be above 0 and at most 1")
