"""PDF pages: columns, paragraphs, headings, lists, code, links, forms."""

from __future__ import annotations

import io

import pytest
from fixture_pdfs import STYLES, Sheet, drawn, flowing
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import FreeText, Text
from reportlab.platypus import ListFlowable, ListItem, PageBreak, Paragraph, Preformatted, Spacer

from prep.parsing.formats.pdf.pdf_parser import parse_pdf

SKARN = [
    "The ferry to Skarn leaves",
    "from quay four at dawn.",
    "It carries forty cars and",
    "a hundred passengers who",
    "travel below the deck.",
]
MOSS = [
    "The ferry to Moss leaves",
    "from quay nine at noon.",
    "It carries no cars at all",
    "and sixty passengers who",
    "sit on deck in the wind.",
]
FOEHR = [
    "The ferry to Foehr sails",
    "once a week with letters",
    "and parcels for all those",
    "who winter there and with",
    "hay for their two horses.",
]


def prose(lines: list[str]) -> str:
    return " ".join(lines)


@pytest.mark.parametrize("shift", [0, 5])
def test_columns_are_read_one_after_the_other_with_what_spans_them_between(shift: int) -> None:
    def page(sheet: Sheet) -> None:
        sheet.text(72, 60, "Ferries of the three islands and their quays in the year 2031", size=16)
        sheet.lines(72, 100, SKARN)
        sheet.lines(330, 100 + shift, MOSS)
        sheet.text(
            72, 200, "All ferries stay in the harbour when the wind is above force nine, whatever the season."
        )
        sheet.lines(72, 230, FOEHR)
        sheet.lines(330, 230 + shift, SKARN)

    text = parse_pdf(drawn(page)).text
    order = [prose(SKARN), prose(MOSS), "All ferries stay", prose(FOEHR)]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert text.rindex(prose(SKARN)) > text.index(prose(FOEHR))


def test_three_columns_are_three() -> None:
    def page(sheet: Sheet) -> None:
        for x, lines in ((50, SKARN), (220, MOSS), (390, FOEHR)):
            sheet.lines(x, 100, lines)

    assert parse_pdf(drawn(page)).text.split("\n\n") == [prose(SKARN), prose(MOSS), prose(FOEHR) + "\n"]


def test_columns_on_a_part_of_a_page_are_found() -> None:
    full = "The harbour office is open on every working day from eight to four, and on Saturdays in July."

    def page(sheet: Sheet) -> None:
        sheet.lines(72, 80, [full] * 20)
        sheet.lines(72, 400, SKARN)
        sheet.lines(330, 400, MOSS)

    text = parse_pdf(drawn(page)).text
    assert prose(SKARN) in text
    assert prose(MOSS) in text


def test_a_paragraph_goes_on_over_columns_and_pages() -> None:
    def first(sheet: Sheet) -> None:
        sheet.lines(72, 100, [*SKARN[:4], "sleep on board before the"])
        sheet.lines(330, 100, ["crossing begins at dawn.", *MOSS[:3], "and sixty passengers who"])

    def second(sheet: Sheet) -> None:
        sheet.lines(72, 100, ["sit on deck in the wind."])

    text = parse_pdf(drawn(first, second)).text
    assert "sleep on board before the crossing begins at dawn." in text
    assert "and sixty passengers who sit on deck in the wind." in text


def test_terms_and_their_descriptions_stay_together() -> None:
    def page(sheet: Sheet) -> None:
        for i in range(8):
            sheet.text(72, 100 + 60 * i, f"Term{i}")
            sheet.lines(130, 114 + 60 * i, [f"Meaning {i} of the term runs over a line and", "then ends."])

    text = parse_pdf(drawn(page)).text
    assert text.index("Term1") < text.index("Meaning 1") < text.index("Term2")


def test_words_cut_at_a_line_s_end_are_joined_and_compounds_keep_their_hyphen() -> None:
    lines = [
        "The well-known members of the committee meet in the old mill, and the applica-",
        "tion must reach them there. The secretary of the society is a long-term resi-",
        "dent of the village; she is well-",
        "known for her patience. The Müller-",
        "Thurgau vines are cut in March and the COVID-",
        "19 rules no longer hold.",
    ]
    text = parse_pdf(drawn(lambda sheet: sheet.lines(72, 100, lines))).text
    for words in (
        "the application must",
        "long-term resident of",
        "well-known for",
        "Müller-Thurgau",
        "COVID-19",
    ):
        assert words in text


def test_a_footnote_does_not_stand_inside_the_sentence_that_crosses_the_page() -> None:
    def first(sheet: Sheet) -> None:
        sheet.lines(72, 100, ["The press is lent for one weekend at a time, and the deposit"] * 3)
        sheet.text(72, 142, "is eighty euros, which the treasurer returns to the members")
        sheet.canvas.setFont("Helvetica", 6)
        sheet.canvas.drawString(72, sheet.height - 756, "1")
        sheet.text(78, 760, "Seventy until 2029.", size=8)

    def second(sheet: Sheet) -> None:
        sheet.text(72, 100, "when the press is clean.")

    text = parse_pdf(drawn(first, second)).text
    assert "to the members when the press is clean." in text
    assert "[1] Seventy until 2029." in text


def test_raised_and_lowered_marks_stay_with_their_words() -> None:
    def page(sheet: Sheet) -> None:
        text = sheet.canvas.beginText(72, sheet.height - 100)
        text.setFont("Helvetica", 11)
        for part, rise, size in (("The basin", 0, 11), ("3", 4, 7), (" covers 25 m", 0, 11), ("2", 4, 7),
                                 (" of H", 0, 11), ("2", -2, 7), ("O.", 0, 11)):  # fmt: skip
            text.setFont("Helvetica", size)
            text.setRise(rise)
            text.textOut(part)
        sheet.canvas.drawText(text)

    assert parse_pdf(drawn(page)).text == "The basin[3] covers 25 m^2 of H2O.\n"


def test_letters_that_are_spaced_apart_are_words() -> None:
    def page(sheet: Sheet) -> None:
        sheet.canvas.setFont("Helvetica", 11)
        sheet.canvas.drawString(72, sheet.height - 100, "ANNUAL REPORT", charSpace=5)

    assert parse_pdf(drawn(page)).text == "ANNUAL REPORT\n"


def test_larger_and_bold_lines_and_those_of_the_outline_are_headings() -> None:
    body = [
        Paragraph(
            "The weir is opened in March and closed in October, weather permitting. " * 4, STYLES["Normal"]
        )
    ]
    story = [
        Paragraph("<font size=26>Handbook of Weirs</font>", STYLES["Title"]),
        Paragraph("1 Opening", STYLES["Heading1"]), *body,
        Paragraph("1.1 In spring", STYLES["Heading2"]), *body,
        Paragraph("2 Closing", STYLES["Heading1"]), *body,
        Paragraph("<b>A bold sentence says that nobody may open the weir at night.</b> Others may.", STYLES["Normal"]),
    ]  # fmt: skip
    text = parse_pdf(flowing(story)).text
    headings = [line for line in text.split("\n") if line.startswith("#")]
    assert headings == ["# Handbook of Weirs", "## 1 Opening", "### 1.1 In spring", "## 2 Closing"]


def test_items_of_lists_are_items_and_nest() -> None:
    words = "Close the inlet and wait until the gauge of the upper basin shows zero for ten minutes, day or night."
    inner = ListFlowable(
        [ListItem(Paragraph("slowly at first", STYLES["Normal"]))], bulletType="bullet", start="•"
    )
    story = [
        Paragraph("Do this:", STYLES["Normal"]),
        ListFlowable(
            [
                ListItem(Paragraph(words, STYLES["Normal"])),
                ListItem([Paragraph("Open the drain.", STYLES["Normal"]), inner]),
            ],
            bulletFormat="%s.",
        ),
    ]
    assert (
        parse_pdf(flowing(story)).text == f"Do this:\n\n1. {words}\n2. Open the drain.\n  - slowly at first\n"
    )


def test_code_keeps_its_lines_and_indents_over_a_page() -> None:
    first, second = "def drain(basin):\n    if basin.level > 0:", "        basin.open()\n\n    return basin"
    lead = "The basin is drained in three steps, of which the last is the closing of the valve, so:"
    story = [Paragraph(lead, STYLES["Normal"]), Preformatted(first, STYLES["Code"]), PageBreak(),
             Preformatted(second, STYLES["Code"])]  # fmt: skip
    assert parse_pdf(flowing(story)).text == (f"{lead}\n\n```\n{first}\n{second}\n```\n")


def test_a_text_that_is_all_typewritten_is_no_code() -> None:
    lines = ["The weir is opened in March and stays open until the end", "of the rainy season."]
    text = parse_pdf(drawn(lambda sheet: sheet.lines(72, 100, lines, font="Courier"))).text
    assert text == prose(lines) + "\n"


def test_a_line_that_looks_like_a_heading_in_markdown_is_none() -> None:
    text = parse_pdf(drawn(lambda sheet: sheet.text(72, 100, "# 4 is the largest of the weirs"))).text
    assert text == "\\# 4 is the largest of the weirs\n"


def test_an_address_behind_a_link_is_written_where_the_page_does_not_show_it() -> None:
    story = [
        *[
            Paragraph(
                "The rules of the weir and of the locks above it are printed anew every year. " * 3,
                STYLES["Normal"],
            )
        ],
        Paragraph('See <a href="https://weirs.example/rules">the rules</a> of 2031.', STYLES["Normal"]),
        Paragraph(
            'Or <a href="https://weirs.example/plain">weirs.example/plain</a> alone.', STYLES["Normal"]
        ),
        Paragraph('Write to <a href="mailto:ada@weirs.example">Ada Moor</a>.', STYLES["Normal"]),
    ]
    assert parse_pdf(flowing(story)).text.split("\n")[-4:-1] == [
        "See the rules (https://weirs.example/rules) of 2031.",
        "Or weirs.example/plain alone.",
        "Write to Ada Moor (ada@weirs.example).",
    ]


def form(sheet: Sheet) -> None:
    """Draw labels with fields: right of them, below one, and a box left of one."""
    fields = sheet.canvas.acroForm
    up = sheet.height
    sheet.text(72, 100, "Surname:")
    fields.textfield(name="surname", value="Tervonen", x=160, y=up - 105, width=200, height=18)
    sheet.text(72, 140, "Plot")
    fields.textfield(name="plot", value="27-B", x=72, y=up - 165, width=100, height=18)
    fields.checkbox(name="news", checked=True, x=72, y=up - 205, size=14)
    sheet.text(92, 202, "Newsletter")
    fields.checkbox(name="calls", checked=False, x=72, y=up - 235, size=14)
    sheet.text(92, 232, "Calls")
    sheet.text(72, 270, "Season")
    fields.choice(
        name="season", value="Spring", options=["Autumn", "Spring"], x=160, y=up - 275, width=100, height=18
    )
    fields.textfield(name="remarks", value="Left handed", x=72, y=up - 500, width=300, height=18)
    fields.textfield(name="unused", x=72, y=up - 540, width=300, height=18)


def test_values_of_a_form_stand_at_their_labels() -> None:
    text = parse_pdf(drawn(form)).text
    assert [line for line in text.split("\n") if line] == [
        "Surname: Tervonen",
        "Plot 27-B",
        "- [x] Newsletter",
        "- [ ] Calls",
        "Season Spring",
        "remarks: Left handed",
    ]


def test_text_that_readers_added_is_read() -> None:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(drawn(lambda sheet: sheet.text(72, 100, "A line.")))))
    writer.add_annotation(0, FreeText(text="Checked in May", rect=(72, 500, 300, 520)))
    writer.add_annotation(0, Text(text="Ask Ada first", rect=(300, 600, 320, 620)))
    buffer = io.BytesIO()
    writer.write(buffer)
    assert parse_pdf(buffer.getvalue()).text.split("\n\n") == [
        "A line.",
        "Checked in May",
        "Note: Ask Ada first\n",
    ]


def test_a_spacer_between_paragraphs_parts_them() -> None:
    story = [Paragraph("First.", STYLES["Normal"]), Spacer(1, 20), Paragraph("Second.", STYLES["Normal"])]
    assert parse_pdf(flowing(story)).text == "First.\n\nSecond.\n"
