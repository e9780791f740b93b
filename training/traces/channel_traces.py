"""Traces in channel order, from which the noisy-channel model learns how well an answer explains its question.

Only the question is to be written; it stands behind the report (`retrieve.decoding.noisy_channel`). Traces of the
same passages share their reading (`training.traces.packing`). Refusals are told backwards, too: what is asked where
nothing answers it.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrieve.decoding.noisy_channel import channel_format
from training.traces.traces import Trace

__all__ = ["backwards", "told"]


def told(trace: Trace) -> Trace | None:
    """Return the trace told backwards; None where it has a second search, no report, or its question in front."""
    if len(trace.segments) != 3:
        return None
    (results, _), (asked, is_written), (report, _) = trace.segments
    if is_written or not asked.startswith("<question>") or not report.startswith("<report>"):
        return None
    given, question = channel_format(asked, report)
    return Trace(trace.question_id, "backwards", ((results, False), (given, False), (question, True)))


def backwards(traces: Sequence[Trace]) -> list[Trace]:
    """Return those of the traces that can be told backwards, told so."""
    return [one for trace in traces if (one := told(trace)) is not None]
