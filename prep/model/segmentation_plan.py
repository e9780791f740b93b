"""What the cuts of a page are chosen by: the worth of every break, the tokens of units and headers, the limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prep.document import Role
from prep.model.config import PrepConfig
from prep.model.encoded_document import PageReading
from prep.model.line_features import Predictions
from prep.model.outline import heading_paths, line_roles
from prep.model.segmentation import ChunkLimits, LengthPrior, segment

__all__ = ["CHARACTERS_PER_TOKEN", "HEADER_JOIN", "CutPlan", "header_tokens", "plan_cuts"]

HEADER_JOIN = " › "
# No chunk holds more characters than this per token of its limit, whatever the tokenizer makes of them.
CHARACTERS_PER_TOKEN = 16

Tokenize = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """What `prep.model.segmentation` chooses the cuts by, and what the pieces are then called.

    For every unit: its tokens, those of the header of a piece that starts there, what a break after it is worth, its
    role, and the headings that enclose it. headers: headings → token ids. open_headings: what is still open at the end.
    """

    counts: list[int]
    header_tokens: list[int]
    scores: list[float]
    limits: ChunkLimits
    prior: LengthPrior
    roles: list[Role]
    paths: list[tuple[str, ...]]
    headers: dict[tuple[str, ...], list[int]]
    open_headings: list[tuple[float, str]]

    def cuts(self) -> list[tuple[int, int]]:
        """Return the best pieces, as unit ranges [first, last) that tile the page."""
        return segment(self.counts, self.header_tokens, self.scores, self.limits, self.prior)

    def header(self, unit: int) -> list[int]:
        """Return the token ids of the header of a piece that starts at this unit."""
        return self.headers[self.paths[unit]]


def plan_cuts(
    page: PageReading, predictions: Predictions, config: PrepConfig, tokenize: Tokenize, room: int
) -> CutPlan:
    """Return the plan of a page with units. room: tokens of a chunk, header included, special tokens not."""
    units, text, title = page.units, page.document.text, page.document.title
    roles = line_roles(units, predictions, page.marks, text)
    headings = list(page.open_headings)
    paths = [path for path, _ in heading_paths(units, roles, predictions, page.marks, text, title, headings)]
    counts = [
        max(len(ids), 1, -(-(unit.end - unit.start) // CHARACTERS_PER_TOKEN))
        for unit, ids in zip(units, page.tokens, strict=True)
    ]
    headers = header_tokens(title, paths, tokenize, int(room * config.header_share))
    lengths = [len(headers[path]) for path in paths]
    target = min(config.limits.target_tokens, room)
    return CutPlan(
        counts=counts,
        header_tokens=lengths,
        scores=_break_scores(page, predictions, roles, counts, lengths, config, room),
        limits=replace(config.limits, max_tokens=room, target_tokens=target),
        prior=config.prior,
        roles=roles,
        paths=paths,
        headers=headers,
        open_headings=headings,
    )


def header_tokens(
    title: str, paths: Sequence[tuple[str, ...]], tokenize: Tokenize, room: int
) -> dict[tuple[str, ...], list[int]]:
    """Return the token ids of each header, cut to `room`: the title's beginning and the last headings stay."""
    unique = list(dict.fromkeys(paths))
    ids = tokenize([HEADER_JOIN.join(part for part in (title.strip(), *path) if part) for path in unique])
    cut = [h if len(h) <= room else [*h[: room // 2], *h[len(h) - (room - room // 2) :]] for h in ids]
    return dict(zip(unique, cut, strict=True))


def _break_scores(
    page: PageReading,
    predictions: Predictions,
    roles: Sequence[Role],
    counts: Sequence[int],
    headers: Sequence[int],
    config: PrepConfig,
    room: int,
) -> list[float]:
    weights = config.weights
    worth = np.array([weights.none, weights.sentence, weights.paragraph, weights.section])
    scores = predictions.boundary.astype(np.float64) @ worth
    for i, unit in enumerate(page.units):
        if unit.forced:
            scores[i] = min(scores[i], weights.none)
        if unit.last and roles[i] in ("heading", "title"):
            scores[i] -= weights.heading
    run = 0
    for i in range(1, len(roles) + 1):
        edge = i == len(roles) or (roles[i] == "boilerplate") != (roles[i - 1] == "boilerplate")
        if edge:
            if roles[i - 1] == "boilerplate" and sum(counts[run:i]) >= 24:
                scores[i - 1] += weights.boilerplate
                if run:
                    scores[run - 1] += weights.boilerplate
            run = i
    ends = np.concatenate([[0], np.cumsum(counts)])
    held = np.zeros(len(scores), dtype=bool)
    for first, last in page.marks.keep:
        if headers[first] + ends[last] - ends[first] <= room:
            held[first : last - 1] = True
    scores[held] -= weights.keep
    return [float(score) for score in scores]
