"""Episodes with a reader: it answers or refuses, and the writer is asked for words alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prep.document import Span
from retrieve.decoding.decoder import Action
from retrieve.episode.episode import EpisodeLimits, Passage
from retrieve.episode_runner import EpisodeRunner, Run
from retrieve.lm.special_tokens import marker
from retrieve.reader.answer_types import ANSWER_TYPES, AnswerType
from retrieve.reader.calibration import Calibration
from retrieve.reader.inputs import sentences_of
from retrieve.reader.reader import AnswerSpan, EvidenceSentence, Reading
from retrieve.reader.reader_policy import ReaderConfig, ReaderPolicy
from retrieve.report.build import report_of

TEXTS = [
    "The hall is old. It was built in 1906.",
    "Bring these:\n- a ticket\n- a coat\n\nNo dogs.",
    "The tower is open. It has 99 steps.",
    "Nothing of use.",
]
PASSAGES = [
    Passage(f"d{number}", f"Title {number}", (), 100, 100 + len(text), text, 0.9 - 0.2 * number)
    for number, text in enumerate(TEXTS)
]


class StubReader:
    """Gives one reading: of this type, resting on this sentence, with this span."""

    calibration = Calibration(threshold=0.5)

    def __init__(
        self, answer_type: AnswerType, said: str, span: str = "", *, confidence: float = 0.9
    ) -> None:
        self.answer_type, self.said, self.span, self.confidence = answer_type, said, span, confidence
        self.deadlines: list[float | None] = []

    def read(self, question: str, passages: Sequence[Passage], *, deadline: float | None = None) -> Reading:
        self.deadlines.append(deadline)
        sentences, spans = [], []
        for number, passage in enumerate(passages):
            for start, end in sentences_of(passage.text):
                logit = 9.0 if passage.text[start:end] == self.said else -9.0
                sentences.append(EvidenceSentence(number, start, end, logit))
            at = passage.text.find(self.span) if self.span else -1
            if at >= 0:
                spans.append(AnswerSpan(number, at, at + len(self.span), 0.8))
        sentences.sort(key=lambda one: -one.logit)
        relevance = np.array([9.0 * (self.said in one.text) for one in passages], dtype=np.float32)
        types = {name: float(name == self.answer_type) for name in ANSWER_TYPES}
        return Reading(relevance, tuple(sentences), tuple(spans), types, self.confidence, n_tokens=77)


class StubDecoder:
    """Writes one report; None: nobody may ask it."""

    grammar: Any = None

    def __init__(self, report: str | None) -> None:
        self.report = report

    def decode(self, prompts: Sequence[str], *_: Any, **__: Any) -> list[Action]:
        assert self.report is not None, "the writer was asked"
        return [Action(self.report, (1, 2), 0.0, 0.0, 0.0, 10, complete=True) for _ in prompts]


@pytest.fixture(autouse=True)
def _no_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieve.episode_runner.Start.state", lambda *_: None)


def run(
    reader: StubReader,
    report: str | None = None,
    *,
    question: str = "What?",
    config: ReaderConfig | None = None,
    **options: Any,
) -> Run:
    policy = ReaderPolicy(reader, config or ReaderConfig(passages=4))  # type: ignore[arg-type]
    limits = EpisodeLimits(passages_per_search=2, max_searches=1)
    runner = EpisodeRunner(
        StubDecoder(report),  # type: ignore[arg-type]
        lambda queries, *_: [PASSAGES for _ in queries],
        limits,
        reader=policy,
    )
    return runner.run([question], **options)[0]


def test_what_the_reader_knows_is_answered_without_the_writer() -> None:
    done = run(StubReader("list", "- a coat"))
    report = report_of("What?", done, models={})
    assert (report.status, report.answer_type, report.confidence) == ("answered", "list", 0.9)
    assert report.answer == "a ticket; a coat"
    (finding,) = report.findings
    assert finding.statement == "Bring these:\n- a ticket\n- a coat"
    assert [(quote.document_id, quote.start, quote.text) for quote in finding.quotes] == [
        ("d1", 100, "Bring these:\n- a ticket\n- a coat")
    ]
    assert report.usage.prompt_tokens == 77
    assert report.usage.completion_tokens == 0


def test_the_quoted_passage_is_shown_first_and_the_trace_says_what_was_answered() -> None:
    done = run(StubReader("statement", "It has 99 steps."))
    assert [passage.document_id for passage in done.episode.passages] == ["d2", "d0"]
    assert done.episode.actions == [f"<report> It has 99 steps.{marker(1)}{marker(2)}</report>"]
    assert report_of("What?", done, models={}).findings[0].statement == TEXTS[2]  # with its neighbour
    assert done.episode.sentences[1] == Span("d2", 119, 135)


def test_what_the_reader_doubts_is_refused_with_the_nearest_passages() -> None:
    report = report_of("What?", run(StubReader("span", "It has 99 steps.", confidence=0.2)), models={})
    assert (report.status, report.answer_type, report.answer) == ("abstained", "none", None)
    assert report.confidence == 0.2
    assert report.nearest
    assert all(source.text for source in report.nearest)


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        (f"<report> in 1906{marker(2)}</report>", "in 1906"),
        (f"<report> in 1907{marker(2)}</report>", "1906"),  # its quote does not say so
        (f"<report> old{marker(1)}</report>", "1906"),  # another sentence than the reader's
        ("<report> none</report>", "1906"),
    ],
)
def test_a_fact_has_the_writers_words_where_the_readers_sentence_holds_them(
    written: str, answer: str
) -> None:
    report = report_of("What?", run(StubReader("span", "It was built in 1906.", "1906"), written), models={})
    assert (report.answer, report.answer_type) == (answer, "span")
    assert [quote.text for quote in report.quotes] == ["It was built in 1906."]
    assert report.findings[0].statement == "It was built in 1906."


def test_what_neither_is_sure_of_is_refused() -> None:
    doubtful = StubReader("span", "It was built in 1906.", "1906", confidence=0.6)
    assert report_of("What?", run(doubtful, "<report> none</report>"), models={}).answer == "1906"
    with_floor = ReaderConfig(passages=4, sure=0.7)
    report = report_of("What?", run(doubtful, "<report> none</report>", config=with_floor), models={})
    assert (report.status, report.answer_type, report.confidence) == ("abstained", "none", 0.6)
    written = f"<report> in 1906{marker(2)}</report>"
    assert report_of("What?", run(doubtful, written, config=with_floor), models={}).answer == "in 1906"


def test_the_readers_answer_stands_where_the_writer_has_no_time() -> None:
    reader = StubReader("span", "It was built in 1906.", "1906")
    report = report_of("What?", run(reader, deadline=time.monotonic() - 1), models={})
    assert (report.status, report.answer, report.note) == ("answered", "1906", "")
    assert reader.deadlines[0] is not None


@pytest.mark.parametrize(
    "question",
    [
        "我可以下载吗?",
        "Где это?",
        "42?",
        "What did the board decide about the roof?",
        "Summarise the discussion of the roof.",
    ],
)
def test_a_broad_question_or_one_in_another_script_is_the_writers(question: str) -> None:
    done = run(StubReader("list", "- a coat"), f"<report> a coat{marker(1)}</report>", question=question)
    assert done.answer is None
    assert done.episode.claims[0].statement == "a coat"


def test_what_is_quoted_was_shown() -> None:
    class Several(StubReader):
        def read(self, *arguments: Any, **options: Any) -> Reading:
            found = super().read(*arguments, **options)
            firsts = {one.passage: one for one in reversed(found.sentences)}
            # With what their searches scored less, they are all as good.
            level = [replace(one, logit=9.0 + 3.2 * one.passage) for one in firsts.values()]
            return replace(found, sentences=tuple(level))

    done = run(Several("statement", "The hall is old."))
    assert len(done.episode.passages) == 2
    report = report_of("What?", done, models={})
    assert {quote.document_id for quote in report.quotes} == {
        one.document_id for one in done.episode.passages
    }


def test_sampled_episodes_are_the_writers_alone() -> None:
    reader = StubReader("list", "- a coat")
    done = run(reader, f"<report> a coat{marker(1)}</report>", temperature=1.0)
    assert done.answer is None
    assert reader.deadlines == []
