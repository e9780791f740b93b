"""Where a part of a file begins in its text: `Place`, for pages, slides, sheets and cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Place", "place_at", "place_name"]


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a file, from `start` in its text to the next of its kind.

    start: code points. kind: "page", "slide", "sheet", "cell", "chapter", "attachment". label: as people name it: "3",
    "iv", "Prices".
    """

    start: int
    kind: str
    label: str


def place_at(places: Sequence[Place], offset: int) -> Place | None:
    """Return the last of `places`, which are in order, that begins at or before `offset`; None before the first.

    >>> place_at([Place(0, "page", "1"), Place(40, "page", "2")], 57).label
    '2'
    """
    found = None
    for place in places:
        if place.start > offset:
            break
        found = place
    return found


def place_name(places: Sequence[Place], offset: int) -> str | None:
    """Return the name of the place at `offset` with its kind, and the attachment that it stands in; None outside all.

    >>> place_name([Place(0, "page", "1"), Place(40, "page", "2")], 57)
    'page 2'
    >>> place_name([Place(9, "attachment", "fees.pdf"), Place(9, "page", "1")], 20)
    'attachment fees.pdf, page 1'
    """
    place = place_at(places, offset)
    if place is None:
        return None
    name = f"{place.kind} {place.label}".rstrip()
    if place.kind != "attachment":
        attachments = [one for one in places if one.kind == "attachment"]
        if (attachment := place_at(attachments, place.start)) is not None:
            return f"attachment {attachment.label}, {name}"
    return name
