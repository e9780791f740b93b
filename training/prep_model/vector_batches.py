"""The batches of contrastive training: stretches of documents beside the stretches most like them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from prep.document import Floats
from training.prep_model.contrastive_config import ContrastiveConfig
from training.prep_model.vector_pages import EvidenceQuestion, VectorPage

__all__ = ["Group", "cut_groups", "evidence_targets", "plan_batches"]


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring chunks of a page with the questions on them. n_tokens: of the chunks, headers included."""

    page: VectorPage
    chunks: list[int]
    questions: list[EvidenceQuestion]
    n_tokens: int
    centre: Floats


def cut_groups(page: VectorPage, config: ContrastiveConfig) -> list[Group]:
    """Cut a page into groups of neighbouring chunks; a question whose evidence no group holds is left out."""
    groups: list[Group] = []
    lengths = np.diff(page.edges)
    chunks: list[int] = []
    for chunk in range(page.n_chunks):
        chunks.append(chunk)
        n_tokens = int(lengths[chunks].sum())
        following = lengths[chunk + 1] if chunk + 1 < page.n_chunks else config.group_tokens
        if n_tokens + following > config.group_tokens:
            held = set(chunks)
            questions = [asked for asked in page.questions if held.issuperset(asked.shares)]
            if questions:
                centre = page.anchors[chunks].astype(np.float32).mean(0)
                groups.append(Group(page, chunks, questions, n_tokens, centre))
            chunks = []
    return groups


def plan_batches(groups: Sequence[Group], config: ContrastiveConfig) -> list[list[int]]:
    """Return the groups of every step: a group drawn by the seed, then those most like it, twice a step."""
    centres = np.stack([group.centre for group in groups])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    rng = random.Random(config.seed)
    steps: list[list[int]] = []
    for epoch in range(int(np.ceil(config.epochs))):
        waiting = list(range(len(groups)))
        rng.shuffle(waiting)
        halves: list[list[int]] = []
        while waiting:
            seed = waiting.pop()
            half, width = [seed], groups[seed].n_tokens
            likeness = centres[waiting] @ centres[seed]
            for place in np.argsort(-likeness, kind="stable"):
                number = waiting[place]
                if width + groups[number].n_tokens > config.batch_tokens // 2:
                    break
                half.append(number)
                width += groups[number].n_tokens
            taken = set(half)
            waiting = [number for number in waiting if number not in taken]
            halves.append(half)
        rng.shuffle(halves)
        epoch_steps = [[*a, *b] for a, b in zip(halves[::2], [*halves[1::2], []], strict=False)]
        share = min(1.0, config.epochs - epoch)
        steps += epoch_steps[: max(1, round(len(epoch_steps) * share))]
    return steps


def evidence_targets(groups: Sequence[Group], question_ids: Sequence[str]) -> torch.Tensor:
    """Return how the evidence of each question is spread over the chunks of all groups: rows sum to 1."""
    row_of = {name: row for row, name in enumerate(question_ids)}
    target = torch.zeros((len(question_ids), sum(len(group.chunks) for group in groups)))
    first = 0
    for group in groups:
        column = {chunk: first + place for place, chunk in enumerate(group.chunks)}
        first += len(group.chunks)
        for asked in group.questions:
            if asked.question_id in row_of:
                for chunk, share in asked.shares.items():
                    target[row_of[asked.question_id], column[chunk]] = share
    return target / target.sum(1, keepdim=True)
