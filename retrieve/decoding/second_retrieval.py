"""Second retrieval: a search instead of an abstention, while one is allowed and there is time for it.

The model abstains only after a second search (`ServingConfig.abstention_bias_after_search`): passages that the first
search ranks low may hold the answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from retrieve.decoding.generator import GeneratedTokens, Generator
from retrieve.decoding.kv_cache import KVCacheBatch
from retrieve.episode.grammar import Constraint

__all__ = ["SecondSearches", "search_before_abstaining"]

_TIMES_AS_LONG = 1.5  # as the action took: its search, reading new results, and writing a report


@dataclass(frozen=True, slots=True)
class SecondSearches:
    """Searches by the row whose abstention they replace, their states at the end, and the batch they extend."""

    generations: dict[int, GeneratedTokens]
    states: dict[int, Constraint]
    batch: KVCacheBatch


def search_before_abstaining(
    generator: Generator,
    generations: Sequence[GeneratedTokens],
    batch: KVCacheBatch,
    states: Sequence[Constraint],
    *,
    seconds: float,
    deadline: float | None = None,
) -> SecondSearches | None:
    """Return searches for the generations that abstain; None where none does, none may search, or time is out.

    batch: the prefilled prompts, used up. states: with which the generations began. seconds: that the generations took.
    A search keeps the margins of the abstention it replaces.
    """
    searching = {
        row: state
        for row, generation in enumerate(generations)
        if generator.grammar.abstains(generation.tokens) and (state := states[row].searching()) is not None
    }
    is_late = deadline is not None and time.monotonic() + _TIMES_AS_LONG * seconds > deadline
    if not searching or is_late:
        return None
    chosen = batch.select(list(searching))
    searches = generator.generate(chosen, list(searching.values()), deadline=deadline)
    if not all(
        state.done for state in searching.values()
    ):  # the deadline has come; an abstention is still a report
        return None
    replacing = {
        row: GeneratedTokens(search.tokens, search.logprob, generations[row].margins)
        for row, search in zip(searching, searches, strict=True)
    }
    return SecondSearches(replacing, searching, chosen)
