"""Labels of list items as pages and word processors count them: 3, c, C, iii, III."""

from __future__ import annotations

__all__ = ["list_label"]

_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


def list_label(number: int, style: str = "1") -> str:
    """Return the label of item `number` in a style as HTML names them: 1, a, A, i or I.

    Numbers that a style cannot show (letters have no zero, Roman numerals end at 3999) stay decimal.

    >>> [list_label(3, style) for style in "1aAiI"], list_label(28, "a")
    (['3', 'c', 'C', 'iii', 'III'], 'ab')
    """
    if style in ("a", "A") and number > 0:
        letters = ""
        while number > 0:
            number, letter = divmod(number - 1, 26)
            letters = chr(ord(style) + letter) + letters
        return letters
    if style in ("i", "I") and 0 < number < 4000:
        numeral = ""
        for value, sign in _ROMAN:
            numeral += sign * (number // value)
            number %= value
        return numeral if style == "i" else numeral.upper()
    return str(number)
