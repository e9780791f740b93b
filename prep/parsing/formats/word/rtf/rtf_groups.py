"""What the groups of an RTF document hold: destinations by their control words, and what a group changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from prep.parsing.formats.word.block_writer import BULLET, NO_LABEL, Label
from prep.parsing.formats.word.equations import M

__all__ = [
    "CHARACTERS", "FOOTERS", "HEADERS", "INFO", "MATH", "MATH_VALUES", "SKIPPED", "SYMBOLS", "TIMES", "RtfField",
    "RtfGroup", "iso_time", "joined", "set_math", "stored_label",
]  # fmt: skip

CHARACTERS = {
    "tab": "\t", "line": "\n", "lbr": "\n", "softline": "\n", "page": " ", "column": " ", "emdash": "—", "endash": "–",
    "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ",
    "qmspace": " ", "zwj": "\u200d", "zwnj": "\u200c", "ltrmark": "\u200e", "rtlmark": "\u200f",
}  # fmt: skip
SYMBOLS = {"~": "\xa0", "_": "-", "\\": "\\", "{": "{", "}": "}", "\t": "\t"}
# Destinations whose text is none of the document's.
SKIPPED = frozenset(
    "colortbl listtable listoverridetable revtbl rsidtbl generator pict nonshppict shprslt objdata objclass objname "
    "themedata colorschememapping latentstyles datastore xmlnstbl mmathPr filetbl annotation atnid atnauthor atnref "
    "atndate atntime atnparent atnicn atrfstart atrfend bkmkstart bkmkend datafield template nonesttables pnseclvl "
    "pn pgptbl background ftnsep ftnsepc aftnsep aftnsepc ftncn aftncn tc xe txe rxe private1 private sp listname "
    "fontemb fontfile falt panose userprops docvar shppict passwordhash".split()
)
HEADERS = frozenset("header headerl headerr headerf".split())
FOOTERS = frozenset("footer footerl footerr footerf".split())
INFO = {
    "title": "title",
    "author": "creator",
    "subject": "subject",
    "keywords": "keywords",
    "doccomm": "description",
}
MATH_VALUES = frozenset("mchr mbegChr mendChr msepChr mpos mtype mdegHide".split())
MATH = MATH_VALUES | frozenset(
    "mf mnum mden mr msSup msSub msSubSup msPre me msup msub mrad mdeg mnary md mfunc mfName mlimLow mlim mlimUpp macc "
    "mbar mm mmr meqArr mbox mborderBox mgroupChr mphant mfPr mnaryPr mdPr maccPr mbarPr mradPr".split()
)
TIMES = ("yr", "mo", "dy", "hr", "min")


@dataclass(slots=True)
class RtfField:
    """A field that is read: its instruction, where its result begins in `parts`, and what a form keeps in it."""

    instruction: str = ""
    has_result: bool = False
    first: int = 0  # of the parts of its paragraph
    parts: list[str] | None = None
    kind: int | None = None  # of a form's field: 0 text, 1 box, 2 choice
    value: int | None = None
    default: int = 0
    choices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RtfGroup:
    """What a group changes and its end restores. parts: where text goes, None for nowhere."""

    parts: list[str] | None
    at_end: Callable[[], None] | None = None  # of the group that set it
    is_optional: bool = False  # `\\*` stands before the destination
    codec: str = "cp1252"
    is_symbol: bool = False
    font: str = ""
    n_fallback: int = 1  # characters that stand for one of Unicode
    is_hidden: bool = False
    is_deleted: bool = False
    is_struck: bool = False
    is_raised: bool = False
    table_of: str = ""  # "fonts" or "styles": this is one of their entries, `entry` its number
    entry: int | None = None
    style: int = 0
    outline: int | None = None
    level: int = 0
    in_table: bool = False
    field: RtfField | None = None


def joined(parts: list[str]) -> str:
    """Return the text of parts, pairs of surrogates as one character."""
    text = "".join(parts)
    if "\0" in text:
        text = text.replace("\0~~\0~~", "").replace("\0", "")
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def stored_label(text: str) -> Label:
    plain = " ".join(text.split())[:200]
    if not plain:
        return NO_LABEL
    return Label(plain) if any(map(str.isalnum, plain)) else BULLET


def iso_time(values: dict[str, int]) -> str:
    if not values.get("yr"):
        return ""
    date = f"{values['yr']:04d}-{values.get('mo', 1):02d}-{values.get('dy', 1):02d}"
    return f"{date}T{values.get('hr', 0):02d}:{values.get('min', 0):02d}" if "hr" in values else date


def set_math(element: Any, word: str, text: str) -> None:
    plain = "".join(character for character in text if character.isprintable())
    if word == "mr":
        etree.SubElement(element, f"{M}t").text = plain
    else:
        element.set(f"{M}val", plain.strip())
