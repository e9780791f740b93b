"""Damaged and hostile files of every format are read or rejected: none hangs, none ends the parsing process.

Files are made from small sound ones by seeded changes. DIPTYCH_HOSTILE_FILES says how many (5,000 take some minutes).
"""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docx
import pptx
import pytest
import xlsxwriter
from fixture_compound import compound_bytes
from fixture_files import docx_bytes, pdf_bytes

from prep.parsing.parsed import UnreadableError
from prep.parsing.parsing_process import ParseLimits, ParseProcess
from prep.parsing.parsing_worker import FORMATS, parse_data

N_FILES = int(os.environ.get("DIPTYCH_HOSTILE_FILES", "400"))
MOST_SECONDS = 20.0  # of one file, on a busy machine
_WORDS = "Harbour fee <b>& 12,50 € | a | b |\n# Title\n- item\n```\ncode\n```\n{} [] \\u0000 %PDF PK\x03\x04 &lol; ]]>"
_SHEET = (
    "<office:spreadsheet><table:table xmlns:table='urn:oasis:names:tc:opendocument:xmlns:table:1.0' table:name='S'>"
    "<table:table-row><table:table-cell><text:p>part</text:p></table:table-cell></table:table-row></table:table>"
    "</office:spreadsheet>"
)
_TEXTS = {
    ".md": "# Harbour\n\nText *here*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\nls\n```\n- one\n  - two\n",
    ".txt": "A line.\nAnother line.\n\nA paragraph.\n",
    ".rst": "Title\n=====\n\n.. code-block:: python\n\n   x = 1\n\n===  ===\na    b\n===  ===\n1    2\n===  ===\n",
    ".adoc": "= Title\n\n== Part\n\n|===\n|a |b\n|1 |2\n|===\n\n----\ncode\n----\n",
    ".org": "* Title\n** Part\n| a | b |\n#+BEGIN_SRC sh\nls\n#+END_SRC\n",
    ".html": "<html><body><h1>T</h1><table><tr><td rowspan=2>a<td>b<tr><td>c</table><pre>x<br>y</pre></body></html>",
    ".csv": "part,shelf\nbolt,3\n\"a, b\",4\n",
    ".tsv": "part\tshelf\nbolt\t3\n",
    ".json": '{"a": {"b": [1, 2, {"c": "text"}]}, "d": null}',
    ".jsonl": '{"a": 1}\n{"a": 2}\n',
    ".yaml": "a:\n  - b: 1\n    c: text\n# note\n",
    ".toml": '[part]\nname = "bolt"\n',
    ".xml": "<?xml version='1.0'?><a><b c='1'>text</b><!-- note --></a>",
    ".eml": "Subject: Fee\nContent-Type: multipart/mixed; boundary=X\n\n--X\n\nText\n--X\nContent-Type: text/html\n\n"
    "<p>More\n--X--\n",
    ".mhtml": "Content-Type: multipart/related; boundary=X\n\n--X\nContent-Type: text/html\n\n<p>More\n--X--\n",
    ".ipynb": '{"cells": [{"cell_type": "markdown", "source": ["# T"]}], "metadata": {}, "nbformat": 4}',
    ".py": '"""Doc."""\n# note\ndef f(x):\n    return x\n',
    ".rtf": "{\\rtf1\\ansi Text \\b bold\\b0\\par\\trowd\\cellx900 a\\cell\\row}",
    ".fodt": "<office:document xmlns:office='urn:oasis:names:tc:opendocument:xmlns:office:1.0' "
    "xmlns:text='urn:oasis:names:tc:opendocument:xmlns:text:1.0' "
    "office:mimetype='application/vnd.oasis.opendocument.text'><office:body><office:text><text:p>Text</text:p>"
    "</office:text></office:body></office:document>",
}  # fmt: skip


def sound_files() -> dict[str, bytes]:
    """Return a small sound file of every format, by suffix."""
    files = {suffix: text.encode() for suffix, text in _TEXTS.items()}
    files[".pdf"] = pdf_bytes([["A line of text.", "Another."], ["A second page."]], title="Guide")
    document = docx.Document()
    document.add_heading("Title")
    document.add_paragraph("Text.", style="List Number")
    document.add_table(2, 2).cell(0, 0).text = "cell"
    files[".docx"] = docx_bytes(document)
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[1]).shapes.title.text = "Slide"
    files[".pptx"] = _saved(deck)
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        book.add_worksheet("Prices").write_row(0, 0, ["part", "price", 3.5])
    files[".xlsx"] = buffer.getvalue()
    page = "<html xmlns='http://www.w3.org/1999/xhtml'><body><p>Chapter</p></body></html>"
    files[".epub"] = _zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": "<container><rootfiles><rootfile full-path='c.opf'/></rootfiles></container>",
            "c.opf": "<package><manifest><item id='a' href='a.xhtml' media-type='application/xhtml+xml'/></manifest>"
            "<spine><itemref idref='a'/></spine></package>",
            "a.xhtml": page,
        }
    )
    files[".odt"] = _zipped(
        {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": _TEXTS[".fodt"]}
    )
    sheet = _TEXTS[".fodt"].replace("oasis.opendocument.text'", "oasis.opendocument.spreadsheet'")
    sheet = sheet.replace("<office:text><text:p>Text</text:p></office:text>", _SHEET)
    files[".ods"] = _zipped(
        {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": sheet}
    )
    files[".gz"] = gzip.compress(files[".csv"])
    body = "Text".encode("utf-16-le")
    known = struct.pack(
        "<HHIII", 0x001F, 0x1000, 6, len(body) + 2, 0
    )  # that there is a body, after the header
    files[".msg"] = compound_bytes(
        {"__properties_version1.0": bytes(32) + known, "__substg1.0_1000001F": body}
    )
    files[".zip"] = _zipped({"a.md": _TEXTS[".md"], "b/c.csv": _TEXTS[".csv"], "../d.txt": "out"})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("a.html")
        entry.size = len(files[".html"])
        archive.addfile(entry, io.BytesIO(files[".html"]))
    files[".tgz"] = buffer.getvalue()
    return files


def _saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _zipped(parts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def changed(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to four changes: cut, doubled, exchanged, with words or noise put in."""
    if zipfile.is_zipfile(io.BytesIO(data)) and rng.random() < 0.6:
        return _with_part_changed(data, rng)
    content = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.choices(range(len(content) + 1), k=2))
        end = min(end, start + rng.choice([1, 8, 200, 4000]))
        kind = rng.randrange(6)
        if kind == 0:
            del content[start:end]
        elif kind == 1:
            content[start:start] = content[start:end] * rng.choice([1, 3, 200])
        elif kind == 2:
            content[start:end] = rng.randbytes(end - start)
        elif kind == 3:
            content[start:start] = _WORDS.encode()[: rng.randrange(1, len(_WORDS))] * rng.choice([1, 50])
        elif kind == 4:
            other = rng.randrange(len(content) + 1)
            content[start:start] = content[other : other + end - start]
        else:
            del content[end:]
    return bytes(content[: 1 << 20])


def _with_part_changed(data: bytes, rng: random.Random) -> bytes:
    """Return a ZIP file with a part changed, so that its checksums hold."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(parts))
    parts[name] = changed(parts[name] or b"-", rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return buffer.getvalue()


def hostile_files(n: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield n names and contents, of all formats in turn."""
    sound = sorted(sound_files().items())
    for number in range(n):
        suffix, data = sound[number % len(sound)]
        rng = random.Random(f"{seed} {number}")
        name = rng.choice(sound)[0] if rng.random() < 0.1 else suffix  # some under a wrong name
        yield f"{number:05}{name}", changed(data, rng)


def test_sound_files_of_every_format_are_read() -> None:
    for suffix, data in sound_files().items():
        parsed = parse_data(f"a{suffix}", data, memory_limit_bytes=1 << 30)
        assert parsed.text.strip() or parsed.members, suffix
    assert {FORMATS.get(suffix) for suffix in sound_files()} >= set(FORMATS.values())


def test_hostile_files_are_read_or_rejected_in_time_by_a_process_that_lives(tmp_path: Path) -> None:
    outcomes = {"read": 0, "rejected": 0}
    slowest = ("", 0.0)
    with ParseProcess(ParseLimits(timeout_s=2 * MOST_SECONDS, memory_limit_bytes=1 << 30)) as process:
        started_as = None
        for name, data in hostile_files(N_FILES):
            path = tmp_path / name
            path.write_bytes(data)
            began = time.monotonic()
            try:
                process.parse(path)
                reason = ""
            except UnreadableError as error:
                reason = error.reason
            outcomes["rejected" if reason else "read"] += 1
            assert "Traceback" not in reason, name
            slowest = max(slowest, (name, time.monotonic() - began), key=lambda one: one[1])
            path.unlink()
            started_as = started_as or process.process_id
            assert process.process_id == started_as, f"{name} ended the parsing process"
    assert slowest[1] < MOST_SECONDS, slowest
    assert min(outcomes.values()) > N_FILES // 10, outcomes


def test_no_hostile_file_opens_a_file_or_an_address(tmp_path: Path) -> None:
    seen: list[str] = []
    watching = [False]
    root = str(Path(__file__).resolve().parents[2])
    # "<unknown>": `ast` warns of a line of Python, and the warning looks for it.
    allowed = (sys.prefix, sys.base_prefix, root, str(tmp_path), "<unknown>")

    def watch(event: str, values: tuple[object, ...]) -> None:
        if not watching[0]:
            return
        if event.startswith("socket.") or event in ("subprocess.Popen", "os.system"):
            seen.append(f"{event} {values[:2]}")
        elif event == "open" and isinstance(values[0], str) and not values[0].startswith(allowed):
            seen.append(f"open {values[0]}")

    for suffix, data in sound_files().items():  # what the parsers import and load is opened here
        parse_data(f"a{suffix}", data, memory_limit_bytes=1 << 30)
    sys.addaudithook(watch)
    try:
        for name, data in hostile_files(N_FILES // 4, seed=1):
            watching[0] = True
            try:
                parse_data(name, data, memory_limit_bytes=1 << 30)
            except MemoryError:
                raise
            except Exception:
                pass  # the worker rejects these
            finally:
                watching[0] = False
    finally:
        watching[0] = False
    assert seen == []


@pytest.mark.parametrize("suffix", [".md", ".docx", ".zip"])
def test_the_changes_are_the_same_every_time(suffix: str) -> None:
    data = sound_files()[suffix]
    assert changed(data, random.Random(3)) == changed(data, random.Random(3)) != data
