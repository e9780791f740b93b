"""What is held out of the mixture: documents, or questions where one needs several documents."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fixture_prep import LinePrep
from fixture_towns import DOCUMENTS as TOWNS
from fixture_towns import QUESTIONS

from prep.document import Document, Span
from prep.errors import DataError
from training.data.dataset import LabelledSet, Question
from training.traces.mixture import MixturePart, build_part, held_out_documents, left_out, part_of
from training.traces.traces import Trace, TraceConfig

DOCUMENTS = {name: Document(name, name, "Some text.") for name in map("d{:02}".format, range(24))}


def labelled(questions: list[Question]) -> LabelledSet:
    return LabelledSet(dict(DOCUMENTS), {}, questions, "set")


def test_every_sixth_document_is_held_out_with_the_questions_on_it() -> None:
    questions = [Question(name, "Who?", ("he",), (Span(name, 0, 4),)) for name in DOCUMENTS]
    nothing = Question("none", "Why?", answerable=False)
    held, rest = (part_of(labelled([*questions, nothing]), held_out=held) for held in (True, False))
    assert held.documents.keys() == held_out_documents(labelled([])) == {"d00", "d06", "d12", "d18"}
    assert {question.id for question in held.questions} == held.documents.keys()
    assert rest.documents.keys() == DOCUMENTS.keys() - held.documents.keys()
    assert {question.id for question in rest.questions} == {"none"} | rest.documents.keys()


def test_of_questions_on_several_documents_every_third_is_held_out_with_what_it_needs() -> None:
    names = list(DOCUMENTS)
    questions = [
        Question(
            f"q{i}",
            "Who?",
            ("he",),
            (Span(names[2 * i], 0, 4), Span(names[2 * i + 1], 0, 4)),
            kind="multihop",
        )
        for i in range(9)
    ]
    shared = Question("q9x", "Who?", ("he",), (Span("d00", 0, 4), Span("d20", 0, 4)), kind="multihop")
    held, rest = (part_of(labelled([*questions, shared]), held_out=held) for held in (True, False))
    assert [question.id for question in held.questions] == ["q0", "q3", "q6", "q9x"]
    assert held.documents.keys() == DOCUMENTS.keys()  # searched among all
    needed = {span.document_id for question in held.questions for span in question.evidence}
    assert rest.documents.keys() == DOCUMENTS.keys() - needed
    assert [question.id for question in rest.questions] == ["q1", "q2", "q4", "q5", "q7", "q8"]


def test_more_rounds_give_other_draws_and_no_trace_twice() -> None:
    part = MixturePart(name="towns", n=10_000, config=TraceConfig(withheld_share=0.3))
    towns = LabelledSet({one.id: one for one in TOWNS}, {}, list(QUESTIONS), "towns")
    once, thrice = (
        build_part(towns, replace(part, rounds=n), [LinePrep()], held_out=False)[0] for n in (1, 3)
    )
    assert set(once) < set(thrice)
    assert len(thrice) == len(set(thrice))
    assert len(thrice) > 1.5 * len(once)


def test_traces_of_questions_to_leave_out_and_of_the_same_words_go() -> None:
    def trace(name: str, asked: str) -> Trace:
        return Trace(
            name, "direct", ((f"<question>{asked}</question>\n", False), ("<report> a⟦1⟧</report>", True))
        )

    traces = [trace("a", "Who  built it?"), trace("b", "who built it?"), trace("c", "Who paid?")]
    kept = [Question("a", "Who built\nit?")]
    assert [one.question_id for one in left_out(traces, kept)] == ["c"]
    with pytest.raises(DataError, match="none of 1 traces asks"):
        left_out(traces[2:], kept)
