"""The outline of a document: the role of each line, the headings that enclose each unit, the role of a chunk."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from prep.document import ROLES, Role
from prep.model.line_features import Predictions
from prep.model.markup import MAX_HEADING_CHARACTERS, Markup, heading_text
from prep.model.units import Unit

__all__ = ["heading_paths", "line_roles", "majority_role"]

# Boilerplate is not indexed, and a wrongly classed line cannot be found, so the probability must be high.
SURE_BOILERPLATE = 0.7
# The level of a table's header among the open headings: below every heading.
_TABLE_LEVEL = math.inf


def line_roles(units: Sequence[Unit], predictions: Predictions, marks: Markup, text: str) -> list[Role]:
    """Return the role of every unit, that of its line: the mean over its units, overruled by explicit marks.

    A line of great length is never a heading. Boilerplate needs a probability of SURE_BOILERPLATE.
    """
    n_lines = units[-1].line + 1
    weights = np.array([unit.end - unit.start for unit in units], dtype=np.float64)
    line_of = np.array([unit.line for unit in units])
    totals = np.zeros((n_lines, len(ROLES)))
    np.add.at(totals, line_of, predictions.role * weights[:, None])
    widths = np.bincount(line_of, weights=weights, minlength=n_lines)
    allowed = totals.copy()
    allowed[widths > MAX_HEADING_CHARACTERS * 1.5] *= [r not in ("title", "heading") for r in ROLES]
    junk = ROLES.index("boilerplate")
    allowed[totals[:, junk] < SURE_BOILERPLATE * totals.sum(1), junk] = 0.0
    lines: list[Role] = [ROLES[int(best)] for best in allowed.argmax(1)]
    blank = not text.strip()
    for i in range(n_lines):
        if blank:
            lines[i] = "boilerplate"
        elif i < len(marks.fenced) and marks.fenced[i]:
            lines[i] = "code"
        elif i < len(marks.table) and marks.table[i]:
            lines[i] = "table"
        elif i < len(marks.heading) and (marks.heading[i] or marks.underline[i]):
            lines[i] = lines[i] if lines[i] in ("title", "heading") else "heading"
        elif i < len(marks.contained) and marks.contained[i] and lines[i] in ("title", "heading"):
            lines[i] = "text"
    return [lines[unit.line] for unit in units]


def heading_paths(
    units: Sequence[Unit],
    roles: Sequence[Role],
    predictions: Predictions,
    marks: Markup,
    text: str,
    title: str,
    open_headings: list[tuple[float, str]],
) -> list[tuple[tuple[str, ...], bool]]:
    """Return the enclosing headings of every unit, outermost first, and whether the unit is a heading itself.

    A chunk takes the path of its first unit; headings at its beginning are part of the path. A row of a table has the
    table's header as its innermost heading, so that a chunk that begins inside a table knows its columns.
    open_headings: level and name of the headings that enclose the first unit, outermost first; changed in place to
    those that enclose the text after the last unit, the header of a table that goes on included.
    """
    title = _key(title)
    paths: list[tuple[tuple[str, ...], bool]] = []
    stack = open_headings
    # The header of the table that the part of the document before this one ended in.
    carried = stack.pop()[1] if stack and stack[-1][0] == _TABLE_LEVEL else ""
    header = ""
    i = 0
    while i < len(units):
        if roles[i] not in ("heading", "title"):
            line = units[i].line
            is_row = line < len(marks.row) and marks.row[line]
            carried = carried if is_row and not marks.table[line] else ""
            header = carried or (marks.header[line] if line < len(marks.header) else "")
            names = [name for _, name in stack]
            paths.append((tuple([*names, header] if header else names), False))
            i += 1
            continue
        carried = header = ""
        run = i
        while run < len(units) and roles[run] in ("heading", "title"):
            end = run
            while end + 1 < len(units) and units[end + 1].line == units[run].line:
                end += 1
            line = units[run].line
            explicit = marks.heading[line] if line < len(marks.heading) else 0
            underline = line < len(marks.underline) and marks.underline[line]
            name = heading_text(text[units[run].start : units[end].end])
            if not underline and any(c.isalnum() for c in name):
                learned = float(predictions.level[run : end + 1].mean(0).argmax()) + 1
                level = 0.0 if roles[run] == "title" else float(explicit or _numbering(name) or learned)
                while stack and stack[-1][0] >= level:
                    stack.pop()
                if _key(name) != title:
                    stack.append((level, name[:MAX_HEADING_CHARACTERS]))
            run = end + 1
        path = tuple(name for _, name in stack)
        paths.extend([(path, True)] * (run - i))
        i = run
    if header:
        stack.append((_TABLE_LEVEL, header))
    return paths


_NUMBERING = re.compile(r"(\d{1,3}(?:\.\d{1,3})+)[.):]?\s")


def _numbering(name: str) -> int:
    found = _NUMBERING.match(name)
    return found.group(1).count(".") + 1 if found else 0


def _key(name: str) -> str:
    return " ".join(re.sub(r"\W+", " ", name).lower().split())


def majority_role(units: Sequence[Unit], roles: Sequence[Role]) -> Role:
    """Return the role with the most characters; title and heading only where there is no other."""
    sizes = dict.fromkeys(ROLES, 0)
    for unit, role in zip(units, roles, strict=True):
        sizes[role] += unit.end - unit.start
    content = {role: size for role, size in sizes.items() if size and role not in ("title", "heading")}
    chosen = content or {role: size for role, size in sizes.items() if size}
    return max(chosen, key=lambda role: (chosen[role], -ROLES.index(role)))
