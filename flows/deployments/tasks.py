"""How the flows' tasks run: retries, the one writer's slot, and receipts.

A task run leaves a small JSON receipt and no cached result: Prefect's cached results are pickles, and the
workspace is content-addressed already, so that a task run twice does its work once. Importing this module
imports Prefect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from prefect import Task, get_client
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL

from flows.candidates.candidate_folder import Candidate
from prep.errors import WorkspaceLocked

__all__ = ["TASK", "Receipt", "TaskOptions", "candidate_receipt", "worth_retrying", "writer_slot"]

#: A task's result: a few names and numbers, ready for JSON.
Receipt = dict[str, Any]

# Another writer is usually done within a minute; a full disk does not mend by waiting longer.
RETRY_DELAYS_S = [5.0, 20.0, 60.0]


class TaskOptions(TypedDict):
    """The options that every task of ours is declared with."""

    retries: int
    retry_delay_seconds: list[float]
    retry_condition_fn: Any
    cache_policy: Any
    persist_result: bool
    result_serializer: str


def worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may succeed if run again: a locked workspace or an input/output error only."""
    del task, task_run
    error = state.result(raise_on_failure=False)
    return isinstance(error, WorkspaceLocked | OSError)


TASK: TaskOptions = {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": worth_retrying,
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "result_serializer": "json",
}


@contextmanager
def writer_slot(workspace: str | Path) -> Iterator[str]:
    """Hold the one writer's slot of `workspace` on the Prefect server; later runs queue there.

    Yields the limit's name. Without a lasting server (`PREFECT_API_URL` unset) Prefect's state ends with this
    process, so there is nothing to queue at: the workspace's file lock, which always holds, is what remains.
    """
    name = f"diptych-writer-{hashlib.sha256(str(Path(workspace).resolve()).encode()).hexdigest()[:12]}"
    if not PREFECT_API_URL.value():
        yield name
        return
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with concurrency(name, occupy=1, strict=True):
        yield name


def candidate_receipt(candidate: Candidate) -> Receipt:
    """Return a candidate's version and figures as a receipt."""
    return {
        "kind": candidate.kind,
        "version": candidate.version,
        "seconds": round(candidate.seconds, 1),
        "reused": candidate.reused,
        "figures": [{"system": name, **figures} for name, figures in candidate.metrics.items()],
    }
