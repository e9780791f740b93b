"""AsciiDoc to Markdown form: sections, lists, tables, listings, admonitions, attributes.

A line-based reading of the language (docs.asciidoctor.org), not an execution of it: what an `include` names is not
read but reported, and of conditional lines all are kept. Comments and anchors are left out; listings become fences,
tables rows, admonitions a paragraph that begins with their name; links keep their address. Linear time.
"""

from __future__ import annotations

import re

from prep.parsing.formats.light_markup.asciidoc_inline import inline_text
from prep.parsing.formats.light_markup.asciidoc_tables import table_rows
from prep.parsing.list_labels import list_label
from prep.parsing.parsed import Parsed
from prep.parsing.structured_text import escaped, fence, table_lines
from prep.parsing.titles import clean_title

__all__ = ["parse_asciidoc"]

_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*?)(?:[ \t]+\1)?\Z")
_UNDERLINE = re.compile(r"([=\-~^+])\1{2,}\Z")
_ATTRIBUTE = re.compile(r":(!?[\w][\w-]*!?):(?:[ \t]+(.*))?\Z")
_REFERENCE = re.compile(r"(?<!\\)\{([\w][\w-]*)\}")
_DIRECTIVE = re.compile(r"(ifdef|ifndef|ifeval|endif|include)::([^\[\]]*)\[(.*)\]\Z")
_ONLY_INCLUDE = re.compile(r"include::([^\[\]]*)\[.*\]\Z")
_BLOCK_ATTRIBUTES = re.compile(r"\[(?:[\w.#%,\"'$*+;=~|!-][^\[\]]*|)\]\Z|\[\[[\w][^\[\]]*\]\]\Z")
_BLOCK_TITLE = re.compile(r"\.([^\s.].*)\Z")
_DELIMITER = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|--|`{3,}|[|,:!]={3,})(\w[\w+#-]*)?\Z")
_BULLET = re.compile(r"[ \t]*(\*{1,6}|-)[ \t]+(\S.*)\Z")
_NUMBER = re.compile(r"[ \t]*(\.{1,6}|\d{1,4}\.|[a-zA-Z]\.|[ivxIVX]{1,6}\))[ \t]+(\S.*)\Z")
_CALLOUT = re.compile(r"<(\d{1,3}|\.)>[ \t]+(\S.*)\Z")
_DEFINITION = re.compile(r"[ \t]*(\S.*?)(:{2,4}|;;)(?:[ \t]+(\S.*))?\Z")
_ADMONITION = re.compile(r"(NOTE|TIP|IMPORTANT|WARNING|CAUTION):[ \t]+(\S.*)\Z")
_MACRO = re.compile(r"(image|video|audio|toc|xref)::([^\s\[\]]*)\[([^\[\]]*)\]\Z")
_AUTHOR = re.compile(r"[^\W\d_][\w.'-]*(?: [\w.'-]+){0,3}(?: <[^<>\s]+>)?(?:; .*)?\Z")
_REVISION = re.compile(r"v?\d[\w.]*(?:,\s*.*)?\Z")
_ADMONITIONS = ("NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION")
_STYLES = ("1", "a", "i", "A", "I")
_CHARACTERS = {
    "nbsp": " ", "sp": " ", "empty": "", "blank": "", "zwsp": "", "wj": "", "apos": "'", "quot": '"', "lsquo": "‘",
    "rsquo": "’", "ldquo": "“", "rdquo": "”", "deg": "°", "plus": "+", "brvbar": "¦", "vbar": "|", "amp": "&",
    "lt": "<", "gt": ">", "startsb": "[", "endsb": "]", "caret": "^", "asterisk": "*", "tilde": "~",
    "backslash": "\\", "backtick": "`", "two-colons": "::", "two-semicolons": ";;", "cpp": "C++", "pp": "++",
}  # fmt: skip
_LISTING_STYLES = ("source", "listing", "literal", "stem", "latexmath", "asciimath")
_MAX_VALUE_CHARACTERS = 2000
_MAX_EXPANSION = 1_000_000
_MAX_LOSSES = 50
_MAX_QUOTES = 8


def parse_asciidoc(text: str) -> Parsed:
    """Return `text` (line ends `\\n`) in Markdown form, its title, and its attributes author and revision."""
    return _AsciidocWriter([line.rstrip() for line in text.split("\n")]).parsed()


class _AsciidocWriter:
    """Reads line after line; `_out` holds what was written."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._out: list[str] = []
        self._losses: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        self._budget = _MAX_EXPANSION
        self._metadata: dict[str, str] = {}
        self._title = ""
        self._style: list[str] = []  # positional attributes of the block to come
        self._named: dict[str, str] = {}
        self._open: list[str] = []  # delimiters of the blocks that are open
        self._n_quotes = 0
        self._last = {line: at for at, line in enumerate(lines) if _DELIMITER.match(line)}
        self._markers: list[str] = []  # of the list's items, outermost first
        self._counts: list[int] = []
        self._is_continued = False
        self._lead = ""

    def parsed(self) -> Parsed:
        """Return the whole text."""
        self._header()
        while self._at < len(self._lines):
            self._block()
        text = "\n".join(self._out).strip("\n")
        return Parsed(self._title, text + "\n" if text else "", tuple(self._losses), (), self._metadata)

    def _header(self) -> None:
        """Read the title and the lines of author and revision below it."""
        while self._at < len(self._lines) and (
            not self._lines[self._at] or self._skipped(self._lines[self._at])
        ):
            self._at += 1
        level, text, n_lines = self._heading() if self._at < len(self._lines) else (0, "", 0)
        if level != 1:
            return
        title = self._inline(text)
        self._title = clean_title(title)
        self._out += [f"# {title}", ""]
        self._at += n_lines
        for key, pattern in (("author", _AUTHOR), ("revision", _REVISION)):
            while self._at < len(self._lines) and self._skipped(self._lines[self._at]):
                self._at += 1
            line = self._lines[self._at] if self._at < len(self._lines) else ""
            if line and pattern.match(line):
                self._metadata[key] = line
                self._out += [line, ""]
                self._at += 1

    def _heading(self) -> tuple[int, str, int]:
        """Return level, text and number of lines of the heading at the current line; level 0 where there is none."""
        line = self._lines[self._at]
        found = _HEADING.match(line)
        if found is not None:
            return len(found.group(1)), found.group(2), 1
        under = self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""
        is_title = _UNDERLINE.match(under) and abs(len(under) - len(line)) < 3 and line[0].isalnum()
        return ("=-~^+".index(under[0]) + 1, line, 2) if is_title else (0, "", 0)

    def _skipped(self, line: str) -> bool:
        """Whether a line says nothing itself: an attribute (which is kept), a comment, a condition, an include."""
        if line.startswith("//") and not line.startswith("///"):
            return True
        attribute = _ATTRIBUTE.match(line)
        if attribute is not None:
            value = attribute.group(2) or ""
            while value.endswith((" \\", " +")) and self._at + 1 < len(self._lines):
                self._at += 1
                value = value[:-2].rstrip() + " " + self._lines[self._at].strip()
            name = attribute.group(1)
            self._values[name.strip("!")] = self._expanded(value)[:_MAX_VALUE_CHARACTERS]
            if name in ("author", "revnumber", "revdate", "description", "keywords") and value:
                self._metadata[name] = value[:_MAX_VALUE_CHARACTERS]
            return True
        directive = _DIRECTIVE.match(line)
        if directive is None:
            return False
        if directive.group(1) == "include":
            self._lose_include(self._at + 1, directive.group(2))
        if directive.group(1) in ("ifdef", "ifndef") and directive.group(3):
            self._lines[self._at] = directive.group(3)
            return False
        return True

    def _block(self) -> None:
        """Read the block that begins at the current line."""
        line = self._lines[self._at]
        if not line or self._skipped(line):
            self._blank(line)
            return
        delimiter = _DELIMITER.match(line)
        if delimiter is not None and (not delimiter.group(2) or line[0] == "`"):
            self._delimited(delimiter.group(1), delimiter.group(2) or "")
            return
        if _BLOCK_ATTRIBUTES.match(line):
            self._set_attributes(line)
            self._at += 1
            return
        title = _BLOCK_TITLE.match(line)
        if title is not None and not _NUMBER.match(line):
            self._separate()
            self._add([self._inline(title.group(1)), ""])
            self._at += 1
            return
        if line == "+" and self._markers:
            self._is_continued = True
            self._at += 1
            return
        if line in ("'''", "---", "***", "<<<"):
            self._end_list()
            self._separate()
            self._at += 1
            return
        level, title_text, n_lines = self._heading()
        if level and not self._open:
            self._end_list()
            self._separate()
            self._out += [f"{'#' * level} {self._inline(title_text).strip()}", ""]
            self._at += n_lines
            self._forget()
            return
        macro = _MACRO.match(line)
        if macro is not None:
            self._at += 1
            alt = macro.group(3).split(",")[0].strip().strip('"')
            if macro.group(1) != "toc" and alt and "=" not in alt:
                self._separate()
                self._add([self._inline(alt), ""])
            self._forget()
            return
        if not self._item(line):
            self._paragraph()

    def _blank(self, line: str) -> None:
        if line.startswith("//") and self._out and not self._out[-1]:
            self._end_list()  # a comment between blank lines keeps two lists apart
        if not line:
            self._separate()
            following = next((one for one in self._lines[self._at + 1 : self._at + 20] if one), "")
            if self._markers and not self._is_continued and not _is_item(following):
                self._end_list()
        self._at += 1

    def _set_attributes(self, line: str) -> None:
        content = line[1:-1]
        if content.startswith("["):
            return
        for position, part in enumerate(_split(content)):
            name, equals, value = part.partition("=")
            if equals and re.fullmatch(r"[\w-]+", name.strip()):
                self._named[name.strip()] = value.strip().strip("\"'")
            elif position == 0:
                style, *options = re.split(r"(?=[%.#])", part)
                self._style = [style, *self._style[1:]]
                for option in options:
                    if option.startswith("%"):
                        self._named["options"] = f"{self._named.get('options', '')},{option[1:]}"
            else:
                self._style += [""] * (position - len(self._style)) + [part]

    def _forget(self) -> None:
        """Drop the attributes of a block that was written."""
        self._style, self._named = [], {}
        self._is_continued = False

    def _delimited(self, mark: str, language: str) -> None:
        self._separate()
        kind = mark[:3]
        if kind == "///" or kind in ("---", "...", "+++", "```") or mark[0] in "|,:!":
            body = self._body(self._closing(mark))
            if kind != "///":
                self._write_verbatim(mark, body, language)
            self._separate()
            self._forget()
            return
        self._at += 1
        self._write_lead()
        if mark in self._open:
            while (closed := self._open.pop()) != mark:
                self._n_quotes -= closed[0] == "_"
            self._n_quotes -= mark[0] == "_"
            self._forget()
            return
        if self._last[mark] < self._at:  # nothing closes it
            self._forget()
            return
        style = self._style[0] if self._style else ""
        if style in _LISTING_STYLES:  # an open block that holds code
            self._at -= 1
            body = self._body(self._closing(mark))
            self._write_verbatim("----", body, language)
        else:
            if style.upper() in _ADMONITIONS:
                self._lead = f"{style.capitalize()}: "
            elif style in ("quote", "verse") and len(self._style) > 1:
                self._add([f"{', '.join(filter(None, self._style[1:]))}:", ""])
            self._open.append(mark)
            self._n_quotes += mark[0] == "_"
        self._forget()

    def _closing(self, mark: str) -> int:
        """Return the line that closes a block; one that never closes ends with the text."""
        if self._last.get(mark, -1) <= self._at:
            return len(self._lines)
        for at in range(self._at + 1, len(self._lines)):
            if self._lines[at] == mark:
                return at
        return len(self._lines)

    def _write_lead(self) -> None:
        """Write the name of an admonition before what is no paragraph."""
        if self._lead:
            self._add([self._lead.rstrip(), ""])
            self._lead = ""

    def _write_verbatim(self, mark: str, body: list[str], language: str) -> None:
        self._write_lead()
        if mark[0] in "|,:!":
            name = {",": "csv", ":": "dsv"}.get(mark[0], self._named.get("format", "psv"))
            separator = self._named.get("separator") or {"csv": ",", "dsv": ":"}.get(
                name, mark[0] if mark[0] == "!" else "|"
            )
            options = self._named.get("options", "") + "," + self._named.get("opts", "")
            rows, n_header = table_rows(
                [
                    self._expanded(line)
                    for line in body
                    if not line.startswith("//") or line.startswith("///")
                ],
                separator,
                cols=self._named.get("cols", ""),
                options=options,
                is_delimited=name != "psv",
            )
            lines = table_lines([[self._inline(cell) for cell in row] for row in rows], n_header=n_header)
        else:
            if len(self._style) > 1 and self._style[0] == "source":
                language = self._style[1]
            elif self._style and self._style[0].startswith("source"):
                language = language or self._values.get("source-language", "")
            lines = fence(body, language if re.fullmatch(r"[\w+#.-]{0,40}", language) else "")
        self._add([*lines, ""])

    def _body(self, end: int) -> list[str]:
        """Return the lines of the block that begins at the current line, without includes, and go on behind it."""
        first = self._at + 1
        self._at = end + 1
        body: list[str] = []
        for number, line in enumerate(self._lines[first:end], start=first + 1):
            included = _ONLY_INCLUDE.match(line)
            if included is None:
                body.append(line)
            else:
                self._lose_include(number, included.group(1))
        return body

    def _lose_include(self, number: int, name: str) -> None:
        if len(self._losses) < _MAX_LOSSES:
            self._losses.append((f"line {number}", f"the file that is included is not read: {name[:200]}"))

    def _item(self, line: str) -> bool:
        """Read an item of a list with the lines that belong to it; False where the line is none."""
        bullet, number, callout = _BULLET.match(line), _NUMBER.match(line), _CALLOUT.match(line)
        definition = _DEFINITION.match(line) if not (bullet or number or callout) else None
        if bullet is not None:
            marker, text = bullet.groups()
        elif number is not None:
            marker, text = number.groups()
            marker = marker if marker[0] == "." else "1."
        elif callout is not None:
            marker, text = "<1>", callout.group(2)
        elif definition is not None:
            marker, text = definition.group(2), definition.group(3) or ""
        else:
            return False
        self._write_lead()
        depth = self._enter(marker)
        indent = self._prefix(depth)
        if definition is not None and not (bullet or number or callout):
            self._add([f"{indent}{self._inline(definition.group(1))}"], raw=True)
            lead = f"{indent}: "
        elif bullet is not None:
            lead = f"{indent}- "
        else:
            self._counts[depth] += 1
            style = _STYLES[(len(marker) - 1) % 5] if number is not None and marker[0] == "." else "1"
            if number is not None and marker[0] == "." and self._counts[depth] == 1:
                start = self._named.get("start", "1")
                self._counts[depth] = int(start) if start.isdecimal() and len(start) < 6 else 1
            if number is not None and not number.group(1).startswith("."):
                label = number.group(1)
            elif callout is not None and callout.group(1) != ".":
                label = f"{callout.group(1)}."
            else:
                label = f"{list_label(self._counts[depth], style)}."
            lead = f"{indent}{label} "
        self._at += 1
        parts = [text]
        while self._at < len(self._lines):
            following = self._lines[self._at]
            if not following and definition is not None and not any(parts):
                self._at += 1
                continue
            if not following or following == "+" or _begins_block(following):
                break
            if not self._skipped(following):
                parts.append(following.strip())
            self._at += 1
        written = [line for line in self._inline("\n".join(parts)).split("\n") if line]
        hanging = " " * len(lead)
        lines = [f"{lead}{line}" if i == 0 else f"{hanging}{line}" for i, line in enumerate(written)]
        self._add(lines, raw=True)
        self._forget()
        return True

    def _enter(self, marker: str) -> int:
        """Return the depth of an item by its marker; deeper lists end."""
        if marker in self._markers:
            depth = self._markers.index(marker)
            del self._markers[depth + 1 :], self._counts[depth + 1 :]
        else:
            self._markers.append(marker)
            self._counts.append(0)
            depth = len(self._markers) - 1
            if depth == 0:
                self._separate()
        return depth

    def _prefix(self, depth: int) -> str:
        return "  " * min(depth, 8)

    def _end_list(self) -> None:
        self._markers.clear()
        self._counts.clear()
        self._is_continued = False

    def _paragraph(self) -> None:
        first = self._at
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line or line == "+" or (self._at > first and _begins_block(line, in_paragraph=True)):
                break
            if not self._skipped(line):
                lines.append(self._lines[self._at])
            self._at += 1
        if not lines:
            return
        self._separate()
        style = self._style[0] if self._style else ""
        if lines[0].startswith((" ", "\t")) or style in _LISTING_STYLES:
            language = self._style[1] if style == "source" and len(self._style) > 1 else ""
            self._add([*fence(lines, language if re.fullmatch(r"[\w+#.-]{0,40}", language) else ""), ""])
        else:
            admonition = _ADMONITION.match(lines[0])
            if admonition is not None:
                lines[0] = f"{admonition.group(1).capitalize()}: {admonition.group(2)}"
            elif style.upper() in _ADMONITIONS:
                lines[0] = f"{style.capitalize()}: {lines[0]}"
            text = [line[:-2] if line.endswith(" +") else line for line in lines]
            shown = [escaped(line) for line in self._inline("\n".join(text)).split("\n") if line]
            self._add([self._lead + line if i == 0 else line for i, line in enumerate(shown)] + [""])
            self._lead = ""
        is_in_item = self._is_continued
        self._forget()
        if not is_in_item:
            self._end_list()

    def _separate(self) -> None:
        if self._out and self._out[-1]:
            self._out.append("")

    def _add(self, lines: list[str], *, raw: bool = False) -> None:
        """Write lines, within the quotes that are open, below the item that they belong to."""
        quotes = "> " * min(self._n_quotes, _MAX_QUOTES)
        indent = "" if raw or not (self._is_continued and self._markers) else self._prefix(len(self._markers))
        self._out += [f"{quotes}{indent}{line}".rstrip() if line else "" for line in lines]

    def _expanded(self, text: str) -> str:
        """Return the text with its attribute references replaced, as far as they are known."""
        if "{" not in text:
            return text

        def value(found: re.Match[str]) -> str:
            name = found.group(1).lower()
            known = _CHARACTERS.get(name, self._values.get(found.group(1)))
            if known is None or self._budget < len(known):
                return found.group()
            self._budget -= len(known)
            return known

        return _REFERENCE.sub(value, text)

    def _inline(self, text: str) -> str:
        return inline_text(self._expanded(text))


def _is_item(line: str) -> bool:
    return (
        bool(_BULLET.match(line) or _NUMBER.match(line) or _CALLOUT.match(line) or _DEFINITION.match(line))
        or line == "+"
    )


def _begins_block(line: str, *, in_paragraph: bool = False) -> bool:
    """Whether a line ends the paragraph before it. in_paragraph: outside lists, where items do not."""
    if _DELIMITER.match(line) or (line[0] == "[" and _BLOCK_ATTRIBUTES.match(line)):
        return True
    return not in_paragraph and _is_item(line)


def _split(content: str) -> list[str]:
    """Return the attributes of a block; commas in quotes part none."""
    return [part.strip() for part in re.findall(r'(?:[^,"]|"[^"]*"|")+', content)]
