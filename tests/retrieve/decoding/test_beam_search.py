"""Beam search on several prompts together finds what each prompt would give alone."""

from __future__ import annotations

import pytest
import torch
from fixture_reranking import NONE, PARTS, PROMPTS, TinyBase, states

from retrieve.decoding.beam_search import beam_search
from retrieve.decoding.generator import Generator
from retrieve.decoding.kv_cache import KVCacheBatch


@torch.inference_mode()
def test_candidates_are_distinct_likely_reports_that_do_not_abstain(base: TinyBase) -> None:
    """One of the prompts is longer than the sliding window; each report is measured by itself."""
    generator = base.generator()
    greedy = base.decoder().decode(PROMPTS, states(generator))
    together = generator.prefill(PROMPTS, None, PARTS).batch
    found = beam_search(
        generator, together, states(generator), [float("-inf")] * len(PROMPTS), n=6, max_tokens=24
    )
    for prompt, likely, n_best in zip(PROMPTS, greedy, found, strict=True):
        texts = [generator.grammar.text(one.tokens) for one in n_best.generations]
        assert len(set(texts)) == len(texts) > 1
        assert NONE not in texts
        assert all(text.startswith("<report>") for text in texts)
        assert all(len(one.tokens) <= 24 for one in n_best.generations)
        logprobs = [one.logprob for one in n_best.generations]
        assert logprobs == sorted(logprobs, reverse=True)
        assert n_best.n_tokens <= 6 * 23
        batch = generator.prefill([prompt]).batch
        for one in n_best.generations:
            assert one.logprob == pytest.approx(forced(generator, batch.copy(), one.tokens), abs=1e-3)
        if likely.text.startswith("<report>") and likely.text != NONE and len(likely.token_ids) <= 24:
            assert logprobs[0] >= likely.logprob - 1e-3


def forced(generator: Generator, batch: KVCacheBatch, tokens: list[int]) -> float:
    """Return the log-probability of tokens that are read one by one behind a single prompt."""
    state, logprob, logits, positions = states(generator, 1)[0], 0.0, batch.logits, batch.positions
    for at, token in enumerate(tokens):
        logprob += float(generator.score(logits, [state])[0][0, token])
        state.advance(token)
        if at + 1 < len(tokens):
            positions = positions + 1
            logits = generator.forward(batch.cache, torch.tensor([[token]]), None, positions)
    assert state.done
    return logprob
