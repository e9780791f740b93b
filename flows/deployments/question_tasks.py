"""Question generation on the workers of Prefect's task runner (`flows.deployments.task_runner`), a batch to a task.

A worker reads the generation's chunks from the workspace itself. `training.questions.generated_questions` hands out the
batches and decides what depends on the other questions: near-duplicates, kinds, the number. Importing this module
imports Prefect.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from prefect import task

from flows.candidates.dataset_folder import gate_set_path
from flows.candidates.question_sets import (
    generation_pool,
    local_generator,
    trainable_documents,
    writer_and_reader,
)
from flows.deployments.tasks import TASK
from flows.models.serving import serving_prep
from prep.errors import VersionMismatch
from prep.store.workspace import Workspace
from training.data.gate_set import read_gate_set

if TYPE_CHECKING:
    from training.questions.generated_questions import BatchGenerator, GeneratedBatch, QuestionBatch
    from training.questions.teacher import TeacherConfig

__all__ = ["TaskGenerator", "generate_batch"]


class TaskGenerator:
    """A `BatchGenerator` whose batches are tasks, some of them ahead of use. Only inside a flow.

    processes: those that took part so far, as (machine's name, process id).
    """

    def __init__(
        self, workspace: Workspace, generation: str, teacher: TeacherConfig | None, *, ahead: int
    ) -> None:
        """ahead: batches that are written at a time; at the end at most so many are left unused."""
        gate_set = read_gate_set(gate_set_path(workspace)).digest
        self._work = (str(workspace.path.resolve()), generation, gate_set, teacher)
        self._by = writer_and_reader(teacher)
        self._ahead = ahead
        self.processes: set[tuple[str, int]] = set()

    @property
    def about(self) -> dict[str, Any]:
        """Who writes and who reads back, on every worker."""
        return self._by

    def generate(self, batches: Iterable[QuestionBatch]) -> Iterator[GeneratedBatch]:
        """Yield what came of each batch, in order."""
        left = iter(batches)
        running: deque[Any] = deque()
        try:
            while True:
                while len(running) < self._ahead and (batch := next(left, None)) is not None:
                    running.append(generate_batch.submit(*self._work, self._by, batch))
                if not running:
                    return
                generated, process = running.popleft().result()
                self.processes.add(process)
                yield generated
        finally:
            for future in running:  # a task that is still running must not outlive its flow
                future.wait()


@task(name="generate a batch of questions", **TASK)
def generate_batch(
    workspace: str,
    generation: str,
    gate_set: str,
    teacher: TeacherConfig | None,
    by: dict[str, Any],
    batch: QuestionBatch,
) -> tuple[GeneratedBatch, tuple[str, int]]:
    """Write and judge the questions of a batch where this runs. gate_set: its digest; nothing is asked about it.

    Raises VersionMismatch where this worker's package writes or reads with other versions than `by` names.
    """
    here = writer_and_reader(teacher)
    if here != by:
        raise VersionMismatch(
            f"this worker asks with {here}, and {by} is asked for: install the same Diptych on all"
        )
    (generated,) = _local_generator(workspace, generation, gate_set, teacher).generate([batch])
    return generated, (os.uname().nodename, os.getpid())


@lru_cache(maxsize=1)
def _local_generator(
    workspace: str, generation: str, gate_set: str, teacher: TeacherConfig | None
) -> BatchGenerator:
    del gate_set  # a part of the cache's key
    place = Workspace(workspace)
    with place.open_generation(generation) as opened:
        documents = trainable_documents(opened, read_gate_set(gate_set_path(place)))
        pool = generation_pool(opened, documents, serving_prep(place).encoder)
    return local_generator(pool, teacher)
