"""PDF: lines and pages as extracted, and what is said of pages that give nothing."""

from __future__ import annotations

import random

import pytest
from fixture_files import encrypted_pdf_bytes, pdf_bytes

from prep.parsing.formats.pdf_parser import parse_pdf
from prep.parsing.parsed import UnreadableError


def test_lines_stay_lines_and_pages_are_parted_by_a_blank_line() -> None:
    parsed = parse_pdf(pdf_bytes([["One (1)", "two"], ["three"]]))
    assert parsed.text == "One (1)\ntwo\n\nthree\n"
    assert parsed.losses == ()


def test_the_title_is_the_metadata_s_where_it_names_something() -> None:
    assert parse_pdf(pdf_bytes([["x"]], title="A study of pages")).title == "A study of pages"
    assert parse_pdf(pdf_bytes([["x"]], title="Microsoft Word - draft.doc")).title == ""
    assert parse_pdf(pdf_bytes([["x"]])).title == ""


def test_a_file_that_only_restricts_printing_is_read() -> None:
    assert parse_pdf(encrypted_pdf_bytes("")).text == "A secret line.\n"


def test_pages_that_are_pictures_are_reported_beside_the_text() -> None:
    pages = [["text"], [], [], ["text"], []]
    assert parse_pdf(pdf_bytes(pages, picture=True)).losses == (
        ("pages 2-3, 5", "no text: may be scanned images"),
    )


def test_blank_pages_are_no_loss() -> None:
    assert parse_pdf(pdf_bytes([["text"], []])).losses == ()


def test_a_file_without_pages_is_damaged() -> None:
    with pytest.raises(UnreadableError, match="no pages"):
        parse_pdf(pdf_bytes([]))


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
