"""The named points of an ingest, and of retraining, at which a test kills the process, to show that nothing is lost.

`reached` does nothing unless the environment variable DIPTYCH_KILL_AT names the point.
"""

from __future__ import annotations

import os
import signal

__all__ = ["CYCLE_POINTS", "KILL_POINTS", "reached"]

KILL_POINTS = (
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
CYCLE_POINTS = (
    "after-freeze",
    "after-dataset",
    "after-plan",
    "after-candidate",
    "between-trials",
    "after-decision",
    "after-promotion",
    "after-step",
)


def reached(point: str) -> None:
    """Kill this process, without clean-up, if DIPTYCH_KILL_AT names `point`, one of those above."""
    if point not in (*KILL_POINTS, *CYCLE_POINTS):
        raise ValueError(f"unknown kill point {point!r}: add it to KILL_POINTS, so that it is tested")
    if os.environ.get("DIPTYCH_KILL_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)
