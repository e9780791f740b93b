"""What ODT text takes from its styles: hidden, struck, raised text, titles, code, lists (OpenDocument 1.3, part 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from prep.parsing.formats.word.block_writer import is_code_style
from prep.parsing.formats.word.odt.odt_lists import ListStyle, read_list_style

__all__ = ["OdtStyle", "OdtStyles"]

_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_RAISED = re.compile(r"super|[1-9]\d?%")


@dataclass(frozen=True, slots=True)
class OdtStyle:
    """A style with what it inherits. list_style: None where no style says, "" for no list. is_hidden: its text is."""

    is_hidden: bool = False
    is_struck: bool = False
    is_raised: bool = False
    is_title: bool = False
    is_code: bool = False
    is_table_heading: bool = False
    list_style: str | None = None


class OdtStyles:
    """The styles of one document, of all the roots that hold some."""

    def __init__(self, roots: list[Any]) -> None:
        self.list_styles: dict[str, ListStyle] = {}
        self.outline: ListStyle = {}
        self._styles: dict[tuple[str, str], Any] = {}
        for root in roots:
            for style in root.iter(f"{_STYLE}style"):
                self._styles[str(style.get(f"{_STYLE}family")), str(style.get(f"{_STYLE}name"))] = style
            for style in root.iter(f"{_TEXT}list-style"):
                self.list_styles[str(style.get(f"{_STYLE}name"))] = read_list_style(style)
            for style in root.iter(f"{_TEXT}outline-style"):
                self.outline = read_list_style(style)
        self.of = cache(self._of)

    def _of(self, family: str, name: str | None) -> OdtStyle:
        """Return the style of a paragraph ("paragraph"), a run ("text"), a section or a table."""
        display: str | None = None
        struck: str | None = None
        position: str | None = None
        list_style: str | None = None
        is_title = False
        is_code = False
        is_table_heading = False
        seen: set[str | None] = set()
        depth = 0
        while (family, str(name)) in self._styles and name not in seen and depth < 50:
            style = self._styles[family, str(name)]
            seen.add(name)
            shown = str(style.get(f"{_STYLE}display-name") or name)
            is_title = is_title or (depth < 3 and shown == "Title")
            is_table_heading = is_table_heading or name == "Table_20_Heading"
            is_code = is_code or (depth < 3 and is_code_style(shown.replace("_20_", " ")))
            list_style = style.get(f"{_STYLE}list-style-name") if list_style is None else list_style
            properties = style.find(f"{_STYLE}text-properties")
            if properties is not None:
                display = properties.get(f"{_TEXT}display") if display is None else display
                position = properties.get(f"{_STYLE}text-position") if position is None else position
                struck = properties.get(f"{_STYLE}text-line-through-style") if struck is None else struck
            section = style.find(f"{_STYLE}section-properties")
            if section is not None and display is None:
                display = section.get(f"{_TEXT}display")
            name = style.get(f"{_STYLE}parent-style-name")
            depth += 1
        return OdtStyle(
            is_hidden=display == "none",
            is_struck=struck not in (None, "none"),
            is_raised=position is not None and _RAISED.match(position) is not None,
            is_title=is_title or (family == "paragraph" and depth == 0 and name == "Title"),
            is_code=is_code,
            is_table_heading=is_table_heading,
            list_style=list_style,
        )
