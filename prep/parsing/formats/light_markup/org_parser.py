"""Org to Markdown form: headings, lists, tables, blocks of code and examples, links.

A line-based reading of the format (orgmode.org/worg/org-syntax.html). Comments, tags of drawers and settings are left
out; what `#+INCLUDE` names is not read but reported. Linear time.
"""

from __future__ import annotations

import re

from prep.parsing.parsed import Parsed
from prep.parsing.structured_text import escaped, fence, table_lines
from prep.parsing.titles import clean_title

__all__ = ["parse_org"]

_HEADING = re.compile(r"(\*{1,100})[ \t]+(\S.*?)(?:[ \t]+:[\w@#%:]+:)?\Z")
_COMMENT = re.compile(r"[ \t]*#(?:[ \t]|\Z)")
_KEYWORD = re.compile(r"[ \t]*#\+([\w-]+):[ \t]*(.*)\Z", re.I)
_BEGIN = re.compile(r"[ \t]*#\+begin_(\w+)(?:[ \t]+(\S+))?.*\Z", re.I)
_DRAWER = re.compile(r"[ \t]*:([\w-]+):\Z")
_PROPERTY = re.compile(r"[ \t]*:([\w+-]+):[ \t]+(\S.*)\Z")
_ROW = re.compile(r"[ \t]*\|(.*)\Z")
_FIXED = re.compile(r"[ \t]*: (.*)\Z|[ \t]*:\Z")
_ITEM = re.compile(r"([ \t]*)([-+]|\d+[.)]|[ \t]\*)[ \t]+(?:\[@\d+\][ \t]*)?(.*)\Z")
_LINK = re.compile(r"\[\[([^\[\]\n]{1,500})\](?:\[([^\[\]\n]{1,500})\])?\]")
_FOOTNOTE = re.compile(r"\[fn:([\w-]*)(?::([^\[\]\n]*))?\]")
_VERBATIM = re.compile(r"(?<![\w=~])([=~])(\S(?:[^\n=~]{0,300}\S)?)\1(?![\w=~])")
_LITERAL_BLOCKS = frozenset({"src", "example", "export", "latex", "html"})
_NOISE = frozenset({"id", "custom_id", "created", "visibility"})
_METADATA = frozenset({"author", "date", "language", "description", "keywords", "email"})
_MAX_LOSSES = 50


def parse_org(text: str) -> Parsed:
    """Return `text` (line ends `\\n`) in Markdown form, `#+TITLE` or the first heading as title, and its keywords."""
    lines = text.split("\n")
    ends = {
        line.strip().lower(): at for at, line in enumerate(lines) if line.lstrip()[:6].lower() == "#+end_"
    }
    out: list[str] = []
    losses: list[tuple[str, str]] = []
    metadata: dict[str, str] = {}
    title = first_heading = ""
    table: list[str] = []
    fixed: list[str] = []
    n_quotes = 0
    at = 0
    while at <= len(lines):
        line = lines[at].rstrip() if at < len(lines) else ""
        row, plain = _ROW.match(line), _FIXED.match(line)
        if row is None and table:
            out += [*_gap(out), *_table(table), ""]
            table = []
        if plain is None and fixed:
            out += [*_gap(out), *fence(fixed), ""]
            fixed = []
        at += 1
        if row is not None:
            table.append(row.group(1))
            continue
        if plain is not None:
            fixed.append(plain.group(1) or "")
            continue
        block, heading, keyword = _BEGIN.match(line), _HEADING.match(line), _KEYWORD.match(line)
        if block is not None:
            kind = block.group(1).lower()
            if kind in _LITERAL_BLOCKS or kind == "comment":
                end = _end(lines, at, f"#+end_{kind}", ends)
                if kind != "comment":
                    language = block.group(2) or "" if kind == "src" else ""
                    out += [*_gap(out), *fence(_unescaped(lines[at:end]), _language(language)), ""]
                at = end + 1
            else:
                n_quotes += kind == "quote"
        elif line.strip().lower().startswith("#+end_"):
            n_quotes = max(n_quotes - (line.strip().lower() == "#+end_quote"), 0)
        elif heading is not None:
            shown = _inline(heading.group(2))
            first_heading = first_heading or shown
            out += [*_gap(out), f"{'#' * min(len(heading.group(1)), 6)} {shown}", ""]
        elif keyword is not None:
            name, value = keyword.group(1).lower(), keyword.group(2).strip()
            if name == "title" and value:
                title = title or clean_title(value)
                out += [*_gap(out), f"# {_inline(value)}", ""]
            elif name in ("caption", "subtitle") and value:
                out += [*_gap(out), _inline(value), ""]
            elif name in _METADATA and value:
                metadata[name] = value
            elif name == "include" and len(losses) < _MAX_LOSSES:
                losses.append((f"line {at}", f"the file that is included is not read: {value[:200]}"))
        elif _COMMENT.match(line) or line.lstrip().startswith("#+") or _DRAWER.match(line):
            continue
        elif (held := _PROPERTY.match(line)) is not None:
            if held.group(1).lower() not in _NOISE:
                out.append(f"- {held.group(1)}: {_inline(held.group(2))}")
        else:
            out.append("> " * min(n_quotes, 8) + _line(line) if line else "")
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")
    return Parsed(
        title or clean_title(first_heading), text + "\n" if text else "", tuple(losses), (), metadata
    )


def _gap(out: list[str]) -> list[str]:
    return [""] if out and out[-1] else []


def _end(lines: list[str], at: int, mark: str, ends: dict[str, int]) -> int:
    """Return the line that closes a block; the end of the text where none does."""
    if ends.get(mark, -1) < at:
        return len(lines)
    while lines[at].strip().lower() != mark:
        at += 1
    return at


def _unescaped(lines: list[str]) -> list[str]:
    """Return the lines of a block; a comma keeps a line from being read as Org."""
    return [re.sub(r"\A(\s*),(?=,*(?:\*|#\+))", r"\1", line) for line in lines]


def _language(name: str) -> str:
    return name if re.fullmatch(r"[\w+#.-]{1,40}", name) else ""


def _table(rows: list[str]) -> list[str]:
    """Return the lines of a table; what stands above its first rule is the header."""
    cells: list[list[str]] = []
    n_header = 0
    for row in rows:
        if re.match(r"[ \t]*-[-+| \t]*\Z", row):
            if cells and not n_header:
                n_header = len(cells)
            continue
        cells.append(
            [
                _inline(cell.strip()).replace("\\vert", "|")
                for cell in row.rstrip().removesuffix("|").split("|")
            ]
        )
    is_headed = n_header < len(cells) and n_header <= 3
    return table_lines(cells, n_header=n_header if is_headed else 0)


def _line(line: str) -> str:
    item = _ITEM.match(line)
    if item is None:
        return escaped(_inline(line))
    indent, marker, text = item.groups()
    term, separator, rest = text.partition(" :: ")
    shown = f"{_inline(term)}: {_inline(rest)}" if separator else _inline(text)
    return f"{indent}{'-' if marker.strip() in '+*-' else marker} {shown}".rstrip()


def _inline(text: str) -> str:
    """Return running text without the marks that only Org has; verbatim text stands in backquotes."""
    if "[[" in text:
        text = _LINK.sub(_link_text, text)
    if "[fn:" in text:
        text = _FOOTNOTE.sub(
            lambda found: f"[{found.group(1)}]" if not found.group(2) else f" ({found.group(2)})", text
        )
    return _VERBATIM.sub(r"`\2`", text) if "=" in text or "~" in text else text


def _link_text(found: re.Match[str]) -> str:
    address, label = found.groups()
    is_address = re.match(r"(?:https?|ftp)://|mailto:", address)
    if not label:
        return address.removeprefix("file:").removeprefix("*")
    return f"{label} ({address.removeprefix('mailto:')})" if is_address and label != address else label
