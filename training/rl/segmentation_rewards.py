"""The reward of a segmentation: stretches of documents with questions, and what retrieval finds in the chunks.

A document is read once; states and the best chunks elsewhere do not change with its cuts. A piece's vector is computed
when a segmentation first has it, and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from prep.document import Document, Floats
from prep.errors import DataError
from prep.model.encoded_document import EncodedDocument
from prep.model.prep_model import PrepModel
from prep.model.segmentation import CutPlan
from training.data.dataset import Question
from training.prep_model.vector_pages import choose_documents
from training.rl.segmentation_config import SegmentationConfig

__all__ = [
    "Doubles",
    "Pieces",
    "SegmentedDocument",
    "Stretch",
    "add_vectors",
    "by_page",
    "near_evidence",
    "read_stretches",
    "score_segmentation",
    "worth_of_breaks",
]

Doubles = npt.NDArray[np.float64]
# Chunks outside a stretch that can be shown; together they fill any budget.
_N_COMPETITORS = 40
Pieces = Sequence[tuple[int, int]]


@dataclass(slots=True)
class Stretch:
    """Units [first, last) of a page that are cut together, with the questions whose evidence lies in them.

    queries: (q, d). evidence: (q, units) characters of evidence in each unit. competitors: (q, r) the best scores of
    chunks outside the stretch, best first; competitor_characters, competitor_tokens: (q, r) their lengths.
    """

    page: SegmentedDocument
    first: int
    last: int
    queries: Floats
    evidence: Doubles
    competitors: Floats = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    competitor_characters: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    competitor_tokens: Doubles = field(default_factory=lambda: np.zeros((0, 0)))

    def placed(self, pieces: Pieces) -> list[tuple[int, int]]:
        """Return pieces of the stretch, counted from its start, as pieces of the page."""
        return [(first + self.first, last + self.first) for first, last in pieces]


@dataclass(slots=True)
class SegmentedDocument:
    """A document read once. constant: what is added to the worth of a break that the boundary head gives."""

    document_id: str
    reading: EncodedDocument
    plan: CutPlan
    constant: Doubles
    characters: Doubles
    pieces: list[tuple[int, int]]
    stretches: list[Stretch] = field(default_factory=list)
    vectors: dict[tuple[int, int], Floats] = field(default_factory=dict)

    def tokens_of(self, pieces: Pieces) -> Doubles:
        """Return (n,): the tokens of pieces, headers included."""
        edges = np.concatenate([[0.0], np.cumsum(self.plan.counts)])
        headers = self.plan.header_tokens
        return np.array([headers[first] + edges[last] - edges[first] for first, last in pieces])

    def vectors_of(self, pieces: Pieces) -> Floats:
        """Return (n, d): the vectors of pieces that `add_vectors` was asked for."""
        return np.stack([self.vectors[first, last] for first, last in pieces])


def add_vectors(model: PrepModel, wanted: Iterable[tuple[SegmentedDocument, Pieces]]) -> None:
    """Compute the vectors of the pieces of pages that do not have them yet, all of them together."""
    new = {
        (id(page), first, last): (page, first, last)
        for page, pieces in wanted
        for first, last in pieces
        if (first, last) not in page.vectors
    }
    places = [(page.reading, first, last, page.plan.header(first)) for page, first, last in new.values()]
    if not places:
        return
    for (page, first, last), vector in zip(new.values(), model.chunk_vectors(places), strict=True):
        page.vectors[first, last] = vector


def worth_of_breaks(model: PrepModel) -> Doubles:
    weights = model.config.weights
    return np.array([weights.none, weights.sentence, weights.paragraph, weights.section])


def read_stretches(
    data: str | Path, model: PrepModel, config: SegmentationConfig, worth: Doubles, *, held_out: bool
) -> list[Stretch]:
    """Read the sets' documents and return the stretches that have questions, with their competitors."""
    stretches: list[Stretch] = []
    for one in config.measured if held_out else config.sets:
        documents, found = choose_documents(
            data, one, held_out=held_out, held_out_every=config.held_out_every
        )
        asked = {
            name: [(q, text) for q, text in some if all(span.document_id == name for span in q.evidence)]
            for name, some in found.items()
        }
        documents = [document for document in documents if asked.get(document.id)]
        pages = list(_pages(documents, model, worth, "held out" if held_out else "train", one.name))
        of_set: list[Stretch] = []
        for page in pages:
            page.stretches = list(_stretches(page, asked[page.document_id], model, config))
            of_set += page.stretches
        add_vectors(model, [(page, page.pieces) for page in pages])
        _find_competitors(pages, of_set)
        stretches += of_set
    if not stretches:
        raise DataError(
            "no question's evidence lies inside one stretch; raise stretch_units or give other sets"
        )
    return stretches


def _pages(
    documents: Sequence[Document], model: PrepModel, worth: Doubles, what: str, name: str
) -> Iterator[SegmentedDocument]:
    for document in tqdm(documents, desc=f"reading {name}, {what}", unit="doc", disable=None):
        reading = model.read_document(document)
        if not reading.units:
            continue
        model.add_states([reading])
        if reading.token_states is not None:
            reading.token_states = reading.token_states.astype(np.float16)  # many pages are kept
        predictions = model.predict(reading)
        plan = model.plan_cuts(reading, predictions)
        yield SegmentedDocument(
            document_id=document.id,
            reading=reading,
            plan=plan,
            constant=np.asarray(plan.scores) - predictions.boundary.astype(np.float64) @ worth,
            characters=np.array([unit.end - unit.start for unit in reading.units], dtype=np.float64),
            pieces=plan.cuts(),
        )


def _stretches(
    page: SegmentedDocument,
    asked: Sequence[tuple[Question, str]],
    model: PrepModel,
    config: SegmentationConfig,
) -> Iterator[Stretch]:
    """Cut a page where its own cuts fall, into stretches of about the wanted number of units."""
    units = page.reading.units
    starts = np.array([unit.start for unit in units])
    ends = np.array([unit.end for unit in units])
    first = 0
    for _, last in page.pieces:
        if last - first < config.stretch_units and last < len(units):
            continue
        texts, rows = [], []
        for question, text in asked:
            inside = [s for s in question.evidence if starts[first] <= s.start and s.end <= ends[last - 1]]
            if len(inside) < len(question.evidence):
                continue
            texts.append(text)
            shared = np.zeros(last - first)
            for span in inside:
                cut = np.minimum(ends[first:last], span.end) - np.maximum(starts[first:last], span.start)
                shared += np.maximum(cut, 0)
            rows.append(shared)
        if texts:
            yield Stretch(page, first, last, model.encode_queries(texts), np.stack(rows))
        first = last


def _find_competitors(pages: Sequence[SegmentedDocument], stretches: Sequence[Stretch]) -> None:
    """Find for every question the best chunks outside its stretch, as the start cuts them."""
    vectors, characters, tokens, where = [], [], [], []
    for number, page in enumerate(pages):
        vectors.append(page.vectors_of(page.pieces))
        characters += [float(page.characters[first:last].sum()) for first, last in page.pieces]
        tokens += list(page.tokens_of(page.pieces))
        where += [(number, first, last) for first, last in page.pieces]
    if not stretches:
        return
    pool, lengths, costs = np.concatenate(vectors), np.array(characters), np.array(tokens)
    place = np.array(where)
    numbers = {id(page): number for number, page in enumerate(pages)}
    for stretch in stretches:
        scores = stretch.queries @ pool.T
        own = (
            (place[:, 0] == numbers[id(stretch.page)])
            & (place[:, 1] >= stretch.first)
            & (place[:, 2] <= stretch.last)
        )
        scores[:, own] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :_N_COMPETITORS]
        stretch.competitors = np.take_along_axis(scores, best, axis=1)
        there = np.isfinite(stretch.competitors)
        stretch.competitor_characters = np.where(there, lengths[best], 0.0)
        stretch.competitor_tokens = np.where(there, costs[best], 0.0)


def score_segmentation(stretch: Stretch, pieces: Pieces, config: SegmentationConfig) -> Doubles:
    """Return (q, 4) reward, recall, iou and omega of each question.

    pieces: of the stretch, counted from its start; their vectors must have been added. Recall and iou are of the best
    chunks that fill the token budget; of the one that crosses it counts the share that fits.
    """
    page, placed = stretch.page, stretch.placed(pieces)
    scores = stretch.queries @ page.vectors_of(placed).T
    edges = np.concatenate([[0.0], np.cumsum(page.characters[stretch.first : stretch.last])])
    lengths = np.array([edges[last] - edges[first] for first, last in pieces])
    held = np.stack([stretch.evidence[:, first:last].sum(1) for first, last in pieces], axis=1)
    total = np.maximum(stretch.evidence.sum(1), 1.0)
    best = np.argsort(-np.concatenate([scores, stretch.competitors], axis=1), axis=1, kind="stable")

    def ranked(own: Doubles, others: Doubles) -> Doubles:
        both = np.concatenate([np.broadcast_to(own, scores.shape), others], axis=1)
        found: Doubles = np.take_along_axis(both, best, 1)
        return found

    cost = ranked(page.tokens_of(placed), stretch.competitor_tokens)
    share = np.clip((config.budget_tokens - (cost.cumsum(1) - cost)) / np.maximum(cost, 1.0), 0.0, 1.0)
    found = (share * ranked(held, np.zeros_like(stretch.competitor_characters))).sum(1)
    shown = (share * ranked(lengths, stretch.competitor_characters)).sum(1)
    touching = np.where(held > 0, lengths, 0.0).sum(1)
    recall = found / total
    iou = found / np.maximum(shown + total - found, 1.0)
    omega = held.sum(1) / np.maximum(touching + total - held.sum(1), 1.0)
    reward = recall + config.iou_weight * iou + config.omega_weight * omega
    return np.stack([reward, recall, iou, omega], axis=1)


def near_evidence(evidence: Doubles, reach: int) -> Doubles:
    """Return (q, units): 1 where a break after the unit is at most `reach` units from one with evidence, else 0.

    A break is between two units: reach 1 is the breaks on both sides of such a unit. 0 means all.
    """
    if not reach:
        return np.ones_like(evidence)
    near = np.zeros_like(evidence)
    for question, unit in np.argwhere(evidence > 0):
        near[question, max(unit - reach, 0) : unit + reach] = 1.0
    return near


def by_page(stretches: Sequence[Stretch]) -> Iterator[tuple[SegmentedDocument, list[Stretch]]]:
    grouped: dict[int, list[Stretch]] = {}
    for stretch in stretches:
        grouped.setdefault(id(stretch.page), []).append(stretch)
    for of_page in grouped.values():
        yield of_page[0].page, of_page
