"""Log-probabilities of many completions of few prompts, each prompt read once.

The completions of a prompt are laid one behind the other after it, each at the positions it would have alone, and a
mask lets them see the prompt and themselves. That is one sequence of prompt + all completions instead of as many
sequences as completions, with the same numbers: several times less work, as completions are short. What some of the
completions begin with (a question, asked several times) can be laid out once for them, too: their stem.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Layout", "Scored", "lay_out", "lay_out_many", "score_completions"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion. logprobs, entropies: (n_tokens,), of the distribution over what was allowed, in nats."""

    logprobs: torch.Tensor
    entropies: torch.Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Prompts, each with its stems and completions as one sequence, a row each. ids: (rows, n), padded at the right.

    given: the masks and positions a model needs for it. before: for each token of the completions, in their order,
    where the state stands that predicts it, the rows' states behind one another.
    """

    ids: torch.Tensor
    given: dict[str, Any]
    before: list[int]


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt's sequence. owner: of each place, 0 the prompt, else a stem or completion; stem_of: whose it sees."""

    ids: list[int]
    owner: list[int]
    stem_of: list[int]
    positions: list[int]
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
    return _layout(model, [_row(prompt, completions, stems)])


def lay_out_many(model: Any, groups: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> Layout:
    """Lay out several prompts, each with its completions, as rows of one batch."""
    return _layout(model, [_row(prompt, completions, None) for prompt, completions in groups])


def _row(
    prompt: Sequence[int], completions: Sequence[Sequence[int]], stems: Sequence[Sequence[int]] | None
) -> _Row:
    n_prompt = len(prompt)
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
    before = [at for number, _ in enumerate(completions) for at in place[number]]
    return _Row(ids, owner, stem_of, positions, before)


def _layout(model: Any, rows: Sequence[_Row]) -> Layout:
    width = max(len(row.ids) for row in rows)

    def padded(parts: Iterable[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([part + [fill] * (width - len(part)) for part in parts], device=model.device)

    ids, positions = padded((row.ids for row in rows), 0), padded((row.positions for row in rows), 0)
    owner, stem_of = padded((row.owner for row in rows), -1), padded((row.stem_of for row in rows), -1)
    seen = (
        (owner.unsqueeze(1) == owner.unsqueeze(2))
        | (owner == 0).unsqueeze(1)
        | (owner.unsqueeze(1) == stem_of.unsqueeze(2))
    )
    given = {"attention_mask": _masks(model, seen, positions), "position_ids": positions}
    before = [number * width + at for number, row in enumerate(rows) for at in row.before]
    return Layout(ids, given, before)


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
        input_ids=layout.ids,
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
    """Return what is added to attention scores: (rows, 1, n, n), one for each kind of layer where there are kinds.

    seen: which places a place may see, (rows, n, n), but for those behind it.
    """
    distance = positions.unsqueeze(2) - positions.unsqueeze(1)
    full = _added(seen & (distance >= 0), model.dtype)
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" not in kinds:
        return full
    near = _added(seen & (distance >= 0) & (distance < config.sliding_window), model.dtype)
    return {"full_attention": full, "sliding_attention": near}


def _added(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    nothing = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return nothing.masked_fill(~allowed, torch.finfo(dtype).min).unsqueeze(1)
