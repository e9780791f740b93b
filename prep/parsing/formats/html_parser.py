"""HTML to text with its structure in Markdown form.

What a reader of the page sees is kept, navigation and footers included (the prep model decides what is boilerplate);
what is hidden or deleted is not (`html_visibility`). Lists keep their labels, tables their rows (`html_tables`), fields
of forms their values, `<pre>` its lines. An address that leads out of the site, or to a file, stands behind its link.
BeautifulSoup over lxml reads the tag soup; the tree is walked without recursion, so that depth is no limit.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from prep.parsing.formats.html_tables import read_table
from prep.parsing.formats.html_tree import first_named, outermost, walk
from prep.parsing.formats.html_visibility import Visibility
from prep.parsing.list_labels import list_label
from prep.parsing.parsed import Parsed
from prep.parsing.structured_text import StructuredText
from prep.parsing.text_parser import decode
from prep.parsing.titles import clean_title

__all__ = ["parse_html"]

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Blocks that stand apart by a blank line, and those that only begin a new line.
_APART = frozenset((
    "address", "article", "aside", "blockquote", "dialog", "details", "dl", "fieldset", "figure",
    "footer", "form", "header", "hgroup", "hr", "main", "menu", "nav", "ol", "p", "search", "section",
    "table", "ul",
))  # fmt: skip
_LINES = frozenset((
    "body", "button", "caption", "center", "dd", "div", "dt", "figcaption", "html", "label", "legend",
    "li", "optgroup", "option", "select", "summary", "tbody", "td", "textarea", "tfoot", "th", "thead",
    "tr",
))  # fmt: skip
_BLOCKS = _APART | _LINES | frozenset(_HEADINGS) | {"pre"}
_LISTS = ("ul", "ol", "menu")
_CELLS = ("td", "th")
_ROW_PARTS = ("tr", *_CELLS)
# What a table of data holds none of.
_LAYOUT = frozenset(["table", "pre", "blockquote", "section", "article", "form", *_HEADINGS])
_SMALL_EXPONENT = re.compile(r"[-−+]?\d{1,3}\Z|[nxkm]\Z")
_DECLARED = re.compile(
    rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w:.-]+)|<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w:.-]+)""",
    re.I,
)
_LIST_STYLES = {
    "lower-alpha": "a",
    "lower-latin": "a",
    "upper-alpha": "A",
    "upper-latin": "A",
    "lower-roman": "i",
}
_LIST_STYLES |= {"upper-roman": "I"}
_LIST_STYLE = re.compile(r"list-style(?:-type)?\s*:\s*([\w-]+)", re.I)
_NUMBER = re.compile(r"-?[0-9]{1,6}")
_ADDRESS = re.compile(r"(?:https?|ftp)://|mailto:|tel:", re.I)
_FILE_ADDRESS = re.compile(
    r"[^?#:]*\.(?!html?\b|php\b|aspx?\b|jsp\b|md\b)[a-z][a-z0-9]{1,4}(?:[?#]|\Z)", re.I
)
_MAX_ADDRESS_CHARACTERS = 300
_EDGE = "edge of a block"
_FRAMES = ["nav", "header", "footer", "menu"]
_SHOWN_INPUTS = frozenset(
    ["", "text", "number", "date", "email", "tel", "url", "search", "time", "month", "submit"]
)
_LANGUAGE = re.compile(r"\b(?:language|lang|highlight)-([\w+#-]+)")


def parse_html(data: bytes) -> Parsed:
    """Return the page's text and title (<title>, og:title or the first heading). Raises UnreadableError."""
    declared = _DECLARED.search(data[:4096])
    encoding = (declared.group(1) or declared.group(2)).decode("ascii", "replace") if declared else None
    source, losses = decode(data, encoding)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # XHTML read as HTML, and pages that look like an address: both are fine
        soup = BeautifulSoup(source, "lxml")
    page = _Page(soup, with_aria=True)
    text = page.text()
    if not text.strip():  # a saved page whose body an open dialog had hidden
        page = _Page(soup, with_aria=False)
        text = page.text()
    return Parsed(page.title(), text, losses)


class _Page:
    """Walks a page's tree and writes what is shown of it."""

    def __init__(self, soup: BeautifulSoup, *, with_aria: bool) -> None:
        self._soup = soup
        self._out = StructuredText()
        self._visibility = Visibility(soup, with_aria=with_aria)
        self._site = _site(soup)
        self._n_items: dict[int, int] = {}
        self._has_choice: dict[int, bool] = {}
        self._n_open = dict.fromkeys(["li", *_FRAMES], 0)

    def title(self) -> str:
        """Return what the page calls itself: <title>, og:title, or its first heading."""
        for tag in self._soup.find_all("title", limit=20):
            if tag.find_parent("svg") is None:
                title = clean_title(tag.get_text())
                if title:
                    return title
        given = self._soup.find("meta", attrs={"property": "og:title"})
        title = clean_title(str(given.get("content") or "")) if isinstance(given, Tag) else ""
        if title:
            return title
        for heading in self._soup.find_all(list(_HEADINGS), limit=20):
            title = "" if self._visibility.drops(heading) else clean_title(self._inline_text(heading))
            if title:
                return title
        return ""

    def text(self) -> str:
        # Each entry is a tag and what is still to be read of its children.
        open_tags: list[tuple[Tag, Iterator[PageElement]]] = [(self._soup, iter(self._soup.contents))]
        while open_tags:
            tag, children = open_tags[-1]
            child = next(children, None)
            if child is None:
                open_tags.pop()
                self._close(tag)
            elif isinstance(child, Tag):
                if self._open(child):
                    open_tags.append((child, iter(child.contents)))
            elif _is_text(child):
                self._out.add(str(child))
        return self._out.text()

    def _open(self, tag: Tag) -> bool:
        """Write what stands before the tag's children; False if they are dropped or written here."""
        name, out = tag.name, self._out
        if self._visibility.drops(tag):
            return False
        if name in self._n_open:
            self._n_open[name] += 1
        if name == "br":
            out.break_line()
        elif name == "img":
            out.add(str(tag.get("alt") or ""))
        elif name == "input":
            out.add(_field_text(tag))
        elif name == "hr":
            out.separate(2)
        elif name == "pre":
            out.write_preformatted(self._preformatted(tag), _language(tag))
            return False
        elif name == "math" and tag.get("alttext"):
            out.add(str(tag["alttext"]))
            return False
        elif name == "sup" and _SMALL_EXPONENT.match(_short_text(tag)):
            out.add("^")
        elif name == "q":
            out.add("“")
        elif name == "rt":
            out.add("(")
        elif name == "table" and not self._is_layout(tag):
            self._write_table(tag)
            return False
        elif name in _HEADINGS:
            out.separate(2)
        elif name in _BLOCKS:
            out.separate(self._gap(name))
            if name == "li":
                self._open_item(tag)
            elif name == "blockquote":
                out.open_indent("> ")
            elif name == "dd":
                if _is_in_definition(tag):
                    out.close_indent()
                out.open_item(": ", is_first=False)
            elif name == "option":
                out.add(self._choice(tag))
        return True

    def _close(self, tag: Tag) -> None:
        name, out = tag.name, self._out
        if name in self._n_open:
            self._n_open[name] -= 1
        if name in _HEADINGS:
            out.write_heading(_HEADINGS[name])
        elif name in ("li", "blockquote", "dd"):
            if not _is_in_definition(tag):
                out.close_indent()
            out.separate(2 if name == "blockquote" else 1)
        elif name == "q":
            out.add("”")
        elif name == "rt":
            out.add(")")
        elif name == "a":
            out.add(self._address(tag))
        elif name in _BLOCKS:
            out.separate(self._gap(name))

    def _gap(self, name: str) -> int:
        is_nested = name in _LISTS and self._n_open["li"] > 0
        return 2 if name in _APART and not is_nested else 1

    def _open_item(self, tag: Tag) -> None:
        """Begin a list item with the label that the page shows before it."""
        parent = tag.parent
        key = id(parent)
        is_first = key not in self._n_items
        marker = "- "
        if parent is not None and parent.name == "ol":
            step = -1 if "reversed" in parent.attrs else 1
            if is_first:
                n_items = (
                    sum(isinstance(one, Tag) and one.name == "li" for one in parent.contents)
                    if step < 0
                    else 1
                )
                self._n_items[key] = _number(parent.get("start"), n_items) - step
            number = _number(tag.get("value"), self._n_items[key] + step)
            self._n_items[key] = number
            marker = f"{list_label(number, _list_style(tag, parent))}. "
        else:
            self._n_items[key] = 0
        self._out.open_item(marker, is_first=is_first)

    def _choice(self, option: Tag) -> str:
        """Return the mark of an option in a list in which one is chosen."""
        choices = option.parent
        if choices is None:
            return ""
        if id(choices) not in self._has_choice:
            options = (one for one in choices.contents if isinstance(one, Tag))
            self._has_choice[id(choices)] = any("selected" in one.attrs for one in options)
        if not self._has_choice[id(choices)]:
            return ""
        return "[x] " if "selected" in option.attrs else "[ ] "

    def _address(self, link: Tag) -> str:
        """Return the address of a link where nothing else shows it: another site's, a file's, a person's."""
        address = str(link.get("href") or "").strip()
        if (
            not address
            or len(address) > _MAX_ADDRESS_CHARACTERS
            or any(self._n_open[name] for name in _FRAMES)
        ):
            return ""
        is_file = _FILE_ADDRESS.match(
            address.split("://", 1)[-1].partition("/")[2] if "://" in address else address
        )
        if not (is_file or _ADDRESS.match(address)):
            return ""
        host = _host(address)
        if host and host == self._site and not is_file:
            return ""
        plain = re.sub(r"\A(?:mailto|tel):(?://)?", "", address, flags=re.I)
        bare = re.sub(r"\Ahttps?://(?:www\.)?", "", plain).rstrip("/")
        shown = _short_text(link, 2 * _MAX_ADDRESS_CHARACTERS)
        return "" if not shown or bare in shown.replace(" ", "") or bare in shown else f" ({plain})"

    def _preformatted(self, tag: Tag) -> str:
        """Return the text of a <pre>; <br> and the edges of blocks end lines."""
        parts: list[str] = []
        after_edge = False
        pending: list[PageElement | str] = list(reversed(tag.contents))
        while pending:
            element = pending.pop()
            if isinstance(element, Tag):
                if self._visibility.drops(element):
                    continue
                if element.name == "br":
                    parts.append("\n")
                elif element.name in _BLOCKS and element.name not in ("td", "th"):
                    pending += [_EDGE, *reversed(element.contents), _EDGE]
                else:
                    pending.extend(reversed(element.contents))
            elif element is _EDGE:
                if parts and not parts[-1].endswith("\n"):
                    parts.append("\n")
                after_edge = True
                continue
            elif isinstance(element, PageElement) and _is_text(element):
                text = str(element)
                # The line end in the source between two blocks is no line of its own.
                if after_edge and not text.strip():
                    text = text.removeprefix("\n")
                if text:
                    parts.append(text)
            after_edge = False
        return "".join(parts)

    def _is_layout(self, table: Tag) -> bool:
        """Whether the table places blocks on the page rather than holding cells of data."""
        if table.get("role") in ("presentation", "none"):
            return True
        if first_named(table, _LAYOUT) is not None:
            return True
        cells = outermost(table, _CELLS)
        if any(len(outermost(cell, ("p", "li", "div", "dt"), 2)) > 1 for cell in cells):
            return True
        if all(len(outermost(row, _CELLS, 2)) < 2 for row in outermost(table, ("tr",))):
            return True
        pending: list[PageElement] = list(table.contents)
        while pending:  # text outside every cell would be lost in rows
            element = pending.pop()
            if isinstance(element, Tag):
                if element.name not in ("td", "th", "caption") and not self._visibility.drops(element):
                    pending.extend(element.contents)
            elif _is_text(element) and str(element).strip():
                return True
        return False

    def _write_table(self, table: Tag) -> None:
        caption = first_named(table, ("caption",))
        self._out.separate(2)
        if caption is not None:
            self._out.add(self._inline_text(caption))
            self._out.separate(1)
        for hidden in [
            tag
            for tag in walk(table)
            if isinstance(tag, Tag) and tag.name in _ROW_PARTS and self._visibility.drops(tag)
        ]:
            hidden.extract()
        rows, n_header = read_table(table, self._inline_text)
        self._out.write_table(rows, n_header=n_header)

    def _inline_text(self, tag: Tag) -> str:
        """Return all text in the tag on one line, blocks parted by a space."""
        parts: list[str] = []
        pending: list[PageElement | str] = [tag]
        while pending:
            element = pending.pop()
            if isinstance(element, Tag):
                if element is not tag and self._visibility.drops(element):
                    continue
                if element.name == "img":
                    parts.append(str(element.get("alt") or ""))
                elif element.name == "input":
                    parts.append(_field_text(element))
                elif element.name == "sup" and _SMALL_EXPONENT.match(_short_text(element)):
                    parts.append("^")
                if element.name in _BLOCKS or element.name == "br":
                    parts.append(" ")
                if element.name == "a":
                    pending.append(self._address(element))
                pending.extend(reversed(element.contents))
            elif not isinstance(element, PageElement) or _is_text(element):
                parts.append(str(element))
        return " ".join("".join(parts).split())


def _site(soup: BeautifulSoup) -> str:
    """Return the host that the page says it is on, "" where it does not."""
    places: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("link", {"rel": "canonical"}, "href"),
        ("meta", {"property": "og:url"}, "content"),
        ("base", {}, "href"),
    )
    for name, attributes, key in places:
        tag = soup.find(name, attrs=attributes)
        host = _host(str(tag.get(key) or "")) if isinstance(tag, Tag) else ""
        if host:
            return host
    return ""


def _host(address: str) -> str:
    found = re.match(r"(?:https?:)?//(?:www\.)?([^/?#:]+)", address, re.I)
    return found.group(1).lower() if found else ""


def _is_in_definition(tag: Tag) -> bool:
    """Whether it is a `<dd>` right in another: lxml puts one that is not closed around the next."""
    return tag.name == "dd" and tag.parent is not None and tag.parent.name == "dd"


def _field_text(field: Tag) -> str:
    """Return what a form's field shows: its value, or whether it is ticked."""
    kind = str(field.get("type") or "").lower()
    if kind in ("checkbox", "radio"):
        return "[x] " if "checked" in field.attrs else "[ ] "
    value = str(field.get("value") or "")
    return f" {value} " if kind in _SHOWN_INPUTS and value.strip() else ""


def _number(value: object, default: int) -> int:
    text = str(value).strip()
    return int(text) if _NUMBER.fullmatch(text) else default


def _list_style(item: Tag, parent: Tag) -> str:
    for tag in (item, parent):
        style = _LIST_STYLE.search(str(tag.get("style") or ""))
        if style is not None:
            return _LIST_STYLES.get(style.group(1).lower(), "1")
        if tag.get("type") in ("1", "a", "A", "i", "I"):
            return str(tag["type"])
    return "1"


def _short_text(tag: Tag, most: int = 16) -> str:
    """Return the beginning of a tag's text, whatever its depth."""
    text = ""
    for element in islice(walk(tag), most):
        if isinstance(element, NavigableString):
            text += element
            if len(text) > most:
                break
    return text.strip()


def _is_text(element: PageElement) -> bool:
    """Whether it is text on the page: no comment, doctype, processing instruction."""
    return isinstance(element, NavigableString) and not isinstance(element, PreformattedString)


def _language(tag: Tag) -> str:
    inner = first_named(tag, ("code",))
    for candidate in (tag, inner, tag.parent, tag.parent.parent if tag.parent else None):
        if isinstance(candidate, Tag):
            found = _LANGUAGE.search(" ".join(candidate.get_attribute_list("class")) or "")
            if found is not None:
                return found.group(1)
    return ""
