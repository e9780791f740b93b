"""Distributed work by Prefect's task runners: threads of this machine by default, Dask's or Ray's if configured.

    DIPTYCH_TASK_RUNNER          threads, dask or ray
    DIPTYCH_TASK_RUNNER_ADDRESS  of a scheduler that is running; a cluster on this machine where it is empty
    DIPTYCH_TASK_WORKERS         processes of the cluster; one for each processor where it is empty

Dask and Ray are extras (`pip install 'diptych[dask]'`, `diptych[ray]`). Workers report to a Prefect server, so
PREFECT_API_URL has to name one that they reach. They read the prep version from the workspace, or the one that
ships, so on other machines the workspace must be a shared folder. They send documents and chunks in pickles to each
other: a cluster is to be yours alone. Importing this module imports Prefect.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from prefect import task
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.deployments.tasks import TASK
from flows.models.serving import serving_prep_path
from prep.document import Chunk, Document
from prep.errors import ConfigError, DependencyError, VersionMismatch
from prep.model.prep_model import PrepModel
from prep.store.workspace import Workspace

__all__ = ["RUNNERS", "DistributedPrep", "TaskRunnerSettings", "prepare_part", "task_runner"]

RUNNERS = ("threads", "dask", "ray")
_PART_DOCUMENTS = 8  # prepared by a task
_PART_CHARACTERS = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRunnerSettings:
    """Where tasks run. address: of a scheduler; workers: of a cluster on this machine, None for one a processor."""

    runner: str = "threads"
    address: str = ""
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.runner not in RUNNERS:
            raise ConfigError(f"DIPTYCH_TASK_RUNNER={self.runner!r} must be one of {', '.join(RUNNERS)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"DIPTYCH_TASK_WORKERS={self.workers!r} must be at least 1")

    @classmethod
    def from_environment(cls) -> TaskRunnerSettings:
        """Read the settings. Raises ConfigError."""
        workers = os.environ.get("DIPTYCH_TASK_WORKERS", "")
        if workers and not workers.isdecimal():
            raise ConfigError(f"DIPTYCH_TASK_WORKERS={workers!r} is no number")
        return cls(
            runner=os.environ.get("DIPTYCH_TASK_RUNNER", "") or "threads",
            address=os.environ.get("DIPTYCH_TASK_RUNNER_ADDRESS", ""),
            workers=int(workers) if workers else None,
        )

    @property
    def n_workers(self) -> int:
        """The number of processes: as set, or one for each processor."""
        return self.workers or os.cpu_count() or 1

    @property
    def is_distributed(self) -> bool:
        """Whether tasks leave this process."""
        return self.runner != "threads"


def task_runner(settings: TaskRunnerSettings) -> TaskRunner[Any]:
    """Return Prefect's task runner.

    Raises DependencyError where its extra is not installed, ConfigError where its workers would have no server.
    """
    if settings.runner == "threads":
        return ThreadPoolTaskRunner()
    module, name = {"dask": ("prefect_dask", "DaskTaskRunner"), "ray": ("prefect_ray", "RayTaskRunner")}[
        settings.runner
    ]
    try:
        kind: Any = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise DependencyError(
            f"the task runner {settings.runner!r} needs an extra: pip install 'diptych[{settings.runner}]' ({error})"
        ) from error
    if not PREFECT_API_URL.value():
        raise ConfigError(
            f"DIPTYCH_TASK_RUNNER={settings.runner!r} needs a Prefect server that its workers reach: "
            "run `prefect server start` and set PREFECT_API_URL"
        )
    here: dict[str, dict[str, Any]] = {
        "dask": {
            "cluster_kwargs": {
                "n_workers": settings.n_workers,
                "threads_per_worker": 1,
                "dashboard_address": "127.0.0.1:0",
            }
        },
        "ray": {"init_kwargs": {"num_cpus": settings.n_workers}},
    }
    options = {"address": settings.address} if settings.address else here[settings.runner]
    runner: TaskRunner[Any] = kind(**options)
    return runner


class DistributedPrep:
    """A workspace's serving prep version whose documents are prepared by tasks, a few to a task.

    Only inside a flow. processes: those that took part so far, as (machine's name, process id).
    """

    def __init__(self, workspace: Workspace) -> None:
        """Raises WeightsError, StoreError."""
        folder = serving_prep_path(workspace)
        self._folder = None if folder is None else str(folder.resolve())
        prep = _load(self._folder)
        self.version, self.dimension = prep.version, prep.dimension
        self.processes: set[tuple[str, int]] = set()

    def prepare_many(self, documents: Iterable[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        """Yield every document once with its chunks, part after part."""
        futures = [prepare_part.submit(self._folder, self.version, part) for part in _parts(documents)]
        for future in futures:
            prepared, process = future.result()
            self.processes.add(process)
            yield from prepared


@task(name="prepare documents", **TASK)
def prepare_part(
    folder: str | None, version: str, documents: list[Document]
) -> tuple[list[tuple[Document, list[Chunk]]], tuple[str, int]]:
    """Prepare some documents where this runs; folder: of the prep version, None for the one that ships.

    Raises VersionMismatch where this worker's package ships another version.
    """
    prep = _load(folder)
    if prep.version != version:
        raise VersionMismatch(
            f"this worker's prep version is {prep.version}, and {version} is asked for: install the same Diptych on all"
        )
    return list(prep.prepare_many(documents)), (os.uname().nodename, os.getpid())


@lru_cache(maxsize=1)
def _load(folder: str | None) -> PrepModel:
    return PrepModel.load(folder)


def _parts(documents: Iterable[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    for document in documents:
        part.append(document)
        if len(part) == _PART_DOCUMENTS or sum(len(one.text) for one in part) >= _PART_CHARACTERS:
            yield part
            part = []
    if part:
        yield part
