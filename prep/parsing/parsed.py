"""What a parser hands back, `Parsed`, and how it says that it cannot: `UnreadableError`.

Shared by every parser and by the process they run in. Finding files and naming documents is done elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Parsed", "UnreadableError"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text of one file and its title, "" where the file names none.

    `losses` are (where, why) pairs for the parts that could not be read though the rest could: damaged pages,
    pages that are pictures, bytes that are no characters. They are reported beside the document.
    """

    title: str
    text: str
    losses: tuple[tuple[str, str], ...] = ()


class UnreadableError(Exception):
    """This file has no text to give; `reason` follows the file's name in a sentence ("is encrypted")."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
