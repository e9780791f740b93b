"""Fields by their instructions (ECMA-376, part 1, 17.16): links, and what fields without a stored result show."""

from __future__ import annotations

import re
from itertools import pairwise

from prep.parsing.formats.word.equations import fraction, matrix, root, scripts
from prep.parsing.formats.word.symbol_fonts import symbol_character

__all__ = ["COMPUTED_FIELDS", "field_name", "field_text", "link_address"]

# Fields whose text Word computes and does not store.
COMPUTED_FIELDS = frozenset(["LISTNUM", "AUTONUM", "AUTONUMLGL", "AUTONUMOUT"])
_TOKEN = re.compile(r'\\[a-z*#@!]|"((?:[^"\\]|\\.)*)"|[^\s"]+', re.I)
_NAME = re.compile(r"\s*([A-Za-z]+)")
_BUTTON = re.compile(r"\s*(?:MACROBUTTON|GOTOBUTTON)\s+\S+\s+(.*\S)", re.S | re.I)
_EQUATION_SWITCH = re.compile(r"\\([a-z]+)(-?\d*)", re.I)
_MAX_EQUATION_CHARACTERS = 5000
_MAX_EQUATION_DEPTH = 40


def field_name(instruction: str) -> str:
    """Return the kind of field: "HYPERLINK", "REF", "EQ", …; "" for none."""
    match = _NAME.match(instruction)
    return match.group(1).upper() if match is not None else ""


def link_address(instruction: str) -> str:
    """Return where a HYPERLINK field leads, "" for other fields and for places in the document.

    >>> link_address(' HYPERLINK "https://kit.example.org/get" \\\\o "tip"'), link_address('HYPERLINK \\\\l "part"')
    ('https://kit.example.org/get', '')
    """
    if field_name(instruction) != "HYPERLINK":
        return ""
    tokens = list(_TOKEN.finditer(instruction))[1:]
    for token in tokens:
        if token.group().startswith("\\"):
            return ""  # an address stands before all switches
        return (token.group(1) if token.group(1) is not None else token.group()).replace("\\\\", "\\")
    return ""


def field_text(instruction: str) -> str:
    """Return what a field without a stored result shows, "" where that is nothing or not known."""
    name = field_name(instruction)
    if name == "EQ":
        return _equation(instruction[instruction.upper().index("EQ") + 2 :][:_MAX_EQUATION_CHARACTERS])
    if name == "SYMBOL":
        return _symbol(instruction)
    button = _BUTTON.match(instruction)
    return button.group(1) if button is not None else ""


def _symbol(instruction: str) -> str:
    tokens = [match.group(1) or match.group() for match in _TOKEN.finditer(instruction)][1:]
    if not tokens:
        return ""
    font = next((after for at, after in pairwise(tokens) if at.lower() == "\\f"), "")
    try:
        code = int(tokens[0], 0) if tokens[0][:1].isdigit() else ord(tokens[0])
    except (ValueError, TypeError):
        return ""
    if "\\u" not in tokens and not font and 0x80 <= code < 0x100:
        return bytes([code]).decode("cp1252", "replace")
    return symbol_character(code, font or "Arial") if code < 0x110000 else ""


def _equation(source: str) -> str:
    """Return the text of an EQ field's codes: `\\f(1,2)` is a fraction, `\\r(3,x)` a root, `\\s\\up8(2)` raised."""
    text, position = _equation_until(source, 0, "", 0)
    return " ".join((text + source[position:]).split())


def _equation_until(source: str, position: int, ends: str, depth: int) -> tuple[str, int]:
    """Return the text from `position` to the first of `ends` outside brackets, and where that is."""
    parts: list[str] = []
    while position < len(source):
        character = source[position]
        if character in ends:
            break
        if character == "\\":
            match = _EQUATION_SWITCH.match(source, position)
            if match is None:  # an escaped sign
                parts.append(source[position + 1 : position + 2])
                position += 2
                continue
            written, position = _equation_code(source, position, depth)
            parts.append(written)
        elif character == "(" and depth < _MAX_EQUATION_DEPTH:
            inner, position = _equation_until(source, position + 1, ")", depth + 1)
            parts.append(f"({inner})")
            position += 1
        else:
            parts.append(character)
            position += 1
    return "".join(parts).strip() if ends else "".join(parts), position


def _equation_code(source: str, position: int, depth: int) -> tuple[str, int]:
    """Return the text of a code with its switches and arguments, and where it ends."""
    switches: list[str] = []
    while (match := _EQUATION_SWITCH.match(source, position)) is not None:
        switches.append(match.group(1).lower())
        position = match.end()
        if switches[-1] in ("bc", "lc", "rc") and source[position : position + 1] == "\\":
            position += 2  # the sign used as a bracket
        while source[position : position + 1] == " ":
            position += 1
    if source[position : position + 1] != "(" or depth >= _MAX_EQUATION_DEPTH:
        return "", position
    arguments: list[str] = []
    while position < len(source) and source[position] in "(,;":
        argument, position = _equation_until(source, position + 1, ",;)", depth + 1)
        arguments.append(argument)
    position += 1
    first, second = (*arguments, "", "")[:2]
    kind = switches[0]
    if kind == "f":
        return fraction(first, second), position
    if kind == "r":
        return (root(first, second) if len(arguments) > 1 else root("", first)), position
    if kind == "s":
        is_lowered = "do" in switches
        return scripts("", first if is_lowered else "", "" if is_lowered else first), position
    if kind == "i":
        sign = "∑" if "su" in switches else "∏" if "pr" in switches else "∫"
        return f"{scripts(sign, first, second)} {''.join(arguments[2:3])}", position
    if kind == "a":
        return matrix([[argument] for argument in arguments]), position
    if kind == "b":
        return f"({first})", position
    return ", ".join(arguments), position
