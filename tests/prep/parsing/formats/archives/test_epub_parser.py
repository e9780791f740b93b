"""EPUB books: chapters in the order of the spine, with the headings and titles that the book gives them."""

from __future__ import annotations

import io
import zipfile

import pytest

from prep.parsing.formats.archives.epub_parser import parse_epub
from prep.parsing.parsed import UnreadableError

GIB = 1 << 30
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)
OPF = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>
<dc:title>On Kilns</dc:title><dc:creator>Ann Potter</dc:creator><dc:creator>Bo</dc:creator><dc:language>en</dc:language>
</metadata><manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="two" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="text/one.xhtml" media-type="application/xhtml+xml"/>
<item id="cover" href="cover.svg" media-type="image/svg+xml"/>
<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/>
</manifest><spine><itemref idref="cover"/><itemref idref="nav"/><itemref idref="one"/><itemref idref="two"/>
<itemref idref="gone"/><itemref idref="unknown"/></spine></package>"""
NAV = (
    '<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol><li><a href="text/one.xhtml#a">First <i>steps</i></a>'
    "</li></ol></nav></body></html>"
)
TABLE = "<table><tr><th>n</th><th>m</th></tr><tr><td>1</td><td>2</td></tr></table>"
PARTS = {
    "META-INF/container.xml": CONTAINER,
    "OEBPS/book.opf": OPF,
    "OEBPS/nav.xhtml": NAV,
    "OEBPS/text/one.xhtml": "<html><head><title>x</title></head><body><p>Hot &amp; slow.</p></body></html>",
    "OEBPS/text/two b.xhtml": f"<html><body><h1>Glazes</h1>{TABLE}</body></html>",
}


def book(**changed: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("mimetype", "application/epub+zip")
        for name, text in {**PARTS, **changed}.items():
            out.writestr(name, text)
    return buffer.getvalue()


def test_chapters_are_read_in_the_order_of_the_spine() -> None:
    parsed = parse_epub(book(), GIB)
    assert parsed.title == "On Kilns"
    assert parsed.metadata == {"author": "Ann Potter, Bo", "language": "en"}
    assert parsed.text == "# First steps\n\nHot & slow.\n\n# Glazes\n\n| n | m |\n| --- | --- |\n| 1 | 2 |\n"
    assert [(one.kind, one.label, parsed.text[one.start :].split("\n")[0]) for one in parsed.places] == [
        ("chapter", "First steps", "# First steps"),
        ("chapter", "Glazes", "# Glazes"),
    ]
    assert [where for where, _ in parsed.losses] == ["OEBPS/cover.svg", "OEBPS/gone.xhtml"]


def test_the_contents_of_older_books_name_chapters() -> None:
    ncx = (
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>Begin</text></navLabel>'
        '<content src="text/one.xhtml"/></navPoint></navMap></ncx>'
    )
    opf = OPF.replace(
        'href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"',
        'href="toc.ncx" media-type="application/x-dtbncx+xml"',
    )
    parsed = parse_epub(book(**{"OEBPS/book.opf": opf, "OEBPS/toc.ncx": ncx}), GIB)
    assert parsed.text.startswith("# Begin\n\nHot")


def test_protected_books_and_damage_are_named() -> None:
    encryption = '<e xmlns:c="urn:c"><c:CipherReference URI="{}"/></e>'
    locked = {"META-INF/encryption.xml": encryption.format("OEBPS/text/one.xhtml")}
    with pytest.raises(UnreadableError, match="digital rights"):
        parse_epub(book(**locked), GIB)
    fonts = {"META-INF/encryption.xml": encryption.format("OEBPS/fonts/a.otf")}
    assert parse_epub(book(**fonts), GIB).title == "On Kilns"
    for part in ("META-INF/container.xml", "OEBPS/book.opf"):
        with pytest.raises(UnreadableError, match="is damaged"):
            parse_epub(book(**{part: "<"}), GIB)
    with pytest.raises(UnreadableError, match="no package document"):
        parse_epub(book(**{"META-INF/container.xml": "<container/>"}), GIB)
