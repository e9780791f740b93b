"""DOCX: structure in Markdown form, and the places python-docx's own text leaves out."""

from __future__ import annotations

import io
import random
import zipfile

import docx
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE as RELATIONSHIP
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from fixture_files import docx_bytes

from prep.parsing.formats.word.docx.docx_parser import parse_docx
from prep.parsing.parsed import Parsed, UnreadableError

MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
LIMIT = 1 << 30


def package(body: str, **parts: str) -> bytes:
    """Return a DOCX with this body. parts: XML of `numbering`, `styles`, `footnotes`, … without its root."""
    buffer = io.BytesIO()
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    names = (
        ("r", office),
        ("wp", "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"),
        ("v", "urn:schemas-microsoft-com:vml"),
        ("o", "urn:schemas-microsoft-com:office:office"),
    )
    roots = f"{W} {MC} {MATH} " + " ".join(f'xmlns:{name}="{uri}"' for name, uri in names)
    head = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    links = "".join(
        f'<Relationship Id="{kind}" Type="{office}/{kind}" Target="{kind}.xml"/>' for kind in parts
    )
    links += f'<Relationship Id="web" Type="{office}/hyperlink" TargetMode="External" Target="https://kit.example/a"/>'
    links += f'<Relationship Id="chunk" Type="{office}/aFChunk" Target="chunk.html"/>'
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(
            "_rels/.rels",
            f'{head}<Relationship Id="a" Type="{office}/officeDocument" Target="word/main.xml"/>'
            "</Relationships>",
        )
        out.writestr("word/_rels/main.xml.rels", f"{head}{links}</Relationships>")
        out.writestr("word/main.xml", f"<w:document {roots}><w:body>{body}</w:body></w:document>")
        out.writestr("word/chunk.html", "<p>from a page</p>")
        for kind, xml in parts.items():
            out.writestr(f"word/{kind}.xml", f"<w:{kind} {roots}>{xml}</w:{kind}>")
    return buffer.getvalue()


def p(text: str = "", properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{r(text) if text else ''}</w:p>"


def r(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def item(text: str, list_id: int, level: int = 0) -> str:
    return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>')


def level(depth: int, name: str, text: str, more: str = "") -> str:
    what = f'<w:start w:val="1"/><w:numFmt w:val="{name}"/><w:lvlText w:val="{text}"/>{more}'
    return f'<w:lvl w:ilvl="{depth}">{what}</w:lvl>'


def numbering(*levels: str, lists: str = "") -> str:
    """Return one definition with these levels and list 1 of it."""
    return (
        f'<w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>'
        f'<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>{lists}'
    )


def read(body: str, **parts: str) -> str:
    return parse_docx(package(body, **parts), LIMIT).text


def lines(body: str, **parts: str) -> list[str]:
    return [line for line in read(body, **parts).split("\n") if line]


def text_of(document: docx.document.Document) -> str:
    return parse_docx(docx_bytes(document), LIMIT).text


def test_headings_lists_and_paragraphs_are_written_in_markdown_form() -> None:
    document = docx.Document()
    document.add_heading("The title", 0)
    document.add_heading("First", 1)
    document.add_paragraph("A paragraph\nof two lines.")
    for text in ("a", "b"):
        document.add_paragraph(text, style="List Bullet")
    document.add_paragraph("inner", style="List Bullet 2")
    for text in ("x", "y"):
        document.add_paragraph(text, style="List Number")
    document.add_heading("Deep", 3)
    document.add_paragraph("end")
    assert text_of(document) == (
        "# The title\n\n# First\n\nA paragraph\nof two lines.\n\n"
        "- a\n- b\n  - inner\n1. x\n2. y\n\n### Deep\n\nend\n"
    )


def test_a_merged_cell_stands_in_each_row_and_column_that_it_spans() -> None:
    document = docx.Document()
    table = document.add_table(3, 3)
    for column, text in enumerate(("h1", "h2", "h3")):
        table.cell(0, column).text = text
    table.cell(1, 0).merge(table.cell(1, 1)).text = "wide | cell"
    table.cell(1, 2).merge(table.cell(2, 2)).text = "tall"
    table.cell(2, 0).text = "z"
    assert text_of(document) == (
        "| h1 | h2 | h3 |\n| --- | --- | --- |\n| wide \\| cell | wide \\| cell | tall |\n| z |  | tall |\n"
    )


def test_a_table_of_one_cell_is_a_frame_around_text() -> None:
    document = docx.Document()
    cell = document.add_table(1, 1).cell(0, 0)
    cell.text = "framed"
    cell.add_paragraph("twice")
    assert text_of(document) == "framed\n\ntwice\n"


def test_headers_and_footers_are_written_once() -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Head"
    document.sections[0].footer.paragraphs[0].text = "Foot"
    document.add_paragraph("body")
    document.add_section()
    document.add_paragraph("more")
    assert text_of(document) == "Head\n\nbody\n\nmore\n\nFoot\n"


def test_insertions_links_controls_and_text_boxes_are_read_and_deletions_are_not() -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("kept ")
    for xml in (
        f"<w:ins {W}><w:r><w:t>inserted </w:t></w:r></w:ins>",
        f"<w:del {W}><w:r><w:delText>deleted </w:delText></w:r></w:del>",
        f'<w:hyperlink {W} w:anchor="x"><w:r><w:t>linked</w:t><w:tab/><w:t>tab</w:t></w:r></w:hyperlink>',
        f"<w:r {W}><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></w:r>",
    ):
        paragraph._p.append(parse_xml(xml))
    control = f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    document.element.body.insert(0, parse_xml(control))
    assert text_of(document) == "control\n\nkept inserted linked tab\n\nboxed\n"


def test_footnotes_follow_their_paragraph_and_are_numbered_in_its_order() -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("Said")
    paragraph._p.append(parse_xml(f'<w:r {W}><w:footnoteReference w:id="2"/></w:r>'))
    document.add_paragraph("after")
    notes = (
        f'<w:footnotes {W}><w:footnote w:type="separator" w:id="0"><w:p/></w:footnote>'
        '<w:footnote w:id="2"><w:p><w:r><w:t>who said it</w:t></w:r></w:p></w:footnote></w:footnotes>'
    )
    part = Part(PackURI("/word/footnotes.xml"), RELATIONSHIP.FOOTNOTES, notes.encode(), document.part.package)
    document.part.relate_to(part, RELATIONSHIP.FOOTNOTES)
    assert text_of(document) == "Said[1]\n\n[1] who said it\n\nafter\n"


def test_the_title_is_the_property_or_the_first_heading() -> None:
    document = docx.Document()
    document.add_heading("Heading", 2)
    assert parse_docx(docx_bytes(document), LIMIT).title == "Heading"
    document.core_properties.title = "Property"
    assert parse_docx(docx_bytes(document), LIMIT).title == "Property"


def test_damaged_files_are_read_or_have_a_reason() -> None:
    random_source = random.Random(7)
    sound = docx_bytes()
    outcomes = set()
    for _ in range(60):
        data = bytearray(sound)
        for _ in range(random_source.choice((1, 20, 400))):
            data[random_source.randrange(len(data))] = random_source.randrange(256)
        try:
            outcomes.add(parse_docx(bytes(data), LIMIT).text)
        except UnreadableError as error:
            outcomes.add(error.reason.split(":")[0])
    assert any(outcome.startswith("is damaged") for outcome in outcomes)


@pytest.mark.parametrize(
    ("name", "pattern", "labels"),
    [
        ("decimal", "%1.", ["1.", "2.", "3."]),
        ("decimalZero", "%1", ["01", "02", "03"]),
        ("lowerLetter", "(%1)", ["(a)", "(b)", "(c)"]),
        ("upperLetter", "%1)", ["A)", "B)", "C)"]),
        ("lowerRoman", "%1.", ["i.", "ii.", "iii."]),
        ("upperRoman", "Part %1 –", ["Part I –", "Part II –", "Part III –"]),
        ("ordinal", "%1", ["1st", "2nd", "3rd"]),
        ("ordinalText", "%1:", ["First:", "Second:", "Third:"]),
        ("cardinalText", "%1", ["One", "Two", "Three"]),
        ("decimal", "Article %1", ["Article 1", "Article 2", "Article 3"]),
        ("chineseCounting", "第%1条", ["第一条", "第二条", "第三条"]),
        ("bullet", "\uf0b7", ["-", "-", "-"]),
    ],
)
def test_list_labels_are_those_that_word_shows(name: str, pattern: str, labels: list[str]) -> None:
    body = "".join(item(f"text {n}", 1) for n in range(3))
    found = lines(body, numbering=numbering(level(0, name, pattern)))
    assert found == [f"{label} text {n}" for n, label in enumerate(labels)]


def test_levels_count_below_each_other_and_restart() -> None:
    levels = [
        level(0, "upperRoman", "%1."),
        level(1, "decimal", "%1.%2"),
        level(2, "lowerLetter", "%1.%2(%3)", "<w:isLgl/>"),
    ]
    body = item("a", 1) + item("b", 1, 1) + item("c", 1, 2) + item("", 1, 2) + item("d", 1, 2) + item("e", 1)
    body += item("f", 1, 1)
    assert lines(body, numbering=numbering(*levels)) == [
        "I. a", "  I.1 b", "    1.1(1) c", "    1.1(3) d", "II. e", "  II.1 f",
    ]  # fmt: skip


def test_a_level_that_never_restarts_goes_on_and_one_may_restart_after_the_first_only() -> None:
    def labels(restart: int) -> list[str]:
        more = f'<w:lvlRestart w:val="{restart}"/>'
        levels = [level(0, "decimal", "%1"), level(1, "decimal", "%2"), level(2, "decimal", "%3", more)]
        order = (0, 1, 2, 1, 2, 0, 1, 2)
        body = "".join(item(f"t{n}", 1, depth) for n, depth in enumerate(order))
        found = [line.split() for line in lines(body, numbering=numbering(*levels))]
        return [label for (label, _), depth in zip(found, order, strict=True) if depth == 2]

    assert labels(0) == ["1", "2", "3"]
    assert labels(1) == ["1", "2", "1"]
    assert labels(2) == ["1", "1", "1"]


def test_lists_of_one_definition_count_on_unless_one_starts_anew() -> None:
    on = '<w:num w:numId="2"><w:abstractNumId w:val="0"/></w:num>'
    anew = (
        '<w:num w:numId="3"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/>'
        "</w:lvlOverride></w:num>"
    )
    other = on.replace('"2"', '"4"').replace(
        "</w:num>", f'<w:lvlOverride w:ilvl="0">{level(0, "decimal", "§ %1")}</w:lvlOverride></w:num>'
    )
    body = item("a", 1) + item("b", 2) + item("c", 3) + item("d", 3) + item("e", 4)
    assert lines(body, numbering=numbering(level(0, "decimal", "%1."), lists=on + anew + other)) == [
        "1. a", "2. b", "5. c", "6. d", "§ 7 e",
    ]  # fmt: skip


def test_headings_are_numbered_through_styles_that_inherit() -> None:
    linked = '<w:pStyle w:val="{}"/>'
    levels = [
        level(0, "decimal", "%1", linked.format("H1")),
        level(1, "decimal", "%1.%2", linked.format("H2")),
    ]
    styles = (
        '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/><w:pPr><w:numPr><w:numId w:val="1"/>'
        '</w:numPr><w:outlineLvl w:val="0"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/><w:basedOn w:val="H1"/><w:pPr>'
        '<w:outlineLvl w:val="1"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Mine"><w:name w:val="Clause"/><w:basedOn w:val="H2"/></w:style>'
    )
    body = "".join(
        p(text, f'<w:pStyle w:val="{style}"/>') for text, style in (("A", "H1"), ("B", "H2"), ("C", "Mine"))
    )
    body += p("Foreword", '<w:pStyle w:val="H1"/><w:numPr><w:numId w:val="0"/></w:numPr>')
    body += p("Text in that style", '<w:pStyle w:val="H1"/><w:outlineLvl w:val="9"/>')
    assert lines(body, numbering=numbering(*levels), styles=styles) == [
        "# 1 A", "## 1.1 B", "## 1.2 C", "# Foreword", "2 Text in that style",
    ]  # fmt: skip


def test_a_list_style_lends_its_definition() -> None:
    styles = (
        '<w:style w:type="numbering" w:styleId="L"><w:name w:val="L"/><w:pPr><w:numPr>'
        '<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    )
    lists = (
        '<w:abstractNum w:abstractNumId="7"><w:numStyleLink w:val="L"/></w:abstractNum>'
        '<w:num w:numId="7"><w:abstractNumId w:val="7"/></w:num>'
    )
    found = numbering(level(0, "upperLetter", "%1)"), lists=lists)
    assert lines(item("x", 7), numbering=found, styles=styles) == ["A) x"]


def test_a_number_in_a_cell_and_hidden_or_deleted_paragraphs() -> None:
    hidden = p("", '<w:numPr><w:numId w:val="1"/></w:numPr><w:rPr><w:vanish/></w:rPr>')
    deleted = (
        '<w:p><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr><w:rPr><w:del/></w:rPr></w:pPr><w:del><w:r><w:delText>gone'
        "</w:delText></w:r></w:del></w:p>"
    )
    cell = f"<w:tbl><w:tr><w:tc>{item('in a cell', 1)}</w:tc><w:tc>{p('x')}</w:tc></w:tr></w:tbl>"
    body = item("a", 1) + hidden + deleted + cell + item("b", 1)
    assert lines(body, numbering=numbering(level(0, "decimal", "%1."))) == [
        "1. a",
        "| 2. in a cell | x |",
        "3. b",
    ]


def test_changes_are_accepted_also_moves_rows_and_ends_of_paragraphs() -> None:
    def row(text: str, properties: str = "") -> str:
        return f"<w:tr><w:trPr>{properties}</w:trPr><w:tc>{p(text)}</w:tc><w:tc>{p('x')}</w:tc></w:tr>"

    body = (
        f"<w:p><w:moveFrom>{r('from')}</w:moveFrom><w:moveTo>{r('to')}</w:moveTo></w:p>"
        f"<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr>{r('one ')}</w:p>{p('paragraph')}"
        f"<w:tbl>{row('old', '<w:del/>')}{row('new', '<w:ins/>')}</w:tbl>"
    )
    assert read(body) == "to\n\none paragraph\n\n| new | x |\n"


def test_hidden_text_is_no_text_also_through_styles() -> None:
    styles = (
        '<w:style w:type="paragraph" w:styleId="P"><w:name w:val="Secret"/><w:rPr><w:vanish/></w:rPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Q"><w:name w:val="More"/><w:basedOn w:val="P"/></w:style>'
        '<w:style w:type="character" w:styleId="C"><w:name w:val="Hide"/><w:rPr><w:vanish/></w:rPr></w:style>'
    )
    styled, visible = '<w:rStyle w:val="C"/>', '<w:vanish w:val="0"/>'
    body = p("a", '<w:pStyle w:val="Q"/>')
    body += f"<w:p>{r('b', '<w:vanish/>')}{r('c', styled)}{r('shown', visible)}</w:p>"
    body += f'<w:p><w:pPr><w:pStyle w:val="P"/></w:pPr>{r("twice is shown", styled)}</w:p>'
    assert lines(body, styles=styles) == ["shown", "twice is shown"]


def test_equations_are_lines_of_text() -> None:
    def m(name: str, *parts: str) -> str:
        return f"<m:{name}>{''.join(parts)}</m:{name}>"

    def t(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    fraction = m("f", m("num", t("a+b")), m("den", t("2")))
    power = m("sSup", m("e", t("x")), m("sup", t("n+1")))
    root = m("rad", m("radPr"), m("deg"), m("e", t("y")))
    total = m(
        "nary",
        '<m:naryPr><m:chr m:val="∑"/></m:naryPr>',
        m("sub", t("i=1")),
        m("sup", t("n")),
        m("e", t("i")),
    )
    row = m("mr", m("e", t("1")), m("e", t("2")))
    inline = f"<m:oMath>{fraction}{t('=')}{power}</m:oMath>"
    apart = f"<m:oMathPara><m:oMath>{root}{t('+')}{total}</m:oMath></m:oMathPara>"
    table = f"<m:oMath>{m('d', m('e', m('m', row, row)))}</m:oMath>"
    body = f"<w:p>{r('so ')}{inline}{r(' holds')}</w:p><w:p>{apart}</w:p><w:p>{table}</w:p>"
    assert lines(body) == ["so (a+b)/2=x^(n+1) holds", "√(y)+∑_(i=1)^n i", "([1, 2; 1, 2])"]


def field(instruction: str, result: str | None) -> str:
    def mark(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    shown = "" if result is None else mark("separate") + result
    return f"{mark('begin')}<w:r><w:instrText>{instruction}</w:instrText></w:r>{shown}{mark('end')}"


def test_fields_show_results_and_not_instructions() -> None:
    inner = f"IF </w:instrText></w:r>{field('MERGEFIELD x', r('hidden'))}<w:r><w:instrText> = 1"
    web = field("HYPERLINK &quot;https://kit.example/get&quot;", r("Get"))
    inside = field("HYPERLINK \\l &quot;x&quot;", r(" here"))
    links = [f'<w:hyperlink r:id="web">{r(text)}</w:hyperlink>' for text in ("kit.example/a", " Kit")]
    equation = field("EQ \\f(a+b,2)", None)
    body = (
        f"<w:p>{r('see ')}{field(' REF part', r('2.1'))}</w:p><w:p>{field(inner, r('winter'))}</w:p>"
        f"<w:p>{web}{inside}</w:p><w:p>{links[0]}{links[1]}</w:p>"
        f'<w:p><w:fldSimple w:instr=" SEQ Figure ">{r("7")}</w:fldSimple></w:p>'
        f"<w:p>{equation}{r(' ')}{field('MACROBUTTON Go Press here', None)}</w:p>"
    )
    assert lines(body) == [
        "see 2.1", "winter", "Get (https://kit.example/get) here", "kit.example/a Kit (https://kit.example/a)", "7",
        "(a+b)/2 Press here",
    ]  # fmt: skip


def test_ticks_and_choices_of_forms_are_shown() -> None:
    box = '<w:ffData><w:checkBox><w:default w:val="0"/><w:checked/></w:checkBox></w:ffData>'
    entries = '<w:listEntry w:val="red"/><w:listEntry w:val="blue"/>'
    choice = f'<w:ffData><w:ddList><w:result w:val="1"/>{entries}</w:ddList></w:ffData>'
    begin = '<w:r><w:fldChar w:fldCharType="begin">{}</w:fldChar></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
    assert read(f"<w:p>{begin.format(box)}{r('yes ')}{begin.format(choice)}</w:p>") == "[x] yes blue\n"


def test_a_field_that_does_not_end_is_a_loss() -> None:
    body = f'{p("before")}<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r>{r("kept")}</w:p>'
    parsed = parse_docx(package(body), LIMIT)
    assert parsed.text == "before\n\nkept\n"
    assert parsed.losses == (("fields", "one has no end"),)


@pytest.mark.parametrize(
    "place",
    [
        "{}",
        "<w:tbl><w:tr><w:tc>{}</w:tc><w:tc><w:p/></w:tc></w:tr></w:tbl>",
        "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>",
    ],
)
def test_a_text_box_is_read_once_wherever_it_stands(place: str) -> None:
    box = f"<w:txbxContent>{p('boxed')}</w:txbxContent>"
    both = (
        f'<mc:AlternateContent><mc:Choice Requires="wps"><w:drawing>{box}</w:drawing></mc:Choice>'
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent>"
    )
    picture = both.replace(f"<w:drawing>{box}</w:drawing>", "<w:drawing/>").replace(
        "boxed", "in the fallback"
    )
    old = (
        f"<w:r><w:pict><v:shape><v:textbox>{box.replace('boxed', 'old')}</v:textbox></v:shape></w:pict></w:r>"
    )
    text = read(place.format(f"<w:p><w:r>{both}</w:r></w:p><w:p><w:r>{picture}</w:r></w:p><w:p>{old}</w:p>"))
    assert [text.count(word) for word in ("boxed", "in the fallback", "old")] == [1, 1, 1]


def test_content_controls_rows_and_cells_are_read_at_all_levels() -> None:
    def control(inner: str) -> str:
        return f"<w:sdt><w:sdtPr><w:alias w:val='no text'/></w:sdtPr><w:sdtContent>{inner}</w:sdtContent></w:sdt>"

    cell = control(f"<w:tc>{p('b')}</w:tc>")
    row = f"<w:tr><w:tc>{p('a')}</w:tc>{cell}</w:tr>"
    body = control(p("block")) + f"<w:p>{r('run ')}{control(r('inside'))}</w:p><w:tbl>{control(row)}</w:tbl>"
    assert lines(body) == ["block", "run inside", "| a | b |"]


def test_struck_text_is_marked_and_small_numbers_raised() -> None:
    strike, raised = "<w:strike/>", '<w:vertAlign w:val="superscript"/>'
    style = '<w:style w:type="character" w:styleId="Up"><w:name w:val="Up"/><w:rPr>'
    styles = f"{style}{raised}</w:rPr></w:style>"
    runs = r("pay ") + r("30", strike) + r("0", strike) + r(" 450 m") + r("2", raised)
    ends = r(" on the 1") + r("st", raised) + r(" 10") + r("6", '<w:rStyle w:val="Up"/>')
    assert read(f"<w:p>{runs}{ends}</w:p>", styles=styles) == "pay ~~300~~ 450 m^2 on the 1st 10^6\n"


def test_symbols_breaks_and_hyphens() -> None:
    symbol = '<w:r><w:sym w:font="{}" w:char="{}"/></w:r>'
    body = (
        f"<w:p>{symbol.format('Wingdings', 'F0FC')}{symbol.format('Symbol', 'F061')}<w:r><w:t>soft</w:t><w:softHyphen/>"
        "<w:t>ly non</w:t><w:noBreakHyphen/><w:t>stop</w:t><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t></w:r></w:p>"
    )
    assert read(body) == "✔αsoftly non-stop tab\nline\n"


def test_notes_have_the_marks_of_their_kind() -> None:
    def mark(kind: str, name: int, more: str = "") -> str:
        return f'<w:r><w:{kind}Reference w:id="{name}" {more}/></w:r>'

    body = f"<w:p>{r('a')}{mark('footnote', 5)}{mark('endnote', 2)}{mark('footnote', 9)}</w:p>{p('b')}"
    notes = "".join(f'<w:footnote w:id="{name}">{p(f"foot {name}")}</w:footnote>' for name in (9, 5))
    found = lines(body, footnotes=notes, endnotes=f'<w:endnote w:id="2">{p("end")}</w:endnote>')
    assert found == ["a[1][i][2]", "[1] foot 5", "[2] foot 9", "b", "[i] end"]


def test_a_mark_of_its_own_stands_once_with_its_note() -> None:
    body = f'<w:p>{r("said")}<w:r><w:footnoteReference w:customMarkFollows="1" w:id="2"/><w:t>†</w:t></w:r></w:p>'
    assert lines(body, footnotes=f'<w:footnote w:id="2">{p("† who")}</w:footnote>') == ["said[†]", "[†] who"]


def test_headers_are_written_without_page_numbers() -> None:
    reference = '<w:sectPr><w:headerReference w:type="default" r:id="hdr"/></w:sectPr>'
    number = field("PAGE", r("3"))
    header = f"<w:p>{r('Ref 7 ')}{number}</w:p>"
    header += f"<w:p>{r('Page ')}{number}{r(' of ')}{field('NUMPAGES', r('9'))}</w:p>"
    assert lines(p("body") + reference, hdr=header) == ["Ref 7", "body"]


def test_strict_open_xml_reads_like_transitional() -> None:
    body = item("a", 1) + f'<w:p><w:hyperlink r:id="web">{r("Kit")}</w:hyperlink></w:p>'
    body += "<w:p><m:oMath><m:r><m:t>x</m:t></m:r></m:oMath></w:p>"
    plain = package(body, numbering=numbering(level(0, "upperRoman", "%1.")))
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as source, zipfile.ZipFile(buffer, "w") as out:
        for entry in source.infolist():
            data = source.read(entry).replace(
                b"http://schemas.openxmlformats.org/wordprocessingml/2006/",
                b"http://purl.oclc.org/ooxml/wordprocessingml/",
            )
            out.writestr(
                entry,
                data.replace(
                    b"http://schemas.openxmlformats.org/officeDocument/2006/",
                    b"http://purl.oclc.org/ooxml/officeDocument/",
                ),
            )
    assert b"2006/main" not in buffer.getvalue()
    assert parse_docx(buffer.getvalue(), LIMIT) == parse_docx(plain, LIMIT)
    assert parse_docx(plain, LIMIT).text == "I. a\n\nKit (https://kit.example/a)\n\nx\n"


def test_core_properties_are_metadata() -> None:
    document = docx.Document()
    document.core_properties.author = "Ada"
    document.core_properties.title = "Untitled-1"
    document.add_heading("Real", 1)
    parsed = parse_docx(docx_bytes(document), LIMIT)
    assert parsed.title == "Real"
    assert parsed.metadata["creator"] == "Ada"
    assert parsed.metadata["created"].startswith("2013-12-23T")


def test_a_part_of_another_format_is_read_or_a_loss() -> None:
    data = package(p("before") + '<w:altChunk r:id="chunk"/>' + p("after"))
    assert parse_docx(data, LIMIT).losses == (("a part of another format", "not read"),)
    parsed = parse_docx(data, LIMIT, lambda name, content: Parsed("", f"{name}: {len(content)}\n"))
    assert parsed.text == "before\n\nchunk.html: 18\n\nafter\n"


def test_header_rows_nested_tables_and_columns_left_free() -> None:
    def row(*cells: str, properties: str = "") -> str:
        return (
            f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in cells)}</w:tr>"
        )

    inner = f"<w:tbl>{row(p('1'), p('2'))}{row(p('3'), p('4'))}</w:tbl>"
    head = "<w:tblHeader/>"
    body = f"<w:tbl>{row(p('H'), p('I'), properties=head)}{row(p('J'), p('K'), properties=head)}{row(p('x'), inner)}"
    free = '<w:gridBefore w:val="1"/>'
    body += f"{row(p('y'), properties=free)}</w:tbl>"
    assert lines(body) == ["| H J | I K |", "| --- | --- |", "| x | 1 2; 3 4 |", "|  | y |"]


def test_charts_are_rows_diagrams_lists_and_pictures_described() -> None:
    a, c = ("http://schemas.openxmlformats.org/drawingml/2006/" + name for name in ("main", "chart"))
    d = "http://schemas.openxmlformats.org/drawingml/2006/diagram"

    def points(kind: str, *values: str) -> str:
        inner = "".join(f'<c:pt idx="{i}"><c:v>{value}</c:v></c:pt>' for i, value in enumerate(values))
        return f"<c:{kind}><c:strRef><c:strCache>{inner}</c:strCache></c:strRef></c:{kind}>"

    words = "<a:p><a:r><a:t>{}</a:t></a:r></a:p>"
    series = f"<c:ser>{points('tx', 'Sold')}{points('cat', 'May', 'June')}{points('val', '5', '7')}</c:ser>"
    title = f'<c:title><c:tx><c:rich xmlns:a="{a}">{words.format("Sales")}</c:rich></c:tx></c:title>'
    drawing = "<w:p><w:r><w:drawing>{}</w:drawing></w:r></w:p>"
    picture = '<pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"/>'
    body = drawing.format(f'<c:chart xmlns:c="{c}" r:id="chart"/>')
    body += drawing.format(f'<d:relIds xmlns:d="{d}" r:dm="diagramData"/>')
    body += drawing.format(f'<wp:docPr descr="A valve. Description automatically generated"/>{picture}')
    chart = f'<c:chart xmlns:c="{c}">{title}<c:plotArea>{series}</c:plotArea></c:chart>'
    boxes = "".join(
        f'<d:t xmlns:d="{d}" xmlns:a="{a}">{words.format(text)}</d:t>' for text in ("Ask", "Answer")
    )
    data = package(body, chart=chart, diagramData=boxes)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as out:
        for entry in source.infolist():
            xml = source.read(entry).decode()
            xml = xml.replace("<w:chart ", f'<c:chartSpace xmlns:c="{c}" ').replace(
                "</w:chart>", "</c:chartSpace>"
            )
            out.writestr(entry, xml)
    assert parse_docx(buffer.getvalue(), LIMIT).text.split("\n") == [
        "Sales", "", "|  | Sold |", "| --- | --- |", "| May | 5 |", "| June | 7 |", "", "- Ask", "- Answer", "",
        "A valve.", "",
    ]  # fmt: skip


def test_initials_code_clauses_and_numbers_with_zeros() -> None:
    styles = '<w:style w:type="paragraph" w:styleId="Code"><w:name w:val="Source Code"/></w:style>'
    initial = '<w:framePr w:dropCap="drop"/>'
    clause = "The tenant pays " + "and pays " * 40
    body = (
        p("T", initial) + p("he tenant")
        + "".join(p(line, '<w:pStyle w:val="Code"/>') for line in ("if x:", "    y"))
        + p(clause, '<w:outlineLvl w:val="1"/>') + item("x", 1)
    )  # fmt: skip
    custom = (
        '<mc:AlternateContent><mc:Choice Requires="w14"><w:numFmt w:val="custom" w:format="001, 002, ..."/></mc:Choice>'
        '<mc:Fallback><w:numFmt w:val="decimal"/></mc:Fallback></mc:AlternateContent>'
    )
    found = numbering(f'<w:lvl w:ilvl="0"><w:start w:val="7"/>{custom}<w:lvlText w:val="R%1"/></w:lvl>')
    assert lines(body, styles=styles, numbering=found) == [
        "The tenant", "```", "if x:", "    y", "```", clause.strip(), "R007 x",
    ]  # fmt: skip


def test_a_table_that_places_text_is_text() -> None:
    cells = f"<w:tc>{p('Left')}{p('more')}</w:tc><w:tc>{p('Right')}</w:tc>"
    assert lines(f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>") == ["Left", "more", "Right"]
    column = "".join(f"<w:tr><w:tc>{p(text)}</w:tc></w:tr>" for text in ("one", "two"))
    assert lines(f"<w:tbl>{column}</w:tbl>") == ["one", "two"]


def test_numbers_that_are_not_stored_are_losses() -> None:
    parsed = parse_docx(
        package(f"<w:p>{field('LISTNUM', None)}{r('text')}{field('LISTNUM', None)}</w:p>"), LIMIT
    )
    assert parsed.text == "text\n"
    assert parsed.losses == (("numbers", "those of LISTNUM fields are not computed (2)"),)


def test_embedded_objects_and_missing_parts_are_losses() -> None:
    body = f'{p("text")}<w:p><w:r><w:object><o:OLEObject ProgID="Equation.3"/></w:object></w:r></w:p>'
    parsed = parse_docx(package(body, styles="<w:style"), LIMIT)
    assert parsed.text == "text\n"
    assert [where for where, _ in parsed.losses] == ["part word/styles.xml", "embedded objects"]


@pytest.mark.parametrize(
    "xml",
    [
        '<!DOCTYPE d [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><w:document {w}><w:body/></w:document>',
        "<w:document {w}><w:body><w:p>",
        "<w:document {w}><w:body>" + "<w:sdt>" * 5000 + "</w:sdt>" * 5000 + "</w:body></w:document>",
        "<other/>",
    ],
    ids=["entities", "cut", "deep", "other"],
)
def test_a_main_part_that_is_no_document_has_a_reason(xml: str) -> None:
    for encoding in ("utf-8", "utf-16"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as out:
            out.writestr("word/document.xml", xml.format(w=W).encode(encoding))
        with pytest.raises(UnreadableError, match="is damaged or no Word document"):
            parse_docx(buffer.getvalue(), LIMIT)


def test_what_repeats_is_bounded() -> None:
    long = "x" * 50_000
    cell = f"<w:tc><w:tcPr><w:gridSpan w:val='900'/></w:tcPr>{p(long)}</w:tc><w:tc>{p('y')}</w:tc>"
    start = '<w:start w:val="999999999"/>'
    found = numbering(level(0, "lowerLetter", "%1" * 50).replace('<w:start w:val="1"/>', start))
    text = read(f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>" + item("z", 1) * 3, numbering=found)
    assert len(text) < 3_000_000
