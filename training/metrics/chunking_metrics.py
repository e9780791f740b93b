"""Metrics of retrieved chunks against labelled excerpts: recall, precision, IoU and precision-omega.

The definitions are those of Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma,
2024). Their text speaks of tokens, their code and published figures count characters, and so does this module
(code points). With E the code points of a question's excerpts and R those of the retrieved chunks,

    recall = |E ∩ R| / |E|      precision = |E ∩ R| / |R|      IoU = |E ∩ R| / (|R| + |E \\ R|)

where |R| counts a code point once for every retrieved chunk that holds it (overlapping chunks pay for what
they repeat), while the other counts are of sets. Precision-omega is the precision of perfect recall: over all
chunks that hold a part of an excerpt, |E ∩ U| / |U ∪ E|, U being their union.

Published code also lets a chunk into U that only touches an excerpt at its edge; `precision_omega(...,
touching=True)` does the same, for comparison with published rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prep.document import Span

__all__ = [
    "Coverage",
    "cover",
    "evidence_recall",
    "first_tokens",
    "intersection",
    "merge",
    "precision_omega",
    "total",
]

Ranges = dict[str, list[tuple[int, int]]]  # by document: sorted, disjoint, non-empty


@dataclass(frozen=True, slots=True)
class Coverage:
    """Recall, precision and IoU of one question's retrieved chunks, each in 0..1."""

    recall: float
    precision: float
    iou: float


def merge(spans: Iterable[Span]) -> Ranges:
    """Return the union of the spans, by document, as sorted disjoint ranges; touching ones are joined."""
    by_document: dict[str, list[tuple[int, int]]] = {}
    for span in spans:
        if span.start < span.end:
            by_document.setdefault(span.document_id, []).append((span.start, span.end))
    merged: Ranges = {}
    for document_id, ranges in by_document.items():
        ranges.sort()
        union = [ranges[0]]
        for start, end in ranges[1:]:
            if start <= union[-1][1]:
                union[-1] = (union[-1][0], max(union[-1][1], end))
            else:
                union.append((start, end))
        merged[document_id] = union
    return merged


def total(ranges: Ranges) -> int:
    """Return the number of code points in the ranges."""
    return sum(end - start for document in ranges.values() for start, end in document)


def intersection(first: Ranges, second: Ranges) -> int:
    """Return the number of code points that are in both."""
    shared = 0
    for document_id in first.keys() & second.keys():
        left, right = first[document_id], second[document_id]
        i = j = 0
        while i < len(left) and j < len(right):
            shared += max(0, min(left[i][1], right[j][1]) - max(left[i][0], right[j][0]))
            if left[i][1] <= right[j][1]:
                i += 1
            else:
                j += 1
    return shared


def cover(excerpts: Iterable[Span], retrieved: Sequence[Span]) -> Coverage:
    """Score the retrieved chunks of one question against its excerpts. All zero where nothing overlaps.

    >>> cover([Span("d", 0, 10)], [Span("d", 5, 15), Span("other", 0, 10)])
    Coverage(recall=0.5, precision=0.25, iou=0.2)
    """
    wanted = merge(excerpts)
    n_wanted = total(wanted)
    n_retrieved = sum(max(0, span.end - span.start) for span in retrieved)
    shared = intersection(wanted, merge(retrieved))
    if not shared:
        return Coverage(0.0, 0.0, 0.0)
    return Coverage(shared / n_wanted, shared / n_retrieved, shared / (n_retrieved + n_wanted - shared))


def precision_omega(excerpts: Iterable[Span], chunks: Iterable[Span], *, touching: bool = False) -> float:
    """Return the precision that perfect recall would have with these chunks; 0.0 where none holds an excerpt.

    chunks: all chunks of at least the excerpts' documents. touching: count a chunk that only meets an
    excerpt's edge as holding it, as the published code does.
    """
    wanted = merge(excerpts)
    slack = 1 if touching else 0
    holding = [
        chunk
        for chunk in chunks
        if any(
            chunk.start < end + slack and start < chunk.end + slack
            for start, end in wanted.get(chunk.document_id, ())
        )
    ]
    union = merge(holding)
    shared = intersection(wanted, union)
    return shared / (total(union) + total(wanted) - shared) if shared else 0.0


def evidence_recall(evidence: Iterable[Span], retrieved: Iterable[Span], *, alternatives: bool) -> float:
    """Return the share of the evidence's code points that retrieved chunks hold; 0.0 without evidence.

    alternatives: the spans are different views of one answer, so the best held passage (maximal run of
    overlapping or touching spans) counts alone.
    """
    wanted, got = merge(evidence), merge(retrieved)
    if not wanted:
        return 0.0
    if not alternatives:
        return intersection(wanted, got) / total(wanted)
    return max(
        intersection({document_id: [(start, end)]}, got) / (end - start)
        for document_id, ranges in wanted.items()
        for start, end in ranges
    )


def first_tokens(ranked: Sequence[Span], n_tokens: Sequence[int], budget: int) -> list[Span]:
    """Return what a reader of the first `budget` tokens sees of ranked chunks.

    The chunk that crosses the budget is kept by the share of its code points that fits, from its start, so
    that large chunks are neither favoured nor punished at the edge.
    """
    taken: list[Span] = []
    left = budget
    for span, cost in zip(ranked, n_tokens, strict=True):
        if left <= 0:
            break
        end = span.end if cost <= left else span.start + (span.end - span.start) * left // cost
        if end > span.start:
            taken.append(Span(span.document_id, span.start, end))
        left -= cost
    return taken
