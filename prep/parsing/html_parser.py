"""HTML to text with its structure in Markdown form.

Scripts, styles, templates and drawings are dropped. All other text is kept, navigation and footers included: the prep
model decides which of it is boilerplate. BeautifulSoup over lxml reads the tag soup; the tree is walked without
recursion, so that depth is no limit.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from prep.parsing.parsed import Parsed
from prep.parsing.structured_text import StructuredText
from prep.parsing.text_parser import decode
from prep.parsing.titles import clean_title

__all__ = ["parse_html"]

_DROPPED = frozenset(
    ["script", "style", "template", "svg", "head", "iframe", "object", "audio", "video", "canvas"]
)
_DROPPED |= {"annotation", "annotation-xml"}
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
_PERMALINKS = frozenset(["¶", "#", "§", "🔗", "\uf0c1"])
_SMALL_EXPONENT = re.compile(r"[-−+]?\d{1,3}\Z|[nxkm]\Z")
_DECLARED = re.compile(
    rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w:.-]+)|<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w:.-]+)""",
    re.I,
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
    for definition in soup.find_all("dd"):  # lxml puts one that is not closed before the next around it
        if definition.parent is not None and definition.parent.name == "dd":
            definition.parent.insert_after(definition)
    return Parsed(_title(soup), _text(soup), losses)


def _title(soup: BeautifulSoup) -> str:
    for tag in soup.find_all("title"):
        if tag.find_parent("svg") is None:
            title = clean_title(tag.get_text())
            if title:
                return title
    given = soup.find("meta", attrs={"property": "og:title"})
    title = clean_title(str(given.get("content") or "")) if isinstance(given, Tag) else ""
    if title:
        return title
    for heading in soup.find_all(list(_HEADINGS)):
        title = clean_title(_inline_text(heading))
        if title:
            return title
    return ""


def _text(soup: BeautifulSoup) -> str:
    out = StructuredText()
    # Each entry is a tag and an iterator over the children that are still to be read.
    open_tags: list[tuple[Tag, Iterator[PageElement]]] = [(soup, iter(soup.contents))]
    n_items: dict[int, int] = {}
    while open_tags:
        tag, children = open_tags[-1]
        child = next(children, None)
        if child is None:
            open_tags.pop()
            _close(tag, out)
        elif isinstance(child, Tag):
            if _open(child, out, n_items):
                open_tags.append((child, iter(child.contents)))
        elif _is_text(child):
            out.add(str(child))
    return out.text()


def _open(tag: Tag, out: StructuredText, n_items: dict[int, int]) -> bool:
    """Write the marks before the tag's children; False if the children are dropped or already written."""
    name = tag.name
    if name in _DROPPED or _is_permalink(tag):
        return False
    if name == "br":
        out.break_line()
    elif name == "img":
        out.add(str(tag.get("alt") or ""))
    elif name == "hr":
        out.separate(2)
    elif name == "pre":
        out.write_preformatted(tag.get_text(), _language(tag))
        return False
    elif name == "math" and tag.get("alttext"):
        out.add(str(tag["alttext"]))
        return False
    elif name == "sup" and _SMALL_EXPONENT.match(tag.get_text().strip()):
        out.add("^")
    elif name == "q":
        out.add("“")
    elif name == "table" and not _is_layout(tag):
        _write_table(tag, out)
        return False
    elif name in _HEADINGS:
        out.separate(2)
    elif name in _BLOCKS:
        nested = name in _LISTS and tag.find_parent("li") is not None
        out.separate(2 if name in _APART and not nested else 1)
        if name == "li":
            _open_item(tag, out, n_items)
        elif name == "blockquote":
            out.open_indent("> ")
        elif name == "dd":
            out.open_item(": ", is_first=False)
    return True


def _close(tag: Tag, out: StructuredText) -> None:
    name = tag.name
    if name in _HEADINGS:
        out.write_heading(_HEADINGS[name])
    elif name in ("li", "blockquote", "dd"):
        out.close_indent()
        out.separate(2 if name == "blockquote" else 1)
    elif name == "q":
        out.add("”")
    elif name in _BLOCKS:
        nested = name in _LISTS and tag.find_parent("li") is not None
        out.separate(2 if name in _APART and not nested else 1)


def _open_item(tag: Tag, out: StructuredText, n_items: dict[int, int]) -> None:
    parent = tag.parent
    key = id(parent)
    number = n_items.get(key, -1) + 1
    n_items[key] = number
    marker = "- "
    if parent is not None and parent.name == "ol":
        start = str(parent.get("start") or "1")
        marker = f"{(int(start) if re.fullmatch('-?[0-9]{1,6}', start) else 1) + number}. "
    out.open_item(marker, is_first=number == 0)


def _is_text(element: PageElement) -> bool:
    """Whether it is text on the page: no comment, doctype, processing instruction."""
    return isinstance(element, NavigableString) and not isinstance(element, PreformattedString)


def _is_permalink(tag: Tag) -> bool:
    return tag.name == "a" and len(tag.contents) == 1 and tag.get_text().strip() in _PERMALINKS


def _language(tag: Tag) -> str:
    inner = tag.find("code")
    for candidate in (tag, inner, tag.parent, tag.parent.parent if tag.parent else None):
        if isinstance(candidate, Tag):
            found = _LANGUAGE.search(" ".join(candidate.get_attribute_list("class")) or "")
            if found is not None:
                return found.group(1)
    return ""


def _is_layout(table: Tag) -> bool:
    """Whether the table places blocks on the page rather than holding cells of data."""
    if table.get("role") in ("presentation", "none"):
        return True
    if table.find(["table", "pre", "blockquote", "section", "article", "form", *_HEADINGS]) is not None:
        return True
    cells = table.find_all(["td", "th"])
    if any(len(cell.find_all(["p", "li", "div", "dt"], limit=2)) > 1 for cell in cells):
        return True
    if all(len(row.find_all(["td", "th"], limit=2)) < 2 for row in table.find_all("tr")):
        return True
    # Text outside every cell would be lost in rows.
    return any(
        _is_text(text) and text.strip() and text.find_parent(["td", "th", "caption", *_DROPPED]) is None
        for text in table.find_all(string=True)
    )


def _write_table(table: Tag, out: StructuredText) -> None:
    caption = table.find("caption")
    out.separate(2)
    if isinstance(caption, Tag):
        out.add(_inline_text(caption))
        out.separate(1)
    rows: list[list[str]] = []
    has_header = False
    for row in table.find_all("tr"):
        cells: list[str] = []
        tags = row.find_all(["td", "th"])
        for cell in tags:
            cells.append(_inline_text(cell))
            span = str(cell.get("colspan") or "1")
            cells.extend([""] * (min(int(span), 100) - 1 if re.fullmatch("[0-9]{1,3}", span) else 0))
        if not rows:
            has_header = bool(tags) and all(cell.name == "th" for cell in tags)
        rows.append(cells)
    out.write_table(rows, has_header=has_header)


def _inline_text(tag: Tag) -> str:
    """Return all text in the tag on one line, blocks parted by a space."""
    parts: list[str] = []
    pending: list[PageElement] = [tag]
    while pending:
        element = pending.pop()
        if isinstance(element, Tag):
            if element is not tag and (element.name in _DROPPED or _is_permalink(element)):
                continue
            if element.name == "img":
                parts.append(str(element.get("alt") or ""))
            if element.name in _BLOCKS or element.name == "br":
                parts.append(" ")
            pending.extend(reversed(element.contents))
        elif _is_text(element):
            parts.append(str(element))
    return " ".join("".join(parts).split())
