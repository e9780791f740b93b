"""Words of a PDF page to lines: pieces of text on one baseline that no wide gap parts.

Raised marks and exponents, lowered indices, letters that are spaced apart, leaders of dots and the order of lines that
run from right to left are settled here. Two columns, or the cells of a row, are lines of their own.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from prep.parsing.formats.pdf.content.page_content import TextStyle, Word

__all__ = ["Line", "build_lines", "is_cjk", "merged_line", "rows_of"]

# Gaps in units of the font size: more parts two lines, less is no blank.
_WIDE_GAP = 1.1
_JOINING_GAP = 0.8
_GLUE_GAP = 0.12
_MAX_LOOKS = 2_000_000  # at lines, for the places of marks: what no page but a hostile one needs
_LEADERS = re.compile(r"(?:\s*[.·…_]){6,}\s*|(?:\s*…){3,}\s*|(?:\s+\.){4,}\s+")
_RTL = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_LTR = re.compile(r"[^\W\d_]|\d")
_MARK = re.compile(r"\d{1,3}(?:,\s?\d{1,3})*\Z")
_CJK = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uff60]")


class Line:
    """Words from left to right. x0, x1, top, bottom, baseline, size: points; size, bold and mono by most characters."""

    __slots__ = ("_text", "baseline", "bottom", "is_bold", "is_mono", "size", "top", "words", "x0", "x1")

    def __init__(self, words: list[Word]) -> None:
        self.words = words
        self.x0 = min(word.x0 for word in words)
        self.x1 = max(word.x1 for word in words)
        first = words[0].style
        if all(word.style is first or word.style == first for word in words):
            style = first
            self.is_bold, self.is_mono = style.is_bold, style.is_mono
        else:
            weights: Counter[TextStyle] = Counter()
            for word in words:
                weights[word.style] += len(word.text)
            style = max(weights, key=lambda one: (weights[one], one.size))
            total = sum(weights.values())
            self.is_bold = sum(n for one, n in weights.items() if one.is_bold) >= 0.95 * total
            self.is_mono = sum(n for one, n in weights.items() if one.is_mono) >= 0.9 * total
        self.size = style.size
        main = [word.baseline for word in words if word.style.size >= 0.85 * self.size] or [words[0].baseline]
        self.baseline = main[0]
        self.top = self.baseline - 0.8 * self.size
        self.bottom = self.baseline + 0.25 * self.size
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The words with blanks between them, in reading order."""
        if self._text is None:
            self._text = _line_text(self.words)
        return self._text

    def add(self, text: str) -> None:
        """Put more text behind the line's."""
        self._text = self.text + text


def is_cjk(character: str) -> bool:
    """Whether a character is of a script that sets no blanks between words: Chinese, Japanese."""
    return _CJK.match(character) is not None


def build_lines(words: Sequence[Word]) -> list[Line]:
    """Return the lines of words that run in one direction, from top to bottom, then left to right."""
    groups: list[list[Word]] = []
    current: list[Word] = []
    reach0 = reach1 = baseline = size = 0.0
    for word in words:
        if current:
            offset = word.baseline - baseline
            em = max(size, word.style.size)
            gap = word.x0 - reach1 if word.x0 >= reach0 else reach0 - word.x1
            if -0.5 * em <= gap <= 1.5 * em:
                if gap <= _WIDE_GAP * em and abs(offset) <= 0.15 * em:
                    current.append(word)
                    reach0, reach1 = min(reach0, word.x0), max(reach1, word.x1)
                    size = max(size, word.style.size)
                    continue
                reach = 1.5 if len(current) == 1 and size < word.style.size else 0.4
                if (
                    abs(gap) <= reach * em
                    and (shifted := _shifted(word, current, offset, size, gap)) is not None
                ):
                    if shifted is word and word.style.size > size:  # the line began with a raised mark
                        current[:] = [replace(current[0], text=_marked(current[0].text, ""))]
                        baseline, size = word.baseline, word.style.size
                    current.append(shifted)
                    reach1 = max(reach1, word.x1)
                    continue
            groups.append(current)
        current = [word]
        reach0, reach1, baseline, size = word.x0, word.x1, word.baseline, word.style.size
    if current:
        groups.append(current)
    return _merged(_with_shifted([Line(group) for group in groups]))


def _with_shifted(lines: list[Line]) -> list[Line]:
    """Put raised and lowered marks that were drawn apart into the lines they belong to."""
    usual = max((line.size for line in lines), default=0.0)
    marks = [
        line
        for line in lines
        if line.size <= 0.86 * usual and sum(len(word.text) for word in line.words) <= 8
    ]
    if not marks or len(marks) == len(lines):
        return lines
    is_mark = set(map(id, marks))
    hosts = sorted((line for line in lines if id(line) not in is_mark), key=lambda line: line.baseline)
    levels = [line.baseline for line in hosts]
    free: list[Line] = []
    n_seen = 0
    for mark in marks:
        if n_seen > _MAX_LOOKS:
            free.append(mark)
            continue
        first, last = bisect_left(levels, mark.baseline - usual), bisect_right(levels, mark.baseline + usual)
        n_seen += last - first
        host = next((i for i in range(first, last) if _holds(hosts[i], mark)), None)
        if host is None:
            free.append(mark)
        else:
            hosts[host] = _with_mark(hosts[host], mark)
    return [*hosts, *free]


def _holds(host: Line, mark: Line) -> bool:
    """Whether a line has a word right before the mark, or begins right behind it."""
    offset = mark.baseline - host.baseline
    if mark.size > 0.86 * host.size or not (
        -0.8 * host.size < offset < -0.1 * host.size or 0.05 * host.size < offset < 0.45 * host.size
    ):
        return False
    reach = 0.4 * host.size
    return any(abs(mark.x0 - word.x1) <= reach for word in host.words) or (
        offset < 0 and 0 <= host.x0 - mark.x1 <= 1.5 * host.size
    )


def _with_mark(host: Line, mark: Line) -> Line:
    words = sorted(host.words, key=lambda word: word.x0)
    at = sum(word.x1 <= mark.x0 + 0.4 * host.size and word.x0 < mark.x0 for word in words)
    before = words[at - 1].text if at else ""
    text = "".join(word.text for word in mark.words)
    shown = _marked(text, before) if mark.baseline < host.baseline else text
    words.insert(at, replace(mark.words[0], text=shown, x1=mark.x1, baseline=host.baseline, is_glued=at > 0))
    if at and at + 1 < len(words) and words[at + 1].x0 - mark.x1 < _GLUE_GAP * host.size:
        words[at + 1] = replace(words[at + 1], is_glued=True)
    return Line(words)


def rows_of(lines: Sequence[Line]) -> list[list[Line]]:
    """Return lines that share a baseline together, from left to right, the rows from top to bottom."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda one: (one.baseline, one.x0)):
        if rows and abs(line.baseline - rows[-1][-1].baseline) <= 0.2 * max(line.size, 6.0):
            rows[-1].append(line)
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=lambda one: one.x0)
    return rows


def merged_line(row: Sequence[Line]) -> Line:
    """Return the lines of a row as one."""
    return row[0] if len(row) == 1 else Line([word for line in row for word in line.words])


def _shifted(word: Word, current: list[Word], offset: float, size: float, gap: float) -> Word | None:
    """Return a raised or lowered word as it is to be written behind the current ones; itself where those are raised."""
    if word.is_glued and abs(offset) < 0.35 * size and word.style.size > 0.6 * size:
        return word  # the E of TeX
    # Some producers raise a mark without making it smaller.
    is_close = len(word.text) <= 3 and abs(gap) <= 0.1 * size and word.style.size <= size
    if word.style.size <= 0.86 * size or (is_close and 0.2 * size < abs(offset) < 0.6 * size):
        if -0.8 * size < offset < -0.1 * size:
            return replace(word, text=_marked(word.text, current[-1].text), is_glued=True)
        if 0.05 * size < offset < 0.6 * size:
            return replace(word, is_glued=True)
    elif size <= 0.86 * word.style.size and len(current) == 1 and 0.1 < offset / word.style.size < 0.8:
        return word
    return None


def _marked(text: str, before: str) -> str:
    """Return a raised number as a reference ("[3]") behind a word or before a note, else as an exponent ("^2")."""
    if before[-2:] in ("^-", "^−"):
        return text
    is_factor = before[-1:].isdigit() or (before.isalpha() and len(before) <= 2 and before not in ("I", "a"))
    is_factor = is_factor or (before[-1:] == ")" and len(before) <= 8)
    if _MARK.match(text):
        return f"^{text}" if is_factor else f"[{text}]"
    return f"^{text}" if before and (text in "-−" or (is_factor and text in "nxkm")) else text


def _merged(lines: list[Line]) -> list[Line]:
    """Join neighbours on a baseline that were drawn apart."""
    merged: list[Line] = []
    for row in rows_of(lines):
        current = [row[0]]
        for line in row[1:]:
            em = max(line.size, current[-1].size)
            gap = line.x0 - max(one.x1 for one in current)
            if -0.3 * em <= gap <= _JOINING_GAP * em:
                current.append(line)
            else:
                merged.append(_tidied(current))
                current = [line]
        merged.append(_tidied(current))
    return merged


def _tidied(parts: list[Line]) -> Line:
    words = [word for line in parts for word in line.words]
    n_single = sum(len(word.text) == 1 and word.text.isalnum() and not is_cjk(word.text) for word in words)
    if n_single >= 4 and n_single >= 0.8 * len(words):
        return Line(_closed_up(words))
    return parts[0] if len(parts) == 1 else Line(words)


def _closed_up(words: list[Word]) -> list[Word]:
    """Return letters that are spaced apart as words: wider gaps than most are the blanks."""
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(words)]
    usual = median(gaps)
    if max(gaps) < 1.4 * usual and not all(word.text.isalpha() for word in words):
        return words  # numbers or marks in a row, not the letters of a word
    limit = max(1.6 * usual, usual + 0.15 * words[0].style.size)
    return [
        words[0],
        *(replace(word, is_glued=gap <= limit) for word, gap in zip(words[1:], gaps, strict=True)),
    ]


def _line_text(words: list[Word]) -> str:
    plain = "".join(word.text for word in words)
    if not plain.isascii() and _RTL.search(plain):
        words = _reading_order(words)
        plain = ""
    parts = [words[0].text]
    before = words[0]
    for word in words[1:]:
        gap = word.x0 - before.x1 if word.x0 >= before.x0 else before.x0 - word.x1
        is_close = gap < _GLUE_GAP * word.style.size
        if not (word.is_glued and gap < 0.5 * word.style.size + 1) and not (
            is_close and gap > -1 and _is_part(before, word)
        ):
            parts.append(" ")
        parts.append(word.text)
        before = word
    text = "".join(parts)
    return (
        _LEADERS.sub(" … ", text).strip()
        if "." in text or "…" in text or "_" in text or "·" in text
        else text
    )


def _is_part(before: Word, word: Word) -> bool:
    """Whether a word that follows closely belongs to the one before: both were drawn apart, in different styles."""
    return before.style is not word.style or (is_cjk(before.text[-1]) and is_cjk(word.text[0]))


def _reading_order(words: list[Word]) -> list[Word]:
    """Return the words of a line as they are read: from right to left where most of them are of such a script."""
    text = "".join(word.text for word in words)
    if 2 * len(_RTL.findall(text)) < len(_LTR.findall(text)):
        return _turned_runs(words, is_rtl=True)
    ordered = sorted(words, key=lambda word: -word.x1)
    return _turned_runs(ordered, is_rtl=False)


def _turned_runs(words: list[Word], *, is_rtl: bool) -> list[Word]:
    """Return the words with every run of the given direction turned round."""
    out: list[Word] = []
    run: list[Word] = []
    for word in words:
        if bool(_RTL.search(word.text)) == is_rtl and (is_rtl or _LTR.search(word.text)):
            run.append(word)
            continue
        out.extend(reversed(run))
        run = []
        out.append(word)
    out.extend(reversed(run))
    return out
