"""Surface features of each line, and the rule baseline that predicts structure from them.

`surface_features` are inputs of the trained heads. `rule_predictions` is the baseline that the heads are compared with.
Units are made by `prep.model.units`, explicit marks are read by `prep.model.markup`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prep.document import ROLES, Floats, Role
from prep.model.markup import Markup, heading_text, unit_lines
from prep.model.units import Unit

__all__ = ["BOUNDARY_LEVELS", "FEATURES", "Predictions", "rule_predictions", "surface_features"]

# The boundary after a unit; a paragraph may be a list, a table or a code block, a section a topic.
BOUNDARY_LEVELS = ("none", "sentence", "paragraph", "section")

_NUMBERED = re.compile(
    r"\s*(?:(?:chapter|section|part|article|appendix)\s+)?(\d{1,3}(?:\.\d{1,3})*)[.):]?\s+\S", re.I
)
_COLUMNS = re.compile(r"\S(?: {2,}|\t)\S")
_URL = re.compile(r"https?://\S+|www\.\S+")
_DIRECTIVE = re.compile(r"\s*\.\. |\s*:[\w-]+:|\s*</?[a-zA-Z!][^>]*>|\s*\[[^\]]+\]:\s")
_SPEAKER = re.compile(r"\s*[A-Z][\w .'-]{0,30}:\s")
_PAGE = re.compile(r"[\s\-–|]*(?:page|p\.)?\s*\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?[\s\-–|.]*$", re.I)
_MENU = re.compile(  # of text in lower case
    r"cookie|subscribe|newsletter|sign (?:in|up)|log ?in|share (?:this|on)|copyright|©|all rights reserved|"
    r"privacy policy|terms of (?:use|service)|skip to|previous|next page|back to top|menu|search|follow us|"
    r"advertis|related (?:articles|posts)|table of contents|edit this page|print|download pdf|confidential"
)
_REFERENCE = re.compile(
    r"\s*(?:\[\d+\]|\[\^?[\w-]+\]:|\.\. \[|\.\. _|\^|\d{1,3}\. [A-Z][\w-]+, [A-Z]\.|doi:|ISBN|arXiv:|"
    r"retrieved (?:on )?\d|pp?\. ?\d)",
    re.I,
)
_CODE_MARKS = frozenset("{}()[];=<>_\\$#@&|/*")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Probabilities per unit, float32: boundary (n, 4), role (n, 8) and heading level (n, 3)."""

    boundary: Floats
    role: Floats
    level: Floats


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
    """Return the features of every unit and its line, (n, len(FEATURES)) float32, mostly in 0..1."""
    lines, _, blanks = unit_lines(text, units)
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
        code = sum(map(stripped.count, _CODE_MARKS))
        numbered = _NUMBERED.match(line)
        first = next((c for c in stripped if c.isalnum()), "")
        last = stripped[-1:] or " "
        following = lines[i + 1].lstrip()[:1] if i + 1 < n_lines else ""
        longish = [word for word in words if len(word) > 3]
        previous = lengths[i - 1] if i else median
        rows[i] = (
            min(len(line) - len(line.lstrip()), 16) / 16,
            math.log1p(n) / 7,
            min(upper / max(alpha, 1), 1.0),  # some signs are upper case and no letters
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
            min(len(_MENU.findall(stripped.lower())), 3) / 3 * (1.0 if len(words) < 25 else 0.3),
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


def rule_predictions(text: str, units: Sequence[Unit], marks: Markup, title: str = "") -> Predictions:
    """Return boundaries, roles and levels by rules: markup, blank lines, and short lines between blank lines."""
    lines, _, blanks = unit_lines(text, units)
    roles, levels = _rule_roles(lines, blanks, marks, _plain(title))
    n = len(units)
    boundary = np.full((n, 4), 0.03, dtype=np.float32)
    role_p = np.full((n, len(ROLES)), 0.02, dtype=np.float32)
    level_p = np.full((n, 3), 0.1, dtype=np.float32)
    for i, unit in enumerate(units):
        name: Role = roles[unit.line] if roles else "boilerplate"
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


def _rule_roles(
    lines: Sequence[str], blanks: Sequence[int], marks: Markup, plain_title: str
) -> tuple[list[Role], list[int]]:
    """Return role and heading level of each line by rules."""
    roles: list[Role] = []
    levels: list[int] = []
    for i, line in enumerate(lines):
        words = line.split()
        alone = (i == 0 or blanks[i - 1] > 0) and blanks[i] > 0
        last = line[-1:] or " "
        short = len(words) <= 10 and last not in ".!?,;:。！？" and line.strip()[:1].isupper()
        level = marks.heading[i] or 1
        if marks.fenced[i]:
            role: Role = "code"
        elif marks.heading[i] or marks.underline[i]:
            same = _plain(heading_text(line)) == plain_title
            role = "title" if (same or (marks.heading[i] == 1 and i == 0)) else "heading"
        elif _is_page_number(line.strip()) or (len(words) < 12 and len(_MENU.findall(line.lower())) >= 2):
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
    return roles, levels
