"""The numbers and letters that Word computes before DOCX paragraphs (ECMA-376, part 1, 17.9).

Lists (`w:num`) that share a definition (`w:abstractNum`) count on, unless one overrides where it starts. A level begins
anew after a paragraph of a level above it, where the definition does not say otherwise. A level above that had no
paragraph yet shows its start.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from prep.parsing.formats.word.block_writer import BULLET, NO_LABEL, Label
from prep.parsing.formats.word.docx.docx_styles import Styles, W, integer, is_on, is_true, value_of
from prep.parsing.formats.word.number_formats import format_number

__all__ = ["Numbering"]

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_PLACEHOLDER = re.compile(r"%([1-9])")
_MAX_LABEL_CHARACTERS = 200
_N_LEVELS = 9


@dataclass(frozen=True, slots=True)
class _Level:
    start: int = 0
    number_format: str = "decimal"
    text: str = ""
    restart: int | None = None  # the level, from 1, after which this one restarts; 0: never
    is_legal: bool = False  # all numbers in the label are decimal
    is_apart: bool = True
    is_hidden: bool = False
    width: int = 0  # digits, zeros before


@dataclass(slots=True)
class _List:
    definition: str  # lists that share it count on
    levels: dict[int, _Level]
    styles: dict[str, int]  # the level that a style of paragraphs is linked with
    starts: dict[int, int] = field(default_factory=dict)  # overridden, by level


class Numbering:
    """Counts the numbered paragraphs of one document, in its order. root: of the numbering part, None without one."""

    def __init__(self, root: Any | None, styles: Styles) -> None:
        self._styles = styles
        found = root.iter(f"{W}abstractNum") if root is not None else ()
        self._definitions = {str(entry.get(f"{W}abstractNumId")): entry for entry in found}
        found = root.iter(f"{W}num") if root is not None else ()
        self._entries = {str(entry.get(f"{W}numId")): entry for entry in found}
        self._lists: dict[str, _List | None] = {}
        self._parsed: dict[str, tuple[dict[int, _Level], dict[str, int]]] = {}
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)
        self._started: set[tuple[str, int]] = set()

    def level(self, list_id: str, own: int | None, style_names: tuple[str, ...], of_style: int | None) -> int:
        """Return the level of a paragraph: its own, else the one linked with its style, else its style's, else 0."""
        given = own
        if given is None:
            numbered = self._list(list_id)
            linked = numbered.styles if numbered is not None else {}
            given = next((linked[name] for name in style_names if name in linked), of_style or 0)
        return min(max(given, 0), _N_LEVELS - 1)

    def count(self, list_id: str, level: int) -> Label:
        """Count a paragraph and return its label."""
        numbered = self._list(list_id)
        if numbered is None:
            return NO_LABEL
        counts = self._counts[numbered.definition]
        start = numbered.starts.get(level)
        if start is not None and (list_id, level) not in self._started:
            self._started.add((list_id, level))
            counts[level] = start
        elif level in counts:
            counts[level] += 1
        else:
            counts[level] = self._start(numbered, level)
        for deeper in [other for other in counts if other > level]:
            restart = numbered.levels.get(deeper, _Level()).restart
            if restart is None or level < restart:
                del counts[deeper]
        return self._label(numbered, level, counts)

    def _label(self, numbered: _List, level: int, counts: dict[int, int]) -> Label:
        shown = numbered.levels.get(level, _Level())
        if shown.number_format == "bullet" and sum(map(str.isalnum, shown.text)) < 3:
            return BULLET
        if shown.is_hidden:
            return NO_LABEL

        def number(match: re.Match[str]) -> str:
            other = int(match.group(1)) - 1
            if other > level:
                return ""
            its = numbered.levels.get(other, _Level())
            name = (
                "decimal"
                if shown.is_legal and its.number_format not in ("none", "bullet")
                else its.number_format
            )
            return format_number(counts.get(other, self._start(numbered, other)), name).rjust(its.width, "0")

        text = " ".join(_PLACEHOLDER.sub(number, shown.text).split())[:_MAX_LABEL_CHARACTERS]
        return Label(text, is_apart=shown.is_apart)

    def _start(self, numbered: _List, level: int) -> int:
        given = numbered.starts.get(level)
        return given if given is not None else numbered.levels.get(level, _Level()).start

    def _list(self, list_id: str) -> _List | None:
        if list_id not in self._lists:
            self._lists[list_id] = self._read(list_id)
        return self._lists[list_id]

    def _read(self, list_id: str) -> _List | None:
        entry = self._entries.get(list_id)
        if entry is None:
            return None
        name = self._definition(entry)
        if name is None:
            return None
        if name not in self._parsed:
            levels: dict[int, _Level] = {}
            linked: dict[str, int] = {}
            for element in self._definitions[name].iterchildren(f"{W}lvl"):
                depth = integer(element.get(f"{W}ilvl"))
                if depth is not None and 0 <= depth < _N_LEVELS:
                    levels[depth] = _read_level(element)
                    style = value_of(element, "pStyle")
                    if style is not None:
                        linked.setdefault(style, depth)
            self._parsed[name] = levels, linked
        levels, linked = self._parsed[name]
        starts: dict[int, int] = {}
        for override in entry.iterchildren(f"{W}lvlOverride"):
            depth = integer(override.get(f"{W}ilvl"))
            if depth is None or not 0 <= depth < _N_LEVELS:
                continue
            start = integer(value_of(override, "startOverride"))
            replaced = override.find(f"{W}lvl")
            if start is not None:
                starts[depth] = start
            if replaced is not None:
                levels = {**levels, depth: _read_level(replaced)}
        return _List(name, levels, linked, starts)

    def _definition(self, entry: Any) -> str | None:
        """Return the id of the definition that a list uses, which may be that of a style of lists."""
        for _ in range(10):
            name = value_of(entry, "abstractNumId")
            definition = self._definitions.get(name) if name is not None else None
            if definition is None:
                return None
            style = value_of(definition, "numStyleLink")
            other = self._styles.numbering_style(style) if style is not None else None
            if other not in self._entries or definition.find(f"{W}lvl") is not None:
                return name
            entry = self._entries[str(other)]
        return None


def _read_level(element: Any) -> _Level:
    width = 0
    name = value_of(element, "numFmt")
    choice = element.find(f"{_MC}AlternateContent/{_MC}Choice/{W}numFmt")
    if choice is not None or name == "custom":
        pattern = choice if choice is not None else element.find(f"{W}numFmt")
        first = str(pattern.get(f"{W}format") or "").split(",")[0].strip()
        if first.isdigit() and len(first) < 10:  # "001, 002, 003, ..."
            name, width = "decimal", len(first)
        else:
            name = value_of(element.find(f"{_MC}AlternateContent/{_MC}Fallback"), "numFmt") or "decimal"
    text = value_of(element, "lvlText") or ""
    level = _Level(
        start=max(integer(value_of(element, "start")) or 0, 0),
        number_format=name or "decimal",
        text=text[:_MAX_LABEL_CHARACTERS],
        restart=integer(value_of(element, "lvlRestart")),
        is_legal=bool(is_on(element, "isLgl")),
        is_apart=value_of(element, "suff") != "nothing",
        is_hidden=bool(is_on(element.find(f"{W}rPr"), "vanish")),
        width=width,
    )
    shown = element.find(f"{W}lvlText")
    if shown is not None and is_true(shown.get(f"{W}null")):
        level = replace(level, text="")
    return level
