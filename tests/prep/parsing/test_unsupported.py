"""What is not read: its kind by content, and what to do about it by its suffix."""

from __future__ import annotations

import pytest

from prep.parsing.unsupported import ole_kind, unsupported_reason

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.mark.parametrize(
    ("data", "suffix", "advice"),
    [
        (OLE + "WordDocument".encode("utf-16-le"), ".doc", "is an old Word file: save it as .docx"),
        (OLE + "Workbook".encode("utf-16-le"), "", "is an old Excel file: save it as .xlsx"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), ".xlsx", "needs a password"),
        (b"PK\x03\x04" + bytes(99), ".pages", "save it as .docx"),
        (b"PK\x03\x04" + bytes(99), ".odp", "save it as .pptx"),
        (b"\xff\xd8\xff\xe0" + bytes(99), ".jpg", "extra `ocr`"),
        (bytes(4) + b"ftypheic" + bytes(99), "", "extra `ocr`"),
        (b"OggS" + bytes(99), ".ogg", "write out what is said in it"),
        (b"Rar!\x1a\x07" + bytes(99), ".rar", "unpack it"),
        (b"SQLite format 3\x00" + bytes(99), ".db", "save it as CSV"),
    ],
)
def test_the_reason_says_what_to_do(data: bytes, suffix: str, advice: str) -> None:
    reason = unsupported_reason(data, suffix)
    assert reason is not None
    assert reason.endswith(advice) or advice in reason


@pytest.mark.parametrize("data", [b"RIFF is a format of files.", b"ID of a thing", b"text", b""])
def test_text_is_not_refused(data: bytes) -> None:
    assert unsupported_reason(data, "") is None
    assert ole_kind(data) is None
