"""What each place of one text sees, place by place: what `retrieve.lm.attention_mask` is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from retrieve.lm.attention_mask import sliding_window

_UNSEEN = -1e9


def masks_by_hand(model: Any, tokenizer: Any, ids: Sequence[int]) -> Any:
    """Return the masks of a text whose results are read in both directions, as a model takes them."""
    opens, closes = tokenizer.convert_tokens_to_ids(["<results>", "</results>"])
    end_of = list(range(len(ids)))  # of each place: the last it sees
    for start in (place for place, token in enumerate(ids) if token == opens):
        stop = next(place for place in range(start, len(ids)) if ids[place] == closes)
        end_of[start : stop + 1] = [stop] * (stop + 1 - start)
    full = torch.full((1, 1, len(ids), len(ids)), _UNSEEN, dtype=model.dtype)
    near = full.clone()
    window = sliding_window(model)
    for place, end in enumerate(end_of):
        for other in range(end + 1):
            full[0, 0, place, other] = 0
            if window is not None and abs(place - other) < window:
                near[0, 0, place, other] = 0
    return full if window is None else {"full_attention": full, "sliding_attention": near}
