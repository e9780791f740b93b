"""ODT and FODT: labels of lists and headings, spans, notes, changes, hidden text, formulas; damaged archives."""

from __future__ import annotations

import io
import zipfile

import pytest

from prep.parsing.formats.word.odt.odt_parser import is_odt, parse_flat_odt, parse_odt
from prep.parsing.parsed import Parsed, UnreadableError

LIMIT = 1 << 30
URN = "urn:oasis:names:tc:opendocument:xmlns:"
NAMES = " ".join(
    f'xmlns:{prefix}="{URN}{name}:1.0"'
    for prefix, name in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("style", "style"),
        ("meta", "meta"), ("svg", "svg-compatible"), ("form", "form"),
    )
)  # fmt: skip
NAMES += ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'
NAMES += ' xmlns:math="http://www.w3.org/1998/Math/MathML"'


def odt(body: str, *, automatic: str = "", styles: str = "", meta: str = "", **parts: str) -> bytes:
    """Return an ODT with this body. parts: content of other files, `__` in their names for a slash."""
    buffer = io.BytesIO()
    content = f"<office:automatic-styles>{automatic}</office:automatic-styles>"
    content += f"<office:body><office:text>{body}</office:text></office:body>"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        out.writestr("content.xml", f"<office:document-content {NAMES}>{content}</office:document-content>")
        out.writestr("styles.xml", f"<office:document-styles {NAMES}>{styles}</office:document-styles>")
        out.writestr(
            "meta.xml",
            f"<office:document-meta {NAMES}><office:meta>{meta}</office:meta></office:document-meta>",
        )
        for name, text in parts.items():
            out.writestr(name.replace("__", "/"), text)
    return buffer.getvalue()


def read(body: str, **more: str) -> str:
    return parse_odt(odt(body, **more), LIMIT).text


def lines(body: str, **more: str) -> list[str]:
    return [line for line in read(body, **more).split("\n") if line]


def p(text: str, style: str = "Standard") -> str:
    return f'<text:p text:style-name="{style}">{text}</text:p>'


def h(text: str, level: int, more: str = "") -> str:
    return f'<text:h text:style-name="H" text:outline-level="{level}" {more}>{text}</text:h>'


def listed(*items: str, more: str = 'text:style-name="L"') -> str:
    return f"<text:list {more}>{''.join(f'<text:list-item>{item}</text:list-item>' for item in items)}</text:list>"


def levels(*formats: str) -> str:
    """Return the list style L: "prefix|format|suffix|levels shown|start" for each level."""
    written = ""
    for number, one in enumerate(formats, start=1):
        prefix, name, suffix, n_shown, start = one.split("|")
        written += (
            f'<text:list-level-style-number text:level="{number}" style:num-prefix="{prefix}" '
            f'style:num-format="{name}" style:num-suffix="{suffix}" text:display-levels="{n_shown}" '
            f'text:start-value="{start}"/>'
        )
    return f'<text:list-style style:name="L">{written}</text:list-style>'


@pytest.mark.parametrize(
    ("level", "labels"),
    [
        ("|1|.|1|1", ["1.", "2."]),
        ("(|a|)|1|3", ["(c)", "(d)"]),
        ("Article |I|:|1|1", ["Article I:", "Article II:"]),
        ("|A||1|26", ["Z", "AA"]),
        ("||–|1|1", ["", ""]),
    ],
)
def test_list_labels_are_those_that_are_shown(level: str, labels: list[str]) -> None:
    found = lines(listed(p("one"), p("two")), automatic=levels(level))
    assert found == [f"{label} {text}".strip() for label, text in zip(labels, ("one", "two"), strict=True)]


def test_levels_nest_and_lists_are_continued() -> None:
    style = levels("|1|.|1|1", "|a|)|1|1", "|1||3|1")
    body = listed(
        p("A") + listed(p("B") + listed(p("C")), more=""), p("D"), more='text:style-name="L" xml:id="x"'
    )
    body += p("between") + listed(p("E"), more='text:style-name="L" text:continue-numbering="true"')
    body += p("anew") + listed(p("F") + p("its second paragraph"))
    body += listed(listed(p("G"), more=""), more='text:style-name="L" text:continue-list="x"')
    assert lines(body, automatic=style) == [
        "1. A", "  a) B", "    1.a.1 C", "2. D", "between", "3. E", "anew", "1. F", "its second paragraph", "a) G",
    ]  # fmt: skip


def test_an_item_has_its_own_number_and_a_header_none() -> None:
    body = '<text:list text:style-name="L"><text:list-header><text:p>head</text:p></text:list-header>'
    body += '<text:list-item text:start-value="7"><text:p>seven</text:p></text:list-item></text:list>'
    assert lines(body, automatic=levels("|1|.|1|1")) == ["head", "7. seven"]


def test_bullets_and_patterns() -> None:
    style = '<text:list-style style:name="B"><text:list-level-style-bullet text:level="1"/></text:list-style>'
    assert lines(listed(p("x"), p("y"), more='text:style-name="B"'), automatic=style) == ["- x", "- y"]
    pattern = levels("|1|.|2|1", "|1|.|2|1").replace(
        'text:level="2"', 'text:level="2" style:num-list-format="§ %1%/%2%"'
    )
    assert lines(listed(p("x") + listed(p("y"), more="")), automatic=pattern)[1] == "  § 1/1 y"


def test_headings_are_numbered_by_the_outline_or_by_a_list() -> None:
    outline = (
        levels("|1||1|1", "|1||2|1")
        .replace("list-style", "outline-style", 1)
        .replace("</text:list-style", "</text:outline-style")
    )
    outline = outline.replace("list-level-style-number", "outline-level-style")
    body = h("A", 1) + h("B", 2) + h("none", 2, 'text:is-list-header="true"') + h("C", 2) + h("D", 1)
    assert lines(body, styles=f"<office:styles>{outline}</office:styles>") == [
        "# 1 A", "## 1.1 B", "## none", "## 1.2 C", "# 2 D",
    ]  # fmt: skip
    style = levels("|1||1|1", "|1||2|1")
    found = listed(h("A", 1)) + listed(
        listed(h("B", 2), more=""), more='text:style-name="L" text:continue-numbering="true"'
    )
    assert lines(found, automatic=style) == ["# 1 A", "## 1.1 B"]


def test_a_cell_that_spans_stands_in_each_row_and_column() -> None:
    def cell(text: str, more: str = "") -> str:
        return f"<table:table-cell {more}>{p(text)}</table:table-cell>"

    covered = "<table:covered-table-cell/>"
    columns, repeated = 'table:number-columns-spanned="2"', 'table:number-columns-repeated="2"'
    head = f"<table:table-row>{cell('wide', columns)}{covered}{cell('h')}</table:table-row>"
    tall = cell("tall", 'table:number-rows-spanned="2"')
    rows = (
        f"<table:table-header-rows>{head}</table:table-header-rows>"
        f"<table:table-row>{tall}{cell('1', repeated)}</table:table-row>"
        f"<table:table-row>{covered}{cell('2')}{cell('3')}</table:table-row>"
        f'<table:table-row table:visibility="collapse">{cell("hidden")}{cell("row")}{cell("x")}</table:table-row>'
    )
    assert lines(f"<table:table>{rows}</table:table>") == [
        "| wide | wide | h |", "| --- | --- | --- |", "| tall | 1 | 1 |", "| tall | 2 | 3 |",
    ]  # fmt: skip


def test_a_row_may_leave_out_the_cells_that_one_above_covers() -> None:
    def row(*cells: str) -> str:
        return f"<table:table-row>{''.join(cells)}</table:table-row>"

    def cell(text: str, more: str = "") -> str:
        return f"<table:table-cell {more}>{p(text)}</table:table-cell>"

    rows = (
        row(cell("tall", 'table:number-rows-spanned="2"'), cell("1"))
        + row(cell("2"))
        + row(cell("a"), cell("3"))
    )
    assert lines(f"<table:table>{rows}</table:table>") == ["| tall | 1 |", "| tall | 2 |", "| a | 3 |"]


def test_notes_follow_their_paragraph_and_endnotes_the_text() -> None:
    def note(kind: str, mark: str, text: str) -> str:
        return (
            f'<text:note text:note-class="{kind}"><text:note-citation>{mark}</text:note-citation><text:note-body>'
            f"{p(text)}</text:note-body></text:note>"
        )

    body = p(f"said{note('footnote', '1', 'who')}{note('endnote', 'i', 'when')}.") + p("next")
    assert lines(body) == ["said[1][i].", "[1] who", "next", "[i] when"]


def test_changes_are_accepted_and_hidden_text_is_left_out() -> None:
    style = '<style:style style:name="{}" style:family="{}"><style:text-properties text:display="none"/></style:style>'
    automatic = style.format("T", "text") + style.format("P", "paragraph")
    automatic += '<style:style style:name="Q" style:family="paragraph" style:parent-style-name="P"/>'
    automatic += (
        '<style:style style:name="S" style:family="text"><style:text-properties style:text-line-through-style="solid"/>'
        '</style:style><style:style style:name="R" style:family="text"><style:text-properties '
        'style:text-position="super 58%"/></style:style>'
    )
    body = (
        f"<text:tracked-changes><text:changed-region><text:deletion>{p('deleted')}</text:deletion></text:changed-region>"
        f"</text:tracked-changes>{p('hidden', 'Q')}{p('a<text:change-start/>b<text:change-end/>')}"
        + p('shown<text:span text:style-name="T">not</text:span>')
        + p("<office:annotation><text:p>note</text:p></office:annotation>")
        + p('pay <text:span text:style-name="S">30</text:span> m<text:span text:style-name="R">2</text:span>')
        + f'<text:section text:display="none">{p("in a hidden section")}</text:section>'
        + p('<text:hidden-paragraph text:is-hidden="true"/>gone')
    )
    assert lines(body, automatic=automatic) == ["ab", "shown", "pay ~~30~~ m^2"]


def test_links_spaces_fields_boxes_and_pictures() -> None:
    body = (
        p(
            '<text:a xlink:href="https://kit.example/a">Kit</text:a> <text:a xlink:href="#part">inside</text:a>'
        )
        + p("a<text:s text:c='4'/>b<text:tab/>c<text:line-break/>d <text:date>1 May</text:date>\n  e")
        + p(f"box <draw:frame><draw:text-box>{p('boxed')}</draw:text-box></draw:frame>")
        + p("picture <draw:frame><draw:image/><svg:desc>a cat</svg:desc></draw:frame>")
        + f"<draw:frame><draw:text-box>{p('on the page')}</draw:text-box></draw:frame>"
        + "<draw:frame><draw:image/><svg:title>a dog</svg:title></draw:frame>"
        + p(f"<draw:g><draw:custom-shape>{p('shape')}</draw:custom-shape></draw:g>")
    )
    assert lines(body) == [
        "Kit (https://kit.example/a) inside", "a b c", "d 1 May e", "box", "boxed", "picture a cat", "on the page",
        "a dog", "shape",
    ]  # fmt: skip


def test_formulas_are_lines_and_other_objects_losses() -> None:
    formula = (
        f"<math:math {NAMES}><math:semantics><math:mrow><math:mfrac><math:mi>a</math:mi><math:mn>2</math:mn>"
        "</math:mfrac><math:mo>=</math:mo><math:msup><math:mi>x</math:mi><math:mrow><math:mi>n</math:mi><math:mo>+</math:mo><math:mn>1"
        "</math:mn></math:mrow></math:msup><math:msqrt><math:mi>y</math:mi></math:msqrt></math:mrow><math:annotation>"
        "a over</math:annotation></math:semantics></math:math>"
    )
    frame = '<draw:frame><draw:object xlink:href="./{}"/></draw:frame>'
    data = odt(
        p(f"so {frame.format('Object 1')}") + p(f"chart {frame.format('Object 2')}"),
        **{"Object 1__content.xml": formula},
    )
    parsed = parse_odt(data, LIMIT)
    assert parsed.text == "so a/2=x^(n+1)√(y)\n\nchart\n"
    assert parsed.losses == (("embedded objects", "not read"),)


def test_values_of_forms_are_shown() -> None:
    forms = (
        '<office:forms><form:form><form:text form:id="a" form:current-value="Ada"/><form:checkbox form:id="b" '
        'form:label="agreed" form:current-state="checked"/></form:form></office:forms>'
    )
    assert lines(forms + p('Name <draw:control draw:control="a"/>') + p('<draw:control draw:control="b"/>')) == [
        "Name Ada", "[x] agreed",
    ]  # fmt: skip


def test_headers_are_written_once_and_page_numbers_are_not() -> None:
    page = "<style:master-page><style:header>{}</style:header></style:master-page>"
    number = p("Page <text:page-number>1</text:page-number>")
    styles = f"<office:master-styles>{page.format(p('Ref 7') + number)}{page.format(p('Ref 7'))}</office:master-styles>"
    assert lines(p("body"), styles=styles) == ["Ref 7", "body"]


META = "<dc:title>Plan</dc:title><meta:initial-creator>Ada</meta:initial-creator><dc:creator>Bob</dc:creator>"
META += "<meta:creation-date>2024-05-01T10:00:00</meta:creation-date><dc:date>2024-06-01</dc:date>"


def test_properties_are_metadata_and_title() -> None:
    parsed = parse_odt(odt(p("text"), meta=META), LIMIT)
    assert parsed.title == "Plan"
    assert parsed.metadata == {
        "title": "Plan", "creator": "Ada", "created": "2024-05-01T10:00:00", "modified": "2024-06-01",
    }  # fmt: skip


def test_a_flat_document_reads_like_an_archive() -> None:
    body = listed(p("one")) + h("Heading", 2)
    flat = (
        f"<?xml version='1.0'?><office:document {NAMES}><office:meta>{META}</office:meta><office:automatic-styles>"
        f"{levels('|1|.|1|1')}</office:automatic-styles><office:body><office:text>{body}</office:text></office:body>"
        "</office:document>"
    )
    assert parse_flat_odt(flat.encode()) == parse_odt(
        odt(body, automatic=levels("|1|.|1|1"), meta=META), LIMIT
    )
    assert parse_flat_odt(flat.encode()) == Parsed(
        "Plan", "1. one\n\n## Heading\n", metadata=parse_flat_odt(flat.encode()).metadata
    )


def test_a_damaged_document_has_a_reason() -> None:
    assert is_odt(odt(p("x")))
    assert not is_odt(odt(p("x"))[:300])
    for data, reason in (
        (odt(p("x"))[:300], "is damaged or no OpenDocument text"),
        (odt("<text:p>"), "its part content.xml is damaged"),
        (odt(p("x"), **{"META-INF__manifest.xml": "<manifest:encryption-data/>"}), "is encrypted"),
    ):
        with pytest.raises(UnreadableError, match=reason):
            parse_odt(data, LIMIT)
    with pytest.raises(UnreadableError, match="unpacks to"):
        parse_odt(odt(p("x" * 10_000)), 5000)
    bomb = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><office:document>&b;</office:document>'
    with pytest.raises(UnreadableError, match="declares XML entities"):
        parse_flat_odt(bomb)


def test_a_damaged_part_is_a_loss_and_what_repeats_is_bounded() -> None:
    parsed = parse_odt(odt(p("x"), styles="<broken"), LIMIT)
    assert parsed.text == "x\n"
    assert [where for where, _ in parsed.losses] == ["part styles.xml"]
    many = 'table:number-columns-repeated="99999" table:number-columns-spanned="99999"'
    cells = f"<table:table-cell {many}>{p('y' * 50)}</table:table-cell><table:table-cell>{p('z')}</table:table-cell>"
    row = f'<table:table-row table:number-rows-repeated="99999">{cells}</table:table-row>'
    table = f"<table:table>{row * 100}</table:table>"
    assert len(read(table)) < 10_000_000
