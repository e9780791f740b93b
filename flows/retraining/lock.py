"""The lock that one process holds while it retrains a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from prep.errors import WorkspaceLocked
from prep.store.workspace import Workspace

__all__ = ["retraining_lock"]


@contextmanager
def retraining_lock(workspace: Workspace) -> Iterator[None]:
    """Keep other processes from retraining the workspace; they can ingest and ask. Raises WorkspaceLocked."""
    folder = workspace.path / "retrain"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WorkspaceLocked(
            f"another process retrains {workspace.path}: wait until it is through"
        ) from error
    try:
        yield
    finally:
        lock.release()
