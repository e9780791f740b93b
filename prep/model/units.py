"""Units: the smallest stretches of a text that a chunk is made of. Units tile the text.

A unit is a sentence or a line of one; where that is too long, a piece of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prep.text import split_lines, split_sentences

__all__ = ["MAX_UNIT_CHARACTERS", "Unit", "read_units"]

# A unit of more characters is cut, whatever the tokenizer counts.
MAX_UNIT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Unit:
    """Text [start, end) within one line (`line` counts lines that are not blank), trailing blanks included.

    first, last: it opens or closes its line. sentence: a sentence ends with it. blanks: blank lines after it.
    forced: its end is a cut inside a sentence, made because it was too long.
    """

    start: int
    end: int
    line: int
    first: bool
    last: bool
    sentence: bool
    blanks: int
    forced: bool


def read_units(
    text: str,
    max_unit_tokens: int,
    count_tokens: Callable[[Sequence[str]], Sequence[int]],
    token_offsets: Callable[[str], Sequence[tuple[int, int]]],
    max_unit_characters: int = MAX_UNIT_CHARACTERS,
) -> list[Unit]:
    """Cut `text` into units that tile it, each of at most `max_unit_tokens` where its tokens have edges of their own.

    count_tokens: token counts of texts. token_offsets: the code-point span of every token of a text. Blank stretches
    belong to the unit before them (at the beginning, to the first unit). Empty for an empty text.
    """
    sentence_ends = {end for _, end in split_sentences(text)}
    units: list[Unit] = []
    line_number = -1
    pending_start: int | None = None
    for line_start, line_end in split_lines(text):
        if not text[line_start:line_end].strip():
            if units:
                last = units[-1]
                units[-1] = Unit(
                    last.start,
                    line_end,
                    last.line,
                    last.first,
                    last.last,
                    last.sentence or line_end in sentence_ends,
                    last.blanks + 1,
                    last.forced,
                )
            elif pending_start is None:
                pending_start = line_start
            continue
        line_number += 1
        cuts = _sentence_cuts(text, line_start, line_end)
        start = line_start if pending_start is None else pending_start
        pending_start = None
        for i, cut in enumerate(cuts):
            last_in_line = i == len(cuts) - 1
            ends_sentence = not last_in_line or cut in sentence_ends
            units.append(Unit(start, cut, line_number, i == 0, last_in_line, ends_sentence, 0, False))
            start = cut
    if not units:
        return _cut_blank(text, max_unit_characters)
    counts = count_tokens([text[unit.start : unit.end] for unit in units])
    if max(counts) <= max_unit_tokens and all(u.end - u.start <= max_unit_characters for u in units):
        return units
    fitting: list[Unit] = []
    for unit, n_tokens in zip(units, counts, strict=True):
        if n_tokens <= max_unit_tokens and unit.end - unit.start <= max_unit_characters:
            fitting.append(unit)
        else:
            fitting.extend(_cut_long(text, unit, max_unit_tokens, max_unit_characters, token_offsets))
    return fitting


def _sentence_cuts(text: str, start: int, end: int) -> list[int]:
    """Return the ends of a line's sentences; the last one is the line's."""
    cuts = [right for _, right in split_sentences(text, start, end)]
    return cuts or [end]


def _cut_blank(text: str, max_characters: int) -> list[Unit]:
    edges = [*range(0, len(text), max_characters), len(text)]
    return [
        Unit(left, right, 0, left == 0, right == len(text), right == len(text), 0, right < len(text))
        for left, right in pairwise(edges)
        if left < right
    ]


def _cut_long(
    text: str,
    unit: Unit,
    max_tokens: int,
    max_characters: int,
    token_offsets: Callable[[str], Sequence[tuple[int, int]]],
) -> list[Unit]:
    """Cut a unit at token boundaries, at blanks where one is near."""
    offsets = [span for span in token_offsets(text[unit.start : unit.end]) if span[1] > span[0]]
    edges = [unit.start]
    first = 0
    while len(offsets) - first > max_tokens:
        at = first + max_tokens
        floor = first + max_tokens // 2
        while at > floor and offsets[at][0] == offsets[at - 1][1]:
            at -= 1
        if at == floor:
            at = first + max_tokens
        cut = unit.start + offsets[at][0]
        if cut <= edges[-1]:  # several tokens of one character: nothing to cut between
            first = at
            continue
        edges.append(cut)
        first = at
    edges.append(unit.end)
    fine: list[int] = []
    for left, right in pairwise(edges):
        fine.extend(range(left, right, max_characters))
    fine.append(unit.end)
    pieces: list[Unit] = []
    for i, (left, right) in enumerate(pairwise(fine)):
        final = i == len(fine) - 2
        pieces.append(
            Unit(
                left,
                right,
                unit.line,
                unit.first and i == 0,
                unit.last and final,
                unit.sentence and final,
                unit.blanks if final else 0,
                unit.forced or not final,
            )
        )
    return pieces
