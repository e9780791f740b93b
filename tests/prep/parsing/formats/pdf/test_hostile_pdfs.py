"""PDFs made to hang, crash or fill memory: each is read or rejected within its time, in the parsing process."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixture_files import pdf_bytes

from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.parsing_process import ParseLimits, ParseProcess

LINE = b"BT /F1 12 Tf 72 700 Td (One line of text.) Tj ET"


def page(
    content: bytes = LINE, entries: bytes = b"", catalog: bytes = b"", *, objects: tuple[bytes, ...] = ()
) -> bytes:
    """Return a PDF of one page. entries, catalog: more of their dictionaries; objects: numbered from 6."""
    box = b"" if b"/MediaBox" in entries else b"/MediaBox [0 0 612 792]"
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R %s %s /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
        % (box, entries),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *objects,
    ]
    body = b"%PDF-1.4\n" + b"".join(
        b"%d 0 obj\n%s\nendobj\n" % numbered for numbered in enumerate(parts, start=1)
    )
    return body + b"trailer\n<< /Size %d /Root 1 0 R >>\n%%%%EOF\n" % (len(parts) + 1)


@pytest.fixture(scope="module")
def process() -> Iterator[ParseProcess]:
    with ParseProcess(ParseLimits(timeout_s=30, memory_limit_bytes=1 << 30)) as started:
        yield started


def parsed(process: ParseProcess, folder: Path, data: bytes) -> Parsed | str:
    """Return what the parsing process makes of the bytes, the reason where it rejects them."""
    path = folder / "hostile.pdf"
    path.write_bytes(data)
    try:
        return process.parse(path)
    except UnreadableError as error:
        return error.reason


MARKS = b"".join(
    b"BT /F1 %d Tf %d.%d 700 Td (1) Tj ET\n" % (10 - i % 2 * 4, i % 600, i % 97) for i in range(6000)
)
WORDS = b"".join(b"BT /F1 8 Tf %d %d Td (w%d) Tj ET\n" % (i * 37 % 600, i * 53 % 790, i) for i in range(6000))
GRID = b"".join(b"%d 0 m %d 792 l S 0 %d m 612 %d l S\n" % (i * 3, i * 3, i * 3, i * 3) for i in range(200))
FIELDS = b" ".join(
    b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (f%d) /V (v) /Rect [%d %d %d %d] >>"
    % (i, i % 600, i // 8, i % 600 + 9, i // 8 + 9)
    for i in range(500)
)
READ = {
    "nested arrays": page(entries=b"/X " + b"[" * 100_000 + b"]" * 100_000),
    "a page as large as numbers go": page(entries=b"/MediaBox [0 0 1e30 1e30]"),
    "references that lead back": page(entries=b"/Annots 6 0 R", objects=(b"6 0 R",)),
    "an outline that leads back": page(
        catalog=b"/Outlines 6 0 R",
        objects=(b"<< /First 7 0 R >>", b"<< /Title (A) /Next 7 0 R /First 7 0 R >>"),
    ),
    "a table of cross references that leads back": pdf_bytes([["One line of text."]]).replace(
        b"/Root", b"/Prev 9 /Root"
    ),
    "more pages than any file has": page().replace(b"/Count 1", b"/Count 2147483647"),
    "words everywhere": page(WORDS),
    "cells everywhere": page(GRID + WORDS),
    "small marks everywhere": page(MARKS),
    "fields everywhere": page(WORDS, b"/Annots [%s]" % FIELDS, b"/AcroForm << /Fields [] >>"),
    "one row of thousands of cells": page(
        b"BT /F1 1 Tf 0 700 Td " + b"(a) Tj 3 0 Td (b) Tj 3 0 Td " * 4000 + b"ET"
    ),
}
REJECTED = {
    "a tree of pages that leads back": page().replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]"),
    "spaces packed a thousand to one": page().replace(
        b"<< /Length %d >>\nstream\n%s" % (len(LINE), LINE),
        b"<< /Filter /FlateDecode /Length 100000 >>\nstream\n" + zlib.compress(b" " * (100 << 20), 9),
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_it_is_read(kind: str, process: ParseProcess, tmp_path: Path) -> None:
    start = time.monotonic()
    result = parsed(process, tmp_path, READ[kind])
    assert isinstance(result, Parsed), result
    assert result.text.strip()
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("kind", REJECTED)
def test_it_is_rejected(kind: str, process: ParseProcess, tmp_path: Path) -> None:
    start = time.monotonic()
    assert isinstance(parsed(process, tmp_path, REJECTED[kind]), str)
    assert time.monotonic() - start < 20
