"""Numbers and dates as a spreadsheet shows them: number format codes applied to values.

Codes are those of ECMA-376, part 1, 18.8.31: up to four sections, conditions, placeholders, percentages, scaling,
exponents, fractions, currencies, dates and elapsed times. Names of months and days are English. A date whose format is
that of the reader's system has none in the file: it is written as ISO 8601 has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache

__all__ = ["BUILT_IN_FORMATS", "format_number"]

#: Number format id → code, of those that files use without defining them.
BUILT_IN_FORMATS = {
    0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?",
    13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM",
    20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd hh:mm", 37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00",
    40: "#,##0.00;-#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@",
}  # fmt: skip
_SYSTEM_DATES = {"f800": "yyyy-mm-dd", "f400": "hh:mm:ss"}
_MAX_CODE_CHARACTERS = 500
_MAX_DECIMALS = 30
_LARGEST = 1e15  # whose digits a double holds
_HUGE = 1e100
_SECTION_END = re.compile(r'"[^"]*"|\\.|[_*].|\[[^\]]*\]|(;)', re.S)
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<space>.)|\*(?P<fill>.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General)|(?P<noon>AM/PM|A/P)|(?P<exponent>E[+-])|(?P<date>y+|m+|d+|h+|s+)|(?P<fraction>(?<=s)\.0+)"
    r"|(?P<digit>[0#?])|(?P<literal>.)",
    re.S | re.I,
)
_ELAPSED = re.compile(r"h+|m+|s+", re.I)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_CURRENCY = re.compile(r"\$([^-]*)(?:-([0-9a-f]+))?", re.I)
_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@dataclass(frozen=True, slots=True)
class _Section:
    """One section of a code: its tokens as (kind, text), and the condition under which it is used."""

    tokens: tuple[tuple[str, str], ...]
    is_date: bool = False
    condition: tuple[str, float] | None = None
    layout: _NumberLayout | None = field(default=None)


@dataclass(frozen=True, slots=True)
class _NumberLayout:
    """What the placeholders of a section say of a number."""

    first: int  # of the tokens with placeholders
    last: int
    point: int | None
    exponent: int | None
    slash: int | None
    n_percent: int
    n_thousands: int  # to divide by
    is_grouped: bool


def format_number(value: float, code: str, *, is_1904: bool = False) -> str:
    """Return the number as a cell of this format shows it. is_1904: dates are counted from 1904 on.

    >>> format_number(0.125, "0.0%"), format_number(-1234.5, "#,##0.00 [$€-407]"), format_number(47911, "d mmm yyyy")
    ('12.5%', '-1,234.50 €', '4 Mar 2031')
    """
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if abs(value) >= _HUGE:
        return _general(value)
    sections = _sections(code[:_MAX_CODE_CHARACTERS])
    section, shown = _chosen(sections, value)
    if section.is_date:
        date = _dated(section, value, is_1904)
        return _general(value) if date is None else date
    if section.layout is None:
        return "".join(
            _general(shown) if kind == "general" else text
            for kind, text in section.tokens
            if kind != "text" or not text.isspace()
        ).strip() or ("" if section.tokens else _general(value))
    return _numbered(section, section.layout, shown).strip()


def _general(value: float) -> str:
    if value == int(value) and abs(value) < _LARGEST:
        return str(int(value))
    text = f"{value:.10g}"
    return text.replace("e", "E")


@lru_cache(maxsize=512)
def _sections(code: str) -> tuple[_Section, ...]:
    edges = [found.start() for found in _SECTION_END.finditer(code) if found.group(1)]
    starts = [0, *(edge + 1 for edge in edges)]
    return tuple(_section(code[a:b]) for a, b in zip(starts, [*edges, len(code)], strict=True))[:4]


def _section(code: str) -> _Section:
    tokens: list[tuple[str, str]] = []
    condition: tuple[str, float] | None = None
    for found in _TOKEN.finditer(code):
        kind, text = str(found.lastgroup), found.group(str(found.lastgroup))
        if kind == "bracket":
            compared, currency = _CONDITION.fullmatch(text), _CURRENCY.fullmatch(text)
            if _ELAPSED.fullmatch(text):
                tokens.append(("elapsed", text.lower()))
            elif compared is not None:
                condition = (compared.group(1), float(compared.group(2)))
            elif currency is not None:
                system = _SYSTEM_DATES.get((currency.group(2) or "").lower())
                if system is not None:
                    return _section(system)
                tokens.append(("text", currency.group(1)))
        elif kind in ("quoted", "escaped"):
            tokens.append(("text", text))
        elif kind == "space":
            tokens.append(("text", " "))
        elif kind == "literal" and text == "@":
            tokens.append(("general", text))
        elif kind != "fill":
            tokens.append((kind, text.lower() if kind in ("date", "noon") else text))
    is_date = any(kind in ("date", "elapsed") for kind, _ in tokens)
    layout = None if is_date else _layout(tokens)
    return _Section(tuple(tokens), is_date, condition, layout)


def _layout(tokens: list[tuple[str, str]]) -> _NumberLayout | None:
    digits = [i for i, (kind, _) in enumerate(tokens) if kind == "digit"]
    if not digits:
        return None
    point = next((i for i, token in enumerate(tokens) if token == ("literal", ".")), None)
    inside = range(digits[0], digits[-1] + 1)
    exponent = next((i for i in inside if tokens[i][0] == "exponent"), None)
    slash = next((i for i in range(digits[0], len(tokens)) if tokens[i] == ("literal", "/")), None)
    ends = [i for i in (point, exponent) if i is not None]
    whole = [i for i in digits if i < min(ends, default=len(tokens))]
    last = digits[-1] if slash is None else max(_last_digit(tokens, slash), digits[-1])
    return _NumberLayout(
        first=digits[0] if point is None else min(digits[0], point),
        last=max(last + _n_commas(tokens, last), -1 if point is None else point),
        point=point,
        exponent=exponent,
        slash=slash,
        n_percent=sum(token == ("literal", "%") for token in tokens),
        n_thousands=sum(_n_commas(tokens, at) for at in {last, *whole[-1:]}),
        is_grouped=bool(whole) and ("literal", ",") in tokens[whole[0] : whole[-1]],
    )


def _n_commas(tokens: list[tuple[str, str]], at: int) -> int:
    """Return how many commas follow a placeholder; each divides by a thousand."""
    end = at + 1
    while end < len(tokens) and tokens[end] == ("literal", ","):
        end += 1
    return end - at - 1


def _last_digit(tokens: list[tuple[str, str]], slash: int) -> int:
    """Return the end of a denominator: placeholders, or the number itself."""
    end = slash
    while end + 1 < len(tokens) and (tokens[end + 1][0] == "digit" or tokens[end + 1][1].isdigit()):
        end += 1
    return end


def _chosen(sections: tuple[_Section, ...], value: float) -> tuple[_Section, float]:
    """Return the section for a value, and the value as it shows it: without its sign where the section says that."""
    conditions = [section.condition for section in sections]
    if any(conditions):
        for number, section in enumerate(sections[:3]):
            if section.condition is None or _holds(section.condition, value):
                return section, abs(value) if number and section.condition is None else value
        return sections[0], value
    if len(sections) > 1 and value < 0:
        return sections[1], -value
    if len(sections) > 2 and value == 0:
        return sections[2], value
    return sections[0], value


def _holds(condition: tuple[str, float], value: float) -> bool:
    sign, limit = condition
    return {
        "<": value < limit,
        ">": value > limit,
        "<=": value <= limit,
        ">=": value >= limit,
        "=": value == limit,
        "<>": value != limit,
    }[sign]


def _numbered(section: _Section, layout: _NumberLayout, value: float) -> str:
    tokens = section.tokens
    before = "".join(text for _, text in tokens[: layout.first])
    after = "".join(text for _, text in tokens[layout.last + 1 :])
    scaled = Decimal(repr(abs(value))).scaleb(2 * layout.n_percent - 3 * layout.n_thousands)
    if layout.exponent is not None:
        digits = _exponential(tokens, layout, scaled)
    elif layout.slash is not None:
        digits = _fraction(tokens, layout, scaled)
    else:
        digits = _decimal(tokens, layout, scaled)
    is_negative = value < 0 and any(c in "123456789" for c in digits)
    return f"{'-' if is_negative else ''}{before}{digits}{after}"


def _decimal(tokens: tuple[tuple[str, str], ...], layout: _NumberLayout, value: Decimal) -> str:
    point = layout.point if layout.point is not None else layout.last + 1
    decimals = [text for kind, text in tokens[point + 1 : layout.last + 1] if kind == "digit"][:_MAX_DECIMALS]
    whole, _, fraction = _rounded(value, len(decimals)).partition(".")
    while fraction and decimals and decimals[len(fraction) - 1] != "0" and fraction.endswith("0"):
        fraction = fraction[:-1]
    places = [token for token in tokens[layout.first : point] if token != ("literal", ",")]
    n_least = sum(token == ("digit", "0") for token in places)
    whole = whole.lstrip("0").rjust(n_least, "0")
    if layout.is_grouped:
        whole = re.sub(r"(?<=\d)(?=(?:\d{3})+\Z)", ",", whole)
    elif any(kind != "digit" for kind, _ in places):  # a telephone number, say: digits between marks
        whole = _filled(places, whole)
    return whole + ("." if layout.point is not None else "") + fraction


def _filled(places: list[tuple[str, str]], digits: str) -> str:
    left = list(digits)
    parts: list[str] = []
    n_places = sum(kind == "digit" for kind, _ in places)
    for kind, text in reversed(places):
        if kind != "digit":
            parts.append(text)
            continue
        n_places -= 1
        parts.append(left.pop() if left else "")
        if n_places == 0:
            parts.append("".join(left))
    return "".join(reversed(parts))


def _exponential(tokens: tuple[tuple[str, str], ...], layout: _NumberLayout, value: Decimal) -> str:
    assert layout.exponent is not None
    mantissa = tokens[layout.first : layout.exponent]
    n_whole = max(
        sum(kind == "digit" for kind, _ in mantissa[: (layout.point or layout.exponent) - layout.first]), 1
    )
    n_decimals = min(sum(kind == "digit" for kind, _ in mantissa) - n_whole, _MAX_DECIMALS)
    n_least = sum(kind == "digit" for kind, _ in tokens[layout.exponent :])
    power = 0 if value == 0 else value.adjusted()
    power -= power % n_whole if n_whole > 1 else 0
    shown = _rounded(value.scaleb(-power), max(n_decimals, 0))
    if n_whole == 1 and shown.startswith("10"):
        power += 1
        shown = _rounded(value.scaleb(-power), max(n_decimals, 0))
    sign = "-" if power < 0 else "+" if tokens[layout.exponent][1].endswith("+") else ""
    return f"{shown}E{sign}{abs(power):0{n_least}d}"


def _fraction(tokens: tuple[tuple[str, str], ...], layout: _NumberLayout, value: Decimal) -> str:
    assert layout.slash is not None
    below = "".join(text for _, text in tokens[layout.slash + 1 :]).strip()
    fixed = re.match(r"[1-9]\d*", below)
    exact = Fraction(value)
    gap = next((i for i in range(layout.first, layout.slash) if tokens[i][1].isspace()), None)
    whole = int(exact) if gap is not None else 0
    rest = exact - whole
    n_digits = sum(kind == "digit" for kind, _ in tokens[layout.slash :])
    if fixed is not None:
        denominator = int(fixed.group()[:6])
        numerator = round(rest * denominator)
    else:
        near = rest.limit_denominator(10 ** min(max(n_digits, 1), 6) - 1)
        numerator, denominator = near.numerator, near.denominator
    if numerator == denominator and gap is not None:
        whole, numerator = whole + 1, 0
    part = f"{numerator}/{denominator}" if numerator else ""
    return " ".join(filter(None, [str(whole) if whole or not part else "", part]))


def _rounded(value: Decimal, n_decimals: int) -> str:
    """Return the number with so many decimals, halves away from zero, as spreadsheets round."""
    if value.adjusted() + n_decimals >= 27:  # more digits than a decimal context holds
        return f"{value:.{n_decimals}f}"
    return f"{value.quantize(Decimal(1).scaleb(-n_decimals), ROUND_HALF_UP):f}"


def _dated(section: _Section, value: float, is_1904: bool) -> str | None:
    """Return a date or time; None for a value that is none."""
    fraction = next((text for kind, text in section.tokens if kind == "fraction"), "")
    step = 10 ** max(6 - (len(fraction) - 1 if fraction else 0), 0)
    try:
        micros = round(value * 86_400_000_000 / step) * step
        # The calendar of 1900 counts a 29 February that there was not.
        start = datetime(1904, 1, 1) if is_1904 else datetime(1899, 12, 30 if value >= 60 else 31)
        moment = start + timedelta(microseconds=micros)
    except (OverflowError, ValueError):
        return None
    if value < 0 and not any(kind == "elapsed" for kind, _ in section.tokens):
        return None
    has_noon = any(kind == "noon" for kind, _ in section.tokens)
    times = [i for i, (kind, _) in enumerate(section.tokens) if kind in ("date", "elapsed")]
    parts: list[str] = []
    for i, (kind, text) in enumerate(section.tokens):
        if kind == "elapsed":
            unit = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}[text[0]]
            parts.append(f"{'-' if micros < 0 else ''}{abs(micros) // unit:0{len(text)}d}")
        elif kind == "date":
            at = times.index(i)
            before = section.tokens[times[at - 1]][1][0] if at else ""
            after = section.tokens[times[at + 1]][1][0] if at + 1 < len(times) else ""
            is_minute = text[0] == "m" and len(text) < 3 and (before == "h" or after == "s")
            parts.append(_date_part(moment, text, is_minute=is_minute, has_noon=has_noon))
        elif kind == "noon":
            mark = "AM" if moment.hour < 12 else "PM"
            parts.append(mark if text == "am/pm" else mark[0])
        elif kind == "fraction":
            parts.append("." + f"{moment.microsecond:06d}"[: len(text) - 1])
        elif kind != "general":
            parts.append(text)
    return " ".join("".join(parts).split())


def _date_part(moment: datetime, text: str, *, is_minute: bool, has_noon: bool) -> str:
    letter, n = text[0], len(text)
    if letter == "y":
        return f"{moment.year % 100:02d}" if n <= 2 else f"{moment.year:04d}"
    if letter == "h":
        hour = (moment.hour + 11) % 12 + 1 if has_noon else moment.hour
        return f"{hour:0{min(n, 2)}d}"
    if letter == "s":
        return f"{moment.second:0{min(n, 2)}d}"
    if is_minute:
        return f"{moment.minute:0{min(n, 2)}d}"
    number, names = (moment.day, _DAYS) if letter == "d" else (moment.month, _MONTHS)
    if n <= 2:
        return f"{number:0{n}d}"
    name = names[moment.weekday() if letter == "d" else moment.month - 1]
    return name[:1] if n == 5 and letter == "m" else name[:3] if n == 3 else name
