"""Decode the next action of a batch of episodes: greedy or sampled, with second retrieval and reranking on top.

`retrieve.decoding.generator` prefills the prompts and generates the actions. A greedy abstention may become a search
(`retrieve.decoding.second_retrieval`), and an unsure greedy report is reranked (`retrieve.decoding.candidates`).
Sampled actions are given as drawn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from retrieve.decoding.candidates import Reranked, Reranker
from retrieve.decoding.generator import Generator, PrefixCache
from retrieve.decoding.reranking import CandidateReport, RerankingConfig
from retrieve.decoding.second_retrieval import search_before_abstaining
from retrieve.episode.episode import PromptParts
from retrieve.episode.grammar import Constraint, Grammar

__all__ = ["Action", "Decoder"]


@dataclass(frozen=True, slots=True)
class Action:
    """One action of the model. `complete` is False where the deadline cut it off.

    abstention_margin: the logit of abstaining less that of the best other first word, before the bias; nan for a
    search, unless it replaces an abstention. search_margin: of searching less that of reporting, likewise; nan where no
    search was allowed. seconds: that the batch took, reranking aside. candidates: reports that were compared, the
    greedy one first. alternative: one of them to give beside this one, or "". n_reranking_tokens: written and read to
    compare reports, or for an abstention that was replaced; the action's own are not among them.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    abstention_margin: float
    search_margin: float
    n_prompt_tokens: int
    complete: bool
    seconds: float = 0.0
    candidates: tuple[CandidateReport, ...] = ()
    alternative: str = ""
    n_reranking_tokens: int = 0


class Decoder:
    """A generator with second retrieval and reranking."""

    def __init__(
        self, generator: Generator, *, reranking: RerankingConfig | None = None, channel_model: Any = None
    ) -> None:
        """channel_model: scores candidates (`retrieve.decoding.noisy_channel`); without one the scores are 0."""
        self.generator = generator
        self.reranker = Reranker(generator, reranking or RerankingConfig(), channel_model)

    @property
    def grammar(self) -> Grammar:
        """The grammar of its actions."""
        return self.generator.grammar

    @torch.inference_mode()
    def decode(
        self,
        prompts: Sequence[str],
        states: Sequence[Constraint],
        *,
        temperature: float = 0.0,
        rng: torch.Generator | None = None,
        deadline: float | None = None,
        prefix: PrefixCache | None = None,
        parts: Sequence[PromptParts | None] = (),
    ) -> list[Action]:
        """Return one action per prompt; the states advance to its end.

        deadline: `time.monotonic()` value after which decoding stops. prefix: of a single prompt; it is brought up to
        the end of the action. parts: the two parts of each prompt, where its report may be reranked.
        """
        if not prompts:
            return []
        if prefix is not None and len(prompts) > 1:
            raise ValueError("a prefix cache belongs to one prompt")
        started = time.monotonic()
        reranks = self.reranker.config.n_candidates > 1 and temperature == 0 and any(parts)
        searches = self.generator.abstention_bias_after_search is not None and temperature == 0
        distinct = list(dict.fromkeys(prompts))
        parts_of = dict(zip(prompts, parts, strict=True)) if parts else {}
        prefill = self.generator.prefill(
            distinct,
            prefix,
            [parts_of.get(prompt) for prompt in distinct],
            keep_results=reranks and self.reranker.channel_model is not None,
        )
        batch, row_of = prefill.batch, [distinct.index(prompt) for prompt in prompts]
        if len(distinct) < len(prompts):  # from here on each prompt has its own row
            batch = batch.select(row_of)
        prefilled = batch.copy() if reranks or searches else None
        starts, ends = [state.fork() for state in states], list(states)
        generations = self.generator.generate(batch, ends, temperature, rng, deadline)
        n_replaced: dict[int, int] = {}
        if searches and prefilled is not None:
            seconds = time.monotonic() - started
            second = search_before_abstaining(
                self.generator, generations, prefilled.copy(), starts, seconds=seconds, deadline=deadline
            )
            if second is not None:
                n_replaced = {row: len(generations[row].tokens) for row in second.generations}
                generations = [second.generations.get(row, one) for row, one in enumerate(generations)]
                ends = [second.states.get(row, end) for row, end in enumerate(ends)]
                batch = second.batch
        seconds = time.monotonic() - started
        if prefix is not None:
            tokens = generations[0].tokens
            prefix.ids, prefix.cache = [*prefill.encoded[0], *tokens], batch.cache
            prefix.text = prompts[0] + self.grammar.text(tokens)
        reranked = [Reranked(generation) for generation in generations]
        if reranks and prefilled is not None:
            finished = [part if end.done else None for part, end in zip(parts, ends, strict=True)]
            results = [prefill.results[row] for row in row_of]
            reranked = self.reranker.rerank(generations, prefilled, starts, finished, results, deadline)
        n_read = [len(prefill.encoded[row]) for row in row_of]
        return [
            _action(self.grammar, one, end, n_read[row], seconds, n_replaced.get(row, 0))
            for row, (one, end) in enumerate(zip(reranked, ends, strict=True))
        ]


def _action(
    grammar: Grammar,
    reranked: Reranked,
    end: Constraint,
    n_prompt_tokens: int,
    seconds: float,
    n_replaced: int,
) -> Action:
    """Return the action of a reranked generation. n_replaced: tokens of an abstention that a search replaces."""
    generation = reranked.generation
    return Action(
        text=grammar.text(generation.tokens),
        token_ids=tuple(generation.tokens),
        logprob=generation.logprob,
        abstention_margin=generation.margins["abstain"],
        search_margin=generation.margins["search"],
        n_prompt_tokens=n_prompt_tokens,
        complete=end.done,
        seconds=seconds,
        candidates=reranked.candidates,
        alternative=reranked.alternative,
        n_reranking_tokens=reranked.n_tokens + n_replaced,
    )
