"""The result of a parser, `Parsed`, and its error, `UnreadableError`; shared by all parsers and their process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prep.places import Place

__all__ = ["Parsed", "UnreadableError"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text of one file and its title, "" where the file names none.

    losses: (where, why) pairs for parts that could not be read while the rest could: damaged pages, pages that are
    pictures, bytes that are no characters. They are reported beside the document. places: where the file's pages,
    slides, sheets or cells begin in the text, in order. metadata: what the file says of itself (author, date, front
    matter), text or lists of text by name, and its `format`. members: the files in an archive by their names in it,
    each a document of its own; an archive has no text besides.
    """

    title: str
    text: str
    losses: tuple[tuple[str, str], ...] = ()
    places: tuple[Place, ...] = ()
    metadata: Mapping[str, str | list[str]] = field(default_factory=dict)
    members: tuple[tuple[str, Parsed], ...] = ()


class UnreadableError(Exception):
    """The file has no text that can be read; `reason` follows its name in a sentence ("is encrypted")."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
