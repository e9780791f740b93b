"""Log-probabilities of many completions of few prompts, each prompt read once.

The completions of a prompt are laid one behind the other after it, each at the positions it would have alone, and a
mask lets them see the prompt and themselves. That is one sequence of prompt + all completions instead of as many
sequences as completions, with the same numbers: several times less work, as completions are short. What some of the
completions begin with (a question, asked several times) can be laid out once for them, too: their stem.
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
    """A prompt, stems and completions as one sequence. ids: (n,); given: the mask and positions a model needs for it.

    before: for each token of the completions, in their order, where the state stands that predicts it.
    """

    ids: torch.Tensor
    given: dict[str, Any]
    before: list[int]


def lay_out(
    model: Any,
    prompt: Sequence[int],
    completions: Sequence[Sequence[int]],
    stems: Sequence[Sequence[int]] | None = None,
) -> Layout:
    """Lay completions out behind their prompt, and behind their stem where they have one. None may be empty.

    stems: for each completion what stands between the prompt and it, () for nothing; equal ones are one.
    """
    device, n_prompt = model.device, len(prompt)
    of_stem: dict[tuple[int, ...], list[int]] = {}
    for number, _ in enumerate(completions):
        of_stem.setdefault(tuple(stems[number]) if stems is not None else (), []).append(number)
    ids, owner, stem_of, positions = [*prompt], [0] * n_prompt, [0] * n_prompt, [*range(n_prompt)]
    place: dict[int, list[int]] = {}  # of each completion: where the states stand that predict it
    node = 0
    for stem, members in of_stem.items():
        node += 1
        parent = node  # of completions; without a stem nothing stands there
        last = len(ids) + len(stem) - 1 if stem else n_prompt - 1
        ids += stem
        owner += [node] * len(stem)
        stem_of += [node] * len(stem)
        positions += range(n_prompt, n_prompt + len(stem))
        begins = n_prompt + len(stem)
        for number in members:
            node += 1
            tokens = completions[number]
            place[number] = [last, *range(len(ids), len(ids) + len(tokens) - 1)]
            ids += tokens
            owner += [node] * len(tokens)
            stem_of += [parent] * len(tokens)
            positions += range(begins, begins + len(tokens))
    at = torch.tensor(positions, device=device)
    owners, stems_of = torch.tensor(owner, device=device), torch.tensor(stem_of, device=device)
    seen = (
        (owners.unsqueeze(0) == owners.unsqueeze(1))
        | (owners == 0).unsqueeze(0)
        | (owners.unsqueeze(0) == stems_of.unsqueeze(1))
    )
    given = {"attention_mask": _masks(model, seen, at), "position_ids": at.unsqueeze(0)}
    before = [before for number, _ in enumerate(completions) for before in place[number]]
    return Layout(torch.tensor(ids, device=device), given, before)


def score_completions(
    model: Any,
    prompt: Sequence[int],
    completions: Sequence[Sequence[int]],
    *,
    stems: Sequence[Sequence[int]] | None = None,
    biases: Sequence[torch.Tensor] | None = None,
    temperature: float = 1.0,
) -> list[Scored]:
    """Score the completions of one prompt, in order. Keeps gradients.

    stems: see `lay_out`; they are not scored. biases: for each completion what is added to the logits, (n_tokens,
    vocabulary), minus infinity where a token was not allowed; nothing by default. What was drawn under a grammar must
    be scored under it: over the whole vocabulary, a token that the grammar all but forced has a probability near
    nothing, and its gradient and distance are noise.

    model: a causal LM of transformers that takes 4D masks (sdpa or eager attention). Neither the prompt nor a
    completion may be empty.
    """
    layout = lay_out(model, prompt, completions, stems)
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
    written = torch.tensor([token for one in completions for token in one], device=model.device)
    chosen = logprobs.gather(1, written.unsqueeze(1)).squeeze(1)
    pairs = zip(torch.split(chosen, lengths), torch.split(entropies, lengths), strict=True)
    return [Scored(*pair) for pair in pairs]


def _masks(model: Any, seen: torch.Tensor, positions: torch.Tensor) -> Any:
    """Return what is added to attention scores: (1, 1, n, n), one for each kind of layer where there are kinds.

    seen: which places a place may see, (n, n), but for those behind it.
    """
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
