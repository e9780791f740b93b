"""What a page shows without being understood: units between candidate breaks, and the visible form of each
line.

A unit is a stretch after which a chunk may end: a sentence, or a line of one, and a piece of either where it
is too long. Units tile the text. `surface_features` describes each for the trained heads, `markup` reads
what is explicitly marked (fences, list items, table rows, heading levels), and `rule_predictions` is the
untrained baseline the heads are measured against.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from prep.document import ROLES, Floats
from prep.text import split_lines, split_sentences

__all__ = [
    "BOUNDARY_LEVELS",
    "FEATURES",
    "MAX_HEADING_CHARACTERS",
    "MAX_UNIT_CHARACTERS",
    "Markup",
    "Predictions",
    "Unit",
    "heading_text",
    "markup",
    "read_units",
    "rule_predictions",
    "surface_features",
]

# What ends after a unit: nothing, a sentence, a paragraph (or list, table, code block), a section or topic.
BOUNDARY_LEVELS = ("none", "sentence", "paragraph", "section")

# A unit that covers more characters than this is cut, whatever the tokenizer makes of it.
MAX_UNIT_CHARACTERS = 1000
MAX_HEADING_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Unit:
    """Text [start, end) within one line (`line` counts lines that are not blank), trailing blanks included.

    first, last: it opens or closes its line. sentence: a sentence ends with it. blanks: blank lines after it.
    forced: its end is a cut inside a sentence, made because it was too long.
    """

    start: int
    end: int
    line: int
    first: bool
    last: bool
    sentence: bool
    blanks: int
    forced: bool


@dataclass(frozen=True, slots=True)
class Predictions:
    """Per unit: boundary (n, 4) and role (n, 8) probabilities and heading level (n, 3) probabilities."""

    boundary: Floats
    role: Floats
    level: Floats


def read_units(
    text: str,
    max_unit_tokens: int,
    count_tokens: Callable[[Sequence[str]], Sequence[int]],
    token_offsets: Callable[[str], Sequence[tuple[int, int]]],
    max_unit_characters: int = MAX_UNIT_CHARACTERS,
) -> list[Unit]:
    """Cut `text` into units that tile it, each at most `max_unit_tokens` long as far as tokens can be told
    apart.

    Blank stretches belong to the unit before them (to the first unit at the beginning). Empty for an empty
    text.
    """
    sentence_ends = {end for _, end in split_sentences(text)}
    units: list[Unit] = []
    line_number = -1
    pending_start: int | None = None
    for line_start, line_end in split_lines(text):
        if not text[line_start:line_end].strip():
            if units:
                last = units[-1]
                units[-1] = Unit(
                    last.start,
                    line_end,
                    last.line,
                    last.first,
                    last.last,
                    last.sentence or line_end in sentence_ends,
                    last.blanks + 1,
                    last.forced,
                )
            elif pending_start is None:
                pending_start = line_start
            continue
        line_number += 1
        cuts = _sentence_cuts(text, line_start, line_end)
        start = line_start if pending_start is None else pending_start
        pending_start = None
        for i, cut in enumerate(cuts):
            last_in_line = i == len(cuts) - 1
            ends_sentence = not last_in_line or cut in sentence_ends
            units.append(Unit(start, cut, line_number, i == 0, last_in_line, ends_sentence, 0, False))
            start = cut
    if not units:
        return _cut_blank(text, max_unit_characters)
    counts = count_tokens([text[unit.start : unit.end] for unit in units])
    if max(counts) <= max_unit_tokens and all(u.end - u.start <= max_unit_characters for u in units):
        return units
    fitting: list[Unit] = []
    for unit, n_tokens in zip(units, counts, strict=True):
        if n_tokens <= max_unit_tokens and unit.end - unit.start <= max_unit_characters:
            fitting.append(unit)
        else:
            fitting.extend(_cut_long(text, unit, max_unit_tokens, max_unit_characters, token_offsets))
    return fitting


def _sentence_cuts(text: str, start: int, end: int) -> list[int]:
    """Ends of the sentences of a line, the last one being the line's."""
    cuts = [right for _, right in split_sentences(text, start, end)]
    return cuts or [end]


def _cut_blank(text: str, max_characters: int) -> list[Unit]:
    edges = [*range(0, len(text), max_characters), len(text)]
    return [
        Unit(left, right, 0, left == 0, right == len(text), right == len(text), 0, right < len(text))
        for left, right in pairwise(edges)
        if left < right
    ]


def _cut_long(
    text: str,
    unit: Unit,
    max_tokens: int,
    max_characters: int,
    token_offsets: Callable[[str], Sequence[tuple[int, int]]],
) -> list[Unit]:
    """Cut one unit at token boundaries, at blanks where one is near."""
    offsets = [span for span in token_offsets(text[unit.start : unit.end]) if span[1] > span[0]]
    edges = [unit.start]
    first = 0
    while len(offsets) - first > max_tokens:
        at = first + max_tokens
        floor = first + max_tokens // 2
        while at > floor and offsets[at][0] == offsets[at - 1][1]:
            at -= 1
        if at == floor:
            at = first + max_tokens
        cut = unit.start + offsets[at][0]
        if cut <= edges[-1]:  # several tokens of one character: nothing to cut between
            first = at
            continue
        edges.append(cut)
        first = at
    edges.append(unit.end)
    fine: list[int] = []
    for left, right in pairwise(edges):
        fine.extend(range(left, right, max_characters))
    fine.append(unit.end)
    pieces: list[Unit] = []
    for i, (left, right) in enumerate(pairwise(fine)):
        final = i == len(fine) - 2
        pieces.append(
            Unit(
                left,
                right,
                unit.line,
                unit.first and i == 0,
                unit.last and final,
                unit.sentence and final,
                unit.blanks if final else 0,
                unit.forced or not final,
            )
        )
    return pieces


# ---- explicit markup

_FENCE = re.compile(r"[ \t]*(?:[-*+>][ \t]+|\d{1,3}[.)][ \t]+)?(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_WIKI = re.compile(r"\s*((?:=\s?){1,6})([^=].*?)((?:\s?=){1,6})\s*$")
_UNDERLINE = re.compile(r"\s*([=\-~^\"'`*+#:._])\1{2,}\s*$")
_ITEM = re.compile(r"([ \t]*)((?:[-*+•·–▪◦‣]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|#\.)[ \t]+)(?=\S)")
_NUMBERED = re.compile(
    r"\s*(?:(?:chapter|section|part|article|appendix)\s+)?(\d{1,3}(?:\.\d{1,3})*)[.):]?\s+\S", re.I
)
_ROW = re.compile(r"\s*(?:\||\+[-=]{2,})|[^|\n]+\|[^|\n]+\||.*\t.*\t")
_COLUMNS = re.compile(r"\S(?: {2,}|\t)\S")
_URL = re.compile(r"https?://\S+|www\.\S+")
_DIRECTIVE = re.compile(r"\s*\.\. |\s*:[\w-]+:|\s*</?[a-zA-Z!][^>]*>|\s*\[[^\]]+\]:\s")
_SPEAKER = re.compile(r"\s*[A-Z][\w .'-]{0,30}:\s")
_PAGE = re.compile(r"[\s\-–|]*(?:page|p\.)?\s*\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?[\s\-–|.]*$", re.I)
_MENU = re.compile(
    r"cookie|subscribe|newsletter|sign (?:in|up)|log ?in|share (?:this|on)|copyright|©|all rights reserved|"
    r"privacy policy|terms of (?:use|service)|skip to|previous|next page|back to top|menu|search|follow us|"
    r"advertis|related (?:articles|posts)|table of contents|edit this page|print|download pdf|confidential",
    re.I,
)
_REFERENCE = re.compile(
    r"\s*(?:\[\d+\]|\[\^?[\w-]+\]:|\.\. \[|\.\. _|\^|\d{1,3}\. [A-Z][\w-]+, [A-Z]\.|doi:|ISBN|arXiv:|"
    r"retrieved (?:on )?\d|pp?\. ?\d)",
    re.I,
)
_CODE_MARKS = frozenset("{}()[];=<>_\\$#@&|/*")
_DIGITS = re.compile(r"\d+")
_LINE_END = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Markup:
    """What is explicitly marked, per line that is not blank.

    fenced: inside a code fence or literal block, its marks included. heading: explicit level (1..6), 0 where
    none. row: a table row. underline: only the underline of a heading. item: opens a list item. keep: spans
    of units (first, last exclusive) that should not be cut while they fit.
    """

    fenced: list[bool]
    heading: list[int]
    row: list[bool]
    underline: list[bool]
    item: list[bool]
    keep: list[tuple[int, int]]


def markup(text: str, units: Sequence[Unit]) -> Markup:
    """Read explicit markup: fences, literal blocks, Markdown, reST and wiki headings, list items, rows."""
    lines, first_unit, blanks = _lines(text, units)
    n_lines = len(lines)
    fenced = [False] * n_lines
    heading = [0] * n_lines
    row = [False] * n_lines
    underline = [False] * n_lines
    item = [False] * n_lines
    blocks: list[tuple[int, int]] = []
    indents = [len(line) - len(line.lstrip()) for line in lines]

    i = 0
    while i < n_lines:
        fence = _FENCE.match(lines[i])
        if fence:
            stop = i + 1
            while stop < n_lines and not _closes(lines[stop], fence.group(1)):
                stop += 1
            if stop < n_lines:
                for j in range(i, stop + 1):
                    fenced[j] = True
                blocks.append((i, stop + 1))
                i = stop + 1
                continue
        if lines[i].rstrip().endswith("::") and blanks[i] and not lines[i].startswith("#"):
            stop = i + 1
            while stop < n_lines and indents[stop] > indents[i]:
                fenced[stop] = True
                stop += 1
            if stop > i + 1:
                blocks.append((i + 1, stop))
                i = stop
                continue
        i += 1

    styles: list[str] = []
    for i, line in enumerate(lines):
        if fenced[i]:
            continue
        if atx := _ATX.match(line):
            heading[i] = len(atx.group(1))
        elif _is_underlined(lines, fenced, blanks, i):
            mark = lines[i + 1].strip()[0]
            style = mark + ("^" if i > 0 and _same_rule(lines[i - 1], lines[i + 1]) else "")
            if style not in styles:
                styles.append(style)
            heading[i] = min(styles.index(style) + 1, 6)
            underline[i + 1] = True
            if style.endswith("^"):
                underline[i - 1] = True
        elif len(line) < MAX_HEADING_CHARACTERS and (wiki := _WIKI.match(line)):
            heading[i] = min(wiki.group(1).count("="), wiki.group(3).count("="))
        row[i] = bool(_ROW.match(line)) and heading[i] == 0
        item[i] = heading[i] == 0 and not row[i] and bool(_ITEM.match(line))

    blocks.extend(_items(lines, item, heading, fenced, blanks, indents))
    blocks.extend((i, i + 1) for i in range(n_lines) if row[i])
    edges = [*first_unit, len(units)]
    keep = [(edges[a], edges[b]) for a, b in blocks if edges[b] - edges[a] > 1]
    keep.extend(  # a heading and its underline are one thing
        (edges[i], edges[i + 2]) for i in range(n_lines - 1) if heading[i] and underline[i + 1]
    )
    return Markup(fenced, heading, row, underline, item, keep)


def heading_text(line: str) -> str:
    """Return a heading line without its marks, numbers kept, blanks collapsed."""
    stripped = line.strip()[: 2 * MAX_HEADING_CHARACTERS]
    if wiki := _WIKI.match(stripped):
        stripped = wiki.group(2)
    elif atx := _ATX.match(stripped):
        stripped = stripped[atx.end() :].rstrip("#")
    stripped = re.sub(r"\{#[\w-]+\}\s*$|<a [^>]*>\s*</a>", "", stripped)
    stripped = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", stripped)
    stripped = re.sub(r"(`+|\*\*|__)(.+?)\1", r"\2", stripped).strip()
    return " ".join(stripped.split())


def _lines(text: str, units: Sequence[Unit]) -> tuple[list[str], list[int], list[int]]:
    """Lines that are not blank (without line ends), the first unit of each, blank lines after each."""
    lines: list[str] = []
    first_unit: list[int] = []
    blanks: list[int] = []
    start = 0
    for number, unit in enumerate(units):
        if unit.first:
            first_unit.append(number)
            start = unit.start
        if unit.last:
            lines.append(_LINE_END.split(text[start : unit.end].strip("\r\n"), maxsplit=1)[0].rstrip())
            if not lines[-1]:  # leading blank lines before the first line
                lines[-1] = text[start : unit.end].strip()
            blanks.append(unit.blanks)
    return lines, first_unit, blanks


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def _same_rule(above: str, below: str) -> bool:
    return bool(_UNDERLINE.match(above)) and above.strip()[0] == below.strip()[0]


def _is_underlined(lines: list[str], fenced: list[bool], blanks: list[int], i: int) -> bool:
    if i + 1 >= len(lines) or fenced[i + 1] or blanks[i]:
        return False
    rule = _UNDERLINE.match(lines[i + 1])
    text = lines[i].strip()
    if not rule or _UNDERLINE.match(lines[i]) or _ROW.match(lines[i]):
        return False
    if i > 0 and not blanks[i - 1] and not _same_rule(lines[i - 1], lines[i + 1]):
        return False  # the last line of a paragraph over a rule
    return len(text) <= MAX_HEADING_CHARACTERS and len(lines[i + 1].strip()) >= 0.6 * len(text)


def _items(
    lines: list[str],
    item: list[bool],
    heading: list[int],
    fenced: list[bool],
    blanks: list[int],
    indents: list[int],
) -> list[tuple[int, int]]:
    """Every list item with its continuation and nested items, as line ranges; one pass with a stack."""
    spans: list[tuple[int, int]] = []
    open_items: list[tuple[int, int]] = []  # (line, indent of its content)
    for i in range(len(lines)):
        marker = _ITEM.match(lines[i]) if item[i] else None
        after_blank = i == 0 or blanks[i - 1] > 0
        lazy = not after_blank and marker is None and not heading[i] and not fenced[i]
        while open_items:
            start, content = open_items[-1]
            if indents[i] >= content or (lazy and i > 0):
                break
            spans.append((start, i))
            open_items.pop()
        if marker is not None:
            open_items.append((i, len(marker.group(0))))
    spans.extend((start, len(lines)) for start, _ in open_items)
    return spans


# ---- surface features

FEATURES = (
    "indent",
    "length",
    "uppercase",
    "digits",
    "punctuation",
    "code_marks",
    "starts_upper",
    "starts_lower",
    "ends_sentence_mark",
    "ends_colon",
    "ends_comma_or_hyphen",
    "bullet",
    "fenced",
    "heading_mark",
    "heading_level",
    "row",
    "columns",
    "underline",
    "numbered",
    "numbering_depth",
    "url",
    "directive",
    "speaker",
    "page_number",
    "menu_words",
    "reference",
    "title_case",
    "few_words",
    "is_title",
    "blanks_before",
    "blanks_after",
    "length_to_previous",
    "length_to_median",
    "repeats",
    "all_upper",
    "next_starts_lower",
    "unit_first",
    "unit_last",
    "unit_sentence",
    "unit_blanks",
    "unit_forced",
    "unit_length",
    "position",
    "one_line",
    "keep_inside",
)


def surface_features(text: str, units: Sequence[Unit], marks: Markup, title: str = "") -> Floats:
    """Describe every unit by the look of its line and of itself: float32 (n, len(FEATURES)), about 0..1."""
    lines, _, blanks = _lines(text, units)
    n_lines = len(lines)
    keys = [_DIGITS.sub("0", line.strip().lower()) for line in lines]
    repeats = Counter(key for key in keys if key)
    lengths = [len(line) for line in lines]
    median = max(sorted(lengths)[n_lines // 2], 1) if n_lines else 1
    plain_title = _plain(title)
    rows = np.zeros((n_lines, 36), dtype=np.float32)
    for i, line in enumerate(lines):
        stripped = line.strip()
        n = max(len(stripped), 1)
        words = stripped.split()
        upper = sum(map(str.isupper, stripped))
        alpha = sum(map(str.isalpha, stripped))
        digits = sum(map(str.isdigit, stripped))
        blank = len(words) - 1
        code = sum(c in _CODE_MARKS for c in stripped)
        numbered = _NUMBERED.match(line)
        first = next((c for c in stripped if c.isalnum()), "")
        last = stripped[-1:] or " "
        following = lines[i + 1].lstrip()[:1] if i + 1 < n_lines else ""
        longish = [word for word in words if len(word) > 3]
        previous = lengths[i - 1] if i else median
        rows[i] = (
            min(len(line) - len(line.lstrip()), 16) / 16,
            math.log1p(n) / 7,
            upper / max(alpha, 1),
            digits / n,
            (n - alpha - digits - max(blank, 0)) / n,
            code / n,
            first.isupper(),
            first.islower(),
            last in '.!?。！？؟।…"”»)',
            last in ":：",
            last in ",-;，、",
            marks.item[i],
            marks.fenced[i],
            marks.heading[i] > 0,
            marks.heading[i] / 6,
            marks.row[i],
            min(len(_COLUMNS.findall(stripped)), 4) / 4,
            marks.underline[i],
            numbered is not None,
            (numbered.group(1).count(".") + 1) / 4 if numbered else 0.0,
            min(sum(len(url) for url in _URL.findall(stripped)) / n, 1.0),
            _DIRECTIVE.match(line) is not None,
            _SPEAKER.match(line) is not None,
            _is_page_number(stripped),
            min(len(_MENU.findall(stripped)), 3) / 3 * (1.0 if len(words) < 25 else 0.3),
            _REFERENCE.match(line) is not None,
            sum(word[:1].isupper() for word in longish) / max(len(longish), 1),
            len(words) <= 10,
            bool(plain_title) and _plain(stripped) == plain_title,
            min(blanks[i - 1], 3) / 3 if i else 1.0,
            min(blanks[i], 3) / 3 if i + 1 < n_lines else 1.0,
            min(n / max(previous, 1), 3) / 3,
            min(n / median, 3) / 3,
            min(math.log(max(repeats[keys[i]], 1)), 3) / 3,
            alpha > 1 and upper == alpha,
            following.islower(),
        )
    features = np.zeros((len(units), len(FEATURES)), dtype=np.float32)
    if not units:
        return features
    features[:, :36] = rows[np.minimum([unit.line for unit in units], max(n_lines - 1, 0))]
    inside = np.zeros(len(units), dtype=np.float32)
    for first_unit, end_unit in marks.keep:
        inside[first_unit : end_unit - 1] = 1.0
    size = max(len(text), 1)
    features[:, 36:] = [
        (
            unit.first,
            unit.last,
            unit.sentence,
            min(unit.blanks, 3) / 3,
            unit.forced,
            math.log1p(unit.end - unit.start) / 7,
            unit.start / size,
            n_lines <= 2,
            inside[i],
        )
        for i, unit in enumerate(units)
    ]
    return features


def _is_page_number(stripped: str) -> bool:
    return len(stripped) <= 40 and _PAGE.match(stripped) is not None


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


# ---- the baseline


def rule_predictions(text: str, units: Sequence[Unit], marks: Markup, title: str = "") -> Predictions:
    """Predict boundaries, roles and levels by rules alone: markup, blank lines, short lines between them."""
    lines, _, blanks = _lines(text, units)
    plain_title = _plain(title)
    roles: list[str] = []
    levels: list[int] = []
    for i, line in enumerate(lines):
        words = line.split()
        alone = (i == 0 or blanks[i - 1] > 0) and blanks[i] > 0
        last = line[-1:] or " "
        short = len(words) <= 10 and last not in ".!?,;:。！？" and line.strip()[:1].isupper()
        level = marks.heading[i] or 1
        if marks.fenced[i]:
            role = "code"
        elif marks.heading[i] or marks.underline[i]:
            same = _plain(heading_text(line)) == plain_title
            role = "title" if (same or (marks.heading[i] == 1 and i == 0)) else "heading"
        elif _is_page_number(line.strip()) or (len(words) < 12 and len(_MENU.findall(line)) >= 2):
            role = "boilerplate"
        elif marks.row[i]:
            role = "table"
        elif marks.item[i]:
            role = "list"
        elif _REFERENCE.match(line):
            role = "reference"
        elif i == 0 and short:
            role = "title"
        elif alone and short:
            role = "heading"
        else:
            role = "text"
        roles.append(role)
        levels.append(level)
    n = len(units)
    boundary = np.full((n, 4), 0.03, dtype=np.float32)
    role_p = np.full((n, len(ROLES)), 0.02, dtype=np.float32)
    level_p = np.full((n, 3), 0.1, dtype=np.float32)
    for i, unit in enumerate(units):
        name = roles[unit.line] if roles else "boilerplate"
        role_p[i, ROLES.index(name)] = 1.0
        level_p[i, min(levels[unit.line], 3) - 1 if levels else 0] = 1.0
        following = roles[unit.line + 1] if unit.last and unit.line + 1 < len(roles) else ""
        if unit.last and name in ("heading", "title"):
            kind = 0
        elif unit.last and following in ("heading", "title"):
            kind = 3
        elif (unit.blanks and name != "code") or (unit.last and following and following != name):
            kind = 2
        elif unit.sentence or (unit.last and name in ("list", "table")):
            kind = 1
        else:
            kind = 0
        boundary[i, kind] = 1.0
    boundary /= boundary.sum(1, keepdims=True)
    role_p /= role_p.sum(1, keepdims=True)
    level_p /= level_p.sum(1, keepdims=True)
    return Predictions(boundary, role_p, level_p)
