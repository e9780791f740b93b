"""Presentations: slides in order and in reading order, tables, charts, notes; what is hidden is told."""

from __future__ import annotations

import io
from typing import Any

import pptx
import pytest
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from prep.parsing.formats.office.pptx_parser import parse_pptx
from prep.parsing.parsed import Parsed, UnreadableError

GIB = 1 << 30
TITLE_ONLY, TITLE_AND_BODY, BLANK = 5, 1, 6


def read(presentation: Any) -> Parsed:
    buffer = io.BytesIO()
    presentation.save(buffer)
    return parse_pptx(buffer.getvalue(), GIB)


def deck() -> Any:
    presentation = pptx.Presentation()
    presentation.core_properties.title = ""
    return presentation


def slide(presentation: Any, layout: int, title: str = "") -> Any:
    made = presentation.slides.add_slide(presentation.slide_layouts[layout])
    if title:
        made.shapes.title.text = title
    return made


def box(made: Any, left: float, top: float, text: str, width: float = 3, height: float = 1) -> Any:
    shape = made.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(height))
    shape.text_frame.text = text
    return shape


def test_slides_are_in_order_with_their_titles_lists_and_notes() -> None:
    presentation = deck()
    first = slide(presentation, TITLE_AND_BODY, "Firing the\vkiln")
    frame = first.placeholders[1].text_frame
    frame.text = "Open the damper"
    for text, level in (("by hand", 1), ("Wait an hour", 0)):
        paragraph = frame.add_paragraph()
        paragraph.text, paragraph.level = text, level
    first.notes_slide.notes_text_frame.text = "Say why.\nShow the damper."
    slide(presentation, BLANK)
    parsed = read(presentation)
    assert parsed.text.split("\n") == [
        "# Firing the kiln", "", "- Open the damper", "  - by hand", "- Wait an hour", "",
        "## Notes", "", "Say why.", "", "Show the damper.", "", "# Slide 2", "",
    ]  # fmt: skip
    assert parsed.title == "Firing the kiln"
    assert [(one.kind, one.label, parsed.text[one.start :][:9]) for one in parsed.places] == [
        ("slide", "1", "# Firing "),
        ("slide", "2", "# Slide 2"),
    ]


def test_shapes_are_read_from_above_and_columns_apart_whatever_was_drawn_first() -> None:
    presentation = deck()
    made = slide(presentation, BLANK)
    for left, top, text, height in (
        (5, 4.2, "right low", 1.0),
        (1, 5, "left low", 1.0),
        (5, 1.5, "right high", 2.5),
        (1, 1.5, "left high", 3.2),
        (1, 0.2, "head", 1.0),
    ):
        box(made, left, top, text, height=height)
    group = made.shapes.add_group_shape()
    for left, text in ((4, "second"), (1, "first")):
        shape = group.shapes.add_textbox(Inches(left), Inches(6.5), Inches(2), Inches(0.5))
        shape.text_frame.text = text
    found = [line for line in read(presentation).text.split("\n")[1:] if line]
    assert found == ["head", "left high", "left low", "right high", "right low", "first", "second"]


def test_tables_are_rows_and_merged_cells_stand_in_each_of_them() -> None:
    presentation = deck()
    table = slide(presentation, TITLE_ONLY, "Glazes").shapes.add_table(4, 3, 0, 0, Inches(6), Inches(2)).table
    for y, row in enumerate(
        [["glaze", "cone", "colour"], ["ash", "10", "grey"], ["", "9", "brown\nor red"], ["all", "", "x|y"]]
    ):
        for x, text in enumerate(row):
            table.cell(y, x).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(3, 0).merge(table.cell(3, 1))
    assert read(presentation).text.split("\n")[2:-1] == [
        "| glaze | cone | colour |", "| --- | --- | --- |", "| ash | 10 | grey |", "| ash | 9 | brown or red |",
        "| all | all | x\\|y |",
    ]  # fmt: skip


def test_charts_are_tables_of_their_values_as_they_are_shown() -> None:
    presentation = deck()
    made = slide(presentation, TITLE_ONLY, "Sales")
    data = CategoryChartData(number_format="0.0%")
    data.categories = ["North", "South"]
    data.add_series("2030", (0.25, None))
    data.add_series("2031", (0.5, 0.125))
    frame = (0, 0, Inches(4), Inches(3))
    chart = made.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *frame, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Share of sales"
    assert read(presentation).text.split("\n")[2:-1] == [
        "Share of sales", "", "|  | 2030 | 2031 |", "| --- | --- | --- |", "| North | 25.0% | 50.0% |",
        "| South |  | 12.5% |",
    ]  # fmt: skip
    points = XyChartData()
    series = points.add_series("Heat")
    series.add_data_point(1, 600)
    series.add_data_point(2, 900)
    presentation = deck()
    slide(presentation, BLANK).shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *frame, points)
    assert read(presentation).text.split("\n")[2:-1] == [
        "| Heat x | Heat y |", "| --- | --- |", "| 1 | 600 |", "| 2 | 900 |",
    ]  # fmt: skip


def test_hidden_slides_and_embedded_files_are_told() -> None:
    presentation = deck()
    slide(presentation, TITLE_ONLY, "Open")
    slide(presentation, TITLE_ONLY, "Secret").element.set("show", "0")
    made = slide(presentation, TITLE_ONLY, "Table")
    made.shapes.add_ole_object(io.BytesIO(b"x"), "Excel.Sheet.12", 0, 0, Inches(1), Inches(1))
    parsed = read(presentation)
    assert "Secret" not in parsed.text
    assert [one.label for one in parsed.places] == ["1", "3"]
    assert parsed.losses[0] == ("slide 2", "is hidden and left out")
    assert parsed.losses[1][0] == "slide 3"
    assert "embedded object" in parsed.losses[1][1]


def test_footers_stand_once_and_pictures_by_their_description() -> None:
    presentation = deck()
    for title in ("One", "Two"):
        made = slide(presentation, TITLE_ONLY, title)
        footer = box(made, 0, 7, "Confidential")
        holder = footer.element.nvSpPr.nvPr
        holder.append(
            holder.makeelement(
                "{http://schemas.openxmlformats.org/presentationml/2006/main}ph", {"type": "ftr"}
            )
        )
    picture = made.shapes.add_picture(io.BytesIO(PIXEL), 0, 0)
    picture._element.nvPicPr.cNvPr.set("descr", "A kiln with its door open")
    assert read(presentation).text == "# One\n\n# Two\n\nA kiln with its door open\n\nConfidential\n"


def test_numbered_paragraphs_have_their_labels() -> None:
    from lxml import etree

    presentation = deck()
    frame = box(slide(presentation, BLANK), 0, 0, "open").text_frame
    for text in ("wait", "close"):
        frame.add_paragraph().text = text
    for paragraph in frame.paragraphs:
        properties = paragraph._p.get_or_add_pPr()
        etree.SubElement(
            properties,
            "{http://schemas.openxmlformats.org/drawingml/2006/main}buAutoNum",
            type="alphaLcParenR",
            startAt="2",
        )
    assert read(presentation).text.split("\n")[2:-1] == ["b) open", "c) wait", "d) close"]


def test_shows_and_templates_are_read() -> None:
    import zipfile

    presentation = deck()
    slide(presentation, TITLE_ONLY, "Show")
    buffer, out = io.BytesIO(), io.BytesIO()
    presentation.save(buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            content = source.read(name).replace(
                b"presentationml.presentation.main+xml", b"presentationml.slideshow.main+xml"
            )
            target.writestr(name, content)
    assert parse_pptx(out.getvalue(), GIB).text == "# Show\n"


def test_pictures_alone_are_no_text() -> None:
    presentation = deck()
    slide(presentation, BLANK).shapes.add_picture(io.BytesIO(PIXEL), 0, 0)._element.nvPicPr.cNvPr.set(
        "descr", ""
    )
    with pytest.raises(UnreadableError, match="has no text"):
        read(presentation)


def test_a_damaged_slide_is_told_and_the_others_are_read() -> None:
    presentation = deck()
    slide(presentation, TITLE_ONLY, "One")
    made = slide(presentation, TITLE_ONLY, "Two")
    table = made.shapes.add_table(1, 1, 0, 0, Inches(1), Inches(1)).table
    table._tbl.tr_lst[0].tc_lst[0].set("gridSpan", "many")
    parsed = read(presentation)
    assert parsed.text == "# One\n"
    assert [where for where, _ in parsed.losses] == ["slide 2"]


@pytest.mark.parametrize("n_bytes", [0, 500, 20_000])
def test_damage_is_named(n_bytes: int) -> None:
    buffer = io.BytesIO()
    deck().save(buffer)
    with pytest.raises(UnreadableError, match="is damaged"):
        parse_pptx(buffer.getvalue()[:n_bytes], GIB)


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)
