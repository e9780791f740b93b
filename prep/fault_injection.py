"""Fault injection: named points of ingest and retraining at which a test kills the process: nothing may be lost.

`fault_point` does nothing unless the environment variable DIPTYCH_FAULT_AT names the point.
"""

from __future__ import annotations

import os
import signal

__all__ = ["FAULT_POINTS", "RETRAINING_FAULT_POINTS", "fault_point"]

#: Of an ingest, in its order, and of pruning.
FAULT_POINTS = (
    "after-lock",
    "after-first-batch",
    "after-last-batch",
    "before-index",
    "after-index",
    "before-manifest",
    "after-manifest",
    "after-rename",
    "before-swap",
    "after-swap",
    "before-prune",
    "during-prune",
    "after-prune",
)
#: Of a retraining cycle (`flows.retraining.cycle`), in its order.
RETRAINING_FAULT_POINTS = (
    "after-freeze",
    "after-dataset",
    "after-plan",
    "after-candidate",
    "between-trials",
    "after-decision",
    "after-promotion",
    "after-step",
)


def fault_point(point: str) -> None:
    """Kill this process, without clean-up, if DIPTYCH_FAULT_AT names `point`, one of those above.

    Raises ValueError for a point that is not listed.
    """
    if point not in (*FAULT_POINTS, *RETRAINING_FAULT_POINTS):
        raise ValueError(f"unknown fault point {point!r}: add it to FAULT_POINTS, so that it is tested")
    if os.environ.get("DIPTYCH_FAULT_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)
