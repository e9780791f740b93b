"""The suites on small sets with the real frozen encoder, and the figures of hand-made rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_rows import answer_row

from prep.document import Chunk, Document, Floats, Span
from prep.errors import ConfigError, DataError
from prep.model.encoder import Encoder
from retrieve.report.data import Finding, Quote, Report, Source, Usage
from training.data.dataset import LabelledSet, Question
from training.evaluation.splitters import FrozenPreparer, peer_chunker
from training.evaluation.suites import (
    compare,
    evaluate_answers,
    evaluate_chunking,
    evaluate_retrieval,
    format_table,
    judge,
)
from training.metrics.results import AnswerRow, AnswersResult, score_answers
from training.runs.resumable_rows import KeptRows

TEXTS = {
    "bees": "Bees make honey from nectar. Honey keeps for years because it holds little water.",
    "glass": "Glass is made by melting sand with soda and lime. It cools without becoming a crystal.",
    "kestrel": "The kestrel hovers while it looks for voles. It nests in holes of trees.",
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


@pytest.fixture
def labelled() -> LabelledSet:
    def span(name: str, words: str) -> Span:
        start = TEXTS[name].index(words)
        return Span(name, start, start + len(words))

    questions = [
        Question(
            "q1", "What do bees make honey from?", ("nectar",), (span("bees", "nectar"),), kind="factoid"
        ),
        Question("q2", "What is sand melted with?", ("soda and lime",), (span("glass", "soda and lime"),)),
        Question(
            "q3", "Which bird nests in holes?", ("holes of trees",), (span("kestrel", "holes of trees"),)
        ),
        Question("q4", "Who was the first king?", answerable=False, kind="near-miss"),
    ]
    documents = {name: Document(name, name.title(), text) for name, text in TEXTS.items()}
    return LabelledSet(documents, dict.fromkeys(TEXTS, "text"), questions, "small")


def sentences(text: str) -> list[tuple[int, int]]:
    half = text.index(". ") + 2
    return [(0, half), (half, len(text))]


@pytest.fixture(scope="module")
def by_sentence(encoder: Encoder) -> FrozenPreparer:
    return FrozenPreparer(sentences, encoder, name="sentences")


class ReversedPreparer:
    """The same chunks, documents in another order, and one boilerplate chunk a document."""

    version = "reversed"

    def __init__(self, inner: FrozenPreparer) -> None:
        self._inner = inner

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]:
        for document, chunks in reversed(list(self._inner.prepare_many(documents))):
            footer = replace(chunks[0], id="footer", role="boilerplate", vector=np.ones(384, np.float32))
            yield document, [*chunks, footer]

    def encode_queries(self, queries: Sequence[str], /) -> Floats:
        return self._inner.encode_queries(queries)


def test_chunking_finds_the_sentence_that_holds_the_excerpt(
    labelled: LabelledSet, by_sentence: FrozenPreparer
) -> None:
    result = evaluate_chunking(labelled, by_sentence, k=1)
    assert [row.question_id for row in result.rows] == ["q1", "q2", "q3"]
    assert result.n_chunks == 6
    assert result.mean("recall") == 1.0
    first = result.rows[0]
    assert first.precision == first.iou == first.precision_omega == 6 / TEXTS["bees"].index("Honey")
    assert result.by_document()["bees"]["precision"] == first.precision


def test_more_chunks_cost_precision_of_the_whole_pool(
    labelled: LabelledSet, by_sentence: FrozenPreparer
) -> None:
    result = evaluate_chunking(labelled, by_sentence, k=99)
    characters = sum(map(len, TEXTS.values()))
    assert result.rows[0].precision == 6 / characters
    assert result.mean("recall") == 1.0


def test_neither_document_order_nor_boilerplate_changes_the_figures(
    labelled: LabelledSet, by_sentence: FrozenPreparer
) -> None:
    other = ReversedPreparer(by_sentence)
    assert evaluate_chunking(labelled, other, k=2).rows == evaluate_chunking(labelled, by_sentence, k=2).rows
    assert evaluate_retrieval(labelled, other).rows == evaluate_retrieval(labelled, by_sentence).rows


def test_retrieval_ranks_documents_by_their_best_chunk(
    labelled: LabelledSet, by_sentence: FrozenPreparer
) -> None:
    result = evaluate_retrieval(labelled, by_sentence, k=1, evidence_k=1, budget_tokens=6)
    for metric in ("ndcg_at_10", "recall", "reciprocal_rank", "evidence_recall", "evidence_hit"):
        assert result.mean(metric) == 1.0
    # Six tokens are all of the first sentence, half of the second, and 23 of 27 characters of the third.
    assert [row.evidence_recall_in_budget for row in result.rows] == [1.0, 0.0, 11 / 14]


def test_a_limit_keeps_the_pool_whole(labelled: LabelledSet, by_sentence: FrozenPreparer) -> None:
    result = evaluate_chunking(labelled, by_sentence, limit=1)
    assert len(result.rows) == 1
    assert result.n_chunks == 6


def test_sets_without_anything_to_measure_are_refused(
    labelled: LabelledSet, by_sentence: FrozenPreparer
) -> None:
    with pytest.raises(DataError, match="no questions"):
        evaluate_chunking(replace(labelled, questions=[]), by_sentence)
    with pytest.raises(DataError, match="has evidence"):
        evaluate_retrieval(replace(labelled, questions=labelled.questions[3:]), by_sentence)
    with pytest.raises(DataError, match="no documents"):
        evaluate_chunking(replace(labelled, documents={}), by_sentence)
    with pytest.raises(ConfigError, match="k=0"):
        evaluate_chunking(labelled, by_sentence, k=0)


class Reader:
    """An answering system made of a rule: what it says to a question whose place it may see."""

    def __init__(self, labelled: LabelledSet, says: Callable[[Question], str | None]) -> None:
        self.labelled = labelled
        self.says = says
        self.kept_back: list[Sequence[Span]] = []

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        withheld: Sequence[Sequence[Span]] | None = None,
        progress: bool = False,
        **options: Any,
    ) -> list[Report]:
        assert withheld is not None
        self.kept_back = list(withheld)
        known = {question.question: question for question in self.labelled.questions}
        return [self._report(known[text], spans) for text, spans in zip(questions, withheld, strict=True)]

    def _report(self, question: Question, kept_back: Sequence[Span]) -> Report:
        answer = None if kept_back else self.says(question)
        quotes = []
        if answer is not None:
            span = question.evidence[0] if question.evidence else Span("bees", 0, 4)
            text = self.labelled.documents[span.document_id].text[span.start : span.end]
            quotes = [Quote(span.document_id, span.start, span.end, text)]
        return Report(
            id="r",
            question=question.question,
            answer=answer,
            abstained=answer is None,
            findings=[Finding(answer, quotes)] if answer is not None else [],
            searches=[question.question],
            sources=[Source(q.document_id, "", (), q.start, q.end, 0.5, True) for q in quotes],
            usage=Usage(90, 10, 1, 0.5),
        )


def test_a_perfect_reader_scores_one_everywhere(labelled: LabelledSet) -> None:
    reader = Reader(labelled, lambda question: question.answers[0] if question.answers else None)
    result = evaluate_answers(labelled, reader, withhold_every=3)
    assert reader.kept_back == [(), (), labelled.questions[2].evidence, ()]
    scores = result.overall()
    assert (scores.n, scores.n_unanswerable) == (4, 2)
    assert scores.exact_match == scores.f1 == scores.citation_recall == scores.citation_precision == 1.0
    assert scores.abstention_precision == scores.abstention_recall == scores.abstention_f1 == 1.0
    assert scores.correct_supported_per_1000_tokens == 1000 * 2 / 400
    assert (scores.tokens_per_question, scores.searches_per_question) == (100, 1)
    assert (scores.seconds_p50, scores.seconds_p95) == (0.5, 0.5)
    assert set(result.by_kind()) == {"factoid", "other", "near-miss"}
    assert result.by_kind()["near-miss"].abstention_recall == 1.0


def test_a_run_cut_short_goes_on_with_the_rows_it_kept(labelled: LabelledSet, tmp_path: Path) -> None:
    reader = Reader(labelled, lambda question: question.answers[0] if question.answers else None)
    whole = evaluate_answers(labelled, reader, withhold_every=3)
    kept = KeptRows(tmp_path / "aside" / "rows.jsonl")
    kept.add(whole.rows[:2])
    with kept.path.open("ab") as file:
        file.write(b'{"question_id": "cut')
    assert list(kept.read()) == [row.question_id for row in whole.rows[:2]]
    assert evaluate_answers(labelled, reader, withhold_every=3, kept=kept).rows == whole.rows
    assert reader.kept_back == [labelled.questions[2].evidence, ()]
    assert list(kept.read().values()) == list(whole.rows)
    kept.discard()
    assert kept.read() == {}


def test_a_reader_that_always_abstains_gets_no_answer_figures(labelled: LabelledSet) -> None:
    scores = evaluate_answers(labelled, Reader(labelled, lambda _: None), withhold_every=0).overall()
    assert scores.f1 == scores.citation_recall == scores.citation_precision == 0.0
    assert scores.abstention_recall == 1.0
    assert scores.abstention_precision == 1 / 4


def test_a_reader_that_never_abstains_gets_no_abstention_figures(labelled: LabelledSet) -> None:
    scores = evaluate_answers(labelled, Reader(labelled, lambda _: "wrong"), withhold_every=0).overall()
    assert scores.f1 == 0.0
    assert scores.citation_recall == 1.0
    assert scores.abstention_recall == scores.abstention_f1 == 0.0
    assert scores.correct_supported_per_1000_tokens == 0.0


def test_a_quote_that_is_not_in_the_document_supports_nothing(labelled: LabelledSet) -> None:
    question = labelled.questions[0]
    span = question.evidence[0]
    report = Reader(labelled, lambda q: q.answers[0]).ask_many([question.question], withheld=[()])[0]
    assert judge(question, report, labelled).supported
    false = Quote(span.document_id, span.start, span.end, "NECTAR")
    row = judge(question, replace(report, findings=[Finding("nectar", [false])]), labelled)
    assert row.n_inexact_quotes == 1
    assert not row.supported
    assert row.citation_precision == row.citation_recall == 0.0


def row(number: int, **changes: Any) -> AnswerRow:
    values: dict[str, Any] = {
        "question_id": str(number),
        "document_id": f"d{number // 4}",
        "expects_answer": number % 5 != 4,
        "withheld": number % 5 == 4,
        "f1": (number % 3) / 2,
        "quoted_characters": 10,
        "prompt_tokens": 100,
        "completion_tokens": number,
        "seconds": float(number),
    }
    return answer_row(**(values | changes))


def test_quantiles_and_means_are_numpys() -> None:
    rows = [row(i, abstained=i == 19) for i in range(23)]
    scores = score_answers(rows)
    seconds = [r.seconds for r in rows]
    assert scores.seconds_p50 == pytest.approx(np.quantile(seconds, 0.5))
    assert scores.seconds_p95 == pytest.approx(np.quantile(seconds, 0.95))
    assert scores.f1 == pytest.approx(np.mean([r.f1 for r in rows if r.expects_answer]))
    assert (
        scores.n_right_though_withheld == 2
    )  # of rows 4, 9, 14, 19 with f1 0.5, 0.0, 1.0, 0.5, one abstains
    assert score_answers([]).f1 == 0.0


def test_two_systems_are_compared_question_by_question() -> None:
    first = AnswersResult("small", "one", 5, tuple(row(i) for i in range(40)))
    better = tuple(
        replace(r, f1=min(1.0, r.f1 + 0.25), abstained=not r.expects_answer) for r in reversed(first.rows)
    )
    second = AnswersResult("small", "two", 5, better)
    gain = compare(first, second, "f1")
    expected = np.mean([r.f1 for r in better if r.expects_answer]) - first.overall().f1
    assert gain.difference == pytest.approx(expected)
    assert gain.is_gain
    assert (gain.n, gain.n_groups) == (32, 10)
    assert compare(first, second, "abstention_f1").difference == 1.0
    assert compare(first, second, "f1", by_document=False).n_groups == 32
    with pytest.raises(ConfigError, match="no metric 'charm'"):
        compare(first, second, "charm")
    with pytest.raises(DataError, match="different questions"):
        compare(first, replace(second, rows=better[1:]), "f1")
    with pytest.raises(DataError, match="withheld different"):
        compare(first, replace(second, rows=tuple(replace(r, expects_answer=True) for r in better)), "f1")


def test_results_are_json_and_tables(labelled: LabelledSet, by_sentence: FrozenPreparer) -> None:
    chunking = evaluate_chunking(labelled, by_sentence, label="a|b")
    retrieval = evaluate_retrieval(labelled, by_sentence)
    answers = evaluate_answers(labelled, Reader(labelled, lambda _: None))
    for result in (chunking, retrieval, answers):
        told = json.loads(json.dumps(result.to_dict()))
        assert told["suite"] == result.suite
        assert len(told["rows"]) == told["n_questions"] == len(result.rows)
        assert "rows" not in result.to_dict(rows=False)
    table = format_table([chunking, retrieval, answers, chunking])
    blocks = table.split("\n\n")
    assert [len(block.splitlines()) for block in blocks] == [4, 3, 3]
    assert all(len({len(line) for line in block.splitlines()}) == 1 for block in blocks)
    assert r"a\|b" in blocks[0]
    assert "recall@5" in blocks[0]


def test_the_default_peer_runs_through_both_suites(labelled: LabelledSet, encoder: Encoder) -> None:
    peer = FrozenPreparer(peer_chunker("plain-recursive", encoder, 16), encoder, name="plain-recursive")
    assert evaluate_chunking(labelled, peer).label == "plain-recursive"
    assert evaluate_retrieval(labelled, peer).mean("ndcg_at_10") == 1.0
