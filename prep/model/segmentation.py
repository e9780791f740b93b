"""Segmentation: which breaks of a document its chunks end at, by dynamic programming over scores of every break.

`plan_cuts` makes the inputs from predicted boundaries, roles and headings: the worth of every break, the tokens of
units and headers, the limits. `segment` chooses, among all segmentations whose pieces fit, the one that maximises the
break scores less a price for pieces far from the wanted length. Exact and deterministic. The predictions are made by
`prep.model.heads`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from prep.document import Role
from prep.errors import ConfigError
from prep.model.config import ChunkLimits, LengthPrior, PrepConfig
from prep.model.encoded_document import EncodedDocument
from prep.model.line_features import Predictions
from prep.model.outline import heading_paths, line_roles

__all__ = [
    "CHARACTERS_PER_TOKEN",
    "HEADER_JOIN",
    "CutPlan",
    "header_tokens",
    "length_prices",
    "plan_cuts",
    "segment",
]

HEADER_JOIN = " › "
# A chunk has at most this many characters per token of its limit, whatever the tokenizer counts.
CHARACTERS_PER_TOKEN = 16
_COLONS = (":", "：")

Tokenize = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """The inputs of `segment` for one document, with the roles and headings of its units.

    One entry a unit: counts (its tokens), header_tokens (of the header of a piece that starts there), scores (of a
    break after it), roles, and paths (the enclosing headings). headers: path → token ids. open_headings: those that
    enclose the text after the last unit.
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
        """Return the best pieces, as unit ranges [first, last) that tile the document."""
        return segment(self.counts, self.header_tokens, self.scores, self.limits, self.prior)

    def header(self, unit: int) -> list[int]:
        """Return the token ids of the header of a piece that starts at this unit."""
        return self.headers[self.paths[unit]]


def plan_cuts(
    page: EncodedDocument, predictions: Predictions, config: PrepConfig, tokenize: Tokenize, room: int
) -> CutPlan:
    """Return the plan of a document with units.

    room: tokens of a chunk, header included, special tokens excluded.
    """
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
    """Return the token ids of each path's header, cut to `room` tokens: its beginning and its end stay."""
    unique = list(dict.fromkeys(paths))
    ids = tokenize([HEADER_JOIN.join(part for part in (title.strip(), *path) if part) for path in unique])
    cut = [h if len(h) <= room else [*h[: room // 2], *h[len(h) - (room - room // 2) :]] for h in ids]
    return dict(zip(unique, cut, strict=True))


def _break_scores(
    page: EncodedDocument,
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
        elif page.document.text[unit.start : unit.end].rstrip().endswith(_COLONS):
            scores[i] -= weights.colon
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


def segment(
    unit_tokens: Sequence[int],
    header_tokens: Sequence[int],
    break_scores: Sequence[float],
    limits: ChunkLimits,
    prior: LengthPrior | None = None,
) -> list[tuple[int, int]]:
    """Return pieces as unit ranges [first, last), in order, tiling all units.

    unit_tokens: tokens of each unit. header_tokens: tokens of the header of a piece starting at that unit.
    break_scores: of a break after that unit (the last one is ignored). A piece costs its header and its units; only a
    piece of a single unit may cost more than limits.max_tokens. Ties go to the longer last piece. Time grows with units
    times the units that fit one piece. Raises ConfigError where the lengths of the three differ.
    """
    n_units = len(unit_tokens)
    if n_units == 0:
        return []
    weights = prior or LengthPrior()
    tokens = np.asarray(unit_tokens, dtype=np.int64)
    headers = np.asarray(header_tokens, dtype=np.int64)
    scores = np.asarray(break_scores, dtype=np.float64)
    if not len(tokens) == len(headers) == len(scores):
        raise ConfigError(
            f"units, headers and scores differ in number: {len(tokens)}, {len(headers)}, {len(scores)}"
        )
    ends = np.concatenate([[0], np.cumsum(np.maximum(tokens, 1))])
    price = length_prices(limits, weights)
    best = np.full(n_units + 1, -np.inf)
    best[0] = 0.0
    previous = np.zeros(n_units + 1, dtype=np.int64)
    low = 0
    for end in range(1, n_units + 1):
        while ends[end] - ends[low] > limits.max_tokens and low < end - 1:
            low += 1
        lengths = headers[low:end] + ends[end] - ends[low:end]
        values = np.where(
            lengths <= limits.max_tokens,
            best[low:end] - price[np.minimum(lengths, limits.max_tokens)],
            -np.inf,
        )
        at = int(np.argmax(values))
        if values[at] == -np.inf:
            at = end - 1 - low  # a single unit above the limit stands alone
            values[at] = best[end - 1] - price[limits.max_tokens]
        best[end] = values[at] + (scores[end - 1] if end < n_units else 0.0)
        previous[end] = low + at
    pieces: list[tuple[int, int]] = []
    end = n_units
    while end > 0:
        pieces.append((int(previous[end]), end))
        end = int(previous[end])
    return pieces[::-1]


def length_prices(limits: ChunkLimits, prior: LengthPrior) -> npt.NDArray[np.float64]:
    """Return the price of a piece of 0, 1, … limits.max_tokens tokens, (max_tokens + 1,) float64."""
    lengths = np.arange(limits.max_tokens + 1, dtype=np.float64)
    ratio = np.log(np.maximum(lengths, 1.0) / limits.target_tokens)
    prices: npt.NDArray[np.float64] = np.where(ratio < 0, prior.short, prior.long) * ratio**2
    return prices
