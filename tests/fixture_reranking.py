"""Prompts and a tiny model with a noisy-channel model, for tests of what stands above the generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_models import make_gemma, make_llama, make_updates

from retrieve.decoding.decoder import Action, Decoder
from retrieve.decoding.generator import Generator
from retrieve.decoding.noisy_channel import load_channel_model
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import Episode, Passage, PromptParts
from retrieve.episode.grammar import ActionLimits, GrammarState
from retrieve.lm.base import load_base

LIMITS = ActionLimits(query_tokens=6, statement_tokens=8, max_findings=2, max_pointers=2)
NONE = "<report> none</report>"


def report(words: str) -> str:
    return f"<report> {words}⟦2⟧</report>"


def begun() -> list[Episode]:
    """Prompts of which some are longer than the tiny Gemma's sliding window."""
    made = []
    for n, words in enumerate((3, 60, 12)):
        episode = Episode("what is honey " * (n + 1))
        text = "Bees make honey. " * words
        episode.give([Passage("d", "Bees", (), 0, len(text), text)])
        made.append(episode)
    return made


PROMPTS = [episode.prompt for episode in begun()]
PARTS = [part for episode in begun() if (part := episode.first_prompt) is not None]


@dataclass(frozen=True)
class TinyBase:
    """A tiny model, its tokenizer, and a noisy-channel model of it."""

    model: Any
    tokenizer: Any
    channel_model: Any

    @classmethod
    def make(cls, kind: str, folder: Path) -> TinyBase:
        make = make_llama if kind == "llama" else make_gemma
        model, tokenizer = load_base(make(folder), dtype=torch.float32)
        updates = make_updates(model, folder / "channel.safetensors", layers=(1,))
        return cls(model, tokenizer, load_channel_model(model, updates))

    def generator(self, **biases: float) -> Generator:
        return Generator(self.model, self.tokenizer, **biases)

    def decoder(
        self, reranking: RerankingConfig | None = None, *, channel: bool = True, **biases: float
    ) -> Decoder:
        channel_model = self.channel_model if channel else None
        return Decoder(self.generator(**biases), reranking=reranking, channel_model=channel_model)

    def reporting(self, reranking: RerankingConfig | None = None, *, channel: bool = True) -> Decoder:
        """Return a decoder that neither abstains nor searches."""
        return self.decoder(reranking, channel=channel, abstention_bias=-50.0, search_bias=-50.0)


def states(generator: Generator, n: int = len(PROMPTS)) -> list[GrammarState]:
    return [generator.grammar.start(8, may_search=True, limits=LIMITS) for _ in range(n)]


def decoded(decoder: Decoder, parts: list[PromptParts | None] | None = None, **options: Any) -> list[Action]:
    """Return the actions on all prompts."""
    given = PARTS if parts is None else parts
    return decoder.decode(PROMPTS, states(decoder.generator), parts=given, **options)
