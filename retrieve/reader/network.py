"""The reader's network: a bidirectional encoder over question and passage, and its heads.

Every passage has a relevance, every sentence a logit for being evidence, every token logits for starting and ending
the answer; the relevance is part of the other logits, and all are compared with 0, which is refusing, over all the
passages of a question at once (shared normalisation, Clark & Gardner 2018, https://arxiv.org/abs/1710.10723). The
embeddings stay the base's own; layers and heads are trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from retrieve.reader.answer_types import ANSWER_TYPES
from retrieve.reader.inputs import PairBatch

__all__ = ["ReaderNetwork", "ReaderScores", "trained_parameters"]


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """Logits of a batch, float32, flat as the batch is.

    starts, ends: (tokens,). sentences: (sentences,). passages: (pairs,). types: (pairs, 6).
    """

    starts: torch.Tensor
    ends: torch.Tensor
    sentences: torch.Tensor
    passages: torch.Tensor
    types: torch.Tensor

    @staticmethod
    def joined(parts: Iterable[ReaderScores]) -> ReaderScores:
        """Return the scores of several batches, one after the other."""
        listed = list(parts)
        return ReaderScores(
            torch.cat([part.starts for part in listed]),
            torch.cat([part.ends for part in listed]),
            torch.cat([part.sentences for part in listed]),
            torch.cat([part.passages for part in listed]),
            torch.cat([part.types for part in listed]),
        )


class ReaderNetwork(nn.Module):
    """An encoder of BERT's kind with heads for spans, evidence, relevance and the type of answer."""

    def __init__(self, encoder: nn.Module, dimension: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.span = nn.Linear(dimension, 2)
        self.sentence = nn.Linear(dimension, 1)
        self.passage = nn.Linear(dimension, 1)
        self.answer_type = nn.Linear(dimension, len(ANSWER_TYPES))
        for head in (self.span, self.sentence, self.passage, self.answer_type):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        config = getattr(encoder, "config", None)
        self.has_types = getattr(config, "type_vocab_size", 1) > 1

    def forward(self, batch: PairBatch) -> ReaderScores:
        """Return the logits of a batch of pairs."""
        types = batch.types if self.has_types else torch.zeros_like(batch.types)
        states = self.encoder(
            input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=types
        ).last_hidden_state.float()
        with torch.autocast("cpu", enabled=False):
            return self._score(states, batch)

    def _score(self, states: torch.Tensor, batch: PairBatch) -> ReaderScores:
        whole = states[:, 0]
        text = states[batch.text_row, batch.text_column]
        relevance = self.passage(whole).squeeze(-1)
        spans = self.span(text) + relevance[batch.text_row].unsqueeze(-1)
        # The mean of a sentence's tokens, through a linear head, is the mean of theirs.
        zeros, one = torch.zeros(len(batch.sentence_pair)), torch.ones(len(text))
        counts = zeros.index_add(0, batch.text_sentence, one)
        sums = zeros.index_add(0, batch.text_sentence, self.sentence(text).squeeze(-1))
        sentences = sums / counts.clamp_min(1) + relevance[batch.sentence_pair]
        return ReaderScores(spans[:, 0], spans[:, 1], sentences, relevance, self.answer_type(whole))


def trained_parameters(network: ReaderNetwork) -> dict[str, nn.Parameter]:
    """Return by name what is trained and stored: all but the encoder's embeddings and its pooler."""
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if not name.startswith(("encoder.embeddings.", "encoder.pooler."))
    }
