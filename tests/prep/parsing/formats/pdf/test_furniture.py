"""Running headers, footers and page numbers of PDFs, and what only looks like them."""

from __future__ import annotations

from collections.abc import Callable

from fixture_pdfs import Sheet, drawn

from prep.parsing.formats.pdf.pdf_parser import parse_pdf

# A sentence in six parts, a page for each.
PARTS = [
    ["Members may borrow the cider press for one weekend of the year, and"],
    ["the committee decides by draw where several of them ask for the same"],
    ["one. The deposit for the press is eighty euros, which the treasurer"],
    ["returns when the press is clean. Nobody may lend the press to others"],
    ["without the consent of the committee, which is given in writing and"],
    ["holds for one year."],
]
SENTENCES = " ".join(part for [part] in PARTS)


def pages(draw: Callable[[Sheet, int], None], n_pages: int = 6) -> bytes:
    """Return a PDF of the parts; `draw` adds to each page, by its number from 1."""

    def page(number: int) -> Callable[[Sheet], None]:
        def draw_page(sheet: Sheet) -> None:
            sheet.lines(72, 120, PARTS[number - 1])
            draw(sheet, number)

        return draw_page

    return drawn(*(page(number) for number in range(1, n_pages + 1)))


def test_headers_and_numbers_do_not_stand_inside_a_sentence() -> None:
    def draw(sheet: Sheet, number: int) -> None:
        sheet.text(72, 40, "Orchard Society - Handbook 2031", size=9)
        sheet.text(280, 800, f"Page {number} of 6", size=9)

    assert parse_pdf(pages(draw)).text == f"Orchard Society - Handbook 2031\n\n{SENTENCES}\n"


def test_left_and_right_pages_have_headers_of_their_own() -> None:
    def draw(sheet: Sheet, number: int) -> None:
        if number % 2:
            sheet.text(300, 40, f"The cider press    {number}", size=9)
        else:
            sheet.text(72, 40, f"{number}    Orchard Society", size=9)

    text = parse_pdf(pages(draw)).text
    assert SENTENCES in text
    assert text.count("Orchard Society") == text.count("The cider press") == 1


def test_numbers_are_left_out_in_any_numerals_and_alone() -> None:
    for numerals in (
        ["i", "ii", "iii", "iv", "v", "vi"],
        ["- 7 -", "- 8 -", "- 9 -", "- 10 -", "- 11 -", "- 12 -"],
    ):

        def draw(sheet: Sheet, number: int, numerals: list[str] = numerals) -> None:
            sheet.text(290, 800, numerals[number - 1], size=9)

        assert parse_pdf(pages(draw)).text == SENTENCES + "\n"


def test_a_header_that_names_the_section_is_written_once_a_section() -> None:
    def draw(sheet: Sheet, number: int) -> None:
        sheet.text(72, 40, "Pressing" if number < 4 else "Lending", size=9)

    text = parse_pdf(pages(draw)).text
    assert text.count("Pressing") == text.count("Lending") == 1
    assert "and the committee decides" in text


def test_headings_that_count_and_repeated_forms_of_a_short_document_stay() -> None:
    def questions(sheet: Sheet, number: int) -> None:
        sheet.text(72, 60, f"Question {number}", size=11, font="Helvetica-Bold")

    text = parse_pdf(pages(questions, 4)).text
    assert [f"Question {number}" in text for number in (1, 2, 3, 4)] == [True] * 4

    def forms(sheet: Sheet) -> None:
        sheet.lines(72, 100, ["Name of the member", "Number of the plot", "Signature"], leading=40)

    assert parse_pdf(drawn(forms, forms)).text.count("Name of the member") == 2


def test_a_number_at_the_foot_of_a_single_page_stays() -> None:
    def page(sheet: Sheet) -> None:
        sheet.text(72, 100, "The deposit is")
        sheet.text(290, 800, "80")

    assert "80" in parse_pdf(drawn(page)).text


def test_the_last_line_of_a_page_is_no_footer_though_it_recurs_elsewhere() -> None:
    def page(number: int) -> Callable[[Sheet], None]:
        return lambda sheet: sheet.lines(
            72, 100 + 40 * number, ["The press is clean.", f"Checked {number * 17 % 5} times."]
        )

    text = parse_pdf(drawn(*(page(number) for number in range(4)))).text
    assert text.count("The press is clean.") == 4
