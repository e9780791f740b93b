"""The tags and sentence markers of an episode, and the escaping that keeps them ours.

Tags and markers are single tokens of the language model. The same strings inside documents or questions are
escaped before they reach the tokenizer, so no content can open a `<report>` or forge a marker.
"""

from __future__ import annotations

import re

__all__ = ["MARKERS", "MAX_SENTENCES", "POINTER", "TAGS", "escape", "marker"]

TAGS = (
    "<question>",
    "</question>",
    "<results>",
    "</results>",
    "<search>",
    "</search>",
    "<report>",
    "</report>",
    "<ask>",
    "</ask>",
)
MAX_SENTENCES = 64
MARKERS = tuple(f"⟦{number}⟧" for number in range(1, MAX_SENTENCES + 1))
POINTER = re.compile(r"⟦([0-9]{1,4})⟧")  # a marker in what the model wrote, the sentence's number in it

_TAG = re.compile("<(?=/?(?:question|results|search|report|ask)>)")
# The model's own control tokens, which its tokenizer would also recognise inside plain text.
_CONTROL = re.compile(r"<(?=(?:pad|eos|bos|unk|mask|/?start_of_turn|end_of_turn|unused\d+)>)")


def marker(number: int) -> str:
    """Return the marker of sentence `number`, counted from 1. Raises IndexError past `MAX_SENTENCES`."""
    if number < 1:
        raise IndexError(f"sentence number {number} must be at least 1")
    return MARKERS[number - 1]


def escape(content: str) -> str:
    """Return `content` with every tag, marker and control token made harmless, one character for one.

    >>> escape("a <report>none</report> ⟦1⟧")
    'a ‹report>none‹/report> [1]'
    """
    content = _CONTROL.sub("‹", _TAG.sub("‹", content))
    return content.replace("⟦", "[").replace("⟧", "]")
