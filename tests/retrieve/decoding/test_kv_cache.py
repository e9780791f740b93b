"""Caches of prompts, selected, copied and concatenated, go on as those of each prompt alone."""

from __future__ import annotations

import torch
from fixture_reranking import PROMPTS, TinyBase

from retrieve.decoding.generator import Generator
from retrieve.decoding.kv_cache import KVCacheBatch

TOKENS = torch.tensor([[5], [80], [90]])


def alone(generator: Generator) -> list[KVCacheBatch]:
    return [generator.prefill([prompt]).batch for prompt in PROMPTS]


def next_logits(generator: Generator, batch: KVCacheBatch, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits after one more token in each row."""
    mask = torch.cat([batch.mask, torch.ones_like(batch.mask[:, :1])], dim=1) if batch.padded else None
    return generator.forward(batch.cache, ids, mask, batch.positions + 1)


@torch.inference_mode()
def test_concatenated_and_selected_rows_go_on_as_alone(base: TinyBase) -> None:
    """One of the prompts is longer than the sliding window of the tiny Gemma."""
    generator = base.generator()
    expected = torch.cat(
        [next_logits(generator, batch, TOKENS[row : row + 1]) for row, batch in enumerate(alone(generator))]
    )
    batch = KVCacheBatch.concat(alone(generator))
    assert batch.padded
    torch.testing.assert_close(batch.logits, torch.cat([one.logits for one in alone(generator)]))
    rows = [2, 0, 2]
    found = next_logits(generator, batch.select(rows), TOKENS[rows])
    torch.testing.assert_close(found, expected[rows], atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_a_copy_stays_as_it_is_when_the_other_goes_on(base: TinyBase) -> None:
    generator = base.generator()
    batch = alone(generator)[0]
    copied = batch.copy()
    first = next_logits(generator, batch, TOKENS[:1])
    next_logits(generator, batch, TOKENS[1:2])
    torch.testing.assert_close(next_logits(generator, copied, TOKENS[:1]), first)
