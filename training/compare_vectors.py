"""Which vectors of the same chunks find the evidence: alone, with a header, or from the window's lower layers.

Decides what a prep version's `vectors` setting should be. Measuring whole systems is `training.evaluate`.

    python -m training.compare_vectors --data DATA
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from prep.document import Chunk, Document, Floats, Span
from prep.model import PrepModel
from prep.segment import ChunkLimits
from prep.settings import PrepConfig
from training.dataset import load_set

__all__ = ["EvidenceRecall", "compare_vectors", "evidence_recall"]


# Short enough for the smallest window, so that every way sees the same chunks.
UNIT_TOKENS = 80
LIMITS = ChunkLimits(target_tokens=128, max_tokens=256)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecall:
    """Mean share of evidence characters in the best chunk, the best five, and the best that fill a budget."""

    n_questions: int
    n_chunks: int
    at_1: float
    at_5: float
    in_budget: float


def evidence_recall(
    chunks: Sequence[Chunk],
    vectors: Floats,
    queries: Floats,
    evidence: Sequence[Sequence[Span]],
    *,
    budget_tokens: int = 500,
) -> EvidenceRecall:
    """Rank chunks by inner product and see how much evidence they hold. queries: (n, d); ties by chunk order."""
    shares = np.zeros((len(evidence), 3))
    for i, spans in enumerate(evidence):
        order = np.argsort(-(vectors @ queries[i]), kind="stable")
        n_in_budget = int((np.cumsum([chunks[j].n_tokens for j in order]) <= budget_tokens).sum())
        total = sum(span.end - span.start for span in spans)
        for column, n_taken in enumerate((1, 5, n_in_budget)):
            shares[i, column] = sum(_shared(chunks[j], s) for j in order[:n_taken] for s in spans) / total
    means = shares.mean(0) if len(evidence) else np.zeros(3)
    return EvidenceRecall(
        n_questions=len(evidence),
        n_chunks=len(chunks),
        at_1=float(means[0]),
        at_5=float(means[1]),
        in_budget=float(means[2]),
    )


def _shared(chunk: Chunk, span: Span) -> int:
    if chunk.document_id != span.document_id:
        return 0
    return max(0, min(chunk.end, span.end) - max(chunk.start, span.start))


def compare_vectors(
    documents: Sequence[Document], questions: Sequence[tuple[str, Sequence[Span]]]
) -> dict[str, EvidenceRecall]:
    """Cut documents once by rules, and score four ways to a vector for the same chunks."""
    model = PrepModel.untrained(config=PrepConfig(limits=LIMITS, unit_tokens=UNIT_TOKENS))
    chunks = [chunk for _, found in model.prepare_many(documents) for chunk in found]
    queries = model.encode_queries([question for question, _ in questions])
    evidence = [spans for _, spans in questions]
    ways = {
        "chunk alone": model.encoder.encode_tokens(model.encoder.tokenize([c.text for c in chunks])),
        "header and chunk": np.stack([chunk.vector for chunk in chunks]),
    }
    for window in (256, 512):
        shared = PrepModel.untrained(
            config=PrepConfig(
                limits=LIMITS,
                vectors="shared",
                window_tokens=window,
                overlap_tokens=window // 8,
                unit_tokens=UNIT_TOKENS,
            )
        )
        pooled = {c.id: c.vector for _, found in shared.prepare_many(documents) for c in found}
        ways[f"shared, windows of {window}"] = np.stack([pooled[chunk.id] for chunk in chunks])
    return {name: evidence_recall(chunks, v, queries, evidence) for name, v in ways.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Compare on new_wiki without its development articles, and on every fourteenth topic of medquad."""
    parser = argparse.ArgumentParser(description="compare ways to a chunk's vector by evidence recall")
    parser.add_argument("--data", required=True, help="folder of labelled sets")
    options = parser.parse_args(argv)
    for name, every in (("new_wiki", 4), ("medquad", 1)):
        labelled = load_set(Path(options.data) / name)
        ids = sorted(labelled.documents)
        kept = {d for i, d in enumerate(ids) if (i % 6 if name == "new_wiki" else i % 14 == 1)}
        documents = [replace(labelled.documents[d]) for d in ids if d in kept]
        asked = [
            q for q in labelled.questions if q.evidence and all(s.document_id in kept for s in q.evidence)
        ]
        questions = [(q.question, q.evidence) for q in asked[::every]]
        for way, recall in compare_vectors(documents, questions).items():
            print(
                f"{name:10s} {way:24s} questions {recall.n_questions} chunks {recall.n_chunks} "
                f"@1 {recall.at_1:.4f} @5 {recall.at_5:.4f} in 500 tokens {recall.in_budget:.4f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
