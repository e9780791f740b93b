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

from prep.parsing.formats.word.docx_parser import parse_docx
from prep.parsing.parsed import UnreadableError

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
LIMIT = 1 << 30


def text_of(document: docx.document.Document) -> str:
    return parse_docx(docx_bytes(document), LIMIT).text


def test_headings_lists_and_paragraphs_are_written_in_markdown_form() -> None:
    document = docx.Document()
    document.add_heading("The title", 0)
    document.add_heading("First", 1)
    document.add_paragraph("A paragraph\nof two lines.")
    for item in ("a", "b"):
        document.add_paragraph(item, style="List Bullet")
    document.add_paragraph("inner", style="List Bullet 2")
    for item in ("x", "y"):
        document.add_paragraph(item, style="List Number")
    document.add_heading("Deep", 3)
    document.add_paragraph("end")
    assert text_of(document) == (
        "# The title\n\n# First\n\nA paragraph\nof two lines.\n\n"
        "- a\n- b\n  - inner\n1. x\n2. y\n\n### Deep\n\nend\n"
    )


def test_tables_keep_rows_and_merged_cells_are_written_once() -> None:
    document = docx.Document()
    table = document.add_table(3, 3)
    for column, text in enumerate(("h1", "h2", "h3")):
        table.cell(0, column).text = text
    table.cell(1, 0).merge(table.cell(1, 1)).text = "wide | cell"
    table.cell(1, 2).merge(table.cell(2, 2)).text = "tall"
    table.cell(2, 0).text = "z"
    assert text_of(document) == (
        "| h1 | h2 | h3 |\n| --- | --- | --- |\n| wide \\| cell |  | tall |\n| z |  |  |\n"
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


def test_footnotes_stand_at_the_end_under_the_number_in_the_text() -> None:
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
    assert text_of(document) == "Said[2]\n\nafter\n\n[2] who said it\n"


def test_a_reason_names_no_address_in_memory() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_bytes())) as source, zipfile.ZipFile(buffer, "w") as out:
        for entry in source.infolist():
            data = source.read(entry)
            out.writestr(entry, data.replace(b"document.main+xml", b"template.main+xml"))
    with pytest.raises(UnreadableError, match="it is not a Word file"):
        parse_docx(buffer.getvalue(), LIMIT)


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
