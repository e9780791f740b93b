"""Which blocks of a PDF are headings, and of which level: by size, weight, and the file's own outline.

A heading is larger than the running text, or bold on lines of its own, or stands in the outline. Only what is sure
becomes one: whole sentences, long blocks and sizes that most of the text has do not.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from prep.parsing.formats.pdf.page_blocks import PageBlock

__all__ = ["mark_headings"]

_MAX_CHARACTERS = 200
_MAX_LINES = 4
_LARGER = 1.12
_MAX_BOLD_WORDS = 14
_NUMBERED = re.compile(
    r"(?:\d+(?:\.\d+)*|[A-Z](?:\.\d+)+|[IVX]+)\.?\s+\S|(?:chapter|part|appendix|section|annex|article)\b",
    re.I,
)
_LABEL = re.compile(
    r"\A(?:(?:chapter|appendix|part|section)\s+)?(?:\d+(?:\.\d+)*|[A-Z](?:\.\d+)*|[ivxlc]+)[.:)]?\s+", re.I
)
_CAPTION = re.compile(
    r"(?:fig(?:ure|\.)?|tab(?:le|\.)?|abb(?:ildung|\.)?|tabelle|listing|tableau|tabla|figura|рис\.?|таблица)\s*\d",
    re.I,
)
_CONTENTS = re.compile(r"…\s*(?:\d+|[ivxlc]+)?\Z")  # an entry of a table of contents
_ENDS = re.compile(r"[.!?;,:][\"'”’»)\]]*\Z")

_Key = tuple[float, bool]


def mark_headings(
    blocks: Sequence[PageBlock], body_size: float, outline: Sequence[tuple[int, str, int]]
) -> None:
    """Turn the blocks that are headings into such, with levels 1 to 6. outline: (level, title, page position)."""
    titles: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for level, title, page in outline:
        for name in {_letters(title), _letters(_LABEL.sub("", title))}:
            if len(name) > 1:
                titles[name].append((level, page))
    votes: dict[_Key, Counter[int]] = defaultdict(Counter)
    found: list[tuple[PageBlock, _Key, int]] = []
    for position, block in enumerate(blocks):
        if block.kind not in ("text", "item") or len(block.lines) > _MAX_LINES:
            continue
        text = _text(block)
        if _CONTENTS.search(text) or len(text) > _MAX_CHARACTERS or not any(map(str.isalpha, text)):
            continue
        listed = _listed(block, text, titles)
        key = (round(block.size * 2) / 2, block.is_bold)
        if listed and (block.is_bold or block.size > 1.05 * body_size or len(block.lines) == 1):
            votes[key][listed] += 1
        elif not _is_sure(blocks, position, text, body_size):
            continue
        found.append((block, key, listed))
    positions = {id(block): position for position, block in enumerate(blocks)}
    levels = _levels({key for _, key, _ in found}, votes, _title_size(found))
    for i, (block, key, listed) in enumerate(found):
        if not listed and i + 1 < len(found) and found[i + 1][2]:
            following = found[i + 1][0]
            is_above = positions[id(following)] - positions[id(block)] == 1
            if is_above and block.size <= following.size:
                continue  # "Chapter 2" above the title of the chapter
        block.kind = "heading"
        shift = levels[key] - votes[key].most_common(1)[0][0] if votes.get(key) else 0
        block.level = min(max(listed + shift, 1), 6) if listed else levels[key]


def _is_sure(blocks: Sequence[PageBlock], position: int, text: str, body_size: float) -> bool:
    """Whether a block is a heading by its looks."""
    block = blocks[position]
    if _CAPTION.match(text):
        return False
    if block.kind == "item" and not (
        _NUMBERED.match(f"{block.label} {text}") and block.size > _LARGER * body_size
    ):
        return False
    is_larger = block.size > _LARGER * body_size
    if is_larger and (block.size > 1.3 * body_size or not text.endswith((".", ","))):
        return True
    if not block.is_bold or block.size < 0.95 * body_size or _ENDS.search(text) or len(block.lines) > 2:
        return False
    following = blocks[position + 1] if position + 1 < len(blocks) else None
    return (
        len(text.split()) <= _MAX_BOLD_WORDS
        and following is not None
        and not (following.is_bold and following.kind == "text" and abs(following.size - block.size) < 0.5)
    )


def _listed(block: PageBlock, text: str, titles: dict[str, list[tuple[int, int]]]) -> int:
    """Return the level that the outline gives a block on its page, 0 where it does not name it."""
    if not titles:
        return 0
    shown = f"{block.label} {text}" if block.label else text
    for name in (_letters(shown), _letters(_LABEL.sub("", shown))):
        for level, page in titles.get(name, ()):
            if page < 0 or abs(page - block.page) <= 1:
                return level
    return 0


def _title_size(found: Sequence[tuple[PageBlock, _Key, int]]) -> float:
    """Return the size of a title on the first pages that the outline does not name, 0 without one."""
    first = [(key[0], listed) for block, key, listed in found if block.page <= 1]
    if not first:
        return 0.0
    size, listed = max(first, key=lambda one: one[0])
    largest = max((key[0] for _, key, is_listed in found if is_listed), default=0.0)
    return size if not listed and size > largest else 0.0


def _levels(keys: set[_Key], votes: dict[_Key, Counter[int]], title_size: float) -> dict[_Key, int]:
    """Return a level for every kind of heading, larger ones first; the outline's levels where it has some."""
    levels: dict[_Key, int] = {}
    above = 0
    shift = 1 if title_size and votes else 0
    for key in sorted(keys, key=lambda one: (-one[0], not one[1])):
        if votes.get(key):
            level = votes[key].most_common(1)[0][0] + shift
        elif title_size and key[0] >= title_size:
            level = 1
        else:
            level = above + 1
        levels[key] = min(max(level, 1), 6)
        above = max(above, levels[key]) if votes.get(key) else levels[key]
    return levels


def _text(block: PageBlock) -> str:
    return " ".join(line.text for line in block.lines)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
