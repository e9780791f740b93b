"""Equations as one line of text: `(a+b)/2`, `x_i^2`, `√(x+1)`, `∑_(i=1)^n i`, `[a, b; c, d]`.

OMML (ECMA-376, part 1, 22.1) of DOCX and presentation MathML of ODT. An element that is not known is written as what it
holds, so that no sign is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["M", "fraction", "mathml_text", "matrix", "omml_text", "root", "scripts"]

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATHML = "{http://www.w3.org/1998/Math/MathML}"
_ATOM = re.compile(r"[\w.,′'∞%°]*|[^\w\s]|\([^()]*\)|\[[^][]*\]|\|[^|]*\|")
_ROOTS = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_ACCENTS = {
    "\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "bar", "\u0307": "dot", "\u0308": "ddot",
    "\u030c": "check", "\u20d7": "vec", "\u20d6": "vec", "\u0332": "underline",
}  # fmt: skip
_DROPPED = frozenset([*(f"{_W}{name}" for name in ("del", "moveFrom", "rPr")), f"{M}ctrlPr"])


def omml_text(element: Any) -> str:
    """Return an `m:oMath` or anything in one as a line."""
    write = _OMML.get(element.tag)
    if write is not None:
        return write(element)
    if element.tag in _DROPPED or element.tag.endswith("Pr"):
        return ""
    if element.tag in (f"{M}t", f"{_W}t"):
        return str(element.text or "")
    return "".join(omml_text(child) for child in element)


def mathml_text(element: Any) -> str:
    """Return a MathML element as a line."""
    name = str(element.tag).removeprefix(_MATHML)
    write = _MATHML_WRITERS.get(name)
    if write is not None:
        parts = [mathml_text(child) for child in element]
        return write([*parts, *[""] * (3 - len(parts))], parts, element)
    if name in ("annotation", "annotation-xml", "mphantom"):
        return ""
    own = " ".join((element.text or "").split())
    return own + "".join(mathml_text(child) for child in element)


def _group(text: str) -> str:
    """Return `text` so that it holds together: in brackets unless it is a name, a number or in brackets already."""
    text = text.strip()
    return text if _ATOM.fullmatch(text) else f"({text})"


def fraction(upper: str, lower: str) -> str:
    """Return `upper/lower`."""
    return f"{_group(upper)}/{_group(lower)}"


def scripts(base: str, lower: str, upper: str) -> str:
    """Return `base_lower^upper`; an empty script is left out."""
    base = _group(base)
    return (
        base + (f"_{_group(lower)}" if lower.strip() else "") + (f"^{_group(upper)}" if upper.strip() else "")
    )


def root(degree: str, text: str) -> str:
    """Return `√(text)`, the degree in the sign or behind it."""
    sign = _ROOTS.get(degree.strip())
    return f"{sign if sign is not None else f'root[{degree.strip()}]'}({text.strip()})"


def matrix(rows: list[list[str]]) -> str:
    """Return `[a, b; c, d]`."""
    return "[" + "; ".join(", ".join(cell.strip() for cell in row) for row in rows) + "]"


def _accented(text: str, accent: str) -> str:
    """Return a letter with its accent, or more of them after the accent's name."""
    return text + accent if len(text.strip()) == 1 else f"{_ACCENTS.get(accent, 'accent')}({text.strip()})"


def _part(element: Any, name: str) -> str:
    found = element.find(f"{M}{name}")
    return omml_text(found) if found is not None else ""


def _property(element: Any, name: str, default: str) -> str:
    """Return a property of an element, `default` where it is not set."""
    found = element.find(f"{element.tag}Pr/{M}{name}")
    return default if found is None else str(found.get(f"{M}val", ""))


def _omml_fraction(element: Any) -> str:
    upper, lower = _part(element, "num"), _part(element, "den")
    if _property(element, "type", "bar") == "noBar":
        return f"({upper} over {lower})"
    return fraction(upper, lower)


def _omml_scripts(element: Any) -> str:
    return scripts(_part(element, "e"), _part(element, "sub"), _part(element, "sup"))


def _omml_prescripts(element: Any) -> str:
    before = scripts("", _part(element, "sub"), _part(element, "sup"))
    return f"{{}}{before}{_part(element, 'e')}"


def _omml_nary(element: Any) -> str:
    sign = _property(element, "chr", "∫")
    return f"{scripts(sign, _part(element, 'sub'), _part(element, 'sup'))} {_part(element, 'e')}"


def _omml_delimiters(element: Any) -> str:
    inner = _property(element, "sepChr", "|").join(omml_text(one) for one in element.iterchildren(f"{M}e"))
    return f"{_property(element, 'begChr', '(')}{inner}{_property(element, 'endChr', ')')}"


def _omml_function(element: Any) -> str:
    return f"{_part(element, 'fName').strip()} {_group(_part(element, 'e'))}"


def _omml_matrix(element: Any) -> str:
    rows = element.iterchildren(f"{M}mr")
    return matrix([[omml_text(cell) for cell in row.iterchildren(f"{M}e")] for row in rows])


def _omml_lines(element: Any) -> str:
    return "; ".join(omml_text(line) for line in element.iterchildren(f"{M}e"))


def _omml_bar(element: Any) -> str:
    return _accented(_part(element, "e"), "\u0332" if _property(element, "pos", "bot") == "bot" else "\u0305")


_OMML: dict[str, Callable[[Any], str]] = {
    f"{M}f": _omml_fraction,
    f"{M}sSup": _omml_scripts,
    f"{M}sSub": _omml_scripts,
    f"{M}sSubSup": _omml_scripts,
    f"{M}sPre": _omml_prescripts,
    f"{M}rad": lambda element: root(_part(element, "deg"), _part(element, "e")),
    f"{M}nary": _omml_nary,
    f"{M}d": _omml_delimiters,
    f"{M}func": _omml_function,
    f"{M}limLow": lambda element: scripts(_part(element, "e"), _part(element, "lim"), ""),
    f"{M}limUpp": lambda element: scripts(_part(element, "e"), "", _part(element, "lim")),
    f"{M}acc": lambda element: _accented(_part(element, "e"), _property(element, "chr", "\u0302")),
    f"{M}bar": _omml_bar,
    f"{M}m": _omml_matrix,
    f"{M}eqArr": _omml_lines,
    f"{_W}br": lambda element: " ",
    f"{_W}tab": lambda element: " ",
}


def _mathml_over(base: str, over: str) -> str:
    accent = {"^": "\u0302", "~": "\u0303", "¯": "\u0304", "˙": "\u0307", "→": "\u20d7", "⃗": "\u20d7"}.get(
        over
    )
    return _accented(base, accent) if accent is not None else scripts(base, "", over)


def _mathml_fenced(parts: list[str], element: Any) -> str:
    separators = str(element.get("separators", ",")).strip()
    inner = f"{separators[:1]} ".join(parts) if separators else "".join(parts)
    return f"{element.get('open', '(')}{inner}{element.get('close', ')')}"


def _mathml_table(element: Any) -> str:
    return matrix([[mathml_text(cell) for cell in row] for row in element])


# By name: a writer of the first three children's text, of all of it, and of the element.
_MATHML_WRITERS: dict[str, Callable[[list[str], list[str], Any], str]] = {
    "mfrac": lambda first, parts, element: fraction(first[0], first[1]),
    "msup": lambda first, parts, element: scripts(first[0], "", first[1]),
    "msub": lambda first, parts, element: scripts(first[0], first[1], ""),
    "msubsup": lambda first, parts, element: scripts(first[0], first[1], first[2]),
    "munder": lambda first, parts, element: scripts(first[0], first[1], ""),
    "mover": lambda first, parts, element: _mathml_over(first[0], first[1]),
    "munderover": lambda first, parts, element: scripts(first[0], first[1], first[2]),
    "msqrt": lambda first, parts, element: root("", "".join(parts)),
    "mroot": lambda first, parts, element: root(first[1], first[0]),
    "mfenced": lambda first, parts, element: _mathml_fenced(parts, element),
    "mtable": lambda first, parts, element: _mathml_table(element),
    "mspace": lambda first, parts, element: " ",
}
