"""One thread asks: requests wait in a bounded queue, and questions that wait together can be asked together.

A `Researcher` serves one thread, so one thread owns it. Searches go first, because they are short. The researcher looks
for a new generation or model before every batch; the time that opening one takes is added to the deadlines of the
requests that wait, so that a swap makes them late and loses none.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.server.service_errors import ServiceError, as_service_error
from prep.checks import check_counts
from prep.errors import ConfigError, DiptychError

if TYPE_CHECKING:
    from retrieve.episode.episode import Passage
    from retrieve.experience.log import ExperienceLog
    from retrieve.report.report import Report
    from retrieve.researcher import Researcher

__all__ = ["QuestionQueue", "QueueLimits", "Where", "researcher_of"]

Where = Mapping[str, Any]
_LOG = logging.getLogger(__name__)
_LEAST_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How many requests may wait, how many questions are asked together, and the longest deadline.

    batch_size: questions that are asked together all wait for the last, and save hardly any time on a CPU, so one by
    one is the default.
    """

    max_waiting: int = 64
    batch_size: int = 1
    max_deadline_s: float = 30.0

    def __post_init__(self) -> None:
        check_counts(self, "max_waiting", "batch_size")
        if not 0 < self.max_deadline_s < math.inf:
            raise ConfigError(f"max_deadline_s={self.max_deadline_s!r} must be a number above 0")


@dataclass(slots=True, eq=False)
class _WaitingQuestion:
    """A question that waits. deadline: a value of `time.monotonic`. options: what a batch has in common."""

    text: str
    deadline: float
    options: dict[str, Any]
    future: Future[Report] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class _WaitingTask:
    """Anything else that needs the researcher."""

    run: Callable[[Researcher], Any]
    future: Future[Any] = field(default_factory=Future)


class QuestionQueue:
    """A researcher in a thread of its own; `start` it, and `stop` it.

    open_researcher: called in the thread, once.
    """

    def __init__(self, open_researcher: Callable[[], Researcher], limits: QueueLimits | None = None) -> None:
        self.limits = limits or QueueLimits()
        self._open = open_researcher
        self._questions: deque[_WaitingQuestion] = deque()
        self._tasks: deque[_WaitingTask] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._seconds_per_question = 1.0
        self._thread = threading.Thread(target=self._serve, name="queue", daemon=True)
        self._reason: ServiceError | None = ServiceError(
            503, "starting", "the models are being loaded", retry_after_s=5
        )

    @property
    def reason(self) -> ServiceError | None:
        """Why nothing can be asked now; None where it can."""
        return self._reason

    @property
    def n_waiting(self) -> int:
        """How many requests wait."""
        return len(self._questions) + len(self._tasks)

    def start(self) -> None:
        """Start the thread, and load the models in it."""
        self._thread.start()
        self.warm()

    def stop(self, timeout_s: float = 60.0) -> None:
        """Answer what waits, take nothing more, and end the thread."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def ask(
        self,
        question: str,
        *,
        deadline_s: float,
        max_searches: int = 3,
        where: Where | None = None,
        user: str | None = None,
    ) -> Future[Report]:
        """Let a question wait for its turn. deadline_s: from now; at most the limits'. Raises ServiceError (429)."""
        options: dict[str, Any] = {"max_searches": max_searches, "user": user}
        if where:
            options["where"] = dict(where)
        deadline = time.monotonic() + min(deadline_s, self.limits.max_deadline_s)
        waiting = _WaitingQuestion(question, deadline, options)
        self._put(self._questions, waiting)
        return waiting.future

    def search(self, question: str, k: int, *, where: Where | None = None) -> Future[list[Passage]]:
        """Let a search wait for its turn. Raises ServiceError (429)."""
        return self._run(lambda researcher: list(researcher.search(question, k, where=where or None)))

    def warm(self) -> Future[float]:
        """Open what is current, so that the next question finds it open. Raises ServiceError (429)."""
        return self._run(self._refresh)

    def _run(self, run: Callable[[Researcher], Any]) -> Future[Any]:
        task = _WaitingTask(run)
        self._put(self._tasks, task)
        return task.future

    def _put(self, line: deque[Any], waiting: _WaitingQuestion | _WaitingTask) -> None:
        with self._changed:
            if self._is_stopping:
                raise ServiceError(503, "stopping", "the server is stopping", retry_after_s=5)
            if self.n_waiting >= self.limits.max_waiting:
                seconds = math.ceil(min(60.0, max(1.0, len(self._questions) * self._seconds_per_question)))
                raise ServiceError(
                    429, "busy", f"{self.n_waiting} requests wait already", retry_after_s=seconds
                )
            line.append(waiting)
            self._changed.notify()

    def _serve(self) -> None:
        researcher: Researcher | None = None
        while (work := self._take()) is not None:
            try:
                researcher = researcher or self._open()
            except Exception as error:
                self._note(error)
                for one in work if isinstance(work, list) else [work]:
                    _fail(one.future, error)
                continue
            if isinstance(work, _WaitingTask):
                self._do(researcher, work)
            else:
                self._answer(researcher, work)
        if researcher is not None:
            researcher.close()

    def _take(self) -> _WaitingTask | list[_WaitingQuestion] | None:
        """Wait for work: a task, or questions that can be asked together; None at the end."""
        with self._changed:
            while not self.n_waiting and not self._is_stopping:
                self._changed.wait()
            if self._tasks:
                return self._tasks.popleft()
            if not self._questions:
                return None
            first = self._questions.popleft()
            together = [one for one in self._questions if one.options == first.options]
            batch = [first, *together[: self.limits.batch_size - 1]]
            for one in batch[1:]:
                self._questions.remove(one)
            return batch

    def _do(self, researcher: Researcher, task: _WaitingTask) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            task.future.set_result(task.run(researcher))
        except Exception as error:
            task.future.set_exception(error)

    def _answer(self, researcher: Researcher, batch: list[_WaitingQuestion]) -> None:
        batch = [one for one in batch if one.future.set_running_or_notify_cancel()]
        try:
            spent = self._refresh(researcher)
        except Exception as error:
            for one in batch:
                one.future.set_exception(error)
            return
        for one in batch:
            one.deadline += spent
        now = time.monotonic()
        for one in batch:
            if one.deadline <= now:
                one.future.set_exception(
                    ServiceError(503, "late", "the time ran out before the question's turn", retry_after_s=5)
                )
        self._ask(researcher, [one for one in batch if one.deadline > now])

    def _ask(self, researcher: Researcher, batch: list[_WaitingQuestion]) -> None:
        if not batch:
            return
        started = time.monotonic()
        left = max(_LEAST_S, min(one.deadline for one in batch) - started)
        try:
            reports = researcher.ask_many(
                [one.text for one in batch],
                deadline_s=left / len(batch),  # of a batch, the researcher takes it on average
                batch_size=len(batch),
                **batch[0].options,
            )
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for one in batch:  # what fails alone does not take the others with it
                self._ask(researcher, [one])
            return
        seconds = (time.monotonic() - started) / len(batch)
        self._seconds_per_question += 0.2 * (seconds - self._seconds_per_question)
        for one, report in zip(batch, reports, strict=True):
            one.future.set_result(report)

    def _refresh(self, researcher: Researcher) -> float:
        """Open what is current, where it is new; give those that wait the seconds that it took, and return them."""
        started = time.monotonic()
        try:
            _ = researcher.runner
        except Exception as error:
            self._note(error)
            raise
        self._reason = None
        spent = time.monotonic() - started
        with self._changed:
            for one in self._questions:
                one.deadline += spent
        return spent

    def _note(self, error: Exception) -> None:
        if not isinstance(error, DiptychError):
            _LOG.error("the models cannot be loaded", exc_info=error)
        self._reason = as_service_error(error)


def researcher_of(workspace: str | Path, log: ExperienceLog) -> Researcher:
    """Return a researcher that opens what the workspace names when it is first asked."""
    from prep.store.workspace import Workspace
    from retrieve.researcher import Researcher

    return Researcher(Workspace(workspace), log=log)


def _fail(future: Future[Any], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
