"""The answers suite with systems made of a rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prep.document import Span
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report
from training.data.dataset import LabelledSet, Question
from training.evaluation.answers_suite import evaluate_answers, judge_report
from training.evaluation.retrieval_suites import evaluate_chunking, evaluate_retrieval
from training.evaluation.splitters import FrozenEncoderSystem
from training.metrics.results import AnswerRow, AnswersResult, format_table
from training.runs.resumable_rows import KeptRows


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
    assert judge_report(question, report, labelled).supported
    false = Quote(span.document_id, span.start, span.end, "NECTAR")
    row = judge_report(question, replace(report, findings=[Finding("nectar", [false])]), labelled)
    assert row.n_inexact_quotes == 1
    assert not row.supported
    assert row.citation_precision == row.citation_recall == 0.0


def test_results_are_json_and_tables(labelled: LabelledSet, by_sentence: FrozenEncoderSystem) -> None:
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


def said(question: Question, answer: str | None, *, quoted: str = "", out_of_time: bool = False) -> AnswerRow:
    """The row of an answer that rests on one quote."""
    quotes = [Quote("towns", 0, len(quoted), quoted)] if quoted else []
    report = Report(
        id="r",
        question=question.question,
        answer=answer,
        abstained=answer is None and not out_of_time,
        unfinished=out_of_time,
        findings=[Finding(answer, quotes)] if answer is not None else [],
        searches=[],
        sources=[Source("towns", "", (), 0, len(quoted), 0.5, True)] if quoted else [],
        usage=Usage(1, 1, 1, 0.1),
    )
    return judge_report(question, report, LabelledSet({}, {}, [question], "towns"))


def test_yes_and_no_are_right_by_their_first_word() -> None:
    question = Question("q", "Is it?", ("no", "no, only on Mondays"), (Span("towns", 0, 3),), kind="yesno")
    assert said(question, "No. It is closed.").word_right is True
    assert said(question, "Yes").word_right is False
    assert said(question, None).word_right is False
    assert said(replace(question, answers=("only on Mondays",)), "No").word_right is None
    assert said(replace(question, kind="fact"), "No").word_right is None


def test_items_are_found_in_the_answer_or_its_quotes() -> None:
    question = Question("q", "Who?", ("Asta Holm", "Omar", "Eva Berg"), (Span("towns", 0, 3),), kind="list")
    assert said(question, "Asta Holm; Omar").items_found == 2 / 3
    assert said(question, "The board", quoted="Asta Holm, Omar and Eva Berg").items_found == 1.0
    assert said(question, None).items_found == 0.0
    assert said(replace(question, kind="fact"), "Omar").items_found is None


def test_kinds_are_told_apart_and_out_of_time_is_no_answer() -> None:
    fact = Question("a", "What?", ("Omar",), (Span("towns", 0, 3),), kind="fact")
    near = Question("b", "Why?", answerable=False, kind="unanswerable")
    rows = (said(fact, None, out_of_time=True), said(replace(fact, id="c"), "Omar"), said(near, None))
    result = AnswersResult("towns", "mine", 0, rows)
    scores = result.overall()
    assert (scores.wrongly_refused, scores.refused, scores.supported) == (0.5, 1.0, 0.0)
    lines = result.kind_table().splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["kind", "-" * 14, "fact", "unanswerable", "all"]
