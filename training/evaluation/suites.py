"""The evaluation suites: chunking, retrieval, answers. One labelled set and one system in, one result out.

    chunking    excerpts against the k best chunks of one pool of all documents (Chroma's definitions)
    retrieval   documents ranked by their best chunk, and how much of the evidence the best chunks hold
    answers     reports against accepted answers and evidence, a part of the evidence being withheld

Anything with `prepare_many` and `encode_queries` can be a prep model here, anything with `ask_many` an answering
system; `training.evaluation.splitters` and `training.evaluation.baseline_rag` have the usual ones. Search is exact:
chunks and vectors are measured, not an index. Definitions live in `training.metrics_*`, figures in
`training.metrics.results`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from prep.document import Chunk, Document, Floats, Span
from prep.errors import ConfigError, DataError
from prep.store.bm25 import CANDIDATES, LexicalIndex, header_of
from prep.store.ranking import Headed, Ranker, Ranking
from retrieve.report.data import Report
from training.data.dataset import LabelledSet, Question, sample
from training.data.dataset import withhold_every as mark_withheld
from training.metrics.answer_metrics import (
    ALTERNATIVE_KINDS,
    citation_precision,
    citation_recall,
    exact_match,
    f1,
    has_cjk,
)
from training.metrics.chunking_metrics import cover, evidence_recall, first_tokens, precision_omega
from training.metrics.ranking_metrics import best_first, ndcg, recall, reciprocal_rank
from training.metrics.results import (
    AnswerRow,
    AnswersResult,
    ChunkingResult,
    ChunkingRow,
    RetrievalResult,
    RetrievalRow,
    format_table,
    score_answers,
)
from training.metrics.significance import Difference, paired_bootstrap, paired_bootstrap_of
from training.runs.resumable_rows import KeptRows

__all__ = [
    "Answerer",
    "Preparer",
    "answer_blocks",
    "compare",
    "evaluate_answers",
    "evaluate_chunking",
    "evaluate_retrieval",
    "format_table",
]

_BLOCK_QUESTIONS = 32
_BUDGET_CHUNKS = 64  # more chunks than this never fit a token budget worth measuring

# Means over the rows that expect an answer; the rest of AnswerScores needs all rows.
_ROW_METRICS = frozenset({"exact_match", "f1", "citation_recall"})


class Preparer(Protocol):
    """What the chunking and retrieval suites need of a prep model."""

    @property
    def version(self) -> str: ...

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]: ...

    def encode_queries(self, queries: Sequence[str], /) -> Floats: ...


class Answerer(Protocol):
    """What the answers suite needs of a system; `retrieve.Researcher` and `baseline_rag` have it."""

    @property
    def ask_many(self) -> Callable[..., list[Report]]:
        """Called with the questions, withheld=, progress= and whatever options are passed on."""
        ...


def evaluate_chunking(
    dataset: LabelledSet,
    prep: Preparer,
    *,
    k: int = 5,
    words: bool = True,
    limit: int | None = None,
    label: str | None = None,
    progress: bool = False,
) -> ChunkingResult:
    """Prepare all documents, retrieve k chunks for each question with evidence, and score them.

    words: rank by vectors and words together, as the store does; False: by vectors alone, as the usual workflow
    does. limit: use so many questions, evenly spread; the pool stays whole. label: how the system is called in the
    result, by default its version. Raises DataError where there is nothing to measure.
    """
    _check_positive(k=k)
    questions = _with_evidence(dataset, limit)
    pool = _Pool(dataset, prep, words, progress)
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
    prep: Preparer,
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
    pool = _Pool(dataset, prep, words, progress, ranking)
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


def evaluate_answers(
    dataset: LabelledSet,
    system: Answerer,
    *,
    withhold_every: int = 5,
    limit: int | None = None,
    label: str | None = None,
    progress: bool = False,
    kept: KeptRows | None = None,
    **options: Any,
) -> AnswersResult:
    """Ask the system every question and judge its reports.

    The system must already hold the set's documents, with the same ids and texts. withhold_every: of every
    n-th answerable question the evidence is withheld (chunks that overlap it are never shown), and abstaining
    is then right; that the same fact may stand elsewhere is not looked into. limit: ask so many questions,
    evenly spread, before withholding. kept: where rows are kept as they come; questions that have one there are
    not asked again. options: passed on to `ask_many`. Raises DataError.
    """
    _check_questions(dataset)
    questions = mark_withheld(sample(dataset.questions, limit), withhold_every)

    def answer(block: Sequence[Question]) -> list[AnswerRow]:
        reports = system.ask_many(
            [question.question for question in block],
            withheld=[question.evidence if question.withheld else () for question in block],
            **options,
        )
        if len(reports) != len(block):
            raise DataError(f"the system gave {len(reports)} reports for {len(block)} questions")
        return [judge(question, report, dataset) for question, report in zip(block, reports, strict=True)]

    return AnswersResult(
        dataset=dataset.name,
        label=label or type(system).__name__,
        withhold_every=withhold_every,
        rows=answer_blocks(
            questions, answer, size=_BLOCK_QUESTIONS, label=label or "answers", progress=progress, kept=kept
        ),
    )


def answer_blocks(
    questions: Sequence[Question],
    answer: Callable[[Sequence[Question]], list[AnswerRow]],
    *,
    size: int,
    label: str,
    progress: bool = False,
    kept: KeptRows | None = None,
) -> tuple[AnswerRow, ...]:
    """Return each question's row, `size` questions answered at a time; those that `kept` holds are not asked again."""
    rows = kept.read() if kept is not None else {}
    waiting = [question for question in questions if question.id not in rows]
    with tqdm(
        total=len(questions),
        initial=len(questions) - len(waiting),
        desc=label,
        unit="question",
        disable=not progress,
    ) as bar:
        for start in range(0, len(waiting), size):
            new = answer(waiting[start : start + size])
            rows.update((row.question_id, row) for row in new)
            if kept is not None:
                kept.add(new)
            bar.update(len(new))
    return tuple(rows[question.id] for question in questions)


def judge(question: Question, report: Report, dataset: LabelledSet) -> AnswerRow:
    """Return one question's row: the report against the question's answers and evidence."""
    prediction = "" if report.abstained else report.answer or ""
    by_character = has_cjk(question.question, *question.answers)
    quotes = report.quotes
    spans = [Span(quote.document_id, quote.start, quote.end) for quote in quotes]
    exact = [_is_exact(dataset, quote.document_id, quote.start, quote.end, quote.text) for quote in quotes]
    honest = [span for span, is_exact in zip(spans, exact, strict=True) if is_exact]
    alternatives = question.kind in ALTERNATIVE_KINDS
    precision = citation_precision(honest, question.evidence) * len(honest) / max(1, len(spans))
    rests_on = {(quote.document_id, quote.start, quote.end) for quote in report.answer_quotes}
    resting = [span for span in honest if (span.document_id, span.start, span.end) in rests_on]
    return AnswerRow(
        question_id=question.id,
        document_id=question.evidence[0].document_id if question.evidence else "",
        kind=question.kind,
        expects_answer=question.expects_answer,
        withheld=question.withheld,
        abstained=report.abstained,
        prediction=prediction,
        statements=() if report.abstained else report.statements,
        exact_match=_unless(
            report.abstained, exact_match(prediction, question.answers, by_character=by_character)
        ),
        f1=_unless(report.abstained, f1(prediction, question.answers, by_character=by_character)),
        citation_precision=precision,
        citation_recall=citation_recall(honest, question.evidence, alternatives=alternatives),
        n_quotes=len(quotes),
        n_inexact_quotes=len(quotes) - len(honest),
        quoted_characters=sum(span.end - span.start for span in spans),
        supported=citation_precision(resting, question.evidence) > 0,
        prompt_tokens=report.usage.prompt_tokens,
        completion_tokens=report.usage.completion_tokens,
        n_searches=report.usage.n_searches,
        seconds=report.usage.seconds,
    )


R = TypeVar("R", ChunkingResult, RetrievalResult, AnswersResult)


def compare(
    first: R, second: R, metric: str, *, by_document: bool = True, seed: int = 0, confidence: float = 0.95
) -> Difference:
    """Return how much better the second system is on `metric`, with a paired bootstrap interval.

    metric: one of the result's `metrics`, or a field of `AnswerScores`. by_document: resample documents, not
    single questions. Raises DataError where the two were not measured on the same questions.
    """
    a = {row.question_id: row for row in first.rows}
    b = {row.question_id: row for row in second.rows}
    if a.keys() != b.keys():
        raise DataError(
            f"{first.label!r} and {second.label!r} answered different questions "
            f"({len(a.keys() ^ b.keys())} are in one only); compare runs on the same set and limit"
        )
    ids = list(a)
    if isinstance(first, AnswersResult) and isinstance(second, AnswersResult):
        if [a[i].expects_answer for i in ids] != [b[i].expects_answer for i in ids]:
            raise DataError("the two runs withheld different questions; use the same withhold_every")
        if metric in _ROW_METRICS:
            ids = [i for i in ids if a[i].expects_answer]
        else:
            return _compare_scores(
                [a[i] for i in ids], [b[i] for i in ids], metric, by_document, seed, confidence
            )
    elif metric not in first.metrics:
        raise ConfigError(
            f"there is no metric {metric!r} in the {first.suite} suite: {', '.join(first.metrics)}"
        )
    return paired_bootstrap(
        [getattr(a[i], metric) for i in ids],
        [getattr(b[i], metric) for i in ids],
        groups=[a[i].document_id or i for i in ids] if by_document else None,
        seed=seed,
        confidence=confidence,
    )


def _compare_scores(
    first: list[AnswerRow],
    second: list[AnswerRow],
    metric: str,
    by_document: bool,
    seed: int,
    confidence: float,
) -> Difference:
    if not hasattr(score_answers([]), metric):
        raise ConfigError(f"there is no metric {metric!r} in the answers suite; see AnswerScores")
    return paired_bootstrap_of(
        lambda rows: float(getattr(score_answers(rows), metric)),
        first,
        second,
        groups=[row.document_id or row.question_id for row in first] if by_document else None,
        seed=seed,
        confidence=confidence,
    )


class _Pool:
    """All indexed chunks of a set's documents with their vectors, for exact search."""

    def __init__(
        self,
        dataset: LabelledSet,
        prep: Preparer,
        words: bool,
        progress: bool,
        ranking: Ranking | None = None,
    ) -> None:
        if not dataset.documents:
            raise DataError(f"the set {dataset.name!r} has no documents")
        prepared: dict[str, list[Chunk]] = {}
        documents = dataset.documents.values()
        with tqdm(total=len(documents), desc="prepare", unit="doc", disable=not progress) as bar:
            for document, chunks in prep.prepare_many(documents):
                prepared[document.id] = [chunk for chunk in chunks if chunk.role != "boilerplate"]
                bar.update()
        # In the order of the set, whatever order they came in, so that ties always fall the same way.
        self.spans: list[Span] = []
        self.n_tokens: list[int] = []
        vectors: list[Floats] = []
        headed: list[Headed] = []
        document_numbers: list[int] = []
        self.document_ids = list(dataset.documents)
        for number, document_id in enumerate(self.document_ids):
            title = dataset.documents[document_id].title
            for chunk in prepared.get(document_id, ()):
                headed.append((header_of(title, chunk.headings), chunk.text))
                self.spans.append(Span(document_id, chunk.start, chunk.end))
                self.n_tokens.append(chunk.n_tokens)
                vectors.append(chunk.vector)
                document_numbers.append(number)
        if not vectors:
            raise DataError(f"no document of {dataset.name!r} gave a chunk to search")
        self._vectors = np.stack(vectors)
        self._document_numbers = np.array(document_numbers, dtype=np.int64)
        self._encode = prep.encode_queries
        self._lexical = LexicalIndex.build([" ".join(parts) for parts in headed]) if words else None
        self._headed = headed
        self._ranking = ranking

    @property
    def mean_tokens(self) -> float:
        return float(np.mean(self.n_tokens))

    def search(
        self, questions: Sequence[Question], k: int | None, what: str, progress: bool
    ) -> Iterator[tuple[Question, list[int], Floats]]:
        """Yield each question with the rows of its k best chunks (None: all), best first, and all scores."""
        with tqdm(total=len(questions), desc=what, unit="question", disable=not progress) as bar:
            for start in range(0, len(questions), _BLOCK_QUESTIONS):
                block = questions[start : start + _BLOCK_QUESTIONS]
                cosines = self._encode([question.question for question in block]) @ self._vectors.T
                for question, scores in zip(block, cosines, strict=True):
                    of_question = self._with_words(question.question, scores)
                    yield question, _best(of_question, k), of_question
                    bar.update()

    def _with_words(self, query: str, cosines: Floats) -> Floats:
        if self._lexical is None:
            return cosines
        ranker = Ranker(self._lexical, lambda rows: [self._headed[row] for row in rows], self._ranking)
        words = self._lexical.search(query, CANDIDATES)
        return ranker.scores(query, np.arange(len(cosines)), cosines, words)

    def best_of_documents(self, scores: Floats) -> dict[str, float]:
        """Return the best score of each document that has chunks."""
        best = np.full(len(self.document_ids), -np.inf, dtype=np.float32)
        np.maximum.at(best, self._document_numbers, scores)
        return {self.document_ids[i]: float(best[i]) for i in np.flatnonzero(best > -np.inf)}


def _best(scores: npt.NDArray[np.float32], k: int | None) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    return [int(row) for row in order[:k]]


def _check_questions(dataset: LabelledSet) -> None:
    if not dataset.questions:
        raise DataError(f"the set {dataset.name!r} has no questions; this suite needs questions.jsonl")


def _with_evidence(dataset: LabelledSet, limit: int | None) -> list[Question]:
    _check_questions(dataset)
    questions = [question for question in dataset.questions if question.answerable and question.evidence]
    if not questions:
        raise DataError(f"no question of {dataset.name!r} has evidence; this suite needs evidence spans")
    return sample(questions, limit)


def _is_exact(dataset: LabelledSet, document_id: str, start: int, end: int, text: str) -> bool:
    document = dataset.documents.get(document_id)
    return document is not None and document.text[start:end] == text


def _unless(abstained: bool, score: float) -> float:
    return 0.0 if abstained else score


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name}={value!r} must be at least 1")
