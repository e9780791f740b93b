"""Which elements of a page are shown: what is hidden, deleted or drawn by the page is no text of the document.

Hidden are `hidden`, `aria-hidden="true"`, `display: none` and `visibility: hidden` in a `style` attribute, classes and
ids that the page's own style sheet hides on every medium, `<noscript>` and `<template>`. Deleted are `<del>`, `<s>`
and `<strike>`. Line numbers that a highlighter draws beside code are dropped too.
"""

from __future__ import annotations

import re

from bs4 import BeautifulSoup
from bs4.element import NavigableString, Tag

from prep.parsing.formats.html_tree import walk

__all__ = ["Visibility"]

_DROPPED = frozenset((
    "annotation", "annotation-xml", "audio", "canvas", "del", "head", "iframe", "noscript", "object", "rp", "s",
    "script", "strike", "style", "svg", "template", "video",
))  # fmt: skip
_NO_DISPLAY = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_AT_BLOCK = re.compile(r"@[^{};]{1,500}\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]{1,2000})\{([^{}]*)\}")
_SIMPLE_SELECTOR = re.compile(r"[.#][\w-]+")
_LINE_NUMBERS = re.compile(
    r"(?:^|[\s_-])(?:linenos?|linenumbers?|line-numbers?|gutter|blob-num)(?:$|[\s_-])", re.I
)
_NUMBERS = re.compile(r"[\d\s]*")
_PERMALINKS = frozenset(["¶", "#", "§", "🔗", "\uf0c1"])
_MAX_STYLE_CHARACTERS = 1 << 20
# Elements looked at for being nothing but line numbers, in a whole page.
_MAX_SEARCHED = 1_000_000


class Visibility:
    """Says of each element of one page whether it is shown. with_aria: `aria-hidden` hides."""

    def __init__(self, soup: BeautifulSoup, *, with_aria: bool = True) -> None:
        self._with_aria = with_aria
        self._n_left_to_search = _MAX_SEARCHED
        self._selectors = frozenset(
            selector
            for sheet in soup.find_all("style")
            if not sheet.get("media") or sheet.get("media") in ("all", "screen")
            for selector in _hidden_selectors(sheet.get_text()[:_MAX_STYLE_CHARACTERS])
        )

    def drops(self, tag: Tag) -> bool:
        """Whether the element and everything in it is left out."""
        if tag.name in _DROPPED:
            return True
        attributes = tag.attrs
        if tag.name == "a" and len(tag.contents) == 1 and str(tag.contents[0]).strip() in _PERMALINKS:
            return True
        if not attributes:
            return False
        if "hidden" in attributes and str(attributes["hidden"]).lower() != "until-found":
            return True
        if self._with_aria and str(attributes.get("aria-hidden", "")).lower() == "true":
            return True
        if "style" in attributes and _NO_DISPLAY.search(str(attributes["style"])):
            return True
        if self._selectors and (
            any(f".{name}" in self._selectors for name in tag.get_attribute_list("class"))
            or f"#{attributes.get('id')}" in self._selectors
        ):
            return True
        classes = " ".join(str(name) for name in tag.get_attribute_list("class") if name)
        return bool(_LINE_NUMBERS.search(classes)) and self._is_numbers(tag)

    def _is_numbers(self, tag: Tag) -> bool:
        for element in walk(tag):
            self._n_left_to_search -= 1
            if self._n_left_to_search < 0:
                return False
            if isinstance(element, NavigableString) and _NUMBERS.fullmatch(element) is None:
                return False
        return True


def _hidden_selectors(sheet: str) -> list[str]:
    """Return the classes (`.name`) and ids (`#name`) that a style sheet does not show, rules for print left aside."""
    plain = _AT_BLOCK.sub("", _COMMENT.sub("", sheet))
    return [
        selector.strip()
        for rule in _RULE.finditer(plain)
        if _NO_DISPLAY.search(rule.group(2))
        for selector in rule.group(1).split(",")
        if _SIMPLE_SELECTOR.fullmatch(selector.strip())
    ]
