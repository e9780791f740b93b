"""`read_documents`: what is found, how it is named, and that nothing found is lost without a word."""

from __future__ import annotations

import gc
import io
import os
import signal
import sqlite3
import threading
import time
import zipfile
from pathlib import Path

import docx
import pptx
import pytest
import xlsxwriter
from docx.opc.constants import RELATIONSHIP_TYPE as RELATIONSHIP
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from fixture_files import docx_bytes, encrypted_pdf_bytes, pdf_bytes

from prep import Document, Rejected, read_documents
from prep.errors import ConfigError, DataError
from prep.parsing.parsed import UnreadableError
from prep.parsing.parsing_process import ParseLimits, ParseProcess

MIB = 1 << 20
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def read(*paths: Path | str, **options: object) -> list[Document | Rejected]:
    return list(read_documents(*paths, **options))  # type: ignore[arg-type]


def ids(*paths: Path | str, **options: object) -> list[str]:
    return [row.id for row in read(*paths, **options) if isinstance(row, Document)]


def the_reason(path: Path, **options: object) -> str:
    (row,) = read(path, **options)
    assert isinstance(row, Rejected), row
    assert row.path == str(path)
    return row.reason


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def huge_docx(path: Path, n_bytes: int) -> None:
    """Write a small DOCX whose text unpacks to about n_bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        plain = path.with_suffix(".plain")
        plain.write_bytes(docx_bytes())
        with zipfile.ZipFile(plain) as source:
            for entry in source.infolist():
                if entry.filename != "word/document.xml":
                    out.writestr(entry, source.read(entry))
        plain.unlink()
        paragraph = b"<w:p><w:r><w:t>again</w:t></w:r></w:p>"
        namespace = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        with out.open("word/document.xml", "w", force_zip64=True) as part:
            part.write(b'<w:document xmlns:w="%s"><w:body>' % namespace)
            block = paragraph * (MIB // len(paragraph))
            for _ in range(n_bytes // len(block)):
                part.write(block)
            part.write(b"</w:body></w:document>")


def test_every_format_is_read_with_its_own_title_and_a_posix_id(tmp_path: Path) -> None:
    write(
        tmp_path,
        deep__a_md="# Alpha\n\nText of a.\n",
        b_txt="Beta file\n=========\n\nText of b.\n",
        c_rst="Gamma\n=====\n\nText of c.\n",
        d_html="<title>Delta</title><h1>D</h1><p>Text of d.",
    )
    (tmp_path / "e.pdf").write_bytes(pdf_bytes([["Text of e."]], title="Epsilon"))
    document = docx.Document()
    document.core_properties.title = "Zeta"
    document.add_paragraph("Text of f.")
    (tmp_path / "f.docx").write_bytes(docx_bytes(document))
    rows = read(tmp_path)
    assert all(isinstance(row, Document) for row in rows)
    assert [(row.id, row.title) for row in rows if isinstance(row, Document)] == [
        ("b.txt", "Beta file"),
        ("c.rst", "Gamma"),
        ("d.html", "Delta"),
        ("deep/a.md", "Alpha"),
        ("e.pdf", "Epsilon"),
        ("f.docx", "Zeta"),
    ]
    for row in rows:
        assert isinstance(row, Document)
        assert f"Text of {Path(row.id).stem}." in row.text
        assert row.source == str(tmp_path / row.id)


def test_slides_sheets_and_archives_are_read_by_suffix_and_by_content(tmp_path: Path) -> None:
    slides, sheets, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Text of slides"
    deck.save(slides)
    with xlsxwriter.Workbook(sheets, {"in_memory": True}) as book:
        book.add_worksheet("Prices").write_row(0, 0, ["Text of sheets", 12.5])
    with zipfile.ZipFile(packed, "w") as out:
        out.writestr("folder/a.adoc", "= A\n\nText of packed.\n")
    for name, data in (("slides", slides), ("sheets", sheets), ("packed", packed)):
        suffix = {"slides": ".pptx", "sheets": ".xlsx", "packed": ".zip"}[name]
        (tmp_path / f"{name}{suffix}").write_bytes(data.getvalue())
        (tmp_path / f"{name}-again").write_bytes(data.getvalue())
    rows = [row for row in read(tmp_path) if isinstance(row, Document)]
    assert [row.id for row in rows] == [
        "packed-again!/folder/a.adoc", "packed.zip!/folder/a.adoc", "sheets-again", "sheets.xlsx", "slides-again",
        "slides.pptx",
    ]  # fmt: skip
    for row in rows:
        assert f"Text of {row.id[:6]}" in row.text
    assert [(one.kind, one.label) for row in rows for one in row.places] == [
        *[("sheet", "Prices")] * 2,
        *[("slide", "1")] * 2,
    ]


def test_text_formats_are_kept_as_they_are_but_for_the_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    text = "\r\nFirst – line\r\n\tsecond \f\n\n\nlast\x85without\rend  "
    names = ["a", "a.log", "a.md", "a.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [(row.id, row.text) for row in read(tmp_path) if isinstance(row, Document)] == [
        (name, "\nFirst – line\n\tsecond \f\n\n\nlast\nwithout\nend  ") for name in names
    ]


def test_a_document_without_a_title_is_named_after_its_file(tmp_path: Path) -> None:
    write(tmp_path, **{"getting-started_txt": "just text\nmore\n"})
    (row,) = read(tmp_path)
    assert isinstance(row, Document)
    assert row.title == "Getting started"


def test_what_is_read_can_be_stored(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo three\n" * 40 + b"\x00end")
    (tmp_path / "b.html").write_bytes(b"<p>&#xD800;&#0;x\x00" + b" and so on" * 20)
    with xlsxwriter.Workbook(tmp_path / "c.xlsx") as book:
        book.set_properties({"author": "_xD800_"})
        book.add_worksheet("a").write_row(0, 0, ["x_xD800_y", "z"])
    connection = sqlite3.connect(":memory:")
    for row in read(tmp_path):
        assert isinstance(row, Document)
        assert "\0" not in row.text
        (stored,) = connection.execute("SELECT ?", (row.text,)).fetchone()
        assert stored == row.text
    connection.close()


def test_hidden_files_and_version_control_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a")
    (tmp_path / ".hidden.md").write_text("# b")
    for folder in (".git", ".svn", "CVS", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c.md").write_text("# c")
    assert read(tmp_path) == read(tmp_path / "a.md")


def test_a_hidden_folder_named_by_the_user_is_read(tmp_path: Path) -> None:
    (tmp_path / ".notes").mkdir()
    (tmp_path / ".notes" / "a.md").write_text("# a")
    assert ids(tmp_path / ".notes") == ["a.md"]


def test_glob_narrows_folders_by_name_or_by_path(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", b_txt="b", x__c_md="# c", x__y__d_md="# d")
    assert ids(tmp_path, glob="*.md") == ["a.md", "x/c.md", "x/y/d.md"]
    assert ids(tmp_path, glob="x/*.md") == ["x/c.md"]
    assert ids(tmp_path, glob="x/**/*.md") == ["x/c.md", "x/y/d.md"]
    assert ids(tmp_path, glob=["[!a-c].md", "b.*"]) == ["b.txt", "x/y/d.md"]
    with pytest.raises(ConfigError, match="glob"):
        read(tmp_path, glob="")


def test_a_pattern_reads_what_it_fits_named_from_before_the_first_wildcard(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", x__b_md="# b", x__y__c_md="# c", x__d_txt="d")
    assert ids(str(tmp_path / "**" / "*.md")) == ["a.md", "x/b.md", "x/y/c.md"]
    assert ids(str(tmp_path / "x" / "*")) == ["b.md", "d.txt", "y/c.md"]
    write(tmp_path, CVS__e_md="# e")
    assert ids(str(tmp_path / "*" / "*.md")) == ["x/b.md"]


def test_a_file_whose_name_looks_like_a_pattern_is_read(tmp_path: Path) -> None:
    (tmp_path / "a[1].md").write_text("# one")
    assert ids(tmp_path / "a[1].md") == ["a[1].md"]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path, notes__a_md="# a")
    assert ids("~/notes") == ids("~/notes/*.md") == ["a.md"]


def test_a_path_that_does_not_exist_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*does not exist"):
        read_documents(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no file fits the pattern"):
        read_documents(str(tmp_path / "*.md"))
    with pytest.raises(DataError, match="does not exist"):
        read_documents("a\0b")
    with pytest.raises(ConfigError, match="no path"):
        read_documents()


def test_limits_out_of_range_are_errors(tmp_path: Path) -> None:
    for option in ({"timeout_s": 0}, {"memory_limit_bytes": 1000}, {"max_bytes": 0}, {"max_characters": 0}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            read(tmp_path, **option)


def test_an_empty_folder_has_no_documents(tmp_path: Path) -> None:
    assert read(tmp_path) == []


def test_equal_ids_begin_with_the_folders_above_and_no_others_change(tmp_path: Path) -> None:
    write(tmp_path, one__docs__a_md="# 1", two__docs__a_md="# 2", three__b_md="# 3")
    found = ids(tmp_path / "one" / "docs", tmp_path / "two" / "docs", tmp_path / "three")
    assert found == ["b.md", "one/docs/a.md", "two/docs/a.md"]


def test_a_file_reached_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, x__a_md="# a", x__b_md="# b")
    assert ids(tmp_path, tmp_path / "x", tmp_path / "x" / "a.md", tmp_path / "x" / ".." / "x") == [
        "x/a.md",
        "x/b.md",
    ]


def test_order_and_ids_do_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    for folder, names in (("p", ["b", "a", "c/a"]), ("q", ["c/a", "a", "b"])):
        for name in names:
            path = tmp_path / folder / f"{name}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("# t")
    assert ids(tmp_path / "p") == ids(tmp_path / "q") == ["a.md", "b.md", "c/a.md"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right of their own")
def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, root__z__a_md="# a", outside__b_md="# b")
    (root / "z" / "up").symlink_to(root)
    (root / "again.md").symlink_to(root / "z" / "a.md")
    (root / "elsewhere").symlink_to(tmp_path / "outside")
    (root / "self").symlink_to(root / "self")
    (root / "gone.md").symlink_to(tmp_path / "missing.md")
    rows = read(root, follow_links=True)
    assert [row.id for row in rows if isinstance(row, Document)] == ["elsewhere/b.md", "z/a.md"]
    rejected = {Path(row.path).name: row.reason for row in rows if isinstance(row, Rejected)}
    assert rejected.keys() == {"self", "gone.md"}
    assert "does not exist" in rejected["gone.md"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_rejected_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "no regular file" in the_reason(tmp_path / "pipe.txt")


def test_files_and_folders_without_permission_are_rejected(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", shut__b_md="# b")
    (tmp_path / "a.md").chmod(0)
    (tmp_path / "shut").chmod(0)
    if os.access(tmp_path / "a.md", os.R_OK):
        (tmp_path / "shut").chmod(0o700)
        pytest.skip("this user may read everything")
    try:
        reasons = [row.reason for row in read(tmp_path) if isinstance(row, Rejected)]
    finally:
        (tmp_path / "shut").chmod(0o700)
    assert len(reasons) == 2
    assert all("permission denied" in reason for reason in reasons)


def test_a_file_that_vanishes_after_it_was_found_is_rejected(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", b_md="# b")
    rows = read_documents(tmp_path)
    (tmp_path / "a.md").unlink()
    first, second = rows
    assert first == Rejected(str(tmp_path / "a.md"), "vanished before it was read")
    assert isinstance(second, Document)


@pytest.mark.skipif(os.name == "nt", reason="names are always characters there")
def test_a_name_that_is_no_text_gets_a_printable_id(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("# t")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (row,) = read(tmp_path)
    assert isinstance(row, Document)
    assert row.id == "caf\\xe9.md"
    row.source.encode()


UNREADABLE = {
    "empty.md": (b"", "is empty"),
    "blank.txt": (b" \n\t\n", "has no text"),
    "picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is a PNG picture (.png), a format"),
    "sheet.xlsx": (b"PK\x03\x04" + bytes(99), "is damaged or no Excel workbook"),
    "slides.pptx": (b"PK\x03\x04" + bytes(99), "is damaged or no PowerPoint presentation"),
    "book.epub": (b"PK\x03\x04" + bytes(99), "is damaged or no EPUB book"),
    "packed.zip": (b"PK\x03\x04" + bytes(99), "is damaged or no ZIP archive"),
    "locked.xlsx": (
        OLE + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
        "is encrypted and needs a password",
    ),
    "old.doc": (OLE + bytes(600) + "WordDocument".encode("utf-16-le"), "save it as .docx"),
    "old.xls": (OLE + bytes(600) + "Workbook".encode("utf-16-le"), "save it as .xlsx"),
    "old.ppt": (OLE + bytes(600) + "PowerPoint Document".encode("utf-16-le"), "save it as .pptx"),
    "song.mp3": (b"ID3" + bytes(range(256)), "write out what is said in it"),
    "talk.mp4": (bytes(4) + b"ftypisom" + bytes(range(256)), "write out what is said in it"),
    "packed.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "unpack it"),
    "letter.rtf": (b"hello", "is damaged or no RTF"),
    "cut.odt": (b"PK\x03\x04" + bytes(99), "is damaged or no OpenDocument text"),
    "flat.fodt": (b"<office:document/>", "is damaged or no OpenDocument text"),
    "data": (bytes(range(256)) * 20, "of its bytes are control characters"),
    "binary.txt": (bytes(range(256)) * 20, "of its bytes are control characters"),
    "misnamed.txt": (b"%PDF-1.4\n...", "is not text: it begins like a PDF"),
    "script.html": (b"<script>alert(1)</script>", "has no text"),
    "other.pdf": (b"<html>not found</html>", "does not begin like a PDF"),
    "cut.pdf": (pdf_bytes([["line"]])[:150], "is damaged"),
    "locked.pdf": (encrypted_pdf_bytes("pw"), "is encrypted and needs a password"),
    "scan.pdf": (pdf_bytes([[]], picture=True), "it may be scanned images"),
    "cut.docx": (docx_bytes()[:3000], "is damaged"),
    "text.docx": (b"only text", "is damaged"),
    "zip.docx": (b"PK\x05\x06" + bytes(18), "is damaged"),
    "old.docx": (OLE + bytes(600), "is an old Office file"),
    "locked.docx": (
        OLE + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
        "is encrypted and needs a password",
    ),
}


@pytest.fixture(scope="module")
def rejections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document | Rejected]:
    """What reading a folder with all of UNREADABLE gives, by file name."""
    folder = tmp_path_factory.mktemp("unreadable")
    for name, (data, _) in UNREADABLE.items():
        (folder / name).write_bytes(data)
    rows = list(read_documents(folder))
    return {Path(row.path if isinstance(row, Rejected) else row.source).name: row for row in rows}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_rejected_with_its_reason(
    name: str, rejections: dict[str, Document | Rejected]
) -> None:
    row = rejections[name]
    assert isinstance(row, Rejected)
    assert UNREADABLE[name][1] in row.reason


def test_every_unreadable_file_of_a_folder_has_its_row(rejections: dict[str, Document | Rejected]) -> None:
    assert rejections.keys() == UNREADABLE.keys()


def test_files_of_unknown_suffix_are_read_by_content(tmp_path: Path) -> None:
    contents = {
        "a": pdf_bytes([["Text of a PDF."]]),
        "b.unknown": docx_bytes(text="Text of a DOCX."),
        "b2.unknown": b"{\\rtf1 Text of an RTF.}",
        "c.aspx": b"<!-- c -->\n<!DOCTYPE html><p>Text of <b>a</b> page.",
        "d.log": "Text – of a file.".encode(),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    assert [row.text.strip() for row in read(tmp_path) if isinstance(row, Document)] == [
        "Text of a PDF.",
        "Text of a DOCX.",
        "Text of an RTF.",
        "Text of a page.",
        "Text – of a file.",
    ]


def test_a_word_document_may_hold_a_page_or_another_document_once(tmp_path: Path) -> None:
    def holding(name: str, data: bytes) -> bytes:
        document = docx.Document()
        part = Part(PackURI(f"/word/{name}"), "application/octet-stream", data, document.part.package)
        link = document.part.relate_to(part, RELATIONSHIP.A_F_CHUNK)
        namespace = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
        chunk = f'<w:altChunk xmlns:w="{document.element.nsmap["w"]}" xmlns:r="{namespace}" r:id="{link}"/>'
        document.element.body.insert(0, parse_xml(chunk))
        return docx_bytes(document)

    (tmp_path / "a.docx").write_bytes(holding("page.html", b"<h2>From</h2><p>a page"))
    (tmp_path / "b.docx").write_bytes(holding("inner.docx", docx_bytes(text="From a document.")))
    inner = holding("page.html", b"<p>too deep")
    (tmp_path / "c.docx").write_bytes(holding("inner.docx", inner))
    page, document, nested = read(tmp_path)[:3]
    assert isinstance(page, Document)
    assert page.text == "## From\n\na page\n"
    assert isinstance(document, Document)
    assert document.text == "From a document.\n"
    assert nested == Rejected(str(tmp_path / "c.docx"), "has no text")


def test_files_above_the_limits_are_rejected(tmp_path: Path) -> None:
    write(tmp_path, a_txt="x" * 1000)
    assert "has 1,000 bytes, more than the 999 of max_bytes" in the_reason(tmp_path / "a.txt", max_bytes=999)
    assert isinstance(read(tmp_path / "a.txt", max_bytes=1000)[0], Document)
    assert "more than the 999 of max_characters" in the_reason(tmp_path / "a.txt", max_characters=999)


def test_damaged_pages_and_bytes_are_reported_beside_what_could_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_bytes([["sound"], []], picture=True))
    (tmp_path / "b.txt").write_bytes("ünïcödé textes\n".encode() * 3 + b"\xff tail")
    first, loss, second, replaced = read(tmp_path)
    assert isinstance(first, Document)
    assert isinstance(loss, Rejected)
    assert loss.path == f"{tmp_path / 'a.pdf'} (page 2)"
    assert loss.reason.startswith("no text: may be scanned images")
    assert isinstance(second, Document)
    assert second.text.endswith("\ufffd tail")
    assert isinstance(replaced, Rejected)
    assert "not valid UTF-8" in replaced.reason


def test_a_slow_file_is_rejected_and_the_next_ones_are_read(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", z_md="# z")
    (tmp_path / "m.pdf").write_bytes(pdf_bytes([["line of text"] * 40], repeat=20_000))
    first, slow, last = read(tmp_path, timeout_s=2)
    assert isinstance(first, Document)
    assert slow == Rejected(str(tmp_path / "m.pdf"), "parsing took longer than 2 s")
    assert isinstance(last, Document)


@pytest.mark.skipif(os.name == "nt", reason="no memory limit on Windows")
def test_a_file_that_needs_too_much_memory_is_rejected_and_the_next_ones_are_read(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", z_md="# z")
    huge_docx(tmp_path / "m.docx", 100 * MIB)
    assert (tmp_path / "m.docx").stat().st_size < MIB
    first, greedy, last = read(tmp_path, memory_limit_bytes=128 * MIB)
    assert isinstance(first, Document)
    assert greedy == Rejected(str(tmp_path / "m.docx"), "parsing needs more than 0.1 GiB of memory")
    assert isinstance(last, Document)


def test_an_archive_that_says_it_unpacks_to_more_than_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    huge_docx(tmp_path / "m.docx", 70 * MIB)
    reason = the_reason(tmp_path / "m.docx", memory_limit_bytes=64 * MIB)
    assert reason.startswith("unpacks to 0.1 GiB, more than")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_crash_of_the_parser_is_the_reason_and_the_next_file_gets_a_new_one(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a")
    slow = tmp_path / "m.pdf"
    slow.write_bytes(pdf_bytes([["line of text"] * 40], repeat=20_000))
    with ParseProcess(ParseLimits()) as process:

        def crash() -> None:
            while process.process_id is None:
                time.sleep(0.05)
            os.kill(process.process_id, signal.SIGSEGV)

        thread = threading.Thread(target=crash)
        thread.start()
        with pytest.raises(UnreadableError, match=r"made the parser crash \(SIGSEGV\)"):
            process.parse(slow)
        thread.join()
        assert process.parse(tmp_path / "a.md").title == "a"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_file_does_not_answer_for_a_process_that_died_before_it(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", b_md="# b")
    with ParseProcess(ParseLimits()) as process:
        process.parse(tmp_path / "a.md")
        first = process.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert process.parse(tmp_path / "b.md").title == "b"
        assert process.process_id != first


def test_one_process_serves_all_files_and_ends_with_the_iterator(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.md").write_text(f"# {number}")
    with ParseProcess(ParseLimits()) as process:
        seen = set()
        for path in sorted(tmp_path.iterdir()):
            process.parse(path)
            seen.add(process.process_id)
        assert len(seen) == 1
    assert process.process_id is None


def test_an_abandoned_iterator_leaves_no_process(tmp_path: Path) -> None:
    write(tmp_path, a_md="# a", b_md="# b")
    rows = read_documents(tmp_path)
    next(rows)
    del rows
    gc.collect()  # an unclosed process would be a ResourceWarning, and so an error, here
