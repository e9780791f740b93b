"""Questions written by the workers of Prefect's task runner, a batch of sentences to a task; see
`flows.deployments.task_runner`.

A worker reads the generation's chunks from the workspace itself. What depends on the other questions
(near-duplicates, kinds, how many) is decided by whoever asks for the batches
(`training.questions.generated_questions`). Importing this module imports Prefect.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from prefect import task

from flows.candidates.question_sets import asked_by, draft_here, generation_pool, unfrozen_documents
from flows.candidates.training_sets import frozen_path
from flows.deployments.tasks import TASK
from flows.models.serving import serving_prep
from prep.errors import VersionMismatch
from prep.store.workspace import Workspace
from training.data.gate_set import read_gate_set

if TYPE_CHECKING:
    from training.questions.generated_questions import BatchGenerator, GeneratedBatch, QuestionBatch
    from training.questions.teacher import TeacherConfig

__all__ = ["DraftByTasks", "draft_batch"]


class DraftByTasks:
    """BatchGenerator by tasks, some batches ahead of what was asked for. Only inside a flow.

    processes: those that took part so far, as (machine's name, process id).
    """

    def __init__(
        self, workspace: Workspace, generation: str, teacher: TeacherConfig | None, *, ahead: int
    ) -> None:
        """ahead: batches that are written at a time; a run that has enough leaves at most so many unused."""
        frozen = read_gate_set(frozen_path(workspace)).digest
        self._work = (str(workspace.path.resolve()), generation, frozen, teacher)
        self._by = asked_by(teacher)
        self._ahead = ahead
        self.processes: set[tuple[str, int]] = set()

    @property
    def about(self) -> dict[str, Any]:
        """Who writes and who reads back, on every worker."""
        return self._by

    def generate(self, batches: Iterable[QuestionBatch]) -> Iterator[GeneratedBatch]:
        """Yield what came of each batch, in order."""
        left = iter(batches)
        begun: deque[Any] = deque()
        try:
            while True:
                while len(begun) < self._ahead and (batch := next(left, None)) is not None:
                    begun.append(draft_batch.submit(*self._work, self._by, batch))
                if not begun:
                    return
                drafted, process = begun.popleft().result()
                self.processes.add(process)
                yield drafted
        finally:
            for future in begun:  # a task that is still running must not outlive its flow
                future.wait()


@task(name="ask a batch", **TASK)
def draft_batch(
    workspace: str,
    generation: str,
    frozen: str,
    teacher: TeacherConfig | None,
    by: dict[str, Any],
    batch: QuestionBatch,
) -> tuple[GeneratedBatch, tuple[str, int]]:
    """Write and judge the questions of a batch where this runs. frozen: the digest of what is not asked about.

    Raises VersionMismatch where this worker's package writes or reads with other versions than `by` names.
    """
    here = asked_by(teacher)
    if here != by:
        raise VersionMismatch(
            f"this worker asks with {here}, and {by} is asked for: install the same Diptych on all"
        )
    (drafted,) = _drafting(workspace, generation, frozen, teacher).generate([batch])
    return drafted, (os.uname().nodename, os.getpid())


@lru_cache(maxsize=1)
def _drafting(workspace: str, generation: str, frozen: str, teacher: TeacherConfig | None) -> BatchGenerator:
    del frozen  # what is kept of another is not used
    place = Workspace(workspace)
    with place.open_generation(generation) as opened:
        documents = unfrozen_documents(opened, read_gate_set(frozen_path(place)))
        pool = generation_pool(opened, documents, serving_prep(place).encoder)
    return draft_here(pool, teacher)
