"""Workbooks: cells as they are shown, tables with their headers, what is hidden left out and told."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import xlsxwriter

from prep.parsing.formats.office import sheet_tables, xlsx_parser
from prep.parsing.formats.office.xlsx_parser import parse_xlsx
from prep.parsing.parsed import Parsed, UnreadableError

GIB = 1 << 30
MAIN = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def workbook(fill: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    fill(book)
    book.close()
    return buffer.getvalue()


def rows_of(rows: list[list[Any]]) -> bytes:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Sheet")
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)

    return workbook(fill)


def changed(data: bytes, part: str, old: bytes, new: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as out:
        for name in source.namelist():
            content = source.read(name)
            if name == part or (part == "*" and name.endswith((".xml", ".rels"))):
                assert part == "*" or old in content
                content = content.replace(old, new)
            out.writestr(name, content)
    return buffer.getvalue()


def read(data: bytes) -> Parsed:
    return parse_xlsx(data, GIB)


def lines(data: bytes) -> list[str]:
    return read(data).text.split("\n")[:-1]


def test_cells_stand_as_their_formats_show_them_below_the_name_of_their_sheet() -> None:
    def fill(book: Any) -> None:
        book.set_properties({"title": "Stock of the kiln", "author": "Ann"})
        sheet = book.add_worksheet("Prices")
        sheet.write_row("B3", ["Item", "Price", "Share", "Since", "Sold"])
        formats = ['#,##0.00 "€"', "0.0%", "d mmm yyyy", "0"]
        sheet.write("B4", "Gasket\nset")
        for column, (value, code) in enumerate(zip((1234.5, 0.125, 47911, 7), formats, strict=True), start=2):
            sheet.write(3, column, value, book.add_format({"num_format": code}))
        sheet.write_row("B5", ["Valve"])
        sheet.write_formula("C5", "=C4*2", book.add_format({"num_format": "0.00"}), 2469)
        sheet.write_boolean("F5", True)

    parsed = read(workbook(fill))
    assert parsed.text.split("\n")[:-1] == [
        "# Prices", "",
        "| Item | Price | Share | Since | Sold |", "| --- | --- | --- | --- | --- |",
        "| Gasket set | 1,234.50 € | 12.5% | 4 Mar 2031 | 7 |",
        "| Valve | 2469.00 |  |  | TRUE |",
    ]  # fmt: skip
    assert parsed.title == "Stock of the kiln"
    assert parsed.metadata["author"] == "Ann"
    assert parsed.losses == ()


def test_a_sheet_is_a_place() -> None:
    def fill(book: Any) -> None:
        book.add_worksheet("North").write_row(0, 0, ["a", "b"])
        book.add_worksheet("Empty")
        book.add_worksheet("South").write_row(0, 0, ["c", "d"])

    parsed = read(workbook(fill))
    assert [(one.kind, one.label, parsed.text[one.start :].split("\n")[0]) for one in parsed.places] == [
        ("sheet", "North", "# North"),
        ("sheet", "South", "# South"),
    ]


def test_merged_cells_stand_in_each_of_them_and_a_title_once() -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Turns")
        sheet.merge_range("A1:E1", "Turns by valve")
        sheet.merge_range("B2:C2", "Cold")
        sheet.merge_range("D2:E2", "Warm")
        sheet.write_row("A3", ["Valve", "least", "most", "least", "most"])
        sheet.merge_range("A4:A5", "inlet")
        sheet.write_row("B4", [1, 2, 3, 4])
        sheet.write_row("B5", [5, 6, 7, 8])

    assert lines(workbook(fill))[2:] == [
        "Turns by valve", "",
        "| Valve | Cold least | Cold most | Warm least | Warm most |", "| --- | --- | --- | --- | --- |",
        "| inlet | 1 | 2 | 3 | 4 |", "| inlet | 5 | 6 | 7 | 8 |",
    ]  # fmt: skip


def test_what_is_hidden_is_left_out_and_told() -> None:
    def fill(book: Any) -> None:
        book.add_worksheet("Draft").hide()
        sheet = book.add_worksheet("Open")
        sheet.activate()
        sheet.set_first_sheet()
        for number, row in enumerate(
            [["Town", "Cost", "Boats"], ["Lindau", 11, 5], ["Bregenz", 12, 6], ["Horn", 13, 7]]
        ):
            sheet.write_row(number, 0, row)
        sheet.set_row(2, None, None, {"hidden": True})
        sheet.set_column(1, 1, None, None, {"hidden": True})
        sheet.set_column(20, 200, None, None, {"hidden": True})

    parsed = read(workbook(fill))
    assert parsed.text == "# Open\n\n| Town | Boats |\n| --- | --- |\n| Lindau | 5 |\n| Horn | 7 |\n"
    assert parsed.losses == (
        ("sheet Draft", "is hidden and left out"),
        ("sheet Open", "1 hidden row and 1 hidden column left out"),
    )


def test_a_formula_without_a_stored_value_is_told() -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Sums")
        sheet.write_row(0, 0, ["Item", "Sum"])
        sheet.write_row(1, 0, ["ash"])
        sheet.write_formula("B2", "=SUM(C1:C9)", None, 77)
        sheet.write_row(2, 0, ["clay", 3])

    data = changed(workbook(fill), "xl/worksheets/sheet1.xml", b"<v>77</v>", b"")
    parsed = read(data)
    assert "| ash | =SUM(C1:C9) |" in parsed.text
    assert [where for where, _ in parsed.losses] == ["sheet Sums"]
    assert "formulas in B2" in parsed.losses[0][1]


def test_tables_of_a_sheet_are_kept_apart_and_go_on_below_a_blank_row() -> None:
    rows: list[list[Any]] = [
        ["Item", "Price", None, None, "Key", "Meaning"],
        ["ash", 1, None, None, "G", "green"],
        ["clay", 2],
        [],
        ["iron", 3],
        [],
        ["Town", "Boats", "Since"],
        ["Lindau", 5, "May"],
    ]
    assert lines(rows_of(rows))[2:] == [
        "| Item | Price |", "| --- | --- |", "| ash | 1 |", "| clay | 2 |", "| iron | 3 |", "",
        "| Key | Meaning |", "| --- | --- |", "| G | green |", "",
        "| Town | Boats | Since |", "| --- | --- | --- |", "| Lindau | 5 | May |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "n_header"),
    [
        ([["Town", 2029, 2030], ["Lindau", 5, 6]], 1),
        ([["Lindau", 2029, 2030], ["Bregenz", 2028, 2031]], 0),
        ([["Lindau", 5], ["Bregenz", 6]], 0),
        ([["One", "two"]], 0),
    ],
)
def test_a_header_is_found_where_there_is_one(rows: list[list[Any]], n_header: int) -> None:
    assert read(rows_of(rows)).text.count("\n| --- |") == n_header


def test_declared_headers_are_believed() -> None:
    def table(book: Any) -> None:
        options = {"columns": [{"header": "1"}, {"header": "2"}]}
        book.add_worksheet("Sheet").add_table("A1:B3", {**options, "data": [["x", 5], ["y", 6]]})

    def frozen(book: Any) -> None:
        sheet = book.add_worksheet("Sheet")
        for number, row in enumerate([["1", "1"], ["x", 5], ["y", 6]]):
            sheet.write_row(number, 0, row)
        sheet.freeze_panes(1, 0)

    assert lines(workbook(table))[2:] == ["| 1 | 2 |", "| --- | --- |", "| x | 5 |", "| y | 6 |"]
    assert lines(workbook(frozen))[2:4] == ["| 1 | 1 |", "| --- | --- |"]


def test_notes_and_text_boxes_are_read() -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Sheet")
        sheet.write_row(0, 0, ["Item", "Price"])
        sheet.write_row(1, 0, ["ash", 5])
        sheet.write_comment("B2", "net of tax")
        sheet.insert_textbox("D2", "Prices hold until May.")

    text = read(workbook(fill)).text
    assert "\n\nNote on B2: net of tax\n" in text
    assert text.endswith("\n\nPrices hold until May.\n")


def test_a_strict_workbook_is_read() -> None:
    strict = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
    data = rows_of([["Town", "Boats"], ["Lindau", 5]])
    data = changed(data, "*", MAIN, strict)
    data = changed(
        data, "*", b"http://schemas.openxmlformats.org/officeDocument/2006/relationships", b"http://purl.oclc.org/ooxml/officeDocument/relationships"
    )  # fmt: skip
    assert "| Lindau | 5 |" in read(data).text


def test_a_sheet_is_cut_at_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_parser._Budget.__init__, "__defaults__", (10, 1000))
    parsed = read(rows_of([["n", "square"], *([n, n * n] for n in range(50))]))
    assert parsed.text.endswith("| 3 | 9 |\n")
    assert parsed.losses == (("sheet Sheet", "is cut at row 6: the workbook has more cells than are read"),)


def test_scattered_cells_are_not_written_with_all_that_is_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sheet_tables, "_MAX_BLANK_CELLS", 10)
    text = read(rows_of([[0, *[None] * n, n] for n in range(1, 9)])).text
    assert text.split("\n")[2:-1] == [f"| 0 | {n} |" for n in range(1, 9)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 and so on",
        rows_of([["a", "b"]])[:2000],
        changed(rows_of([["a", "b"]]), "xl/workbook.xml", b"<workbook", b"<other"),
        changed(rows_of([["a", "b"]]), "xl/worksheets/sheet1.xml", b"<sheetData>", b"<sheetData><<<"),
    ],
)
def test_damage_is_named(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="is damaged"):
        parse_xlsx(data, GIB)


def test_what_unpacks_to_too_much_is_not_unpacked() -> None:
    with pytest.raises(UnreadableError, match="unpacks to"):
        parse_xlsx(rows_of([["a" * 30_000, n] for n in range(20)]), 1000)


def test_entities_stay_closed() -> None:
    data = rows_of([["a", "b"], ["c", "d"]])
    bomb = b'<!DOCTYPE sst [<!ENTITY e SYSTEM "file:///etc/passwd"><!ENTITY f "ffff">]><sst'
    parsed = read(
        changed(
            changed(data, "xl/sharedStrings.xml", b"<sst", bomb), "xl/sharedStrings.xml", b">c<", b">c&e;&f;<"
        )
    )
    assert "root:" not in parsed.text
    assert "ffff" not in parsed.text
