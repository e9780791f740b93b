"""Rerank unsure reports: beam search proposes candidates, the noisy-channel model scores them, one is chosen.

The search starts from the prefilled prompts, for all unsure reports together; the cached results serve the
noisy-channel model as well. The outcome on one prompt depends on no other prompt, but for the deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrieve.decoding.beam_search import NBest, beam_search
from retrieve.decoding.generator import GeneratedTokens, Generator, is_late
from retrieve.decoding.kv_cache import KVCacheBatch, copy_cache
from retrieve.decoding.noisy_channel import channel_scores
from retrieve.decoding.reranking import CandidateReport, RerankingConfig, alternative, best_candidate
from retrieve.episode.episode import PromptParts
from retrieve.episode.grammar import Constraint

__all__ = ["Reranked", "Reranker"]

_MAX_CHANNEL_TOKENS = 2048  # read in one pass after the results; each needs a row of logits


@dataclass(frozen=True, slots=True)
class Reranked:
    """The report to give. candidates: compared with each other, the greedy one first; none where it was sure.

    alternative: a candidate to give beside the report, or "". n_tokens: written and read to compare, the report's own
    not among them.
    """

    generation: GeneratedTokens
    candidates: tuple[CandidateReport, ...] = ()
    alternative: str = ""
    n_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reranker:
    """A generator with the noisy-channel model; without one, channel scores are 0."""

    generator: Generator
    config: RerankingConfig
    channel_model: Any = None

    def rerank(
        self,
        generations: Sequence[GeneratedTokens],
        batch: KVCacheBatch,
        states: Sequence[Constraint],
        parts: Sequence[PromptParts | None],
        results: Sequence[Any],
        deadline: float | None = None,
    ) -> list[Reranked]:
        """Return for each greedy generation the report to give: itself, where it is sure, abstains, or time is out.

        batch: the prefilled prompts, used up. states: with which the generations began. parts: None where a generation
        is given as it is. results: caches of each prompt's results, None prefills them. deadline: `time.monotonic()`
        value.
        """
        reranked = [Reranked(generation) for generation in generations]
        unsure = {
            row: part
            for row, part in enumerate(parts)
            if part is not None and self._reranks(generations[row], part)
        }
        if not unsure:
            return reranked
        proposed = beam_search(
            self.generator,
            batch.select(list(unsure)),
            [states[row] for row in unsure],
            [generations[row].logprob - self.config.max_logprob_gap for row in unsure],
            n=self.config.n_candidates,
            max_tokens=self.config.max_tokens,
            deadline=deadline,
        )
        for (row, part), n_best in zip(unsure.items(), proposed, strict=True):
            greedy = generations[row]
            if all(one.tokens == greedy.tokens for one in n_best.generations) or is_late(deadline):
                reranked[row] = Reranked(greedy, n_tokens=n_best.n_tokens)
            else:
                reranked[row] = self._best(greedy, n_best, part, results[row])
        return reranked

    def _reranks(self, greedy: GeneratedTokens, parts: PromptParts) -> bool:
        """Whether a generation is an unsure report, and its question short enough to be read after each candidate."""
        grammar, config = self.generator.grammar, self.config
        is_report = greedy.tokens[0] == grammar.report and not grammar.abstains(greedy.tokens)
        if not is_report or not config.reranks(greedy.logprob, len(greedy.tokens)):
            return False
        n_question = len(grammar.encode(parts.question))
        return (config.n_candidates + 1) * (n_question + config.max_tokens) <= _MAX_CHANNEL_TOKENS

    def _best(self, greedy: GeneratedTokens, n_best: NBest, parts: PromptParts, results: Any) -> Reranked:
        """Return the best of a greedy report and the proposed ones."""
        reports = {tuple(one.tokens): one.logprob for one in (greedy, *n_best.generations)}
        texts = [self.generator.grammar.text(tokens) for tokens in reports]
        scores, n_read = [0.0] * len(texts), 0
        if self.channel_model is not None:
            cache = None if results is None else copy_cache(results)
            scores, n_read = channel_scores(self.generator, self.channel_model, parts, texts, cache)
        candidates = tuple(
            CandidateReport(text, logprob, score, len(tokens))
            for text, (tokens, logprob), score in zip(texts, reports.items(), scores, strict=True)
        )
        best = best_candidate(candidates, self.config)
        beside = alternative(candidates, best, self.config)
        tokens = list(reports)[best]
        return Reranked(
            GeneratedTokens(list(tokens), reports[tokens], greedy.margins),
            candidates,
            "" if beside is None else candidates[beside].text,
            n_best.n_tokens + n_read + len(greedy.tokens) - len(tokens),
        )
