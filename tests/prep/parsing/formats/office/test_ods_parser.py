"""OpenDocument spreadsheets: cells as they show themselves, repeats bounded, what is hidden told."""

from __future__ import annotations

import io
import zipfile

import pytest

from prep.parsing.formats.office.ods_parser import parse_ods
from prep.parsing.parsed import UnreadableError

GIB = 1 << 30
NAMES = " ".join(
    f'xmlns:{short}="{name}"'
    for short, name in (
        *(
            (one, f"urn:oasis:names:tc:opendocument:xmlns:{one}:1.0")
            for one in ("office", "table", "text", "style", "meta")
        ),
        ("dc", "http://purl.org/dc/elements/1.1/"),
    )
)


def spreadsheet(tables: str, styles: str = "", manifest: str = "<a/>") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        body = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
        out.writestr(
            "content.xml", f"<office:document-content {NAMES}>{styles}{body}</office:document-content>"
        )
        out.writestr(
            "meta.xml",
            f"<office:document-meta {NAMES}><office:meta><dc:title>Stock</dc:title></office:meta>"
            "</office:document-meta>",
        )
        out.writestr("META-INF/manifest.xml", manifest)
    return buffer.getvalue()


def cell(text: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


def row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


BLANK = row(
    '<table:table-cell table:number-columns-repeated="16384"/>',
    attributes='table:number-rows-repeated="1048000"',
)


def test_cells_stand_as_they_show_themselves() -> None:
    note = "<office:annotation><text:p>net</text:p></office:annotation>"
    table = (
        '<table:table table:name="Prices">'
        + row(cell("Item"), cell("Price"))
        + row(
            cell("a<text:s/>gasket", 'table:number-rows-spanned="2"'),
            cell("1.234,50 €", 'office:value="1234.5"'),
        )
        + row("<table:covered-table-cell/>", f"<table:table-cell>{note}<text:p>7</text:p></table:table-cell>")
        + BLANK
        + "</table:table>"
    )
    parsed = parse_ods(spreadsheet(table), GIB)
    assert parsed.title == "Stock"
    assert parsed.text.split("\n")[:-1] == [
        "# Prices", "", "| Item | Price |", "| --- | --- |", "| a gasket | 1.234,50 € |", "| a gasket | 7 |", "",
        "Note on B3: net",
    ]  # fmt: skip
    assert [(one.kind, one.label) for one in parsed.places] == [("sheet", "Prices")]


def test_what_is_hidden_is_left_out_and_told() -> None:
    styles = (
        '<office:automatic-styles><style:style style:name="off"><style:table-properties table:display="false"/>'
        "</style:style></office:automatic-styles>"
    )
    tables = (
        f'<table:table table:name="Draft" table:style-name="off">{row(cell("no"))}</table:table>'
        '<table:table table:name="Open"><table:table-column/><table:table-column table:visibility="collapse"/>'
        + row(cell("Town"), cell("Cost"), cell("Boats"))
        + row(cell("Lindau"), cell("11"), cell("5"))
        + row(cell("Horn"), cell("12"), cell("6"), attributes='table:visibility="filter"')
        + "</table:table>"
    )
    parsed = parse_ods(spreadsheet(tables, styles), GIB)
    assert parsed.text == "# Open\n\n| Town | Boats |\n| --- | --- |\n| Lindau | 5 |\n"
    assert parsed.losses == (
        ("sheet Draft", "is hidden and left out"),
        ("sheet Open", "1 hidden row and 1 hidden column left out"),
    )


def test_repeats_are_bounded() -> None:
    wide = cell("x", 'table:number-columns-repeated="999999999"')
    rows = row(wide, attributes='table:number-rows-repeated="999999"')
    table = f'<table:table table:name="Wide">{rows}</table:table>'
    parsed = parse_ods(spreadsheet(table), GIB)
    assert len(parsed.text) < 10_000_000
    assert "is cut" in parsed.losses[0][1]


def test_damage_and_passwords_are_named() -> None:
    with pytest.raises(UnreadableError, match="is damaged"):
        parse_ods(spreadsheet("<<"), GIB)
    with pytest.raises(UnreadableError, match="password"):
        parse_ods(spreadsheet("", manifest="<a><encryption-data/></a>"), GIB)
