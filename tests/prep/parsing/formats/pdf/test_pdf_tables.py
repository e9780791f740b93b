"""Tables of PDFs: ruled, merged cells, without lines, over pages; and what is no table."""

from __future__ import annotations

import pytest
from fixture_pdfs import STYLES, Sheet, drawn, flowing
from reportlab.lib import colors
from reportlab.platypus import Paragraph, Table, TableStyle

from prep.parsing.formats.pdf.pdf_parser import parse_pdf

GRID = TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
ROUTES = [
    ["Route", "Price", "Minutes"],
    ["Harbour - Mill", "2.40", "18"],
    ["Harbour - Fort", "3.10", "27"],
    ["Mill - Fort", "1.90", "11"],
]


def rows_of(data: bytes) -> list[list[str]]:
    """Return the cells of the rows of all tables, rules left out."""
    lines = [line for line in parse_pdf(data).text.split("\n") if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if set(row[0]) - {"-"} or not row[0]]


def test_a_ruled_table_keeps_its_rows_and_the_lines_of_a_cell() -> None:
    wide = Paragraph("Inlet, north side of the basin near the old mill wheel", STYLES["Normal"])
    table = Table(
        [["Valve", "Turns", "Note"], [wide, "3", ""], ["Drain", "2", "by hand"]], colWidths=[90, 60, 80]
    )
    table.setStyle(GRID)
    data = flowing([Paragraph("Valves", STYLES["Normal"]), table, Paragraph("After it.", STYLES["Normal"])])
    assert parse_pdf(data).text == (
        "Valves\n\n"
        "| Valve | Turns | Note |\n"
        "| --- | --- | --- |\n"
        "| Inlet, north side of the basin near the old mill wheel | 3 |  |\n"
        "| Drain | 2 | by hand |\n\n"
        "After it.\n"
    )


def test_a_cell_that_spans_rows_or_columns_stands_in_each() -> None:
    table = Table([["Valve", "Turns", ""], ["", "cold", "warm"], ["Inlet", "3", "5"], ["Outlet", "", "7"]])
    spans = [("SPAN", (0, 0), (0, 1)), ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 2), (0, 2))]
    table.setStyle(TableStyle([*GRID.getCommands(), *spans]))
    assert rows_of(flowing([table])) == [
        ["Valve", "Turns", "Turns"],
        ["Valve", "cold", "warm"],
        ["Inlet", "3", "5"],
        ["Outlet", "", "7"],
    ]


def test_cells_that_are_filled_boxes_are_a_table() -> None:
    table = Table(ROUTES, colWidths=[120, 60, 60])
    table.setStyle(TableStyle([("BACKGROUND", (0, 0), (-1, -1), colors.lightgrey)]))
    assert rows_of(flowing([table])) == ROUTES


@pytest.mark.parametrize("rules", [[], [("LINEABOVE", (0, 0), (-1, 0), 1, colors.black),
                                        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
                                        ("LINEBELOW", (0, -1), (-1, -1), 1, colors.black)]])  # fmt: skip
def test_a_table_without_lines_or_with_three_is_found_by_its_columns(rules: list[tuple[object, ...]]) -> None:
    table = Table(ROUTES, colWidths=[120, 60, 60])
    table.setStyle(TableStyle(rules))
    lead = Paragraph(
        "The prices of the routes hold for the whole of the year, Sundays included. " * 3, STYLES["Normal"]
    )
    assert rows_of(flowing([lead, table, lead])) == ROUTES


def test_right_aligned_numbers_and_cells_of_two_lines_stay_in_their_rows() -> None:
    def page(sheet: Sheet) -> None:
        sheet.lines(72, 100, ["Service", "New connection", "Meter test", "Reading"], leading=32)
        sheet.lines(
            300, 100, ["Due", "before work begins", "within thirty days of the", "yearly"], leading=32
        )
        sheet.text(300, 177, "test, or at once")
        for i, fee in enumerate(["Fee", "120.50", "35.00", "4.20"]):
            sheet.canvas.setFont("Helvetica", 11)
            sheet.canvas.drawRightString(260, sheet.height - 100 - 32 * i, fee)

    assert rows_of(drawn(page)) == [
        ["Service", "Fee", "Due"],
        ["New connection", "120.50", "before work begins"],
        ["Meter test", "35.00", "within thirty days of the test, or at once"],
        ["Reading", "4.20", "yearly"],
    ]


def test_a_table_over_pages_is_one_and_its_header_stands_once() -> None:
    rows = [["Berth", "Depth"], *([f"B{i}", f"{i / 10} m"] for i in range(90))]
    table = Table(rows, repeatRows=1)
    table.setStyle(GRID)
    parsed = parse_pdf(flowing([table]))
    assert len(parsed.places) == 3
    assert parsed.text.count("| Berth | Depth |") == 1
    assert parsed.text.count("| --- |") == 1
    assert [line for line in parsed.text.split("\n") if line.startswith("| B")][1:] == [
        f"| {berth} | {depth} |" for berth, depth in rows[1:]
    ]
    assert parsed.text[parsed.places[1].start :].startswith("| B")


def test_labels_with_values_have_no_header() -> None:
    table = Table([["Name:", "Ada Moor"], ["Plot:", "27-B"], ["Fee:", "32.00"]])
    table.setStyle(GRID)
    assert parse_pdf(flowing([table])).text == "| Name: | Ada Moor |\n| Plot: | 27-B |\n| Fee: | 32.00 |\n"


def test_a_box_around_text_is_no_table() -> None:
    words = "The weir is opened in March and closed in October, weather permitting. " * 3
    box = Table([[Paragraph(words, STYLES["Normal"])]], colWidths=[300])
    box.setStyle(GRID)
    text = parse_pdf(flowing([box])).text
    assert "|" not in text
    assert text.replace("\n", " ").strip() == words.strip()


def test_numbered_lines_are_a_list_and_no_table() -> None:
    def page(sheet: Sheet) -> None:
        for i, line in enumerate(["Close the inlet.", "Open the drain.", "Note the time.", "Go home."]):
            sheet.text(72, 100 + 14 * i, f"{i + 1}.")
            sheet.text(100, 100 + 14 * i, line)

    assert (
        parse_pdf(drawn(page)).text
        == "1. Close the inlet.\n2. Open the drain.\n3. Note the time.\n4. Go home.\n"
    )


def test_entries_of_a_table_of_contents_stay_lines() -> None:
    def page(sheet: Sheet) -> None:
        for i, (title, number) in enumerate((("1 Valves", "3"), ("1.1 Inlets", "4"), ("2 Fees", "9"))):
            sheet.text(72, 100 + 14 * i, title + " " + ". " * 60)
            sheet.text(480, 100 + 14 * i, number)

    assert parse_pdf(drawn(page)).text == "1 Valves … 3\n1.1 Inlets … 4\n2 Fees … 9\n"
