"""Figures of a reader, its calibration, and the questions that people ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prep.document import Span
from prep.errors import DataError
from retrieve.episode.episode import Passage
from retrieve.reader.selection import Selection
from training.data.dataset import Question
from training.reader.calibrate import calibrate, is_right
from training.reader.examples import Example, ExampleFiles
from training.reader.measure import (
    Candidates,
    ReadRow,
    load_candidates,
    reader_figures,
    save_candidates,
)
from training.reader.reader_mixture import near_spans
from training.reader.real_questions import interleave, real_set

PLAIN = Selection(search_weight=0, sentence_weight=0.0, quotes=1, margin=9)


def row(number: int, *, right: bool, answerable: bool = True, logit: float = 1.0) -> ReadRow:
    """A question whose evidence lies in the fifth passage of search, which the reader puts first where it is right."""
    evidence = (Span("d", 400, 450),) if answerable else ()
    question = Question(f"q{number}", "which?", ("forty",), evidence, answerable=answerable)
    passages = tuple(
        (Span("d", 100 * n, 100 * n + 90), 0.9 - n / 10, 5.0 if right and n == 4 else float(-n))
        for n in range(5)
    )
    place = 4 if right else 0
    sentences = (
        (place, Span("d", 100 * place + 10, 100 * place + 60), logit),
        (1, Span("d", 110, 120), -4.0),
    )
    spans = (("Forty", Span("d", 420, 425), 0.5),)
    return ReadRow(
        question, passages, sentences, spans, {"yes": 0.1, "no": 0.2}, (logit, 1.0, -1.0, -3.0, 0.5, 1.0), 0.1
    )


def test_figures_are_shares_of_the_questions_they_are_about() -> None:
    rows = [row(1, right=True), row(2, right=False), row(3, right=False, answerable=False)]
    figures = reader_figures(rows, PLAIN, threshold=0.5, confidences=[0.9, 0.4, 0.1])
    assert (figures["n"], figures["n_unanswerable"]) == (3, 1)
    assert (figures["found"], figures["evidence_3_search"], figures["evidence_3"]) == (1.0, 0.0, 0.5)
    assert (figures["supported"], figures["wrongly_refused"], figures["refused"]) == (0.5, 0.5, 1.0)
    assert (figures["sentence_1"], figures["f1"], figures["exact_match"]) == (0.5, 0.5, 0.5)


def test_confidence_learns_what_is_right() -> None:
    rows = [row(n, right=n % 2 == 0, logit=2.0 if n % 2 == 0 else -2.0) for n in range(40)]
    calibration = calibrate(rows, PLAIN, wrongly_refused=0.1)
    assert [is_right(one, PLAIN) for one in rows[:2]] == [True, False]
    assert calibration.confidence(rows[0].signals) > 0.8 > 0.2 > calibration.confidence(rows[1].signals)
    refused = sum(calibration.confidence(one.signals) < calibration.threshold for one in rows)
    assert refused <= 4


def test_no_set_loses_more_than_its_share_to_the_threshold() -> None:
    rows = [row(n, right=n % 2 == 0, logit=2.0 if n % 2 == 0 else -2.0) for n in range(40)]
    doubtful = [row(n, right=True, logit=-3.0 - 0.1 * n) for n in range(20)]
    alone = calibrate(rows, PLAIN, wrongly_refused=0.25)
    both = calibrate(rows, PLAIN, others=[doubtful], wrongly_refused=0.25)
    assert both.weights == alone.weights
    assert both.threshold < alone.threshold
    refused = sum(both.confidence(one.signals) < both.threshold for one in doubtful)
    assert refused == 5


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError):
        calibrate([row(1, right=True)], PLAIN)


def test_candidates_are_read_as_they_were_written(tmp_path: Path) -> None:
    question = Question("q", "which\u2028one?", ("a",), (Span("d", 1, 3),), kind="fact")
    held = [Candidates(question, (Passage("d", "T", ("H",), 0, 4, "abcd", 0.5),))]
    save_candidates(held, tmp_path / "new" / "c.jsonl")
    assert load_candidates(tmp_path / "new" / "c.jsonl") == held


def test_files_name_the_set_of_their_questions_and_keep_their_documents(tmp_path: Path) -> None:
    import random

    (tmp_path / "s").mkdir()
    documents = [{"id": f"d{n}", "title": "", "text": "It is so."} for n in range(6)]
    (tmp_path / "s" / "documents.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    common = {"question": "is it?"}
    rows = [
        {
            "id": "1",
            "answers": ["so"],
            "evidence": [{"document_id": "d1", "start": 0, "end": 5}],
            "answerable": True,
        },
        {"id": "2", "answers": [], "evidence": [], "answerable": False},
    ]
    rows[0] |= {"kind": "fact"}
    rows[1] |= {"kind": "unanswerable", "near": {"document_id": "d2", "start": 0, "end": 4}}
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(common | one) + "\n" for one in rows))
    path = tmp_path / "s.jsonl"
    assert near_spans(path) == {"1": [], "2": [Span("d2", 0, 4)]}
    labelled = real_set(tmp_path / "s", path, n_documents=3, rng=random.Random(0))
    assert {"d1", "d2"} <= set(labelled.documents)
    assert len(labelled.documents) == 3
    assert [question.answerable for question in labelled.questions] == [True, False]


def test_views_are_mixed_with_other_examples() -> None:
    def files(name: str, n: int) -> ExampleFiles:
        examples = [Example(name, (n_,), None, False, False, (0,), {}) for n_ in range(n)]
        return ExampleFiles(examples, [])

    mixed = interleave([files("a", 2), files("b", 2)], files("o", 5), n_others=2)
    assert sorted(one.dataset for one in mixed.examples[:4]) == ["a", "a", "o", "o"]
    assert sorted(one.dataset for one in mixed.examples[4:]) == ["b", "b", "o", "o"]
    assert len({(one.dataset, one.question) for one in mixed.examples}) == 8
