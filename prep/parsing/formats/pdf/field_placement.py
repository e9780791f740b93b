"""What annotations add to the words of a PDF page: values of form fields at their labels, addresses behind links.

The values of a form are no part of the page's content. They become words on the line of their label: "Surname: Oster",
"[x] Newsletter"; without one they stand behind the name the file gives the field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from prep.parsing.formats.pdf.content.annotations import CHECKS, Field, Link
from prep.parsing.formats.pdf.content.page_content import TextStyle, Word
from prep.parsing.formats.pdf.page_lines import Line

__all__ = ["add_addresses", "field_words", "with_values"]

_MAX_LABEL_GAP = 300.0  # points between a label and its field
_MAX_CHECK_GAP = 40.0
_MAX_LINK_HEIGHT = 200.0
_MAX_LOOKS = 5_000_000  # at words: what no page but a hostile one needs
_LEVEL = 20.0  # points: words are looked up by their height in steps of this


def field_words(fields: Sequence[Field], words: Sequence[Word]) -> list[Word]:
    """Return the values as words on the baselines of the words beside them, without those that the page shows."""
    out = []
    for one in fields:
        x0, top, x1, bottom = one.box
        size = max(min(0.7 * (bottom - top), 12.0), 4.0)
        baseline = min((top + bottom) / 2 + 0.35 * size, bottom)
        beside = [word for word in words if top - 1 <= word.baseline <= bottom + 3]
        inside = "".join(word.text for word in beside if x0 <= (word.x0 + word.x1) / 2 <= x1)
        if inside and "".join(one.value.split()) in inside:
            continue
        if beside:
            nearest = min(beside, key=lambda word: max(x0 - word.x1, word.x0 - x1, 0.0))
            baseline, size = nearest.baseline, nearest.style.size
        width = x1 - x0 if one.is_check else min(0.5 * size * len(one.value), max(x1 - x0, 1.0))
        out.append(Word(one.value, x0, x0 + width, baseline, TextStyle(size), field_name=one.name))
    return out


def with_values(lines: Sequence[Line], values: Sequence[Word]) -> list[Line]:
    """Return the lines with the values of fields put where their labels are, others as lines of their own."""
    out = list(lines)
    levels: dict[int, list[int]] = {}
    for i, line in enumerate(out):
        levels.setdefault(int(line.baseline // _LEVEL), []).append(i)
    for value in sorted(values, key=lambda word: (word.baseline, word.x0)):
        level = int(value.baseline // _LEVEL)
        near = [i for step in (-2, -1, 0, 1) for i in levels.get(level + step, ())]
        at = _label(out, near, value)
        if at is None:
            is_check = value.text in CHECKS
            named = f"{value.text} {value.field_name}" if is_check else f"{value.field_name}: {value.text}"
            out.append(Line([replace(value, text=named if value.field_name else value.text)]))
            continue
        line = out[at]
        if abs(line.baseline - value.baseline) > max(0.6 * line.size, 4.0):  # the label stands above
            start = line.x1 + 0.4 * line.size
            moved = replace(value, x0=start, x1=start + value.x1 - value.x0, baseline=line.baseline)
            out[at] = Line([*line.words, moved])
        else:
            out[at] = Line(sorted([*line.words, value], key=lambda word: word.x0))
    return out


def _label(lines: Sequence[Line], near: Sequence[int], value: Word) -> int | None:
    """Return the position of the line that is a field's label: beside it, else above it."""
    row = [i for i in near if abs(lines[i].baseline - value.baseline) <= max(0.6 * lines[i].size, 4.0)]
    left = max((i for i in row if lines[i].x0 <= value.x0), key=lambda i: lines[i].x1, default=None)
    right = min((i for i in row if lines[i].x0 > value.x0), key=lambda i: lines[i].x0, default=None)
    is_check = value.text in CHECKS
    if is_check and right is not None:
        # The label of a box stands right of it, unless another stands nearer on the left.
        gap = lines[right].x0 - value.x1
        if gap < _MAX_CHECK_GAP and (left is None or gap <= max(value.x0 - lines[left].x1, 0)):
            return right
    if left is not None and value.x0 - lines[left].x1 < _MAX_LABEL_GAP:
        return left
    if is_check:
        return None
    above = [
        i
        for i in near
        if 0 < value.baseline - lines[i].baseline < 3.0 * lines[i].size
        and lines[i].x0 - 5 <= value.x0 <= lines[i].x1
    ]
    return max(above, key=lambda i: lines[i].baseline, default=None)


def add_addresses(words: Sequence[Word], links: Sequence[Link]) -> None:
    """Put the address of a link behind its last word, where the page does not show it."""
    if not links:
        return
    plain = "".join(word.text for word in words)
    levels: dict[int, list[Word]] = {}
    for word in words:
        levels.setdefault(int(word.baseline // _LEVEL), []).append(word)
    last: dict[str, Word] = {}
    n_seen = 0
    for i, link in enumerate(links):
        if n_seen > _MAX_LOOKS:
            return
        x0, top, x1, bottom = link.box
        if bottom - top > _MAX_LINK_HEIGHT:
            continue
        first, final = int(top // _LEVEL), int((bottom + 3) // _LEVEL)
        under = [
            word
            for level in range(first, final + 1)
            for word in levels.get(level, ())
            if x0 - 1 <= (word.x0 + word.x1) / 2 <= x1 + 1 and top - 1 <= word.baseline <= bottom + 3
        ]
        n_seen += sum(len(levels.get(level, ())) for level in range(first, final + 1))
        if under:
            last[link.address] = max(under, key=lambda word: (round(word.baseline), word.x0))
        if link.address in last and (i + 1 == len(links) or links[i + 1].address != link.address):
            shown = re.sub(r"\A(?:mailto|tel):(?://)?", "", link.address, flags=re.I)
            bare = re.sub(r"\Ahttps?://(?:www\.)?", "", shown).rstrip("/")
            word = last.pop(link.address)
            if bare and bare not in plain and not word.text.endswith(")"):
                kept = word.text.rstrip(".,;:!?") if links[i].box[2] < word.x1 - 1 else word.text
                word.text = f"{kept} ({shown}){word.text[len(kept) :]}"
