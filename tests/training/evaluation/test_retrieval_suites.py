"""The chunking and retrieval suites on a small set with the real frozen encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from prep.document import Chunk, Document, Floats
from prep.errors import ConfigError, DataError
from prep.model.encoder import Encoder
from training.data.dataset import LabelledSet
from training.evaluation.retrieval_suites import evaluate_chunking, evaluate_retrieval
from training.evaluation.splitters import FrozenEncoderSystem, make_splitter


class ReversedPreparer:
    """The same chunks, documents in another order, and one boilerplate chunk a document."""

    version = "reversed"

    def __init__(self, inner: FrozenEncoderSystem) -> None:
        self._inner = inner

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]:
        for document, chunks in reversed(list(self._inner.prepare_many(documents))):
            footer = replace(chunks[0], id="footer", role="boilerplate", vector=np.ones(384, np.float32))
            yield document, [*chunks, footer]

    def encode_queries(self, queries: Sequence[str], /) -> Floats:
        return self._inner.encode_queries(queries)


def test_chunking_finds_the_sentence_that_holds_the_excerpt(
    labelled: LabelledSet, by_sentence: FrozenEncoderSystem
) -> None:
    result = evaluate_chunking(labelled, by_sentence, k=1)
    assert [row.question_id for row in result.rows] == ["q1", "q2", "q3"]
    assert result.n_chunks == 6
    assert result.mean("recall") == 1.0
    first = result.rows[0]
    assert (
        first.precision
        == first.iou
        == first.precision_omega
        == 6 / labelled.documents["bees"].text.index("Honey")
    )
    assert result.by_document()["bees"]["precision"] == first.precision


def test_more_chunks_cost_precision_of_the_whole_pool(
    labelled: LabelledSet, by_sentence: FrozenEncoderSystem
) -> None:
    result = evaluate_chunking(labelled, by_sentence, k=99)
    characters = sum(len(document.text) for document in labelled.documents.values())
    assert result.rows[0].precision == 6 / characters
    assert result.mean("recall") == 1.0


def test_neither_document_order_nor_boilerplate_changes_the_figures(
    labelled: LabelledSet, by_sentence: FrozenEncoderSystem
) -> None:
    other = ReversedPreparer(by_sentence)
    assert evaluate_chunking(labelled, other, k=2).rows == evaluate_chunking(labelled, by_sentence, k=2).rows
    assert evaluate_retrieval(labelled, other).rows == evaluate_retrieval(labelled, by_sentence).rows


def test_retrieval_ranks_documents_by_their_best_chunk(
    labelled: LabelledSet, by_sentence: FrozenEncoderSystem
) -> None:
    result = evaluate_retrieval(labelled, by_sentence, k=1, evidence_k=1, budget_tokens=6)
    for metric in ("ndcg_at_10", "recall", "reciprocal_rank", "evidence_recall", "evidence_hit"):
        assert result.mean(metric) == 1.0
    # Six tokens are all of the first sentence, half of the second, and 23 of 27 characters of the third.
    assert [row.evidence_recall_in_budget for row in result.rows] == [1.0, 0.0, 11 / 14]


def test_a_limit_keeps_the_pool_whole(labelled: LabelledSet, by_sentence: FrozenEncoderSystem) -> None:
    result = evaluate_chunking(labelled, by_sentence, limit=1)
    assert len(result.rows) == 1
    assert result.n_chunks == 6


def test_sets_without_anything_to_measure_are_refused(
    labelled: LabelledSet, by_sentence: FrozenEncoderSystem
) -> None:
    with pytest.raises(DataError, match="no questions"):
        evaluate_chunking(replace(labelled, questions=[]), by_sentence)
    with pytest.raises(DataError, match="has evidence"):
        evaluate_retrieval(replace(labelled, questions=labelled.questions[3:]), by_sentence)
    with pytest.raises(DataError, match="no documents"):
        evaluate_chunking(replace(labelled, documents={}), by_sentence)
    with pytest.raises(ConfigError, match="k=0"):
        evaluate_chunking(labelled, by_sentence, k=0)


def test_the_default_peer_runs_through_both_suites(labelled: LabelledSet, encoder: Encoder) -> None:
    peer = FrozenEncoderSystem(make_splitter("plain-recursive", encoder, 16), encoder, name="plain-recursive")
    assert evaluate_chunking(labelled, peer).label == "plain-recursive"
    assert evaluate_retrieval(labelled, peer).mean("ndcg_at_10") == 1.0
