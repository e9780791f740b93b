"""Scanned pages through text recognition, where its extra is installed."""

from __future__ import annotations

import io

import pytest
from fixture_pdfs import Sheet, drawn
from PIL import Image

from prep.parsing.formats.pdf.pdf_parser import parse_pdf
from prep.parsing.parsed import UnreadableError

LINES = ["The weir is opened in March and stays open", "until the end of the rainy season."]


def scanned() -> bytes:
    """Return a PDF whose only page is a picture of a page with the lines."""
    import pypdfium2

    document = pypdfium2.PdfDocument(drawn(lambda sheet: sheet.lines(72, 100, LINES, size=14, leading=20)))
    picture: Image.Image = document[0].render(scale=2).to_pil().convert("RGB")
    document.close()
    buffer = io.BytesIO()
    picture.save(buffer, "PDF", resolution=144)
    return buffer.getvalue()


def test_a_scan_is_read_where_the_extra_is_installed_and_says_so() -> None:
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")
    parsed = parse_pdf(scanned())
    assert parsed.text.split() == " ".join(LINES).split()
    assert parsed.losses == (
        ("page 1", "is a picture: its text is from text recognition and may have mistakes"),
    )


def test_without_the_extra_a_scan_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prep.parsing.formats.pdf.content.scanned_pages.find_spec", lambda name: None)
    with pytest.raises(UnreadableError, match=r"may be scanned images.*pip install 'diptych\[ocr\]'"):
        parse_pdf(scanned())


def test_a_scan_with_a_stamp_on_every_page_is_a_scan() -> None:
    pages = [lambda sheet: _picture(sheet, "Read by Scanner Pro")] * 5
    parsed = parse_pdf(drawn(*pages))
    assert parsed.text == "Read by Scanner Pro\n"
    [(place, reason)] = parsed.losses
    assert place == "pages 1-5"
    assert reason.startswith("no text: may be scanned images")


def _picture(sheet: Sheet, stamp: str) -> None:
    sheet.canvas.drawInlineImage(Image.new("RGB", (8, 8), "white"), 0, 0, 595, 842)
    sheet.text(280, 820, stamp, size=8)
