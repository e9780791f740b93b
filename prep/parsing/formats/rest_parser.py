"""reStructuredText to Markdown form: sections, lists, tables, code, and the text of directives.

A line-based reading of the format (docutils' specification), not an execution of it: no file is included, no role or
directive need be known. Literal blocks and code directives become fences, grid, simple, list and CSV tables become rows
(grid and simple ones by docutils' own table parsers), admonitions a paragraph that begins with their name, titles `#`
headings by the order in which their underlines appear. Comments, targets, tables of contents and options are left out;
roles and references keep their text, external references their address. Linear time; what is nested deeper than
`_MAX_DEPTH` stays as it is written.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any

from prep.parsing.structured_text import escaped, fence, table_lines

__all__ = ["rest_to_markdown"]

_MAX_DEPTH = 20
_MAX_TABLE_LINES = 3000
_RULE = re.compile(r"([!-/:-@\[-`{-~])\1+\s*\Z")
_SIMPLE_RULE = re.compile(r"=+(?: +=+)+\s*\Z")
_GRID_RULE = re.compile(r"\+[-=][-=+]*\+\s*\Z")
_EXPLICIT = re.compile(r"\.\.(?:\s+|\Z)(.*)\Z", re.S)
_DIRECTIVE = re.compile(r"(?:\|([^|]+)\|\s*)?([\w][\w:+.-]*?)\s?::(?:\s+|\Z)(.*)\Z", re.S)
_TARGET = re.compile(r"_(`[^`]+`|[^:`]+):\s*(.*)\Z", re.S)
_NOTE = re.compile(r"\[([^\]]+)\]\s+(.*)\Z", re.S)
_OPTION = re.compile(r":([\w -]+):(?:\s+(.*))?\Z", re.S)
_FIELD = re.compile(r":([^:`\s][^:`]{0,80}):(?:\s+(.*)|\Z)", re.S)
_BULLET = re.compile(r"([-*+•‣⁃])(\s+)(?=\S)")
_NUMBER = re.compile(r"(\(?(?:\d{1,9}|[a-zA-Z]|[ivxlcdmIVXLCDM]{1,9}|#)[.)])(\s+)(?=\S)")
_ROLE = re.compile(r":[\w+.-]{1,40}(?::[\w+.-]{1,40}){0,3}:`([^`]+)`")
_LINK = re.compile(r"`([^`<>]*?)\s*<([^`<>]+)>`__?")
_QUOTED = re.compile(r"(?<![\w`])`([^`]+)`__?(?!\w)")
_SIMPLE_REFERENCE = re.compile(r"(?<![\w`:/.])(\w+(?:[-.]\w+){0,10})__?(?![\w`])")
_NOTE_REFERENCE = re.compile(r"\[([^\]\s]+)\]_(?!\w)")
_SUBSTITUTION = re.compile(r"\|([^|\s](?:[^|\n]{0,80}[^|\s])?)\|(?:__?)?")
_DOCTEST = re.compile(r">>>\s")
_LITERAL = re.compile(r"``(.+?)``(?!`)", re.S)
_CODE = frozenset(
    "code code-block sourcecode parsed-literal prompt doctest testcode testsetup testoutput productionlist ipython "
    "highlight console tabs-code".split()
)
_ADMONITIONS = frozenset(
    "note warning tip important caution danger hint attention error seealso todo deprecated versionadded "
    "versionchanged versionremoved".split()
)
_LEFT_OUT = frozenset(
    "include literalinclude toctree contents index meta raw sectnum section-numbering default-role role title "
    "target-notes header footer currentmodule module highlightlang tabularcolumns cssclass automodule autoclass".split()
)
_VERSIONS = {"versionadded": "Added in version", "versionchanged": "Changed in version"}
_VERSIONS |= {"deprecated": "Deprecated since version", "versionremoved": "Removed in version"}


def rest_to_markdown(text: str) -> str:
    """Return `text` (line ends `\\n`) in Markdown form."""
    lines = [line.rstrip().expandtabs(8) for line in text.split("\n")]
    translator = _Translator(lines)
    translator.write(lines, "", 0)
    return "\n".join(translator.lines).strip("\n") + "\n"


class _Translator:
    """Writes blocks of lines; `lines` holds what was written."""

    def __init__(self, lines: list[str]) -> None:
        self.lines: list[str] = []
        self._styles: list[str] = []
        self._n_auto = 0  # items of the automatically numbered list so far
        self._substitutions: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        for line in lines:
            found = _EXPLICIT.match(line.lstrip())
            if found is None:
                continue
            directive = _DIRECTIVE.match(found.group(1))
            target = _TARGET.match(found.group(1))
            if directive is not None and directive.group(1) and directive.group(2) in ("replace", "unicode"):
                self._substitutions[directive.group(1).strip()] = directive.group(3).strip()
            elif target is not None and re.match(r"https?://|ftp://|mailto:", target.group(2)):
                self._addresses[_key(target.group(1))] = target.group(2).strip()

    def write(self, lines: list[str], prefix: str, depth: int, lead: str = "") -> None:
        """Write the blocks of `lines`, each line after `prefix`; the first line of all has `lead` before it."""
        begun = len(self.lines)
        if depth > _MAX_DEPTH:
            self._add([line for line in lines if line], prefix)
        else:
            i = 0
            while i < len(lines):
                i = self._block(lines, i, prefix, depth) if lines[i] else self._blank(i)
        if lead:
            if len(self.lines) == begun:
                self._add([lead.rstrip()], prefix)
            else:
                first = self.lines[begun].removeprefix(prefix)
                if first.startswith(("```", "|", "#")):
                    self.lines[begun:begun] = [prefix + lead.rstrip(), ""]
                else:
                    self.lines[begun] = prefix + lead + first

    def _blank(self, i: int) -> int:
        if self.lines and self.lines[-1]:
            self.lines.append("")
        return i + 1

    def _add(self, lines: list[str], prefix: str) -> None:
        self.lines.extend((prefix + line).rstrip() for line in lines)

    def _block(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        """Write the block that begins at line i; return the line after it."""
        line = lines[i]
        if line[0] == " ":
            end, body = _indented(lines, i, 1)
            self.write(body, prefix + "> ", depth + 1)
            return self._blank(end - 1)
        for read in (self._heading, self._explicit, self._table, self._list, self._field, self._definition):
            end = read(lines, i, prefix, depth)
            if end > i:
                return end
        return self._paragraph(lines, i, prefix)

    def _heading(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        line = lines[i]
        if depth:
            return i
        if _RULE.match(line) and len(line) >= 3:
            over = (
                i + 2 < len(lines) and lines[i + 1] and not _RULE.match(lines[i + 1]) and lines[i + 2] == line
            )
            if over:
                self._write_heading(lines[i + 1].strip(), line[0] + "^")
                return i + 3
            is_alone = (i == 0 or not lines[i - 1]) and (i + 1 == len(lines) or not lines[i + 1])
            return self._blank(i) if is_alone and len(line) >= 4 else i
        under = lines[i + 1] if i + 1 < len(lines) else ""
        if (
            (i > 0 and lines[i - 1] and not _is_anchor(lines[i - 1]))
            or not _RULE.match(under)
            or len(under) < 2
        ):
            return i
        if len(under) < min(len(line), 4) or len(under) < 0.6 * len(line) or len(line) > 300:
            return i
        self._write_heading(line, under[0])
        return i + 2

    def _write_heading(self, title: str, style: str) -> None:
        if style not in self._styles:
            self._styles.append(style)
        self._blank(0)
        level = min(self._styles.index(style) + 1, 6)
        self.lines.extend(["#" * level + " " + self._inline(title), ""])

    def _explicit(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        """Directives, footnotes, substitutions, targets and comments."""
        found = _EXPLICIT.match(lines[i])
        if found is None:
            return i
        end, body = _indented(lines, i + 1, 1)
        content = found.group(1)
        if directive := _DIRECTIVE.match(content):
            if not directive.group(1):
                name = directive.group(2).lower()
                self._directive(name.rsplit(":", 1)[-1], directive.group(3), body, prefix, depth)
        elif note := _NOTE.match(content):
            self.write([note.group(2), *body], prefix, depth + 1, f"[{note.group(1)}] ")
        return self._blank(end - 1)

    def _directive(self, name: str, argument: str, body: list[str], prefix: str, depth: int) -> None:
        gap = [""] if body and not body[0] else []  # between the argument and the content
        options, body = _options(body)
        self._blank(0)
        if name in _CODE:
            language = argument.split()[0] if argument and name not in ("parsed-literal", "prompt") else ""
            self._add(fence(body, language), prefix)
        elif name == "math":
            self._add(fence([*filter(None, [argument]), *body], "math"), prefix)
        elif name in ("image", "figure"):
            if options.get("alt"):
                self._add([self._inline(options["alt"])], prefix)
                self._blank(0)
            self.write(body, prefix, depth + 1)
        elif name in ("list-table", "csv-table", "table"):
            self._add([self._inline(argument), ""] if argument else [], prefix)
            if name == "table":
                self.write(body, prefix, depth + 1)
                return
            rows = _list_rows(body) if name == "list-table" else _csv_rows(body, options.get("delim", ","))
            header = _csv_rows([options["header"]], ",") if options.get("header") else []
            n_header = len(header) + _count(options.get("header-rows", "0"))
            rows = [[self._inline(cell) for cell in row] for row in [*header, *rows]]
            self._add(table_lines(rows, n_header=min(n_header, len(rows))), prefix)
        elif name in _LEFT_OUT:
            return
        elif name in _VERSIONS:
            version, _, rest = argument.partition(" ")
            self.write(
                [rest, *gap, *body] if rest else body, prefix, depth + 1, f"{_VERSIONS[name]} {version}: "
            )
        elif name in _ADMONITIONS:
            lead = "See also" if name == "seealso" else name.capitalize()
            self.write([argument, *gap, *body] if argument else body, prefix, depth + 1, f"{lead}: ")
        else:
            if argument and name not in ("only", "ifconfig", "container", "class", "rst-class", "tab-set"):
                signature = name in (
                    "function",
                    "method",
                    "data",
                    "attribute",
                    "option",
                    "envvar",
                    "confval",
                    "macro",
                )
                self._add([f"`{argument}`" if signature else self._inline(argument), ""], prefix)
            self.write(body, prefix, depth + 1)

    def _table(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        line = lines[i]
        end = i + 1
        if _GRID_RULE.match(line):
            while end < len(lines) and lines[end][:1] in ("+", "|") and lines[end]:
                end += 1
            parse: Callable[[list[str]], tuple[list[list[str]], int]] = _grid_rows
        elif _SIMPLE_RULE.match(line):
            stop = min(len(lines), i + _MAX_TABLE_LINES)
            while end < stop and not (
                _SIMPLE_RULE.match(lines[end]) and (end + 1 == len(lines) or not lines[end + 1])
            ):
                end += 1
            if end >= stop:
                return i
            end += 1
            parse = _simple_rows
        else:
            return i
        rows, n_header = parse(lines[i:end])
        if not rows:
            return i
        self._blank(0)
        self._add(table_lines([[self._inline(c) for c in row] for row in rows], n_header=n_header), prefix)
        self._blank(0)
        return end

    def _list(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        marker = _BULLET.match(lines[i]) or _NUMBER.match(lines[i])
        if marker is None or (
            i > 0 and lines[i - 1] and lines[i - 1][0] != " " and not _is_item(lines[i - 1])
        ):
            return i
        end, body = _indented(lines, i + 1, 1, first_indent=marker.end())
        label = marker.group(1)
        if label in ("#.", "(#)", "#)"):
            self._n_auto = self._n_auto + 1 if i > 0 and self._continues_auto(lines, i) else 1
            label = f"{self._n_auto}."
        lead = "- " if _BULLET.match(lines[i]) else f"{label} "
        begun = len(self.lines)
        self.write([lines[i][marker.end() :], *body], prefix + " " * len(lead), depth + 1)
        if len(self.lines) > begun:
            self.lines[begun] = prefix + lead + self.lines[begun][len(prefix) + len(lead) :]
        return end

    def _continues_auto(self, lines: list[str], i: int) -> bool:
        before = next((line for line in reversed(lines[max(i - 40, 0) : i]) if line and line[0] != " "), "")
        return before.startswith(("#.", "(#)", "#)"))

    def _field(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        found = _FIELD.match(lines[i])
        if found is None or _ROLE.match(lines[i]):
            return i
        end, body = _indented(lines, i + 1, 1)
        self.write([found.group(2) or "", *body], prefix, depth + 1, f"{found.group(1)}: ")
        return end

    def _definition(self, lines: list[str], i: int, prefix: str, depth: int) -> int:
        if i + 1 >= len(lines) or not lines[i + 1].startswith(" ") or lines[i].endswith("::"):
            return i
        end, body = _indented(lines, i + 1, 1)
        self._add([self._inline(lines[i])], prefix)
        begun = len(self.lines)
        self.write(body, prefix + "  ", depth + 1)
        if len(self.lines) > begun and not self.lines[begun].lstrip().startswith(("```", "|", "#")):
            self.lines[begun] = prefix + ": " + self.lines[begun][len(prefix) + 2 :]
        return self._blank(end - 1)

    def _paragraph(self, lines: list[str], i: int, prefix: str) -> int:
        end = i
        while (
            end < len(lines) and lines[end] and (end == i or lines[end][0] != " " or lines[end - 1][0] == "|")
        ):
            end += 1
        block = lines[i:end]
        if _DOCTEST.match(block[0]):
            self._add(fence(block, "python"), prefix)
            return end
        if block[0].startswith("| "):
            block = [line[2:] if line.startswith("| ") else line.strip("| ") for line in block]
        is_literal = block[-1].endswith("::")
        if is_literal:
            block[-1] = block[-1][:-2].rstrip() + (
                "" if block[-1] == "::" or block[-1].endswith(" ::") else ":"
            )
        self._add([escaped(line) for line in self._inline("\n".join(block)).split("\n") if line], prefix)
        if not is_literal:
            return end
        while end < len(lines) and not lines[end]:
            end += 1
        stop, body = _indented(lines, end, 1)
        if (
            not body
            and end < len(lines)
            and not lines[end][:1].isalnum()
            and lines[end]
            and end > i + len(block)
        ):
            mark, stop = lines[end][0], end
            while stop < len(lines) and lines[stop][:1] == mark:
                stop += 1
            body = lines[end:stop]
        if body:
            self._blank(0)
            self._add(fence(body, ""), prefix)
            self._blank(0)
        return stop

    def _inline(self, text: str) -> str:
        """Return running text without the marks that only reST has; what is literal stays as it is."""
        if not any(mark in text for mark in "`_|\\"):
            return text
        parts = _LITERAL.split(text)
        for at, part in enumerate(parts):
            parts[at] = f"`{part}`" if at % 2 else self._unmarked(part)
        return "".join(parts)

    def _unmarked(self, text: str) -> str:
        text = _ROLE.sub(lambda found: _role_text(found.group(1)), text)
        text = _LINK.sub(self._link_text, text)
        text = _QUOTED.sub(lambda found: self._reference(found.group(1)) or found.group(1), text)
        text = _NOTE_REFERENCE.sub(r"[\1]", text)
        text = _SUBSTITUTION.sub(lambda found: self._substitutions.get(found.group(1), found.group(0)), text)
        text = _SIMPLE_REFERENCE.sub(lambda found: self._reference(found.group(1)) or found.group(0), text)
        return text.replace("\\ ", "")

    def _link_text(self, found: re.Match[str]) -> str:
        name, address = found.groups()
        is_address = re.match(r"https?://|ftp://|mailto:", address)
        if not name:
            return address
        return f"{name} ({address})" if is_address and address not in name else name

    def _reference(self, name: str) -> str:
        address = self._addresses.get(_key(name))
        return f"{name} ({address})" if address else ""


def _key(name: str) -> str:
    return " ".join(name.strip("`").lower().split())


def _role_text(content: str) -> str:
    found = re.match(r"(.*?)\s*<[^<>]*>\Z", content, re.S)
    return (found.group(1) if found and found.group(1) else content).lstrip("~!")


def _is_anchor(line: str) -> bool:
    return line.startswith((".. _", "..")) or _RULE.match(line) is not None


def _is_item(line: str) -> bool:
    return (_BULLET.match(line) or _NUMBER.match(line)) is not None


def _indented(lines: list[str], i: int, least: int, first_indent: int | None = None) -> tuple[int, list[str]]:
    """Return the end of the indented lines from i on, and these lines without their common indent."""
    end = i
    while end < len(lines) and (not lines[end] or len(lines[end]) - len(lines[end].lstrip()) >= least):
        end += 1
    while end > i and not lines[end - 1]:
        end -= 1
    body = lines[i:end]
    indent = min((len(line) - len(line.lstrip()) for line in body if line), default=0)
    if first_indent is not None:
        indent = min(indent, first_indent)
    return end, [line[indent:] for line in body]


def _options(body: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split the options of a directive from its content; the first lines, up to a blank one, may be options."""
    options: dict[str, str] = {}
    i = 0
    while i < len(body) and body[i] and (found := _OPTION.match(body[i])):
        options[found.group(1)] = (found.group(2) or "").strip()
        i += 1
        while i < len(body) and body[i].startswith("  "):
            i += 1
    while i < len(body) and not body[i]:
        i += 1
    return options, body[i:]


def _count(value: str) -> int:
    return int(value) if value.isdigit() and len(value) < 4 else 0


def _list_rows(body: list[str]) -> list[list[str]]:
    """Return the cells of a list-table: a list of lists, `* - first cell`."""
    rows: list[list[str]] = []
    for line in body:
        opened = re.match(r"\s*(?:[*+-]\s+)?[*+-](?:\s+|\Z)", line)
        starts_row = re.match(r"[*+-]\s", line)
        if starts_row:
            rows.append([])
        if opened and rows and (starts_row or re.match(r" {2,4}[*+-](?:\s|\Z)", line)):
            rows[-1].append(line[opened.end() :].strip())
        elif line.strip() and rows and rows[-1]:
            rows[-1][-1] = f"{rows[-1][-1]} {line.strip()}".strip()
    return rows


def _csv_rows(body: list[str], delimiter: str) -> list[list[str]]:
    delimiter = {"tab": "\t", "space": " "}.get(delimiter, delimiter[:1] or ",")
    try:
        return [row for row in csv.reader(body, delimiter=delimiter, skipinitialspace=True) if row]
    except csv.Error:
        return [[line] for line in body if line]


def _grid_rows(lines: list[str]) -> tuple[list[list[str]], int]:
    from docutils.parsers.rst.tableparser import GridTableParser

    return _docutils_rows(GridTableParser(), lines) or (
        [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in lines
            if line.startswith("|")
        ],
        1 if any(line.startswith("+=") for line in lines) else 0,
    )


def _simple_rows(lines: list[str]) -> tuple[list[list[str]], int]:
    from docutils.parsers.rst.tableparser import SimpleTableParser

    return _docutils_rows(SimpleTableParser(), lines) or (
        [re.split(r" {2,}", line.strip()) for line in lines if line and not _SIMPLE_RULE.match(line)],
        1 if sum(bool(_SIMPLE_RULE.match(line)) for line in lines) > 2 else 0,
    )


def _docutils_rows(parser: Any, lines: list[str]) -> tuple[list[list[str]], int] | None:
    """Return the rows that docutils' table parser reads, spans written out; None where it reads none."""
    from docutils.statemachine import StringList

    if len(lines) > _MAX_TABLE_LINES or sum(map(len, lines)) > 300_000:
        return None
    try:
        widths, head, body = parser.parse(StringList(lines, "table"))
    except Exception:  # markup that docutils reports as an error is read row by row
        return None
    widths = widths[1] if isinstance(widths, tuple) else widths
    grid = [[""] * len(widths) for _ in [*head, *body]]
    for y, row in enumerate([*head, *body]):
        for x, cell in enumerate(row):
            if cell is None:
                continue
            text = " ".join(" ".join(cell[3]).split())
            for down in range(cell[0] + 1):
                for right in range(cell[1] + 1):
                    if y + down < len(grid) and x + right < len(widths):
                        grid[y + down][x + right] = text
    return grid, len(head)
