"""Walks over a tree of BeautifulSoup that cost what they visit.

BeautifulSoup's own `descendants`, `find` and `find_all` first look for the last element below a tag, which costs its
depth: quadratic where every tag of a deep nest is searched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from bs4.element import PageElement, Tag

__all__ = ["first_named", "outermost", "walk"]


def walk(tag: Tag, stop: Collection[str] = ()) -> Iterator[PageElement]:
    """Yield what is in the tag, in document order. stop: names of tags that are yielded but not entered."""
    pending: list[Iterator[PageElement]] = [iter(tag.contents)]
    while pending:
        element = next(pending[-1], None)
        if element is None:
            pending.pop()
            continue
        yield element
        if isinstance(element, Tag) and element.name not in stop:
            pending.append(iter(element.contents))


def first_named(tag: Tag, names: Collection[str]) -> Tag | None:
    """Return the first tag of one of these names in the tag, None where there is none."""
    return next((found for found in walk(tag) if isinstance(found, Tag) and found.name in names), None)


def outermost(tag: Tag, names: Collection[str], most: int | None = None) -> list[Tag]:
    """Return the tags of these names in the tag that lie in no other such tag, at most so many."""
    found = (element for element in walk(tag, names) if isinstance(element, Tag) and element.name in names)
    return list(islice(found, most))
