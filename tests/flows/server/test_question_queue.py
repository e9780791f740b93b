"""The thread that asks: what waits together is asked together, within limits, and a swap loses no request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixture_prep import LinePrep

from flows.server.question_queue import QuestionQueue, QueueLimits
from flows.server.service_errors import ServiceError
from prep.document import Document
from prep.errors import ChecksumMismatch, ConfigError
from prep.ingest import ingest
from retrieve.researcher import Researcher


class Recorder:
    """Stands where a researcher does, and notes how it is asked; it answers a question with its own words."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], dict[str, Any]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.opening_s = 0.0
        self.error: Exception | None = None
        self.closed = False

    @property
    def runner(self) -> None:
        time.sleep(self.opening_s)
        self.opening_s = 0.0
        if self.error is not None:
            raise self.error

    def ask_many(self, questions: Sequence[str], **options: Any) -> list[str]:
        self.gate.wait(10)
        self.batches.append((list(questions), options))
        if "poison" in questions:
            raise RuntimeError("poison")
        return list(questions)

    def search(self, question: str, k: int, *, where: Mapping[str, Any] | None) -> list[str]:
        self.batches.append(([f"search {question}"], {"where": where}))
        return [question] * k

    def close(self) -> None:
        self.closed = True


@contextmanager
def running(recorder: Any, **limits: Any) -> Iterator[QuestionQueue]:
    queue = QuestionQueue(lambda: recorder, QueueLimits(**limits))
    queue.start()
    try:
        yield queue
    finally:
        if isinstance(recorder, Recorder):
            recorder.gate.set()
        queue.stop()


def hold(recorder: Recorder, queue: QuestionQueue) -> Any:
    """Keep the thread busy with a question, so that what comes now waits."""
    queue.warm().result(10)
    recorder.gate.clear()
    busy = queue.ask("busy", deadline_s=30)
    while queue.n_waiting:
        time.sleep(0.001)
    return busy


def test_questions_that_wait_are_asked_together_and_searches_first() -> None:
    recorder = Recorder()
    with running(recorder, batch_size=3) as queue:
        hold(recorder, queue)
        asked = [queue.ask(f"q{number}", deadline_s=20) for number in range(4)]
        ada = queue.ask("hers", deadline_s=20, user="ada")
        found = queue.search("s", 2)
        recorder.gate.set()
        assert [future.result(10) for future in [*asked, ada]] == ["q0", "q1", "q2", "q3", "hers"]
        assert found.result(10) == ["s", "s"]
    assert [questions for questions, _ in recorder.batches] == [
        ["busy"],
        ["search s"],
        ["q0", "q1", "q2"],
        ["q3"],
        ["hers"],
    ]
    assert recorder.batches[-1][1]["user"] == "ada"
    assert 3 * recorder.batches[2][1]["deadline_s"] == pytest.approx(20, abs=2)
    assert recorder.closed


def test_a_question_that_fails_takes_no_other_with_it() -> None:
    recorder = Recorder()
    with running(recorder, batch_size=4) as queue:
        hold(recorder, queue)
        asked = [queue.ask(text, deadline_s=20) for text in ("a", "poison", "b")]
        recorder.gate.set()
        assert (asked[0].result(10), asked[2].result(10)) == ("a", "b")
        with pytest.raises(RuntimeError, match="poison"):
            asked[1].result(10)
        assert queue.ask("c", deadline_s=20).result(10) == "c"


def test_more_than_may_wait_is_refused_with_the_time_to_come_back() -> None:
    recorder = Recorder()
    with running(recorder, max_waiting=2) as queue:
        hold(recorder, queue)
        for text in ("a", "b"):
            queue.ask(text, deadline_s=20)
        with pytest.raises(ServiceError) as refused:
            queue.ask("c", deadline_s=20)
        assert (refused.value.status, refused.value.code) == (429, "busy")
        assert int(refused.value.headers["Retry-After"]) >= 1


def test_deadlines_are_bounded_and_what_is_late_is_told() -> None:
    recorder = Recorder()
    with running(recorder, max_deadline_s=2) as queue:
        hold(recorder, queue)
        late = queue.ask("late", deadline_s=0.01)
        bounded = queue.ask("bounded", deadline_s=1_000, user="ada")
        time.sleep(0.05)
        recorder.gate.set()
        with pytest.raises(ServiceError, match="time ran out"):
            late.result(10)
        assert bounded.result(10) == "bounded"
        assert recorder.batches[-1][1]["deadline_s"] <= 2


def test_the_time_of_opening_a_new_model_is_not_taken_from_those_who_wait() -> None:
    recorder = Recorder()
    with running(recorder) as queue:
        hold(recorder, queue)
        waiting = [queue.ask(text, deadline_s=0.4, user=text) for text in ("a", "b")]
        recorder.opening_s = 0.6
        recorder.gate.set()
        assert [future.result(10) for future in waiting] == ["a", "b"]


def test_a_cancelled_question_is_not_asked() -> None:
    recorder = Recorder()
    with running(recorder) as queue:
        hold(recorder, queue)
        gone = queue.ask("gone", deadline_s=20)
        assert gone.cancel()
        recorder.gate.set()
        assert queue.ask("there", deadline_s=20).result(10) == "there"
    assert [questions for questions, _ in recorder.batches] == [["busy"], ["there"]]


def test_what_cannot_be_opened_is_the_reason_until_it_can() -> None:
    recorder = Recorder()
    with running(recorder) as queue:
        queue.warm().result(10)
        assert queue.reason is None
        recorder.error = ChecksumMismatch("damaged")
        with pytest.raises(ChecksumMismatch):
            queue.ask("a", deadline_s=20).result(10)
        assert queue.reason is not None
        assert (queue.reason.status, queue.reason.code) == (503, "store")
        recorder.error = None
        assert queue.ask("a", deadline_s=20).result(10) == "a"
        assert queue.reason is None


def test_what_waits_when_the_server_stops_is_answered_and_nothing_more_taken() -> None:
    recorder = Recorder()
    with running(recorder) as queue:
        hold(recorder, queue)
        waiting = queue.ask("waiting", deadline_s=20)
        stopping = threading.Thread(target=queue.stop)
        stopping.start()
        time.sleep(0.05)
        with pytest.raises(ServiceError, match="stopping"):
            queue.ask("more", deadline_s=20)
        recorder.gate.set()
        stopping.join(10)
        assert waiting.result(0) == "waiting"


def test_a_filter_goes_to_the_researcher_with_its_question_alone() -> None:
    recorder = Recorder()
    where: Mapping[str, Any] = {"label": "open"}
    with running(recorder, batch_size=4) as queue:
        busy = hold(recorder, queue)
        asked = [queue.ask("a", deadline_s=20, where=where), queue.ask("b", deadline_s=20)]
        found = queue.search("c", 1, where=where)
        recorder.gate.set()
        for future in (busy, *asked, found):
            future.result(10)
    filters = {question: options.get("where") for some, options in recorder.batches for question in some}
    assert filters == {"busy": None, "search c": where, "a": where, "b": None}


def test_no_question_is_lost_while_generations_are_swapped(
    place: Path, open_researcher: Callable[[], Researcher]
) -> None:
    reports: list[Any] = []
    with running(open_researcher(), batch_size=2) as queue:
        queue.warm().result(60)
        stop = threading.Event()

        def keep_asking() -> None:
            while not stop.is_set():
                reports.append(queue.ask("What do bees make?", deadline_s=30).result(60))

        askers = [threading.Thread(target=keep_asking) for _ in range(3)]
        for asker in askers:
            asker.start()
        made = []
        for number in range(4):
            more = [Document(f"more{number}", "", f"More of {number}.\n")]
            made.append(ingest(place, more, LinePrep(), progress=False, remove_missing=False).generation)
            queue.ask("Is it there?", deadline_s=30).result(60)
        stop.set()
        for asker in askers:
            asker.join(60)
    assert reports
    assert all(report.status == "answered" for report in reports)
    assert set(made) & {report.generation for report in reports}


def test_limits_out_of_range_are_refused() -> None:
    for wrong in (
        {"max_waiting": 0},
        {"batch_size": 0},
        {"max_deadline_s": 0},
        {"max_deadline_s": float("inf")},
    ):
        with pytest.raises(ConfigError):
            QueueLimits(**wrong)  # type: ignore[arg-type]
