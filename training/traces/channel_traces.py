"""Traces in channel order, from which the noisy-channel model learns how well an answer explains its question.

The question alone is to be written, after the report (`retrieve.decoding.noisy_channel`). Traces on the same passages
are packed (`training.traces.packing`). Abstentions have channel traces, too: the question that nothing answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrieve.decoding.noisy_channel import channel_format
from training.traces.traces import Trace

__all__ = ["channel_trace", "channel_traces"]


def channel_trace(trace: Trace) -> Trace | None:
    """Return the trace in channel order; None where it has a second search, no report, or its question in front."""
    if len(trace.segments) != 3:
        return None
    (results, _), (question, is_written), (report, _) = trace.segments
    if is_written or not question.startswith("<question>") or not report.startswith("<report>"):
        return None
    given, written = channel_format(question, report)
    return Trace(trace.question_id, "channel", ((results, False), (given, False), (written, True)))


def channel_traces(traces: Sequence[Trace]) -> list[Trace]:
    """Return the channel traces of those that have one, in order."""
    return [one for trace in traces if (one := channel_trace(trace)) is not None]
