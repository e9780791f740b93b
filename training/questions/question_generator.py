"""Questions on passages, written by the retrieve model in its `<ask>` mode. No labels, no outside model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from prep.errors import ConfigError
from retrieve.decoding.decoder import Decoder
from retrieve.episode.episode import Passage
from retrieve.episode.question_writing import Asked, AskLimits, AskPrompt, AskState
from retrieve.model import RetrieveModel, shipped_ask

__all__ = ["AskWriter", "Place", "QuestionWriter"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question shall have its answer: a sentence, counted from 1, of a passage."""

    prompt: AskPrompt
    number: int

    @property
    def passage(self) -> Passage:
        return self.prompt.passage


class QuestionWriter(Protocol):
    """What writes questions: the model in its `<ask>` mode, or a teacher."""

    @property
    def name(self) -> str:
        """What writes, with its version: other names write other questions."""

    def write(self, places: Sequence[Place], seed: int) -> list[Asked | None]:
        """Return a question for each place, None where nothing sound was written. Deterministic where it can be."""


class AskWriter:
    """A version trained to ask, sampled at a temperature under the grammar."""

    def __init__(
        self, model: RetrieveModel, *, temperature: float = 0.3, limits: AskLimits | None = None
    ) -> None:
        """temperature: 0 writes what is likeliest. Raises ConfigError where it is negative."""
        if temperature < 0:
            raise ConfigError(f"temperature={temperature!r} must not be negative")
        self.version = model.version
        self.temperature = temperature
        self.limits = limits or AskLimits()
        self.decoder = Decoder(model.model, model.tokenizer)

    @classmethod
    def load(cls, path: str | Path | None = None, *, temperature: float = 0.3) -> AskWriter:
        """Load a version's folder, or the one that comes with the package. Raises WeightsError, BaseModelError."""
        return cls(RetrieveModel.load(shipped_ask() if path is None else Path(path)), temperature=temperature)

    @property
    def name(self) -> str:
        """The version and how it is sampled."""
        return f"{self.version} at {self.temperature:g}"

    def write(self, places: Sequence[Place], seed: int) -> list[Asked | None]:
        """Return a question for each place, None where none was finished. Deterministic by seed."""
        grammar = self.decoder.grammar
        states = [
            AskState(grammar, place.number, grammar.encode(place.prompt.sentence(place.number)), self.limits)
            for place in places
        ]
        generator = torch.Generator().manual_seed(seed)
        self.decoder.decode(
            [place.prompt.text for place in places],
            states,
            temperature=self.temperature,
            generator=generator,
        )
        return [place.prompt.asked(state) for place, state in zip(places, states, strict=True)]
