"""What a DOCX paragraph and its runs take from their styles: heading level, numbering, hidden and struck text.

A style inherits from the one it is based on (ECMA-376, part 1, 17.7). "Hidden" is a toggle: where the paragraph's and
the run's style both set it, neither does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from prep.parsing.formats.word.block_writer import is_code_style

__all__ = ["ParagraphStyle", "Styles", "W", "integer", "is_on", "is_true", "numbering_of", "value_of"]

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING_NAME = re.compile(r"heading ?(\d)\Z", re.I)
_LIST_NAME = re.compile(r"list (?:bullet|number) ([1-9])\Z", re.I)
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_BODY_TEXT = 9  # the outline level of text that is no heading


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """A paragraph style with what it inherits.

    heading: level from 1, None for text. numbering: id and level of a list, each None where no style says. names: the
    ids of the style and of those it is based on, nearest first. step: how far a style of its name is drawn in.
    is_hidden: its text is. is_code: its lines are code.
    """

    heading: int | None = None
    numbering: tuple[str | None, int | None] = (None, None)
    names: tuple[str, ...] = ()
    step: int = 0
    is_hidden: bool = False
    is_code: bool = False


class Styles:
    """The styles of one document, by id. root: of the styles part, None where there is none."""

    def __init__(self, root: Any | None) -> None:
        self._styles: dict[str, Any] = {}
        self._default: str | None = None
        for style in root.iter(f"{W}style") if root is not None else ():
            name = style.get(f"{W}styleId")
            if name is not None:
                self._styles[name] = style
                if style.get(f"{W}type") == "paragraph" and is_true(style.get(f"{W}default")):
                    self._default = name
        self.paragraph = cache(self._paragraph)
        self.run_toggles = cache(self._run_toggles)

    def numbering_style(self, name: str) -> str | None:
        """Return the id of the list that a style of lists names."""
        return self.paragraph(name).numbering[0]

    def _chain(self, name: str | None) -> list[Any]:
        """Return the style and those it is based on, nearest first."""
        chain: list[Any] = []
        seen: set[str | None] = set()
        while name in self._styles and name not in seen and len(chain) < 50:
            seen.add(name)
            chain.append(self._styles[str(name)])
            name = value_of(chain[-1], "basedOn")
        return chain

    def _paragraph(self, name: str | None) -> ParagraphStyle:
        if name is None:
            name = self._default
        if (
            name is not None and name not in self._styles
        ):  # some producers name built-in styles they do not write
            match = _HEADING_NAME.match(name)
            return ParagraphStyle(heading=int(match.group(1)) if match and match.group(1) != "0" else None)
        heading: int | None = None
        is_decided = False
        numbering_id: str | None = None
        level: int | None = None
        step = 0
        is_hidden: bool | None = None
        is_code = False
        chain = self._chain(name)
        for position, style in enumerate(chain):
            style_name = value_of(style, "name") or ""
            properties = style.find(f"{W}pPr")
            outline = integer(value_of(properties, "outlineLvl"))
            match = _HEADING_NAME.match(style_name)
            if not is_decided and (outline is not None or match or style_name.lower() == "title"):
                is_decided = True
                if outline is not None:
                    heading = outline + 1 if 0 <= outline < _BODY_TEXT else None
                else:
                    heading = int(match.group(1)) or 1 if match else 1
            found, depth = numbering_of(properties)
            if numbering_id is None and found is not None:
                numbering_id = found
                named = _LIST_NAME.match(
                    style_name
                )  # "List Bullet 2" is a list of its own, drawn one step in
                step = int(named.group(1)) - 1 if named is not None else 0
            level = depth if level is None else level
            if is_hidden is None:
                is_hidden = is_on(style.find(f"{W}rPr"), "vanish")
            is_code = is_code or (position < 2 and is_code_style(style_name))
        names = tuple(str(style.get(f"{W}styleId")) for style in chain)
        return ParagraphStyle(heading, (numbering_id, level), names, step, bool(is_hidden), is_code)

    def _run_toggles(self, name: str) -> tuple[bool, bool, bool]:
        """Return whether a style of runs hides its text, strikes it through, and raises it."""
        hidden: bool | None = None
        struck: bool | None = None
        position: str | None = None
        for style in self._chain(name):
            properties = style.find(f"{W}rPr")
            hidden = is_on(properties, "vanish") if hidden is None else hidden
            struck = is_on(properties, "strike") if struck is None else struck
            position = value_of(properties, "vertAlign") if position is None else position
        return bool(hidden), bool(struck), position == "superscript"


def value_of(properties: Any | None, name: str) -> str | None:
    """Return the value of a property, None where it is not set."""
    found = properties.find(f"{W}{name}") if properties is not None else None
    value = found.get(f"{W}val") if found is not None else None
    return None if value is None else str(value)


def is_on(properties: Any | None, name: str) -> bool | None:
    """Whether a property that is on or off is on; None where it is not set."""
    found = properties.find(f"{W}{name}") if properties is not None else None
    return None if found is None else is_true(found.get(f"{W}val", "true"))


def is_true(value: str | None) -> bool:
    """Whether an attribute says yes."""
    return value is not None and value.lower() not in ("0", "false", "off", "none")


def integer(value: str | None) -> int | None:
    """Return a number of at most nine digits, None for anything else."""
    return int(value) if value is not None and _INTEGER.fullmatch(value.strip()) else None


def numbering_of(properties: Any | None) -> tuple[str | None, int | None]:
    """Return list and level that the properties of a paragraph name, each None where they do not."""
    found = properties.find(f"{W}numPr") if properties is not None else None
    return value_of(found, "numId"), integer(value_of(found, "ilvl"))
