"""Attention masks: what a place sees is causal by position, within its own text, near in sliding layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_gemma, make_llama

from retrieve.lm.attention_mask import added_masks, sliding_window
from retrieve.lm.base import load_base

WINDOW = 4


@pytest.fixture(scope="module", params=["gemma", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("base")
    made = make_gemma(folder, window=WINDOW) if request.param == "gemma" else make_llama(folder)
    return load_base(made, dtype=torch.float32)[0]


def test_two_texts_behind_a_prompt_see_it_and_themselves(model: Any) -> None:
    """A prompt of six places, of which four are in the cache, and behind it texts of three and two places."""
    owner = [0] * 6 + [1] * 3 + [2] * 2
    positions = [*range(6), 6, 7, 8, 6, 7]
    n_read = 4
    allowed = torch.tensor(
        [[[owner[other] in (0, owner[place]) for other in range(11)] for place in range(n_read, 11)]]
    )
    made = added_masks(model, allowed, torch.tensor([positions]), n_read=n_read)
    full, near = made.values() if isinstance(made, dict) else (made, None)
    for row, place in enumerate(range(n_read, 11)):
        sees = [
            owner[other] in (0, owner[place]) and positions[other] <= positions[place] for other in range(11)
        ]
        assert (full[0, 0, row] == 0).tolist() == sees
        if near is not None:
            close = [see and positions[place] - positions[other] < WINDOW for other, see in enumerate(sees)]
            # The cache of a sliding layer holds the window less one place: of four read, three.
            assert (near[0, 0, row] == 0).tolist() == close[n_read - (WINDOW - 1) :]
    assert (near is None) == (sliding_window(model) is None)
    assert float(full.min()) == torch.finfo(torch.float32).min


def test_places_that_nothing_has_let_go_of_stay_in_a_sliding_layer_s_mask(tmp_path: Path) -> None:
    model = load_base(make_gemma(tmp_path, window=WINDOW), dtype=torch.float32)[0]
    allowed, positions = torch.ones((1, 2, 8), dtype=torch.bool), torch.arange(8).unsqueeze(0)
    shapes = {
        n_gone: added_masks(model, allowed, positions, n_read=6, n_gone=n_gone)["sliding_attention"].shape
        for n_gone in (None, 0, 2)
    }
    assert shapes == {None: (1, 1, 2, 5), 0: (1, 1, 2, 8), 2: (1, 1, 2, 6)}


def test_a_text_alone_is_read_as_without_a_mask(model: Any) -> None:
    """It is longer than the sliding window."""
    ids = torch.randint(5, 60, (1, 11), generator=torch.Generator().manual_seed(0))
    positions = torch.arange(11).unsqueeze(0)
    masks = added_masks(model, torch.ones((1, 11, 11), dtype=torch.bool), positions)
    with torch.no_grad():
        given = model(ids, attention_mask=masks, position_ids=positions).logits
        torch.testing.assert_close(given, model(ids).logits)
