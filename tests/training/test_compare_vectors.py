from __future__ import annotations

import numpy as np
import pytest

from prep.document import Chunk, Span
from training.compare_vectors import evidence_recall


def test_recall_counts_evidence_characters_in_rank_order_and_within_the_budget() -> None:
    vectors = np.eye(3, dtype=np.float32)
    chunks = [
        Chunk(f"d#{i}", "d", 10 * i, 10 * i + 10, "x" * 10, (), "text", 200, vectors[i]) for i in range(3)
    ]
    queries = np.array([[0.1, 0.9, 0.5]], dtype=np.float32)  # order: chunk 1, 2, 0
    recall = evidence_recall(chunks, vectors, queries, [[Span("d", 15, 20), Span("d", 0, 5)]])
    assert recall.at_1 == pytest.approx(0.5)
    assert recall.in_budget == pytest.approx(0.5)  # chunks 1 and 2 fill 400 of 500 tokens
    assert recall.at_5 == pytest.approx(1.0)
    assert (recall.n_questions, recall.n_chunks) == (1, 3)


def test_evidence_of_another_document_is_not_found() -> None:
    chunk = Chunk("d#0", "d", 0, 10, "x" * 10, (), "text", 5, np.ones(1, dtype=np.float32))
    recall = evidence_recall(
        [chunk], np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), [[Span("e", 0, 5)]]
    )
    assert recall.at_5 == 0.0
