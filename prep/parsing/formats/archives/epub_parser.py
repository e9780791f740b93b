"""EPUB books: the chapters in the order of the spine, read as the pages that they are.

A chapter that has no heading gets the one that the table of contents has for it; the page of the table of contents is
left out. Books with digital rights management are rejected. The format is EPUB 3.3, and 2.0.1 for older books.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any
from urllib.parse import unquote

from prep.parsing.formats.html_parser import parse_html
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title
from prep.parsing.zip_package import ZipPackage
from prep.places import Place

__all__ = ["parse_epub"]

_DC = "{http://purl.org/dc/elements/1.1/}"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document"})
_FONTS = re.compile(r"\.(?:ttf|otf|woff2?|ttc)\Z", re.I)
_MAX_CHAPTERS = 10_000
_HEADING = re.compile(r"#{1,6} (.+)")
_NAMED = {
    "creator": "author",
    "language": "language",
    "publisher": "publisher",
    "date": "date",
    "identifier": "identifier",
}


def parse_epub(data: bytes, memory_limit_bytes: int) -> Parsed:
    """Return the chapters' text and the book's title; places are the chapters. Raises UnreadableError."""
    package = ZipPackage(data, memory_limit_bytes, what="EPUB book", suffix=".epub")
    _check_rights(package)
    container = package.xml("META-INF/container.xml")
    rootfile = next(container.iter("{*}rootfile"), None) if container is not None else None
    name = unquote(rootfile.get("full-path") or "") if rootfile is not None else ""
    book = package.xml(name) if name else None
    if book is None:
        raise package.damaged("it has no package document")
    return _Book(package, book, posixpath.dirname(name)).parsed()


def _check_rights(package: ZipPackage) -> None:
    """Raise UnreadableError where more than fonts is encrypted."""
    encryption = package.xml("META-INF/encryption.xml")
    for one in encryption.iter("{*}CipherReference") if encryption is not None else ():
        if not _FONTS.search(one.get("URI") or ""):
            raise UnreadableError("is protected by digital rights management: get a copy without it")


class _Book:
    def __init__(self, package: ZipPackage, book: Any, folder: str) -> None:
        self._package = package
        self._book = book
        self._folder = folder
        self._items = {one.get("id"): one for one in book.iterfind("{*}manifest/{*}item")}

    def parsed(self) -> Parsed:
        """Return the chapters of the spine."""
        contents = self._contents()
        blocks: list[str] = []
        places: list[Place] = []
        losses: list[tuple[str, str]] = []
        n_characters = 0
        spine = list(self._book.iterfind("{*}spine/{*}itemref"))
        for reference in spine[:_MAX_CHAPTERS]:
            item = self._items.get(reference.get("idref"))
            if item is None or "nav" in (item.get("properties") or "").split():
                continue
            name = self._path(item.get("href") or "")
            if (item.get("media-type") or "application/xhtml+xml") not in _PAGES:
                losses.append((name, f"is no page of text ({item.get('media-type')})"))
                continue
            try:
                page = self._package.read(name)
                chapter = parse_html(page) if page else None
            except UnreadableError as error:
                losses.append((name, error.reason))
                continue
            if chapter is None:
                losses.append((name, "is missing from the book"))
                continue
            losses += [(f"{name}, {where}", why) for where, why in chapter.losses]
            text = chapter.text.strip("\n")
            if not text:
                continue  # a picture alone, the cover say
            heading = _HEADING.match(text)
            label = contents.get(name) or (heading.group(1) if heading else "")
            if heading is None and label:
                text = f"# {label}\n\n{text}"
            places.append(Place(n_characters, "chapter", label or str(len(places) + 1)))
            blocks.append(text + "\n")
            n_characters += len(text) + 2
        if len(spine) > _MAX_CHAPTERS:
            losses.append(("chapters", f"only the first {_MAX_CHAPTERS:,} are read"))
        title, metadata = self._metadata()
        return Parsed(title, "\n".join(blocks), tuple(losses), tuple(places), metadata)

    def _metadata(self) -> tuple[str, dict[str, str]]:
        title = ""
        found: dict[str, list[str]] = {}
        for element in self._book.iter(f"{_DC}*"):
            value = " ".join("".join(element.itertext()).split())
            name = element.tag.removeprefix(_DC)
            if name == "title":
                title = title or clean_title(value)
            elif name in _NAMED and value:
                found.setdefault(_NAMED[name], []).append(value)
        # A book may have several authors; its first identifier, language and date are the book's own.
        return title, {
            key: ", ".join(values) if key == "author" else values[0] for key, values in found.items()
        }

    def _contents(self) -> dict[str, str]:
        """Return the first title that the table of contents has for each page."""
        titles: dict[str, str] = {}
        for item in self._items.values():
            kind = item.get("media-type") or ""
            is_nav = "nav" in (item.get("properties") or "").split()
            if not is_nav and kind != "application/x-dtbncx+xml":
                continue
            name = self._path(item.get("href") or "")
            try:
                root = self._package.xml(name)
            except UnreadableError:
                continue
            for target, title in _links(root) if root is not None else ():
                path = posixpath.normpath(
                    posixpath.join(posixpath.dirname(name), unquote(target.split("#")[0]))
                )
                if title:
                    titles.setdefault(path, title)
        return titles

    def _path(self, href: str) -> str:
        return posixpath.normpath(posixpath.join(self._folder, unquote(href)))


def _links(root: Any) -> list[tuple[str, str]]:
    """Return the targets and titles of a table of contents, of either version."""
    found = [(one.get("href") or "", " ".join("".join(one.itertext()).split())) for one in root.iter("{*}a")]
    for point in root.iter("{*}navPoint"):
        label = next(point.iterfind("{*}navLabel/{*}text"), None)
        content = next(point.iterfind("{*}content"), None)
        if label is not None and content is not None:
            found.append((content.get("src") or "", " ".join((label.text or "").split())))
    return found
