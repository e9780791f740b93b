"""The reader's loss: right passages, sentences and tokens against all others of a question, and against refusing.

What is right does not compete with what is right too; everything wrong, and refusing (a logit of 0), competes with it,
over all passages of a question (shared normalisation, Clark & Gardner 2018, https://arxiv.org/abs/1710.10723).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from retrieve.reader.network import ReaderScores

__all__ = ["LossWeights", "Targets", "competition_loss", "reader_loss"]

_NOTHING = -1e4  # a logit that no softmax sees


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """What each part of the loss weighs."""

    passage: float = 1.0
    sentence: float = 1.0
    span: float = 0.5
    answer_type: float = 0.5


@dataclass(frozen=True, slots=True)
class Targets:
    """What is right of a batch of questions, flat as `ReaderScores` is.

    pair_question (P,), sentence_question (S,), token_question (T,): the question of each, 0..n_questions-1.
    passages (P,), sentences (S,), starts, ends (T,): bool. soft, no_span (n_questions,): any of what is right is
    enough; the answer's place is not known. types (P,): a number of ANSWER_TYPES, or -1.
    """

    n_questions: int
    pair_question: torch.Tensor
    sentence_question: torch.Tensor
    token_question: torch.Tensor
    passages: torch.Tensor
    sentences: torch.Tensor
    starts: torch.Tensor
    ends: torch.Tensor
    soft: torch.Tensor
    no_span: torch.Tensor
    types: torch.Tensor


def competition_loss(
    logits: torch.Tensor, question: torch.Tensor, right: torch.Tensor, soft: torch.Tensor
) -> torch.Tensor:
    """Return each question's loss (n,): mean -log of what is right against all that is wrong and 0; soft: of their sum.

    Where nothing of a question is right, refusing is.
    """
    n = len(soft)
    wrong = _log_sum(logits.masked_fill(right, _NOTHING), question, n, with_zero=True)
    gold, of_gold = logits[right], question[right]
    counts = torch.zeros(n).index_add(0, of_gold, torch.ones(len(gold)))
    each = nn.functional.softplus(wrong[of_gold] - gold)
    mean = torch.zeros(n).index_add(0, of_gold, each) / counts.clamp_min(1)
    any_of = nn.functional.softplus(wrong - _log_sum(gold, of_gold, n, with_zero=False))
    return torch.where(counts == 0, wrong, torch.where(soft, any_of, mean))


def reader_loss(scores: ReaderScores, targets: Targets, weights: LossWeights) -> dict[str, torch.Tensor]:
    """Return the parts of the loss, means over the questions, and `loss`, their weighted sum."""
    known = (~targets.no_span).float()
    always = torch.ones_like(targets.soft)
    n_known = known.sum().clamp_min(1)
    parts = {
        "passage": competition_loss(
            scores.passages, targets.pair_question, targets.passages, targets.soft
        ).mean(),
        "sentence": competition_loss(
            scores.sentences, targets.sentence_question, targets.sentences, targets.soft
        ).mean(),
    }
    span = competition_loss(scores.starts, targets.token_question, targets.starts, always)
    span = span + competition_loss(scores.ends, targets.token_question, targets.ends, always)
    parts["span"] = (span * known).sum() / n_known
    typed = targets.types >= 0
    parts["answer_type"] = (
        nn.functional.cross_entropy(scores.types[typed], targets.types[typed])
        if bool(typed.any())
        else scores.types.sum() * 0
    )
    total: Sequence[torch.Tensor] = [getattr(weights, name) * part for name, part in parts.items()]
    return {**parts, "loss": torch.stack(list(total)).sum()}


def _log_sum(values: torch.Tensor, index: torch.Tensor, n: int, *, with_zero: bool) -> torch.Tensor:
    """Return log sum exp of the values of each index (n,), with a further 0 among them or not."""
    top = torch.full((n,), 0.0 if with_zero else _NOTHING)
    top = top.scatter_reduce(0, index, values.detach(), "amax")
    sums = torch.zeros(n).index_add(0, index, (values - top[index]).exp())
    if with_zero:
        sums = sums + (-top).exp()
    return sums.clamp_min(1e-30).log() + top
