"""Which places of a text a place sees: those before it and, where a version reads two ways, all of its own results.

A causal model reads a passage without knowing how its sentences end. Passages are given, not written, so nothing is
lost where each place of `<results>…</results>` sees all the others there, as in a prefix language model (Raffel et al.,
https://arxiv.org/abs/1910.10683); what is written, and the question, sees what stands before it. A layer with a sliding
window sees as far ahead as back. The masks are the same in training and in serving: they come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["CAUSAL", "Sight", "added_masks", "sliding_window"]


@dataclass(frozen=True, slots=True)
class Sight:
    """opens, closes: the token ids of the tags around results that are seen whole; None where nothing is."""

    opens: int | None = None
    closes: int | None = None

    @classmethod
    def of(cls, tokenizer: Any, *, two_way: bool) -> Sight:
        """Return the sight of a version; the tokenizer has our tags (`retrieve.lm.base.load_base`)."""
        if not two_way:
            return CAUSAL
        known = tokenizer.get_vocab()
        return cls(known["<results>"], known["</results>"])

    @property
    def two_way(self) -> bool:
        """Whether anything is seen whole."""
        return self.opens is not None

    def blocks(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the number of the results that each place belongs to, its tags with it, 0 elsewhere.

        ids: (..., n). Results that are opened must be closed.
        """
        if self.opens is None:
            return torch.zeros_like(ids)
        closing = torch.eq(ids, self.closes or 0)
        opened = torch.eq(ids, self.opens).cumsum(-1)
        return opened * (opened > closing.cumsum(-1) - closing.long())


CAUSAL = Sight()


def sliding_window(model: Any) -> int | None:
    """Return how many places a model's sliding layers see, themselves among them; None where it has none."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ()
    return config.sliding_window if "sliding_attention" in kinds else None


def added_masks(
    model: Any,
    allowed: torch.Tensor,
    positions: torch.Tensor,
    blocks: torch.Tensor,
    *,
    n_read: int = 0,
    n_gone: int | None = None,
) -> Any:
    """Return what is added to attention scores: (rows, 1, n - n_read, n), one for each kind of layer.

    allowed: which places a place may see if they are not ahead of it, (rows, n - n_read, n). positions, blocks: of each
    place, (rows, n); what stands in the same block is seen ahead, too. n_read: places read before. n_gone: how many of
    them sliding layers have let go of; what their window does not hold, if not given.
    """
    distance = positions[:, n_read:].unsqueeze(2) - positions.unsqueeze(1)
    together = (blocks[:, n_read:].unsqueeze(2) == blocks.unsqueeze(1)) & (blocks > 0).unsqueeze(1)
    seen = allowed & ((distance >= 0) | together)
    full = _added(seen, model.dtype)
    if (window := sliding_window(model)) is None:
        return full
    near = seen & (distance.abs() < window)
    gone = max(0, n_read - (window - 1)) if n_gone is None else n_gone
    return {"full_attention": full, "sliding_attention": _added(near[:, :, gone:], model.dtype)}


def _added(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    nothing = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return nothing.masked_fill(~allowed, torch.finfo(dtype).min).unsqueeze(1)
