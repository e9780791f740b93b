"""Archives: members by the parser of their format, within bounds; what is not read is told, nothing is written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from prep import Document, Rejected, read_documents
from prep.parsing.formats.archives import archive_parser
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.parsing_worker import parse_data

GIB = 1 << 30
FILES = {"b/notes.md": b"# Kiln\n\nHot.\n", "a.csv": b"item,n\nash,1\n"}


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as out:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def read(name: str, data: bytes) -> Parsed:
    return parse_data(name, data, memory_limit_bytes=GIB)


def reasons(parsed: Parsed) -> dict[str, str]:
    return dict(parsed.losses)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", zipped(FILES)),
        ("x.zip", zipped(FILES, zipfile.ZIP_LZMA)),
        ("x.tar", tarred(FILES)),
        ("x.tgz", tarred(FILES, "w:gz")),
        ("x.tar.gz", tarred(FILES, "w:gz")),
        ("x.tar.bz2", tarred(FILES, "w:bz2")),
        ("x.tar.xz", tarred(FILES, "w:xz")),
        ("archive", zipped(FILES)),
        ("archive", tarred(FILES)),
        ("archive", tarred(FILES, "w:gz")),
    ],
)
def test_members_are_read_by_their_formats_in_the_order_of_their_names(name: str, data: bytes) -> None:
    parsed = read(name, data)
    assert [(member, held.title, held.text) for member, held in parsed.members] == [
        ("a.csv", "", "| item | n |\n| --- | --- |\n| ash | 1 |\n"),
        ("b/notes.md", "Kiln", "# Kiln\n\nHot.\n"),
    ]
    assert parsed.text == ""
    assert parsed.losses == ()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_read_as_what_it_is(compress: object) -> None:
    suffix = {gzip.compress: "gz", bz2.compress: "bz2"}.get(compress, "xz")  # type: ignore[call-overload]
    parsed = read(f"notes.md.{suffix}", compress(FILES["b/notes.md"]))  # type: ignore[operator]
    assert (parsed.title, parsed.text, parsed.members) == ("Kiln", "# Kiln\n\nHot.\n", ())


def test_each_member_is_a_document_that_says_where_it_is(tmp_path: Path) -> None:
    inner = zipped({"c.txt": b"Cold.\n", "d.png": b"\x89PNG\r\n\x1a\n" + bytes(99)})
    (tmp_path / "notes.zip").write_bytes(zipped({**FILES, "in.zip": inner}))
    (tmp_path / "z.md").write_text("# Z\n")
    rows = list(read_documents(tmp_path))
    assert [(row.id, row.title) for row in rows if isinstance(row, Document)] == [
        ("notes.zip!/a.csv", "A"),
        ("notes.zip!/b/notes.md", "Kiln"),
        ("notes.zip!/in.zip!/c.txt", "C"),
        ("z.md", "Z"),
    ]
    assert rows[0].source == str(tmp_path / "notes.zip") + "!/a.csv"  # type: ignore[union-attr]
    (lost,) = [row for row in rows if isinstance(row, Rejected)]
    assert lost.path.endswith("notes.zip (in.zip!/d.png)")
    assert "picture" in lost.reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.zip", "z.md"]


def test_names_that_lead_out_links_and_devices_are_told() -> None:
    buffer = io.BytesIO(
        zipped(
            {"../up.txt": b"u", "/root.txt": b"r", "C:\\win.txt": b"w", "ok.txt": b"ok\n", "a\x07b.txt": b"x"}
        )
    )
    with zipfile.ZipFile(buffer, "a") as out:
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        out.writestr(link, "/etc/passwd")
    parsed = read("x.zip", buffer.getvalue())
    assert [name for name, _ in parsed.members] == ["ok.txt"]
    assert {name: why.split(" ")[0:2] for name, why in parsed.losses} == {
        "../up.txt": ["has", "a"], "/root.txt": ["has", "a"], "C:/win.txt": ["has", "a"], "a\ufffdb.txt": ["has", "a"],
        "link.txt": ["is", "a"],
    }  # fmt: skip
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo(f"odd{kind!r}")
            entry.type, entry.linkname = kind, "/etc/passwd"
            out.addfile(entry)
    with pytest.raises(UnreadableError, match=r"holds no file that can be read: .* is a link or a device"):
        read("x.tar", buffer.getvalue())


def test_encrypted_and_damaged_members_are_told() -> None:
    data = bytearray(zipped({"a.txt": b"secret text\n", "b.txt": b"open\n"}, zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[data.index(b"open\n")] ^= 1
    with pytest.raises(UnreadableError, match="needs a password"):
        read("x.zip", bytes(data))
    data[at + 8] ^= 1
    parsed = read("x.zip", bytes(data))
    assert [name for name, _ in parsed.members] == ["a.txt"]
    assert "damaged" in reasons(parsed)["b.txt"]


def test_a_member_without_a_name_is_told() -> None:
    data = zipped({"_.txt": b"a\n", "b.txt": b"b\n"}).replace(b"_.txt", b"\0.txt")
    parsed = read("x.zip", data)
    assert [name for name, _ in parsed.members] == ["b.txt"]
    assert list(reasons(parsed).values()) == ["has a name that no file has"]


def test_a_member_that_makes_its_parser_fail_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("part")

    monkeypatch.setattr("prep.parsing.formats.markdown_parser.parse_markdown", fail)
    parsed = read("x.zip", zipped(FILES))
    assert [name for name, _ in parsed.members] == ["a.csv"]
    assert reasons(parsed) == {"b/notes.md": "cannot be parsed: KeyError: 'part'"}


def test_hidden_files_are_passed_over() -> None:
    files = {**FILES, ".git/config": b"x", "__MACOSX/a": b"x", "b/.DS_Store": b"x", "c/": b""}
    parsed = read("x.zip", zipped(files))
    assert len(parsed.members) == 2
    assert parsed.losses == ()


def test_archives_in_archives_are_bounded_in_depth() -> None:
    data, name = zipped({"end.txt": b"end\n"}), "end.zip"
    for depth in range(6):
        data, name = zipped({name: data, f"{depth}.txt": b"x\n"}), f"{depth}.zip"
    parsed = read(name, data)
    assert [member for member, _ in parsed.members] == [
        "4.zip!/3.zip!/3.txt",
        "4.zip!/4.txt",
        "5.txt",
    ]
    assert ["deep" in why for why in reasons(parsed).values()] == [True]


@pytest.mark.parametrize("pack", [zipped, lambda files: tarred(files, "w:gz")])
def test_what_unpacks_to_too_much_is_not_unpacked(pack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_parser.UnpackBudget.__init__, "__defaults__", (100_000, 10_000, 0))
    data = pack(
        {"a.txt": b"a\n", "b.txt": bytes(10_000_000), "c.txt": b"c\n" * 20_000, "d.txt": b"d\n" * 40_000}
    )  # type: ignore[operator]
    parsed = read("x.zip" if data[:2] == b"PK" else "x.tgz", data)
    assert "a.txt" in dict(parsed.members)
    assert any("more than is read" in why or "unpack to more" in why for why in reasons(parsed).values())
    assert "d.txt" not in dict(parsed.members)
    with pytest.raises(UnreadableError, match="unpacks to more"):
        read("x.txt.gz", gzip.compress(bytes(10_000_000)))


def test_members_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_parser.UnpackBudget.__init__, "__defaults__", (GIB, 5, 0))
    inner = zipped({f"{n}.txt": b"x\n" for n in range(4)})
    parsed = read("x.zip", zipped({f"{n}.zip": inner for n in range(4)}))
    assert len(parsed.members) == 4 - 0
    assert any("are more than" in why for why in reasons(parsed).values())


def test_a_name_that_is_utf_8_without_saying_so_is_read_as_it_is() -> None:
    data = zipped({"Öfen.txt": b"x\n"}).replace(b"\x00\x08", b"\x00\x00")
    raw = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        raw[raw.index(mark) + offset] = 0
    assert [name for name, _ in read("x.zip", bytes(raw)).members] == ["Öfen.txt"]


def test_a_name_that_is_no_text_is_written_out() -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    assert [name for name, _ in read("x.tar", tarred({name: b"x\n"})).members] == ["caf\\xe9.txt"]


def test_a_document_that_is_called_zip_is_read_as_the_document() -> None:
    from fixture_files import docx_bytes

    assert read("x.zip", docx_bytes(text="A line.")).text == "A line.\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", b"PK\x03\x04"),
        ("x.zip", zipped(FILES)[:60]),
        ("x.tar", b"no tar"),
        ("x.tgz", tarred(FILES, "w:gz")[:40]),
        ("x.gz", b"no gzip"),
        ("x.md.gz", gzip.compress(b"# a\n" * 99)[:20]),
    ],
)
def test_damage_is_named(name: str, data: bytes) -> None:
    with pytest.raises(UnreadableError, match="is damaged"):
        read(name, data)
