"""The content of one PDF page through PDFium: words with their places and fonts, ruled lines, pictures.

Lengths are points, measured from the top left corner of the page as it is shown, rotation included. Words that run in
another direction than most of the page's are kept apart, by their direction.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pypdfium2.raw as pdfium

__all__ = ["Frame", "PageContent", "Rule", "TextStyle", "Word", "read_content"]

# Beyond these a page is a drawing or an attack; its text is still read, without its ruled lines.
_MAX_OBJECTS = 20_000
_MAX_SEGMENTS = 20_000
_MAX_CHARACTERS = 1_000_000
_MAX_FORM_DEPTH = 6
_RULE_WIDTH = 3.0
_TOKEN = re.compile(r"[^\s\x00\ufffe\x02]+[\ufffe\x02]?|[\ufffe\x02]")
_FOLDED = re.compile(r"[\ufb00-\ufb06\ufb1d-\ufdff\ufe70-\ufefc]")
_UNMAPPED = re.compile(r"[\ufffd\ue000-\uefff\U000f0000-\U0010fffd]")
_MONO_NAME = re.compile(
    r"courier|mono|consol|typewriter|menlo|inconsolata|cmtt|sftt|ectt|lmtt|fixed|terminal", re.I
)
_BOLD_NAME = re.compile(r"bold|black|heavy|demi|cmbx|sfbx|ecbx|[-,]bd\b", re.I)
_ITALIC_NAME = re.compile(r"italic|oblique|cmti|cmsl|[-,]it\b", re.I)
_SYMBOL_NAME = re.compile(r"symbol|dingbat|wingding|webding|zapf|cmsy|bullet", re.I)
# Bullets of symbol fonts: what they show, by code.
_SYMBOLS = {"\uf0b7": "•", "\uf0a7": "▪", "\uf0d8": "➢", "\uf0fc": "✓", "\uf0a8": "☐", "\uf0fe": "☒", "\uf076": "❖",
            "\uf06c": "●", "\uf06e": "■", "\uf0e0": "→", "\uf02d": "-"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a word is printed. size: points, as shown."""

    size: float
    is_bold: bool = False
    is_italic: bool = False
    is_mono: bool = False


@dataclass(slots=True)
class Word:
    """Characters without a blank between them, or the value of a form's field. baseline: measured downwards."""

    text: str
    x0: float
    x1: float
    baseline: float
    style: TextStyle
    is_glued: bool = False  # no blank parts it from the word before
    field_name: str | None = None  # of a form's field, whose value the text is

    @property
    def size(self) -> float:
        return self.style.size


@dataclass(frozen=True, slots=True)
class Rule:
    """A ruled line or an edge of a box, horizontal or vertical."""

    x0: float
    top: float
    x1: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Frame:
    """How the user space of a page maps to the page as it is shown."""

    left: float
    bottom: float
    right: float
    top: float
    n_turns: int  # clockwise quarter turns

    @property
    def width(self) -> float:
        return self.top - self.bottom if self.n_turns % 2 else self.right - self.left

    @property
    def height(self) -> float:
        return self.right - self.left if self.n_turns % 2 else self.top - self.bottom

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of user space as (from the left, from the top)."""
        if self.n_turns == 0:
            return x - self.left, self.top - y
        if self.n_turns == 1:
            return y - self.bottom, x - self.left
        if self.n_turns == 2:
            return self.right - x, y - self.bottom
        return self.top - y, self.right - x

    def box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """Return a rectangle of user space as (left, top, right, bottom)."""
        a, b = self.point(x0, y0), self.point(x1, y1)
        return min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])


@dataclass(slots=True)
class PageContent:
    """One page. frame: turned so that most of its text runs from left to right.

    sideways: words of other directions, each direction in an upright frame of its own. picture_share: the largest part
    of the page that a picture covers, 0 to 1. n_unmapped: characters that the file does not map to any letter.
    n_outside, n_beyond: characters outside the page, and after the most that are read of one.
    """

    frame: Frame
    words: list[Word] = field(default_factory=list)
    sideways: list[list[Word]] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    picture_share: float = 0.0
    n_characters: int = 0
    n_unmapped: int = 0
    n_outside: int = 0
    n_beyond: int = 0


@dataclass(frozen=True, slots=True)
class _TextRun:
    """What the words of one text object share."""

    style: TextStyle
    direction: float  # degrees, anticlockwise in user space
    is_symbol: bool


def read_content(page: Any) -> PageContent:
    """Return the content of a loaded page, the values of its form left to others."""
    frame = _frame(page)
    text_page = pdfium.FPDFText_LoadPage(page)
    if not text_page:
        return PageContent(frame)
    try:
        reader = _WordReader(text_page, frame)
        content = reader.read()
    finally:
        pdfium.FPDFText_ClosePage(text_page)
    _read_drawing(page, content)
    return content


def _frame(page: Any) -> Frame:
    box = pdfium.FS_RECTF()
    if pdfium.FPDF_GetPageBoundingBox(page, box) and box.right > box.left and box.top > box.bottom:
        edges = (box.left, box.bottom, box.right, box.top)
    else:
        edges = (0.0, 0.0, 612.0, 792.0)
    return Frame(*edges, pdfium.FPDFPage_GetRotation(page) % 4)


class _WordReader:
    """Reads the words of a page. Boxes are asked for by word, not by character: that is most of the cost."""

    def __init__(self, text_page: Any, frame: Frame) -> None:
        self._page = text_page
        self._frame = frame
        self._runs: dict[int, _TextRun] = {}
        self._fonts: dict[int, tuple[str, int, int]] = {}
        self._rect = pdfium.FS_RECTF()
        self._x, self._y = ctypes.c_double(), ctypes.c_double()

    def read(self) -> PageContent:
        n_characters: int = pdfium.FPDFText_CountChars(self._page)
        content = PageContent(self._frame, n_beyond=max(n_characters - _MAX_CHARACTERS, 0))
        n_characters = min(n_characters, _MAX_CHARACTERS)
        if n_characters <= 0:
            return content
        text = self._text(n_characters)
        directions: dict[int, list[Word]] = {}
        weights: Counter[int] = Counter()
        count_rects, has_map_error = pdfium.FPDFText_CountRects, pdfium.FPDFText_HasUnicodeMapError
        for found in _TOKEN.finditer(text):
            start, end = found.span()
            if end - start == 1 or count_rects(self._page, start, end - start) == 1:
                pieces = [(start, end, self._run(start))]
            else:
                pieces = self._pieces(start, end)
            if has_map_error(self._page, start) == 1:
                content.n_unmapped += end - start
            n_glued = 0
            for first, last, run in pieces:
                shown = text[first:last]
                # Text at another angle than a multiple of 90 degrees stands on its own.
                turns = round(run.direction / 90)
                is_skewed = abs(run.direction - 90 * turns) > 5
                direction = 4 if is_skewed else turns % 4
                word = self._word(shown, first, last, run, direction)
                if word is None:
                    content.n_outside += last - first
                    continue
                word.is_glued = n_glued > 0
                n_glued += 1
                directions.setdefault(direction, []).append(word)
                weights[direction] += last - first
                content.n_characters += last - first
        content.n_unmapped += sum(
            len(_UNMAPPED.findall(word.text))
            for words in directions.values()
            for word in words
            if not word.text.isascii()
        )
        if not directions:
            return content
        main = min(weights, key=lambda direction: (-weights[direction], direction))
        main = 0 if main == 4 else main
        content.words = directions.pop(main, [])
        content.sideways = [words for _, words in sorted(directions.items())]
        content.frame = self._turned(main)
        return content

    def _text(self, n_characters: int) -> str:
        """Return the page's text, character by character as PDFium counts them."""
        buffer = (ctypes.c_ushort * (n_characters + 1))()
        n_written = pdfium.FPDFText_GetText(self._page, 0, n_characters, buffer)
        text = bytes(buffer)[: 2 * max(n_written - 1, 0)].decode("utf-16-le", "replace")
        if len(text) == n_characters:
            return text
        codes = (pdfium.FPDFText_GetUnicode(self._page, i) for i in range(n_characters))
        return "".join(
            chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd" for code in codes
        )

    def _pieces(self, start: int, end: int) -> list[tuple[int, int, _TextRun]]:
        """Return parts of a token that are printed alike and on one line."""
        pieces: list[tuple[int, int, _TextRun]] = []
        baseline = 0.0
        for i in range(start, end):
            run = self._run(i)
            self._origin(i)
            height = self._y.value if abs(run.direction) < 45 else self._x.value
            if pieces and pieces[-1][2] == run and abs(height - baseline) < 0.05 * max(run.style.size, 1.0):
                pieces[-1] = (pieces[-1][0], i + 1, run)
            else:
                pieces.append((i, i + 1, run))
                baseline = height
        return pieces

    def _origin(self, index: int) -> None:
        pdfium.FPDFText_GetCharOrigin(self._page, index, self._x, self._y)

    def _word(self, shown: str, first: int, last: int, run: _TextRun, direction: int) -> Word | None:
        """Return the word in an upright frame of its direction, None where it stands outside the page."""
        self._origin(first)
        x, y = self._x.value, self._y.value
        frame = self._frame
        if not (frame.left - 2 <= x <= frame.right + 2 and frame.bottom - 2 <= y <= frame.top + 2):
            return None
        pdfium.FPDFText_GetLooseCharBox(self._page, last - 1, self._rect)
        rect = self._rect
        if direction in (0, 4) and frame.n_turns == 0:
            x0, x1, baseline = x - frame.left, rect.right - frame.left, frame.top - y
            if last - first == 1 and rect.left < x - 0.01:
                x0 = rect.left - frame.left
        else:
            turned = self._turned(direction)
            x0, baseline = turned.point(x, y)
            x1 = turned.box(rect.left, rect.bottom, rect.right, rect.top)[2]
        if x1 < x0:  # written from right to left
            x0, x1 = x1, x0
            if direction == 0:
                pdfium.FPDFText_GetLooseCharBox(self._page, first, self._rect)
                box = self._turned(0).box(rect.left, rect.bottom, rect.right, rect.top)
                x1 = max(x1, box[2])
                pdfium.FPDFText_GetLooseCharBox(self._page, last - 1, self._rect)
                x0 = min(x0, self._turned(0).box(rect.left, rect.bottom, rect.right, rect.top)[0])
        return Word(_cleaned(shown, run.is_symbol), x0, x1, baseline, run.style)

    def _turned(self, direction: int) -> Frame:
        """Return the frame in which text of a direction, in quarter turns anticlockwise, runs to the right."""
        frame = self._frame
        n_turns = (frame.n_turns + direction) % 4
        return (
            frame if direction % 4 == 0 else Frame(frame.left, frame.bottom, frame.right, frame.top, n_turns)
        )

    def _run(self, index: int) -> _TextRun:
        text_object = pdfium.FPDFText_GetTextObject(self._page, index)
        if not text_object:
            return _NO_RUN
        address = ctypes.addressof(text_object.contents)
        run = self._runs.get(address)
        if run is None:
            run = self._runs[address] = self._read_run(text_object, index)
        return run

    def _read_run(self, text_object: Any, index: int) -> _TextRun:
        matrix = pdfium.FS_MATRIX()
        scale, direction = 1.0, 0.0
        if pdfium.FPDFText_GetMatrix(self._page, index, matrix):
            scale = math.hypot(matrix.c, matrix.d) or 1.0
            direction = math.degrees(math.atan2(matrix.b, matrix.a))
            if direction == 180.0 and matrix.d > 0:  # mirrored, as some producers write from right to left
                direction = 0.0
        if self._frame.n_turns:
            direction -= 90.0 * self._frame.n_turns
        name, flags, weight = self._font(pdfium.FPDFTextObj_GetFont(text_object))
        size = ctypes.c_float()
        pdfium.FPDFTextObj_GetFontSize(text_object, size)
        points = round(min(abs(size.value) * scale, 1000.0), 1)
        return _TextRun(
            TextStyle(
                points if points > 0.1 else 0.1,
                is_bold=weight >= 600 or bool(flags & 1 << 18) or bool(_BOLD_NAME.search(name)),
                is_italic=bool(flags & 1 << 6) or bool(_ITALIC_NAME.search(name)),
                is_mono=bool(flags & 1) or bool(_MONO_NAME.search(name)),
            ),
            direction,
            bool(_SYMBOL_NAME.search(name)),
        )

    def _font(self, font: Any) -> tuple[str, int, int]:
        """Return the name, descriptor flags and weight of a font; flags as ISO 32000-1, table 123."""
        if not font:
            return "", 0, 400
        address = ctypes.addressof(font.contents)
        known = self._fonts.get(address)
        if known is None:
            name = ctypes.create_string_buffer(128)
            size = pdfium.FPDFFont_GetBaseFontName(font, name, len(name))
            plain = name.value.decode("latin-1") if 0 < size <= len(name) else ""
            known = self._fonts[address] = (
                plain.rpartition("+")[2],
                max(pdfium.FPDFFont_GetFlags(font), 0),
                pdfium.FPDFFont_GetWeight(font),
            )
        return known


_NO_RUN = _TextRun(TextStyle(10.0), 0.0, False)


def _cleaned(shown: str, is_symbol: bool) -> str:
    if shown[-1] in "\ufffe\x02":
        shown = shown[:-1] + "-"
    if shown.isascii():
        return shown
    shown = shown.replace("\u2010", "-").replace("\u2011", "-")
    if _FOLDED.search(shown):
        shown = _FOLDED.sub(lambda found: unicodedata.normalize("NFKC", found.group()), shown)
    if "\u00ad" in shown:
        shown = shown[:-1].replace("\u00ad", "") + shown[-1]
    if is_symbol or "\uf000" <= shown[0] <= "\uf0ff":
        shown = "".join(_SYMBOLS.get(character, character) for character in shown)
    return shown


def _read_drawing(page: Any, content: PageContent) -> None:
    """Add the ruled lines and the largest picture of the page."""
    area = max(content.frame.width * content.frame.height, 1.0)
    n_objects = n_segments = 0
    pending: list[tuple[Callable[[int], Any], int, tuple[float, ...], int]] = [
        (lambda i: pdfium.FPDFPage_GetObject(page, i), pdfium.FPDFPage_CountObjects(page), _IDENTITY, 0)
    ]
    get_type = pdfium.FPDFPageObj_GetType
    while pending:
        get, count, outer, depth = pending.pop()
        for i in range(count):
            n_objects += 1
            if n_objects > _MAX_OBJECTS or n_segments > _MAX_SEGMENTS:
                content.rules.clear()  # a part of a drawing is no table
                return
            one = get(i)
            kind = get_type(one)
            if kind == pdfium.FPDF_PAGEOBJ_PATH:
                n_segments += _read_path(one, outer, content)
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                box = _picture_box(one, outer, content.frame)
                content.picture_share = max(content.picture_share, box / area)
            elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _MAX_FORM_DEPTH:
                inner = _times(_matrix(one), outer)
                pending.append((_object_of(one), pdfium.FPDFFormObj_CountObjects(one), inner, depth + 1))
    content.picture_share = min(content.picture_share, 1.0)


_IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


def _object_of(form: Any) -> Callable[[int], Any]:
    return lambda i: pdfium.FPDFFormObj_GetObject(form, i)


def _matrix(one: Any) -> tuple[float, ...]:
    matrix = pdfium.FS_MATRIX()
    if not pdfium.FPDFPageObj_GetMatrix(one, matrix):
        return _IDENTITY
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _times(inner: tuple[float, ...], outer: tuple[float, ...]) -> tuple[float, ...]:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _moved(matrix: tuple[float, ...], x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _picture_box(one: Any, outer: tuple[float, ...], frame: Frame) -> float:
    """Return the area of a picture in square points, as far as it stands on the page."""
    edges = [ctypes.c_float() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetBounds(one, *edges):
        return 0.0
    left, bottom, right, top = (edge.value for edge in edges)
    corners = (_moved(outer, left, bottom), _moved(outer, right, top))
    x0, y0, x1, y1 = frame.box(*corners[0], *corners[1])
    return max(min(x1, frame.width) - max(x0, 0), 0) * max(min(y1, frame.height) - max(y0, 0), 0)


def _read_path(one: Any, outer: tuple[float, ...], content: PageContent) -> int:
    """Add the horizontal and vertical lines of a path; return how many segments it has."""
    count: int = pdfium.FPDFPath_CountSegments(one)
    if count < 2 or count > 2000:
        return max(count, 0)
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDFPath_GetDrawMode(one, fill, stroke)
    if not (fill.value or stroke.value):
        return count
    matrix = _times(_matrix(one), outer)
    x, y = ctypes.c_float(), ctypes.c_float()
    points: list[tuple[float, float]] = []
    outlines: list[list[tuple[float, float]]] = []
    for i in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(one, i)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_BEZIERTO:
            return count  # a curve is a drawing
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            points = []
            outlines.append(points)
        points.append(content.frame.point(*_moved(matrix, x.value, y.value)))
        if pdfium.FPDFPathSegment_GetClose(segment) and points[-1] != points[0]:
            points.append(points[0])
    for points in outlines:
        _add_edges(points, content.rules, is_filled=not stroke.value)
    return count


def _add_edges(points: list[tuple[float, float]], rules: list[Rule], *, is_filled: bool) -> None:
    """Add the edges of an outline; a thin filled box is one line."""
    if len(points) < 2:
        return
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x0, x1, top, bottom = min(xs), max(xs), min(ys), max(ys)
    if len(points) > 2 and (x1 - x0 <= _RULE_WIDTH or bottom - top <= _RULE_WIDTH):
        if bottom - top <= _RULE_WIDTH < x1 - x0:
            middle = (top + bottom) / 2
            rules.append(Rule(x0, middle, x1, middle))
        elif x1 - x0 <= _RULE_WIDTH < bottom - top:
            middle = (x0 + x1) / 2
            rules.append(Rule(middle, top, middle, bottom))
        return
    if is_filled and len(points) == 4:
        points = [*points, points[0]]
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        if abs(ay - by) <= 1 < abs(ax - bx):
            rules.append(Rule(min(ax, bx), (ay + by) / 2, max(ax, bx), (ay + by) / 2))
        elif abs(ax - bx) <= 1 < abs(ay - by):
            rules.append(Rule((ax + bx) / 2, min(ay, by), (ax + bx) / 2, max(ay, by)))
