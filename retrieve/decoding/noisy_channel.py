"""The noisy-channel model: the probability of the question, given the passages and a report.

    <results>
    Title › Heading
    ⟦1⟧ First sentence.⟦2⟧ Second sentence.
    </results>
    <report> short answer⟦2⟧</report>
    <question>…</question>

A report of the wrong kind, or from a sentence about something else, makes its question unlikely (Shannon 1948; for
answering, Lewis and Fan 2019, https://openreview.net/forum?id=Bkx0RjA9tX). The model is the serving model with a second
adapter that acts only after the results, so that the results are prefilled once for both; every tensor that the
adapter leaves alone is shared (activated LoRA, https://arxiv.org/abs/2504.12397). All reports on one prompt are scored
in one pass: each sees the results and itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prep.errors import WeightsError
from prep.lora import merge_updates, read_updates
from retrieve.decoding.generator import Generator
from retrieve.episode.episode import PromptParts
from retrieve.lm.attention_mask import added_masks
from retrieve.lm.special_tokens import TAGS

__all__ = [
    "SuffixLayout",
    "channel_format",
    "channel_scores",
    "lay_out_suffixes",
    "load_channel_model",
    "sharing_copy",
]

_BEGIN, _END = TAGS[0], TAGS[1]


def channel_format(question: str, report: str) -> tuple[str, str]:
    """Return what follows the results: the report as it is given, and the question, which is scored.

    question: its part of an episode, `<question>…</question>` and the end of its line. report: the action.
    """
    stripped = question.strip()
    if not (stripped.startswith(_BEGIN) and stripped.endswith(_END)):
        raise ValueError(f"no question of an episode: {question!r}")
    return f"{report.strip()}\n{_BEGIN}", stripped.removeprefix(_BEGIN)


def sharing_copy(model: nn.Module) -> Any:
    """Return a copy that shares every parameter and buffer with a model. Replacing one leaves the model as it is."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


def load_channel_model(model: nn.Module, path: Path) -> Any:
    """Return the noisy-channel model: a sharing copy with the updates at `path`. Raises WeightsError."""
    updates, _, _ = read_updates(path)
    channel_model = sharing_copy(model)
    modules: dict[str, Any] = dict(channel_model.named_modules())
    if missing := sorted(updates.keys() - modules.keys()):
        raise WeightsError(f"{path} does not fit the model: it has no {missing[0]}")
    for name in updates:
        weight = modules[name].weight
        modules[name].weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    merge_updates(channel_model, updates)
    return channel_model


@dataclass(frozen=True, slots=True)
class SuffixLayout:
    """Several texts after a cached prefix, in one row. ids: (1, n). inputs: the masks and positions of a model."""

    ids: torch.Tensor
    inputs: dict[str, Any]


def lay_out_suffixes(model: Any, n_prefix: int, suffixes: Sequence[Sequence[int]]) -> SuffixLayout:
    """Lay texts out after a prefix of n_prefix tokens so that each sees the prefix and itself."""
    device = model.device
    owner = [0] * n_prefix + [number for number, suffix in enumerate(suffixes, start=1) for _ in suffix]
    places = [*range(n_prefix), *(n_prefix + at for suffix in suffixes for at in range(len(suffix)))]
    owners, positions = torch.tensor([owner], device=device), torch.tensor([places], device=device)
    allowed = (owners.unsqueeze(1) == owners[:, n_prefix:].unsqueeze(2)) | (owners == 0).unsqueeze(1)
    masks = added_masks(model, allowed, positions, n_read=n_prefix)
    ids = torch.tensor([[token for suffix in suffixes for token in suffix]], device=device)
    return SuffixLayout(ids, {"attention_mask": masks, "position_ids": positions[:, n_prefix:]})


def channel_scores(
    generator: Generator, channel_model: Any, parts: PromptParts, reports: Sequence[str], cache: Any = None
) -> tuple[list[float], int]:
    """Return the log-probability of the question after each report, in nats, and how many tokens were read for it.

    cache: of the results alone, used up; None prefills them.
    """
    results = generator.encode(parts.results)
    if cache is None:
        cache = generator.prefill_text(results)
    encode = generator.grammar.encode
    pairs = [tuple(map(encode, channel_format(parts.question, report))) for report in reports]
    suffixes = [[*given, *question] for given, question in pairs]
    starts = [0, *accumulate(map(len, suffixes))]
    predicting = [  # the places whose states predict the questions' tokens
        start + at
        for start, (given, question) in zip(starts, pairs, strict=False)
        for at in range(len(given) - 1, len(given) + len(question) - 1)
    ]
    layout = lay_out_suffixes(generator.model, len(results), suffixes)
    output = channel_model(
        input_ids=layout.ids,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.tensor(predicting, device=layout.ids.device),
        **layout.inputs,
    )
    logits = output.logits[0].float()
    targets = torch.tensor([token for _, question in pairs for token in question], device=logits.device)
    logprobs = logits.gather(1, targets.unsqueeze(1))[:, 0] - logits.logsumexp(dim=-1)
    of_each = torch.split(logprobs, [len(question) for _, question in pairs])
    return [float(one.sum()) for one in of_each], sum(map(len, suffixes))
