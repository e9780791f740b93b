"""No report of none before another search: what the first results do not say may stand further down.

In the place of a greedy report of none the model writes a search, where one is allowed and there is time for it
(`ServingConfig.none_offset_again`). It reads on from where the prompt was read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from retrieve.decoding.kv_cache import Rows, Written

if TYPE_CHECKING:
    from retrieve.decoding.decoder import Decoder
    from retrieve.episode.grammar import Constraint

__all__ = ["search_instead"]

_TIMES_AS_LONG = 1.5  # as the action took: its search, reading new results, and writing a report


def search_instead(
    decoder: Decoder,
    written: list[Written],
    states: list[Constraint],
    before: Rows,
    begun: Sequence[Constraint],
    deadline: float | None,
) -> Rows | None:
    """Put searches in the place of reports of none, in `written` and `states`.

    before: the prompts as they were read. begun: the states then. Returns the rows that the searches were written
    behind, None where there are none: no report is none, no search is allowed, or there is no time for one.
    """
    again = {
        row: searching
        for row, one in enumerate(written)
        if decoder.grammar.refuses(one.tokens) and (searching := begun[row].searching()) is not None
    }
    late = deadline is not None and time.monotonic() + _TIMES_AS_LONG * decoder.answered_s > deadline
    if not again or late:
        return None
    rows = before.copied().taken(list(again))
    searches = decoder.write(rows, list(again.values()), 0.0, None, deadline)
    if not all(state.done for state in again.values()):  # the deadline has come, and none is still a report
        return None
    for (row, state), search in zip(again.items(), searches, strict=True):
        refusal = written[row]
        written[row] = replace(search, margins=refusal.margins, n_compared=len(refusal.tokens))
        states[row] = state
    return rows
