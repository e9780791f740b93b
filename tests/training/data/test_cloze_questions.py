"""Cloze questions: the evidence is the answer, the gap hides it, and the seed decides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.document import Document
from prep.errors import ConfigError
from training.data.cloze_questions import ClozeConfig, synthesize_cloze

TEXT = (
    "The reactor at Chalk River was started in 1947 by engineers of the laboratory. Call `open_store` before the "
    "first request is sent to the server.\nVisitors said that “the quiet garden” behind the museum was remarkable.\n"
    "A wrapped sentence that mentions Lake\nOntario and nothing else of note continues here. Short one.\n"
    "| a table | with Numbers 1234 | is not a sentence of prose at all. |\n"
)
DOCUMENTS = [Document(f"d{n}", "Notes" if n % 2 else "", f"Copy {n * 111}. {TEXT}") for n in range(4)]


def test_evidence_is_the_answer_and_the_question_shows_a_gap_in_its_place() -> None:
    questions = synthesize_cloze(DOCUMENTS, n=50)
    texts = {document.id: document.text for document in DOCUMENTS}
    assert len(questions) >= 8
    for question in questions:
        (span,) = question.evidence
        (answer,) = question.answers
        shown = texts[span.document_id][span.start : span.end]
        assert answer == " ".join(shown.split())
        assert answer
        assert question.answerable
        assert question.question.count("____") >= 1
        assert "\n" not in question.question
        assert "|" not in question.question
    assert len({question.question for question in questions}) == len(questions)
    assert len({question.id for question in questions}) == len(questions)


def test_the_number_asked_for_is_spread_over_the_documents() -> None:
    questions = synthesize_cloze(DOCUMENTS, n=4)
    assert {question.evidence[0].document_id for question in questions} == {"d0", "d1", "d2", "d3"}
    assert synthesize_cloze(DOCUMENTS, n=0) == []
    few = synthesize_cloze(DOCUMENTS, n=50, config=ClozeConfig(max_per_document=1))
    assert len(few) == 4


def test_the_seed_decides_and_the_order_of_documents_does_not() -> None:
    first = synthesize_cloze(DOCUMENTS, n=20, seed=1)
    assert synthesize_cloze(DOCUMENTS[::-1], n=20, seed=1) == first
    assert synthesize_cloze(DOCUMENTS, n=20, seed=2) != first


def test_sentences_too_short_or_long_are_left_out() -> None:
    config = ClozeConfig(min_sentence=60, max_sentence=80)
    for question in synthesize_cloze(DOCUMENTS, n=50, config=config):
        assert 60 - 40 <= len(question.question) <= 80 + 60
    with pytest.raises(ConfigError, match="min_sentence=9"):
        ClozeConfig(min_sentence=9, max_sentence=8)


@settings(deadline=None)
@given(st.lists(st.text(alphabet='Ab `“”"1,.%9\nlongwordés|', max_size=120), max_size=3))
def test_any_text_gives_exact_evidence_or_no_question(texts: list[str]) -> None:
    documents = [Document(f"d{n}", "T", text) for n, text in enumerate(texts)]
    for question in synthesize_cloze(documents, n=20, config=ClozeConfig(min_sentence=5)):
        (span,) = question.evidence
        text = texts[int(span.document_id[1:])]
        assert (" ".join(text[span.start : span.end].split()),) == question.answers
        assert question.answers[0]
