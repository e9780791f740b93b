"""Log-probabilities of many completions of few prompts, each prompt read once.

The completions of a prompt are laid one behind the other after it, each at the positions it would have alone, and a
mask lets them see the prompt and themselves. That is one sequence of prompt + all completions instead of as many
sequences as completions, with the same numbers: several times less work, as completions are short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Layout", "Scored", "lay_out", "score_completions"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion. logprobs, entropies: (n_tokens,), of the distribution over what was allowed, in nats."""

    logprobs: torch.Tensor
    entropies: torch.Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """A prompt and its completions as one sequence. ids: (n,); given: the mask and positions a model needs for it.

    before: for each token of the completions, in order, where the state stands that predicts it.
    """

    ids: torch.Tensor
    given: dict[str, Any]
    before: list[int]


def lay_out(model: Any, prompt: Sequence[int], completions: Sequence[Sequence[int]]) -> Layout:
    """Lay completions out behind their prompt. Neither it nor one of them may be empty."""
    device, n_prompt = model.device, len(prompt)
    lengths = [len(completion) for completion in completions]
    ids = torch.tensor([*prompt, *(token for one in completions for token in one)], device=device)
    owner = torch.cat([torch.full((n,), i, device=device) for i, n in enumerate([n_prompt, *lengths])])
    positions = torch.cat(
        [torch.arange(n_prompt), *(torch.arange(n_prompt, n_prompt + n) for n in lengths)]
    ).to(device)
    # The state that predicts a completion's first token is the prompt's last, the others' is the token before.
    starts = torch.tensor([n_prompt, *lengths[:-1]]).cumsum(0).tolist()
    before = [
        at
        for start, n in zip(starts, lengths, strict=True)
        for at in (n_prompt - 1, *range(start, start + n - 1))
    ]
    given = {"attention_mask": _masks(model, owner, positions), "position_ids": positions.unsqueeze(0)}
    return Layout(ids, given, before)


def score_completions(
    model: Any,
    prompt: Sequence[int],
    completions: Sequence[Sequence[int]],
    *,
    biases: Sequence[torch.Tensor] | None = None,
    temperature: float = 1.0,
) -> list[Scored]:
    """Score the completions of one prompt, in order. Keeps gradients.

    biases: for each completion what is added to the logits, (n_tokens, vocabulary), minus infinity where a token was
    not allowed; nothing by default. What was drawn under a grammar must be scored under it: over the whole vocabulary,
    a token that the grammar all but forced has a probability near nothing, and its gradient and distance are noise.

    model: a causal LM of transformers that takes 4D masks (sdpa or eager attention). Neither the prompt nor a
    completion may be empty.
    """
    layout = lay_out(model, prompt, completions)
    lengths = [len(completion) for completion in completions]
    output = model(
        input_ids=layout.ids.unsqueeze(0),
        use_cache=False,
        logits_to_keep=torch.tensor(layout.before, device=model.device),
        **layout.given,
    )
    logits = output.logits[0].float()
    if biases is not None:
        logits = logits + torch.cat(list(biases)).to(logits)
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    entropies = -torch.where(logprobs.isinf(), 0.0, logprobs.exp() * logprobs).sum(-1)
    chosen = logprobs.gather(1, layout.ids[len(prompt) :].unsqueeze(1)).squeeze(1)
    pairs = zip(torch.split(chosen, lengths), torch.split(entropies, lengths), strict=True)
    return [Scored(*pair) for pair in pairs]


def _masks(model: Any, owner: torch.Tensor, positions: torch.Tensor) -> Any:
    """Return what is added to attention scores: (1, 1, n, n), one for each kind of layer where there are kinds."""
    seen = (owner.unsqueeze(0) == owner.unsqueeze(1)) | (owner == 0).unsqueeze(0)
    distance = positions.unsqueeze(1) - positions.unsqueeze(0)
    full = _added(seen & (distance >= 0), model.dtype)
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" not in kinds:
        return full
    near = _added(seen & (distance >= 0) & (distance < config.sliding_window), model.dtype)
    return {"full_attention": full, "sliding_attention": near}


def _added(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    barred = torch.finfo(dtype).min
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, barred)[
        None, None
    ]
