"""Traces told backwards begin like those they are made of, and only their question is to be written."""

from __future__ import annotations

import pytest

from retrieve.decoding.noisy_channel import channel_format
from training.traces.channel_traces import backwards, told
from training.traces.traces import Trace

RESULTS = ("<results>\nMoon\n⟦1⟧ It is far.\n</results>\n", False)
ASKED = ("<question>How far is it?</question>\n", False)
FORWARDS = Trace("q", "direct", (RESULTS, ASKED, ("<report> far⟦1⟧</report>", True)))


def test_the_question_alone_is_to_be_written_behind_its_report() -> None:
    one = told(FORWARDS)
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
def test_what_cannot_be_told_backwards_is_left_out(segments: tuple[tuple[str, bool], ...]) -> None:
    other = Trace("q", "again", segments)
    assert told(other) is None
    assert backwards([FORWARDS, other, FORWARDS]) == [told(FORWARDS)] * 2


def test_what_is_no_question_of_an_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="no question"):
        channel_format("How far?", "<report> far⟦1⟧</report>")
