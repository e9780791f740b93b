"""Characters of fonts that draw symbols in the place of letters: Symbol and Wingdings, as Unicode."""

from __future__ import annotations

__all__ = ["symbol_character", "symbol_text"]

_SYMBOL = dict(
    zip(
        [*range(0x20, 0x7F), *range(0xA0, 0xEF), *range(0xF1, 0xFF)],
        " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
        "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩"
        "⎪〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭",
        strict=False,
    )
)
_WINGDINGS = {
    0x20: " ", 0x21: "✏", 0x22: "✂", 0x23: "✁", 0x28: "☎", 0x29: "✆", 0x2A: "✉", 0x36: "⌛", 0x3E: "✇", 0x3F: "✍",
    0x41: "✌", 0x45: "☜", 0x46: "☞", 0x47: "☝", 0x48: "☟", 0x4A: "☺", 0x4B: "😐", 0x4C: "☹", 0x4D: "💣", 0x4E: "☠",
    0x51: "✈", 0x52: "☼", 0x54: "❄", 0x56: "✞", 0x58: "✠", 0x59: "✡", 0x5A: "☪", 0x5B: "☯", 0x5D: "☸", 0x6C: "●",
    0x6D: "❍", 0x6E: "■", 0x6F: "□", 0x70: "◻", 0x71: "❑", 0x72: "❒", 0x73: "⬧", 0x74: "⧫", 0x75: "◆", 0x76: "❖",
    0x77: "⬥", 0x78: "☒", 0x7A: "⌘", 0x9E: "·", 0x9F: "•", 0xA1: "○", 0xA4: "◉", 0xA5: "◎", 0xA7: "▪", 0xA8: "◻",
    0xAA: "✦", 0xAB: "★", 0xAC: "✶", 0xD5: "⌫", 0xD6: "⌦", 0xD8: "➢", 0xDC: "➲", 0xDF: "←", 0xE0: "→", 0xE1: "↑",
    0xE2: "↓", 0xE8: "➔", 0xEF: "⇦", 0xF0: "⇨", 0xF1: "⇧", 0xF2: "⇩", 0xF3: "⬄", 0xF4: "⇳", 0xFB: "✗", 0xFC: "✔",
    0xFD: "☒", 0xFE: "☑",
    **{0x5E + position: chr(0x2648 + position) for position in range(12)},
    0x80: "⓪", **{0x81 + position: chr(0x2460 + position) for position in range(10)},
    0x8B: "⓿", **{0x8C + position: chr(0x2776 + position) for position in range(10)},
}  # fmt: skip
_WINGDINGS_2 = {
    0x4F: "✗",
    0x50: "✓",
    0x51: "☒",
    0x52: "☑",
    0x53: "☒",
    0x54: "☒",
    0xA3: "☐",
    0x97: "●",
    0xA0: "■",
}
_FONTS: dict[str, dict[int, str]] = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2}
_OTHER_SYMBOL_FONTS = ("webdings", "wingdings 3")
_PRIVATE = range(0xF000, 0xF100)


def symbol_character(code: int, font: str) -> str:
    """Return the character that `font` draws for a code; U+FFFD for one that is not known.

    >>> symbol_character(0xF061, "Symbol"), symbol_character(0xFC, "Wingdings"), symbol_character(0x2612, "Arial")
    ('α', '✔', '☒')
    """
    table = _FONTS.get(font.lower())
    short = code - 0xF000 if code in _PRIVATE else code
    if table is not None and short < 0x100:
        return table.get(short, "\ufffd")
    if font.lower() in _OTHER_SYMBOL_FONTS or not 0x20 <= short < 0x110000 or 0xD800 <= short < 0xE000:
        return "\ufffd"
    return chr(short)


def symbol_text(text: str, font: str) -> str:
    """Return `text` in which characters of the private area are those that `font` draws."""
    if font.lower() not in _FONTS or not any(ord(character) in _PRIVATE for character in text):
        return text
    return "".join(
        symbol_character(ord(character), font) if ord(character) in _PRIVATE else character
        for character in text
    )
