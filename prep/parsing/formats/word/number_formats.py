"""Numbers as word processors write them before list items and headings: `format_number`.

The names are those of ECMA-376, part 1, 17.18.59 (ST_NumberFormat). Words and ordinals are English. Formats that are
not known, and numbers that a format cannot show, are decimal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prep.parsing.list_labels import list_label

__all__ = ["format_number"]

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
# Word repeats the letters of an alphabet from its end on: z, aa, bb.
_MOST_REPEATS = 30
_ALPHABETS = {
    "lowerLetter": "abcdefghijklmnopqrstuvwxyz",
    "upperLetter": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "russianLower": "абвгдежзиклмнопрстуфхцчшщыэюя",
    "russianUpper": "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЫЭЮЯ",
    "hebrew2": "אבגדהוזחטיכלמנסעפצקרשת",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "arabicAbjad": "أبجدهوزحطيكلمنسعفصقرشتثخذضظغ",
    "thaiLetters": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
    "hindiConsonants": "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह",
    "hindiVowels": "अआइईउऊऋऌऍऎएऐऑऒओऔ",
    "aiueoFullWidth": "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "irohaFullWidth": (
        "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセスン"
    ),
    "ganada": "가나다라마바사아자차카타파하",
    "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "chicago": "*†‡§",
}
# Signs that end: numbers beyond them are decimal.
_SIGNS = {
    "decimalEnclosedCircle": "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳",
    "decimalEnclosedParen": "⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽⑾⑿⒀⒁⒂⒃⒄⒅⒆⒇",
    "decimalEnclosedFullstop": "⒈⒉⒊⒋⒌⒍⒎⒏⒐⒑⒒⒓⒔⒕⒖⒗⒘⒙⒚⒛",
    "ideographEnclosedCircle": "㊀㊁㊂㊃㊄㊅㊆㊇㊈㊉",
    "ideographTraditional": "甲乙丙丁戊己庚辛壬癸",
    "ideographZodiac": "子丑寅卯辰巳午未申酉戌亥",
}
_DIGITS = {
    "decimalFullWidth": "０１２３４５６７８９",
    "ideographDigital": "〇一二三四五六七八九",
    "taiwaneseDigital": "○一二三四五六七八九",
    "koreanDigital": "영일이삼사오육칠팔구",
    "koreanDigital2": "零一二三四五六七八九",
    "hindiNumbers": "०१२३४५६७८९",
    "thaiNumbers": "๐๑๒๓๔๕๖๗๘๙",
}
# Digits, then ten, hundred and thousand, each written after its digit.
_COUNTING = {
    "chineseCounting": "一二三四五六七八九十百千",
    "koreanCounting": "일이삼사오육칠팔구십백천",
    "chineseLegalSimplified": "壹贰叁肆伍陆柒捌玖拾佰仟",
    "ideographLegalTraditional": "壹貳參肆伍陸柒捌玖拾佰仟",
    "japaneseLegal": "壱弐参四伍六七八九拾百阡",
}
_SAME = {
    "aiueo": "aiueoFullWidth",
    "iroha": "irohaFullWidth",
    "chineseCountingThousand": "chineseCounting",
    "japaneseCounting": "chineseCounting",
    "taiwaneseCounting": "chineseCounting",
    "taiwaneseCountingThousand": "chineseCounting",
    "decimalEnclosedCircleChinese": "decimalEnclosedCircle",
    "decimalFullWidth2": "decimalFullWidth",
    "japaneseDigitalTenThousand": "ideographDigital",
    "ideographZodiacTraditional": "ideographZodiac",
}


def format_number(number: int, name: str) -> str:
    """Return `number` in the format `name`; "" for "none" and "bullet".

    >>> [format_number(28, name) for name in ("lowerLetter", "upperRoman", "ordinalText", "chineseCounting")]
    ['bb', 'XXVIII', 'Twenty-eighth', '二十八']
    """
    if name in ("none", "bullet"):
        return ""
    write = _WRITERS.get(_SAME.get(name, name))
    return (write(number) if write is not None else "") or str(number)


def _ordinal(number: int) -> str:
    suffix = "th" if number // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _words(number: int) -> str:
    """Return a number in words, "" from a million on."""
    if not 0 <= number < 1_000_000:
        return ""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % size
    return f"{_words(number // size)} {name}" + (f" {_words(rest)}" if rest else "")


def _ordinal_words(number: int) -> str:
    words = _words(number)
    if not words:
        return ""
    last = words.replace("-", " ").split()[-1]
    ending = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return (words[: len(words) - len(last)] + ending).capitalize()


def _letters(alphabet: str, number: int) -> str:
    repeats, position = divmod(number - 1, len(alphabet))
    return alphabet[position] * (repeats + 1) if number > 0 and repeats < _MOST_REPEATS else ""


def _sign(signs: str, number: int) -> str:
    return signs[number - 1] if 0 < number <= len(signs) else ""


def _digits(digits: str, number: int) -> str:
    return "".join(digits[int(digit)] for digit in str(number)) if number >= 0 else ""


def _counted(signs: str, number: int) -> str:
    """Return an East Asian numeral below ten thousand: 二十八; the one before a ten at the beginning is not written."""
    if not 0 < number < 10_000:
        return ""
    written = ""
    for power in (3, 2, 1, 0):
        digit = number // 10**power % 10
        if digit:
            one = signs[digit - 1] if not (digit == 1 and power == 1 and not written) else ""
            written += one + (signs[8 + power] if power else "")
    return written


_WRITERS: dict[str, Callable[[int], str]] = {
    "lowerRoman": lambda number: list_label(number, "i"),
    "upperRoman": lambda number: list_label(number, "I"),
    "ordinal": _ordinal,
    "cardinalText": lambda number: _words(number).capitalize(),
    "ordinalText": _ordinal_words,
    "decimalZero": lambda number: f"{number:02d}",
    "hex": lambda number: f"{number:X}",
    "numberInDash": lambda number: f"- {number} -",
    **{name: partial(_letters, alphabet) for name, alphabet in _ALPHABETS.items()},
    **{name: partial(_sign, signs) for name, signs in _SIGNS.items()},
    **{name: partial(_digits, digits) for name, digits in _DIGITS.items()},
    **{name: partial(_counted, signs) for name, signs in _COUNTING.items()},
}
