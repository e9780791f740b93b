"""The labels that ODT list items and headings show (OpenDocument 1.3, part 3, 5.3 and 16.30)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from prep.parsing.formats.word.block_writer import BULLET, NO_LABEL, Label
from prep.parsing.formats.word.number_formats import format_number
from prep.parsing.list_labels import list_label

__all__ = ["ListCounter", "ListStyle", "read_list_style"]

_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_PATTERN = re.compile(r"%(\d+)%")
_FORMATS = {
    "1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman",
    "01, 02, 03, ...": "decimalZero", "1st": "ordinal", "一, 二, 三, ...": "chineseCounting",
    "①, ②, ③, ...": "decimalEnclosedCircle", "А, Б, .., Аа, Аб, ... (ru)": "russianUpper",
    "а, б, .., аа, аб, ... (ru)": "russianLower", "イ, ロ, ハ, ...": "iroha", "ア, イ, ウ, ...": "aiueo",
}  # fmt: skip
_N_LEVELS = 10
_MAX_LABEL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class _OdtLevel:
    number_format: str = ""
    is_bullet: bool = False
    prefix: str = ""
    suffix: str = ""
    pattern: str = ""  # in the place of prefix and suffix: "%1%.%2%"
    n_shown: int = 1
    start: int = 1
    repeats_letters: bool = False
    is_apart: bool = True


ListStyle = dict[int, _OdtLevel]  # by level from 0


def read_list_style(element: Any) -> ListStyle:
    """Return the levels of a `text:list-style` or `text:outline-style`."""
    levels: ListStyle = {}
    for entry in element:
        depth = _integer(entry.get(f"{_TEXT}level"), 0) - 1
        if not 0 <= depth < _N_LEVELS:
            continue
        follows = next(entry.iter(f"{_STYLE}list-level-label-alignment"), None)
        patterns = (value for name, value in entry.attrib.items() if name.endswith("}num-list-format"))
        levels[depth] = _OdtLevel(
            number_format=str(entry.get(f"{_STYLE}num-format") or ""),
            is_bullet=entry.tag in (f"{_TEXT}list-level-style-bullet", f"{_TEXT}list-level-style-image"),
            prefix=str(entry.get(f"{_STYLE}num-prefix") or "")[:_MAX_LABEL_CHARACTERS],
            suffix=str(entry.get(f"{_STYLE}num-suffix") or "")[:_MAX_LABEL_CHARACTERS],
            pattern=str(next(patterns, ""))[:_MAX_LABEL_CHARACTERS],
            n_shown=_integer(entry.get(f"{_TEXT}display-levels"), 1),
            start=_integer(entry.get(f"{_TEXT}start-value"), 1),
            repeats_letters=entry.get(f"{_STYLE}num-letter-sync") == "true",
            is_apart=follows is None or follows.get(f"{_TEXT}label-followed-by") != "nothing",
        )
    return levels


@dataclass(slots=True)
class ListCounter:
    """Counts the items of a list and of those that continue it."""

    counts: dict[int, int] = field(default_factory=dict)

    def count(self, style: ListStyle, depth: int, start: int | None = None) -> Label:
        """Count an item at `depth` from 0 and return its label. start: its number, where it has one of its own."""
        depth = min(depth, _N_LEVELS - 1)
        level = style.get(depth, _OdtLevel())
        if start is not None:
            self.counts[depth] = start
        elif depth in self.counts:
            self.counts[depth] += 1
        else:
            self.counts[depth] = level.start
        for deeper in [other for other in self.counts if other > depth]:
            del self.counts[deeper]
        if level.is_bullet:
            return BULLET
        return self._label(style, depth, level)

    def _label(self, style: ListStyle, depth: int, level: _OdtLevel) -> Label:
        def number(other: int) -> str:
            its = style.get(other, _OdtLevel())
            return _format(self.counts.get(other, its.start), its)

        if not level.number_format and not level.pattern:
            text = level.prefix + level.suffix
            return Label(text.strip(), is_apart=level.is_apart) if any(map(str.isalnum, text)) else NO_LABEL
        if level.pattern:
            text = _PATTERN.sub(
                lambda match: number(min(int(match.group(1)[:2]), _N_LEVELS) - 1), level.pattern
            )
            if not level.number_format and not any(map(str.isalnum, text)):
                return NO_LABEL
        else:
            shown = range(max(depth + 1 - level.n_shown, 0), depth + 1)
            text = level.prefix + ".".join(filter(None, map(number, shown))) + level.suffix
        return Label(" ".join(text.split())[:_MAX_LABEL_CHARACTERS], is_apart=level.is_apart)


def _format(number: int, level: _OdtLevel) -> str:
    if not level.number_format:
        return ""
    if level.number_format in ("a", "A") and not level.repeats_letters:
        return list_label(number, level.number_format)
    return format_number(number, _FORMATS.get(level.number_format, "decimal"))


def _integer(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else default
