"""Outlook messages: headers, body and attachments as of any other mail."""

from __future__ import annotations

import struct
from functools import partial

import pytest
from fixture_compound import Tree, compound_bytes

from prep.parsing.formats.msg_parser import parse_msg
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.parsing_worker import parse_data

PARSE = partial(parse_data, memory_limit_bytes=1 << 30)
SUBJECT, BODY, HTML, SENDER, ADDRESS, TO, SENT = 0x0037, 0x1000, 0x1013, 0x0C1A, 0x0C1F, 0x0E04, 0x0039
DATA, FILE_NAME, METHOD, MIME = 0x3701, 0x3707, 0x3705, 0x370E
SENT_AT = 136_000_000_000_000_000  # in steps of 100 ns from 1601


def storage(n_header_bytes: int, values: dict[int, object], children: Tree | None = None) -> Tree:
    """Return the streams of a message or attachment with these properties."""
    streams: dict[str, bytes | Tree] = {}
    segments = b""
    for identifier, value in values.items():
        if isinstance(value, str):
            kind, content = 0x001F, value.encode("utf-16-le")
        elif isinstance(value, bytes):
            kind, content = 0x0102, value
        else:
            kind, content = (0x0040 if identifier == SENT else 0x0003), b""
        payload = struct.pack("<II", len(content) + 2, 0) if content else struct.pack("<Q", value)
        segments += struct.pack("<HHI", kind, identifier, 6) + payload
        if content:
            streams[f"__substg1.0_{identifier:04X}{kind:04X}"] = content
    streams["__properties_version1.0"] = bytes(n_header_bytes) + segments
    return {**streams, **(children or {})}


def message(values: dict[int, object], *attachments: Tree, n_header_bytes: int = 32) -> Tree:
    children = {f"__attach_version1.0_#{number:08X}": one for number, one in enumerate(attachments)}
    return storage(n_header_bytes, values, children)


def attachment(name: str, data: bytes, mime: str = "") -> Tree:
    values: dict[int, object] = {FILE_NAME: name, DATA: data, METHOD: 1}
    return storage(8, values | ({MIME: mime} if mime else {}))


def read(tree: Tree) -> Parsed:
    return parse_msg(compound_bytes(tree), PARSE)


def test_headers_body_and_attachments_are_read() -> None:
    values: dict[int, object] = {
        SUBJECT: "Öfen für März", SENDER: "Ann", ADDRESS: "ann@kiln.example", TO: "Board; Bo", SENT: SENT_AT,
        BODY: "The kiln is closed.\r\nUntil the boiler is mended.\r\n" + "Long. " * 1000,
    }  # fmt: skip
    picture = attachment("kiln.png", b"\x89PNG\r\n\x1a\n" + bytes(900), "image/png")
    parsed = read(message(values, attachment("glazes.csv", b"glaze,cone\nash,10\n"), picture))
    assert parsed.title == "Öfen für März"
    assert parsed.text.startswith(
        "Subject: Öfen für März\nFrom: Ann <ann@kiln.example>\nTo: Board; Bo\nDate: Sat, 20 Dec 2031"
    )
    assert "\n\nThe kiln is closed.\nUntil the boiler is mended.\nLong. " in parsed.text
    assert "# Attachment: glazes.csv\n\n| glaze | cone |\n| --- | --- |\n| ash | 10 |\n" in parsed.text
    assert "Attachment: kiln.png (image/png, 908 bytes)" in parsed.text
    assert [where for where, _ in parsed.losses] == ["attachment kiln.png"]


def test_html_is_read_where_there_is_no_plain_text() -> None:
    text = read(message({SUBJECT: "a", HTML: b"<h1>Closed</h1><p>Until <b>May</b>.</p>"})).text
    assert text.endswith("# Closed\n\nUntil May.\n")


def test_attached_messages_are_read() -> None:
    inner = message({SUBJECT: "Earlier", BODY: "It was hot."}, n_header_bytes=24)
    held = storage(8, {METHOD: 5}, {"__substg1.0_3701000D": inner})
    assert (
        "# Attached message: Earlier\n\nSubject: Earlier\n\nIt was hot."
        in read(message({SUBJECT: "Now"}, held)).text
    )


def test_a_link_to_a_file_is_told() -> None:
    parsed = read(message({SUBJECT: "a", BODY: "b"}, storage(8, {FILE_NAME: "c.docx", METHOD: 2})))
    assert parsed.losses[0][0] == "attachment c.docx"


def test_a_message_is_known_by_its_content() -> None:
    assert PARSE("letter", compound_bytes(message({SUBJECT: "a"}))).title == "a"
    assert PARSE("en.msg", b"msgset en hello\n").text == "msgset en hello\n"


@pytest.mark.parametrize(
    "data", [b"", b"text", compound_bytes({"a": b"b"}), compound_bytes(message({SUBJECT: "a"}))[:1500]]
)
def test_damage_is_named(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="is damaged"):
        parse_msg(data, PARSE)
