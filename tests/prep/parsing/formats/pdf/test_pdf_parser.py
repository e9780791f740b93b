"""PDF: title, metadata, pages, and what is said of pages that give nothing."""

from __future__ import annotations

import io
import random
import re

import pytest
from fixture_files import encrypted_pdf_bytes, pdf_bytes
from fixture_pdfs import Sheet, drawn
from pypdf import PdfReader, PdfWriter

from prep.parsing.formats.pdf.pdf_parser import parse_pdf
from prep.parsing.parsed import Parsed, UnreadableError
from prep.places import place_at


def page_of(parsed: Parsed, words: str) -> str:
    place = place_at(parsed.places, parsed.text.index(words))
    assert place is not None
    return place.label


def changed(data: bytes, **edits: object) -> bytes:
    """Return a PDF written anew after `edits`, which pypdf's writer offers: page labels, attachments."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    for name, arguments in edits.items():
        getattr(writer, name)(**arguments)  # type: ignore[arg-type]
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_short_lines_stay_lines_and_pages_are_parted_by_a_blank_line() -> None:
    parsed = parse_pdf(pdf_bytes([["One (1)", "two"], ["three"]]))
    assert parsed.text == "One (1)\ntwo\n\nthree\n"
    assert parsed.losses == ()
    assert [(place.start, place.kind, place.label) for place in parsed.places] == [
        (0, "page", "1"),
        (13, "page", "2"),
    ]


def test_the_title_is_the_metadata_s_where_it_names_something() -> None:
    assert parse_pdf(pdf_bytes([["x"]], title="A study of pages")).title == "A study of pages"
    assert parse_pdf(pdf_bytes([["x"]], title="Microsoft Word - draft.doc")).title == ""
    assert parse_pdf(pdf_bytes([["x"]])).title == ""


def test_the_title_is_the_first_heading_where_the_metadata_has_none() -> None:
    def page(sheet: Sheet) -> None:
        sheet.text(72, 80, "Rules of the Weir", size=24, font="Helvetica-Bold")
        sheet.lines(72, 130, ["The weir is opened in March.", "It is closed in October."])

    assert parse_pdf(drawn(page)).title == "Rules of the Weir"


def test_metadata_is_what_the_file_says_of_itself() -> None:
    data = drawn(lambda sheet: sheet.text(72, 80, "A line."), title="Weirs", author="Ada Moor")
    data = changed(
        data, add_metadata={"infos": {"/CreationDate": "D:20310405120000+02'00'", "/ModDate": "D:20310406"}}
    )
    parsed = parse_pdf(data)
    assert parsed.metadata == {
        "title": "Weirs",
        "author": "Ada Moor",
        "created": "2031-04-05T12:00:00+02:00",
        "modified": "2031-04-06",
        "n_pages": "1",
    }


def test_pages_are_named_as_the_file_labels_them() -> None:
    data = pdf_bytes([["Preface."], [], ["Chapter one."]])
    labelled = changed(data, set_page_label={"page_index_from": 0, "page_index_to": 1, "style": "/r"})
    labelled = changed(
        labelled, set_page_label={"page_index_from": 2, "page_index_to": 2, "style": "/D", "start": 1}
    )
    parsed = parse_pdf(labelled)
    assert [place.label for place in parsed.places] == ["i", "ii", "1"]
    assert page_of(parsed, "Preface") == "i"
    assert page_of(parsed, "Chapter") == "1"  # not the blank page's, which begins at the same offset


def test_a_file_that_only_restricts_printing_is_read() -> None:
    assert parse_pdf(encrypted_pdf_bytes("")).text == "A secret line.\n"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_a_file_with_a_password_says_so(algorithm: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes([["A secret line."]]))))
    writer.encrypt(user_password="pw", owner_password="owner", algorithm=algorithm)
    buffer = io.BytesIO()
    writer.write(buffer)
    with pytest.raises(UnreadableError, match="is encrypted and needs a password"):
        parse_pdf(buffer.getvalue())


def test_pages_that_are_pictures_are_reported_beside_the_text() -> None:
    pages = [["text"], [], [], ["text"], []]
    (place, reason), *others = parse_pdf(pdf_bytes(pages, picture=True)).losses
    assert (place, others) == ("pages 2-3, 5", [])
    assert reason.startswith("no text: may be scanned images")


def test_blank_pages_are_no_loss() -> None:
    assert parse_pdf(pdf_bytes([["text"], []])).losses == ()


def test_a_file_without_pages_is_damaged() -> None:
    with pytest.raises(UnreadableError, match="no pages"):
        parse_pdf(pdf_bytes([]))


def test_files_inside_a_pdf_are_named_as_losses() -> None:
    data = changed(pdf_bytes([["text"]]), add_attachment={"filename": "prices.xlsx", "data": b"PK"})
    assert parse_pdf(data).losses == (("attached file prices.xlsx", "files inside a PDF are not read"),)


def test_text_whose_fonts_name_no_letters_is_a_loss_and_the_rest_is_read() -> None:
    def unmapped(data: bytes) -> bytes:
        # A font with codes of its own and no table from them to letters.
        return data.replace(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [.1 0 0 .1 0 0] /FirstChar 1 /LastChar 2 "
            b"/Widths [9 9] /Encoding << /Type /Encoding /Differences [1 /g1 /g2] >> /CharProcs << >> >>",
        )

    codes = "\x01\x02\x01\x02" * 20
    with pytest.raises(UnreadableError, match="fonts do not say which letters"):
        parse_pdf(unmapped(pdf_bytes([[codes]])))


def test_ligatures_and_soft_hyphens_are_plain_letters() -> None:
    mapped = to_unicode_pdf({"A": "of\ufb01ce", "B": "gar\u00adden", "C": "\ufb02ag"})
    assert parse_pdf(mapped).text == "office garden flag\n"


def test_text_from_right_to_left_is_in_reading_order() -> None:
    # Words of Hebrew, drawn from the left as the page shows them: the last word of the sentence stands first.
    mapped = to_unicode_pdf({"A": "\u05d2", "B": "\u05d1", "C": "\u05d0"})
    assert parse_pdf(mapped).text.split() == ["\u05d0", "\u05d1", "\u05d2"]


def to_unicode_pdf(letters: dict[str, str]) -> bytes:
    """Return a page with these codes, blanks between, in a font that maps each code to some text."""
    rows = "".join(
        f"<{ord(code):02x}> <{text.encode('utf-16-be').hex()}>\n" for code, text in letters.items()
    )
    table = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def 1 begincodespacerange <00> <ff> "
        f"endcodespacerange {len(letters)} beginbfchar\n{rows}endbfchar endcmap end end"
    ).encode()
    data = pdf_bytes([[" ".join(letters)]])
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = len(re.findall(rb"\d+ 0 obj", data))
    added = b"%d 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (objects + 1, len(table), table)
    data = data.replace(font, font[:-2] + b"/ToUnicode %d 0 R >>" % (objects + 1))
    return data.replace(b"\nxref\n", b"\n" + added + b"xref\n").replace(
        b"startxref\n", b"startxref\n9"
    )  # found by search


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_page_that_is_turned_reads_as_it_is_shown(rotation: int) -> None:
    lines = [
        "The ferry to Skarn leaves from quay four at dawn and carries",
        "forty cars. It returns at noon.",
    ]
    data = pdf_bytes([lines])
    upright = parse_pdf(data).text
    turned = data.replace(b"/MediaBox", b"/Rotate %d /MediaBox" % rotation)
    assert parse_pdf(turned).text == upright


def test_text_along_the_edge_stands_beside_the_running_text_and_not_inside() -> None:
    def page(sheet: Sheet) -> None:
        sheet.lines(
            90, 100, ["The weir is opened in March and stays open until the end of the", "rainy season."]
        )
        sheet.canvas.saveState()
        sheet.canvas.rotate(90)
        sheet.canvas.drawString(300, -40, "Draft of June")
        sheet.canvas.restoreState()

    text = parse_pdf(drawn(page)).text
    assert "until the end of the rainy season." in text
    assert "Draft of June" in text


def test_text_outside_the_visible_page_is_a_loss() -> None:
    def page(sheet: Sheet) -> None:
        sheet.text(72, 80, "Seen by all.")
        sheet.text(2000, 80, "Far to the right of everything.")

    parsed = parse_pdf(drawn(page))
    assert parsed.text == "Seen by all.\n"
    assert parsed.losses == (("page 1", "text outside the visible page is left out"),)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_have_a_reason_in_most_ways_of_damage() -> None:
    random_source = random.Random(11)
    sound = pdf_bytes([["One line", "another"], ["third"]])
    n_read = n_rejected = 0
    for _ in range(80):
        data = bytearray(sound)
        if random_source.random() < 0.3:
            del data[random_source.randrange(20, len(data)) :]
        for _ in range(random_source.choice((0, 2, 40))):
            data[random_source.randrange(len(data))] = random_source.randrange(256)
        try:
            parse_pdf(bytes(data))
            n_read += 1
        except UnreadableError:
            n_rejected += 1
    assert n_read > 0
    assert n_rejected > 0
