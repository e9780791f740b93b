"""Passages to train the reader on, cut by rules: sentences packed to a size that varies, headings kept.

Many documents are needed once, as something to read; the prep model's chunks, which serving has, cost far more.
"""

from __future__ import annotations

import random
import re

from prep.document import Document
from prep.text import strip_span
from retrieve.episode.episode import Passage
from retrieve.reader.inputs import sentences_of

__all__ = ["cut_windows"]

_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t#]*(?:\{#[^}]*\})?\s*$")


def cut_windows(
    document: Document, rng: random.Random, *, least: int = 250, most: int = 800
) -> list[Passage]:
    """Return passages that hold every sentence of the document but its Markdown headings, which they stand under.

    least, most: between these many characters each passage's size is drawn.
    """
    text = document.text
    passages: list[Passage] = []
    headings: list[tuple[int, str]] = []
    start = end = -1
    size = rng.randint(least, most)

    def close() -> None:
        nonlocal start, size
        if start >= 0:
            names = tuple(name for _, name in headings)
            passages.append(Passage(document.id, document.title, names, start, end, text[start:end]))
        start, size = -1, rng.randint(least, most)

    for left, right in sentences_of(text):
        line_end = text.find("\n", left, right)
        heading = _HEADING.match(text[left : right if line_end < 0 else line_end])
        if heading is not None:
            close()
            level = len(heading[1])
            headings = [(depth, name) for depth, name in headings if depth < level] + [(level, heading[2])]
            left, right = strip_span(text, right if line_end < 0 else line_end, right)
            if left == right:
                continue
        if start >= 0 and (right - start > size or (right - start > size // 2 and "\n\n" in text[end:left])):
            close()
        start, end = (left if start < 0 else start), right
    close()
    return passages
