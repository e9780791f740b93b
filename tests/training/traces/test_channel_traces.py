"""Channel traces begin like those they are made of, and only their question is to be written."""

from __future__ import annotations

import pytest

from retrieve.decoding.noisy_channel import channel_format
from training.traces.channel_traces import channel_trace, channel_traces
from training.traces.traces import Trace

RESULTS = ("<results>\nMoon\n⟦1⟧ It is far.\n</results>\n", False)
ASKED = ("<question>How far is it?</question>\n", False)
FORWARDS = Trace("q", "direct", (RESULTS, ASKED, ("<report> far⟦1⟧</report>", True)))


def test_the_question_alone_is_to_be_written_after_its_report() -> None:
    one = channel_trace(FORWARDS)
    assert one is not None
    assert one.segments == (
        RESULTS,
        ("<report> far⟦1⟧</report>\n<question>", False),
        ("How far is it?</question>", True),
    )


@pytest.mark.parametrize(
    "segments",
    [
        (ASKED, RESULTS, ("<report> far⟦1⟧</report>", True)),  # the question in front
        (RESULTS, ASKED, ("<search> moon</search>", True)),
        (
            RESULTS,
            ASKED,
            ("<search> moon</search>", True),
            ("\n", False),
            RESULTS,
            ("<report> none</report>", True),
        ),
    ],
)
def test_a_trace_without_channel_order_is_left_out(segments: tuple[tuple[str, bool], ...]) -> None:
    other = Trace("q", "again", segments)
    assert channel_trace(other) is None
    assert channel_traces([FORWARDS, other, FORWARDS]) == [channel_trace(FORWARDS)] * 2


def test_what_is_no_question_of_an_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="no question"):
        channel_format("How far?", "<report> far⟦1⟧</report>")
