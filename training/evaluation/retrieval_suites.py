"""The chunking and the retrieval suite: one labelled set and one chunking system in, one result out.

    chunking    excerpts against the k best chunks of one pool of all documents (Chroma's definitions)
    retrieval   documents ranked by their best chunk, and how much of the evidence the best chunks hold

`training.evaluation.splitters` has the usual systems beside a prep model. Definitions of the metrics live in
`training.metrics`, figures in `training.metrics.results`.
"""

from __future__ import annotations

import numpy as np

from prep.document import Span
from prep.errors import ConfigError, DataError
from prep.store.ranking import Ranking
from training.data.dataset import LabelledSet, Question, sample
from training.evaluation.chunk_pool import ChunkingSystem, ChunkPool
from training.metrics.answer_metrics import ALTERNATIVE_KINDS
from training.metrics.chunking_metrics import cover, evidence_recall, first_tokens, precision_omega
from training.metrics.ranking_metrics import best_first, ndcg, recall, reciprocal_rank
from training.metrics.results import ChunkingResult, ChunkingRow, RetrievalResult, RetrievalRow

__all__ = ["evaluate_chunking", "evaluate_retrieval"]

_BUDGET_CHUNKS = 64  # more chunks than this never fit a token budget worth measuring


def evaluate_chunking(
    dataset: LabelledSet,
    prep: ChunkingSystem,
    *,
    k: int = 5,
    words: bool = True,
    limit: int | None = None,
    label: str | None = None,
    progress: bool = False,
) -> ChunkingResult:
    """Prepare all documents, retrieve k chunks for each question with evidence, and score them.

    words: rank by vectors and words together, as the store does; False: by vectors alone, as the baseline RAG
    does. limit: use so many questions, evenly spread; the pool stays whole. label: how the system is called in the
    result, by default its version. Raises DataError where there is nothing to measure.
    """
    _check_positive(k=k)
    questions = _with_evidence(dataset, limit)
    pool = ChunkPool(dataset, prep, words, progress)
    everywhere: dict[str, list[Span]] = {}
    for span in pool.spans:
        everywhere.setdefault(span.document_id, []).append(span)
    rows = []
    for question, ranked, _ in pool.search(questions, k, "chunking", progress):
        excerpts = question.evidence
        coverage = cover(excerpts, [pool.spans[row] for row in ranked])
        near = [span for name in {e.document_id for e in excerpts} for span in everywhere.get(name, ())]
        rows.append(
            ChunkingRow(
                question_id=question.id,
                document_id=excerpts[0].document_id,
                kind=question.kind,
                recall=coverage.recall,
                precision=coverage.precision,
                iou=coverage.iou,
                precision_omega=precision_omega(excerpts, near),
                precision_omega_touching=precision_omega(excerpts, near, touching=True),
            )
        )
    return ChunkingResult(
        dataset=dataset.name,
        label=label or prep.version,
        k=k,
        n_chunks=len(pool.spans),
        mean_tokens=pool.mean_tokens,
        mean_characters=float(np.mean([span.end - span.start for span in pool.spans])),
        rows=tuple(rows),
    )


def evaluate_retrieval(
    dataset: LabelledSet,
    prep: ChunkingSystem,
    *,
    k: int = 10,
    evidence_k: int = 5,
    budget_tokens: int = 500,
    words: bool = True,
    ranking: Ranking | None = None,
    limit: int | None = None,
    label: str | None = None,
    progress: bool = False,
) -> RetrievalResult:
    """Rank all documents by their best chunk for each question with evidence, and score ranking and chunks.

    The documents of the evidence are the relevant ones (gain 1). k: where recall of documents is cut;
    evidence_k, budget_tokens: how many chunks, or how many tokens of the best chunks (as the system counts
    them, headers included), count for evidence. ranking: how vectors and words are weighed, by default as shipped.
    words, limit, label, errors: as in `evaluate_chunking`.
    """
    _check_positive(k=k, evidence_k=evidence_k, budget_tokens=budget_tokens)
    questions = _with_evidence(dataset, limit)
    pool = ChunkPool(dataset, prep, words, progress, ranking)
    rows = []
    for question, ranked, scores in pool.search(questions, None, "retrieval", progress):
        relevant = {span.document_id: 1 for span in question.evidence}
        documents = best_first(pool.best_of_documents(scores))
        alternatives = question.kind in ALTERNATIVE_KINDS
        near = [pool.spans[row] for row in ranked[: max(evidence_k, _BUDGET_CHUNKS)]]
        in_budget = first_tokens(near, [pool.n_tokens[row] for row in ranked[: len(near)]], budget_tokens)
        held = evidence_recall(question.evidence, near[:evidence_k], alternatives=alternatives)
        rows.append(
            RetrievalRow(
                question_id=question.id,
                document_id=question.evidence[0].document_id,
                kind=question.kind,
                ndcg_at_10=ndcg(documents, relevant, 10),
                recall=recall(documents, relevant, k),
                reciprocal_rank=reciprocal_rank(documents, relevant),
                evidence_recall=held,
                evidence_hit=float(held > 0),
                evidence_recall_in_budget=evidence_recall(
                    question.evidence, in_budget, alternatives=alternatives
                ),
            )
        )
    return RetrievalResult(
        dataset=dataset.name,
        label=label or prep.version,
        k=k,
        evidence_k=evidence_k,
        budget_tokens=budget_tokens,
        n_chunks=len(pool.spans),
        mean_tokens=pool.mean_tokens,
        rows=tuple(rows),
    )


def _with_evidence(dataset: LabelledSet, limit: int | None) -> list[Question]:
    if not dataset.questions:
        raise DataError(f"the set {dataset.name!r} has no questions; this suite needs questions.jsonl")
    questions = [question for question in dataset.questions if question.answerable and question.evidence]
    if not questions:
        raise DataError(f"no question of {dataset.name!r} has evidence; this suite needs evidence spans")
    return sample(questions, limit)


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name}={value!r} must be at least 1")
