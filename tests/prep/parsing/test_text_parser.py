"""Decoding: any encoding a file is met in, and never an exception but the one that says why."""

from __future__ import annotations

import codecs
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.parsing.parsed import UnreadableError
from prep.parsing.text_parser import decode, storable

TEXTS = {
    "cp1252": [
        "Le café est déjà fermé à l’été.",
        "Über die Größe der Straße wäre noch zu sprechen.",
        "El niño pequeño comió una manzana en la montaña. ¿Dónde está?",
        "Price: £5 – it’s “quoted”",
        "naïve résumé",
    ],
    "cp1250": [
        "Zażółć gęślą jaźń, to jest krótki tekst po polsku, który musi wystarczyć do próby.",
        "Toto je krátký český text, který slouží k ověření rozpoznávání kódování souborů.",
    ],
    "cp1251": ["Привет, мир. Это небольшой текст на русском языке."],
    "koi8_r": ["Привет, мир. Это небольшой текст на русском языке, записанный в кодировке."],
    "cp1253": ["Αυτό είναι ένα μικρό ελληνικό κείμενο για δοκιμή."],
    "cp1254": ["Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar."],
    "cp1256": ["هذا نص قصير باللغة العربية للاختبار"],
    "cp932": ["これは日本語の文章です。テストのために書かれました。"],
    "euc_jp": ["これは日本語の文章です。テストのために書かれました。"],
    "iso2022_jp": ["これは日本語の文章です。テストのために書かれました。"],
    "gb18030": ["这是一个中文文本文件,用于测试编码检测。"],
    "big5": ["這是一個中文文字檔案,用於測試編碼偵測。"],
    "cp949": ["이것은 한국어 텍스트 파일입니다. 인코딩 감지를 시험합니다."],
}
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1)


@pytest.mark.parametrize(("encoding", "text"), [(name, text) for name in TEXTS for text in TEXTS[name]])
def test_legacy_encodings_are_recognised_by_their_letters(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == (text, ())


def test_without_the_detection_package_bytes_are_windows_1252(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    text = "Le café – fermé"
    assert decode(text.encode("cp1252")) == (text, ())


@given(PRINTABLE)
def test_unicode_with_a_mark_comes_back_exactly(text: str) -> None:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ):
        assert decode(mark + text.encode(encoding)) == (text, ())


@given(st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f")))
def test_utf_8_comes_back_exactly(text: str) -> None:
    data = ("A text. " + text).encode()
    assert decode(data) == ("A text. " + text, ())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised(encoding: str) -> None:
    text = "A plain text, naïve in places.\r\n" * 3
    assert decode(text.encode(encoding)) == (text, ())


def test_a_damaged_byte_does_not_turn_utf_8_into_something_else() -> None:
    text, losses = decode("über größe, naïve café, déjà vu".encode() + b"\xc3")
    assert text == "über größe, naïve café, déjà vu\ufffd"
    assert [where for where, _ in losses] == ["byte 38"]


@pytest.mark.parametrize("declared", ["koi8-r", "KOI8-R", " koi8-r "])
def test_what_the_file_declares_counts_where_it_is_no_utf_8(declared: str) -> None:
    text = "Мир"
    assert decode(text.encode("koi8-r"), declared) == (text, ())
    assert decode(text.encode("utf-8"), declared) == (text, ())


def test_an_unknown_declaration_is_passed_over() -> None:
    assert decode("café au lait, déjà vu".encode("cp1252"), "no-such-encoding")[0] == "café au lait, déjà vu"


@given(st.binary())
def test_any_bytes_become_storable_text_or_a_reason(data: bytes) -> None:
    try:
        text, _ = decode(data)
    except UnreadableError:
        return
    storable(text).encode("utf-8")


@given(st.text(st.characters(exclude_categories=[])))
def test_making_a_text_storable_keeps_every_offset(text: str) -> None:
    stored = storable(text)
    assert len(stored) == len(text)
    assert "\0" not in stored
    stored.encode("utf-8")
    assert all(new in (old, "\ufffd") for old, new in zip(text, stored, strict=True))


@pytest.mark.parametrize("data", [b"RIFF is a file format.", b"GIF89a and later", b"BZh is a prefix"])
def test_a_text_that_begins_with_letters_of_a_binary_format_is_text(data: bytes) -> None:
    assert decode(data) == (data.decode(), ())
