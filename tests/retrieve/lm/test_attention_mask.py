"""What a version sees of a text: results whole where it reads two ways, all else only what stands before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from masks_by_hand import masks_by_hand
from tiny_models import make_gemma, make_llama

from retrieve.decoding.decoder import Decoder
from retrieve.lm.attention_mask import CAUSAL, Sight
from retrieve.lm.base import load_base

RESULTS = "<results>\nBees\n⟦1⟧ Bees make honey in spring.⟦2⟧ Wasps make paper.\n</results>\n"
QUESTION = "<question>what do bees make</question>\n"


@pytest.fixture(scope="module", params=["gemma", "llama"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    make = make_gemma if request.param == "gemma" else make_llama
    return Decoder(*load_base(make(tmp_path_factory.mktemp("base")), dtype=torch.float32), two_way=True)


def test_blocks_are_numbered_with_their_tags_and_the_rest_is_none() -> None:
    sight = Sight(opens=8, closes=9)
    ids = torch.tensor([[0, 8, 5, 9, 5, 8, 9, 5], [8, 5, 5, 9, 8, 5, 9, 0]])
    assert sight.blocks(ids).tolist() == [[0, 1, 1, 1, 0, 2, 2, 0], [1, 1, 1, 1, 2, 2, 2, 0]]
    assert not CAUSAL.blocks(ids).any()
    assert not CAUSAL.two_way


@torch.no_grad()
def states(decoder: Decoder, ids: list[int]) -> torch.Tensor:
    """Return (n, hidden): the last states of a text read as the decoder reads it."""
    given = torch.tensor([ids])
    masks: Any = decoder._reading_masks(given, torch.ones_like(given), 0)
    hidden: torch.Tensor = decoder.model.get_decoder()(given, attention_mask=masks).last_hidden_state[0]
    return hidden


def test_results_see_how_they_end_and_never_the_question(decoder: Decoder) -> None:
    ids = decoder.encode(RESULTS + QUESTION)
    n_results = len(decoder.encode(RESULTS))
    before = states(decoder, ids)
    other_question = states(decoder, [*ids[:n_results], *reversed(ids[n_results:])])
    torch.testing.assert_close(other_question[:n_results], before[:n_results])
    changed = ids.copy()
    changed[n_results - 6] = ids[n_results - 5]
    assert (states(decoder, changed)[2] - before[2]).abs().max() > 1e-4
    one_way = Decoder(decoder.model, decoder.tokenizer)
    assert torch.equal(states(one_way, changed)[:3], states(one_way, ids)[:3])


def test_masks_are_those_made_by_hand(decoder: Decoder) -> None:
    """The text is longer than the tiny Gemma's sliding window."""
    ids = decoder.encode(RESULTS * 2 + QUESTION + RESULTS)
    given = torch.tensor([ids])
    made: Any = decoder._reading_masks(given, torch.ones_like(given), 0)
    by_hand = masks_by_hand(decoder.model, decoder.tokenizer, ids)
    kinds = list(made) if isinstance(made, dict) else [None]
    for kind in kinds:
        one, other = (made, by_hand) if kind is None else (made[kind], by_hand[kind])
        assert torch.equal(one == 0, other == 0)
