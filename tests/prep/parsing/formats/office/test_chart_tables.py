"""Charts: categories of several levels, series without names, values as they are shown."""

from __future__ import annotations

from typing import Any

from lxml import etree

from prep.parsing.formats.office.chart_tables import chart_rows, chart_title


def chart(series: str, title: str = "") -> Any:
    return etree.fromstring(
        f'<c:chartSpace xmlns:c="urn:c"><c:chart>{title}<c:barChart>{series}</c:barChart></c:chart></c:chartSpace>'
    )


def points(*values: str) -> str:
    return "".join(f'<c:pt idx="{at}"><c:v>{value}</c:v></c:pt>' for at, value in enumerate(values) if value)


def test_levels_of_categories_are_joined_and_nameless_series_are_numbered() -> None:
    inner, outer = points("May", "June", "May"), points("2030", "", "2031")
    levels = f"<c:multiLvlStrCache><c:lvl>{inner}</c:lvl><c:lvl>{outer}</c:lvl></c:multiLvlStrCache>"
    values = f"<c:numRef><c:numCache><c:formatCode>0.0</c:formatCode>{points('1', '', '3.25')}</c:numCache></c:numRef>"
    assert chart_rows(chart(f"<c:ser><c:cat>{levels}</c:cat><c:val>{values}</c:val></c:ser>")) == [
        ["", "Series 1"], ["2030 May", "1.0"], ["2030 June", ""], ["2031 May", "3.3"],
    ]  # fmt: skip


def test_a_chart_without_values_has_no_rows() -> None:
    assert chart_rows(chart("<c:ser/>")) == []
    assert (
        chart_rows(
            chart("<c:ser><c:val><c:numCache><c:pt idx='x'><c:v>1</c:v></c:pt></c:numCache></c:val></c:ser>")
        )
        == []
    )


def test_the_title_is_the_text_on_the_chart() -> None:
    title = (
        "<c:title><c:tx><a:t xmlns:a='urn:a'>Heat </a:t><a:t xmlns:a='urn:a'> of May</a:t></c:tx></c:title>"
    )
    assert chart_title(chart("", title)) == "Heat of May"
    assert chart_title(chart("")) == ""
