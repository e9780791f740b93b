"""Bytes to text: the encoding of a file, whether it is text at all, and characters that can be stored.

Order: byte order mark, strict UTF-8, UTF-16 without a mark, the encoding the file declares, UTF-8 with a few
damaged bytes, statistics (charset-normalizer), and Windows-1252 where that package is missing or undecided.
`decode` leaves line ends as they are, `unix_lines` makes all of them line feeds. NUL and lone surrogates, which UTF-8
or SQLite cannot store, become U+FFFD one for one, so that offsets stay.
"""

from __future__ import annotations

import codecs
import re
from typing import TypeAlias

from prep.parsing.parsed import UnreadableError

__all__ = ["decode", "magic_name", "storable", "unix_lines"]

Losses: TypeAlias = tuple[tuple[str, str], ...]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the UTF-16 one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The first bytes of files that lie beside documents; the name goes into the reason for the rejection.
_MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file or an encrypted one"),
    (b"{\\rtf", "a Rich Text file"),
    (b"%!PS", "a PostScript file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a RIFF sound, picture or video"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf'\x1c", "a 7-Zip archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"\x00\x00\x01\x00", "an icon"),
)
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Bytes no text holds: C0 controls but for tab, line feed, vertical tab, form feed, return, backspace, Ctrl-Z,
# escape.
_CONTROL_BYTES = bytes(sorted(set(range(32)) - {8, 9, 10, 11, 12, 13, 26, 27}))
_MAX_CONTROL_SHARE = 0.01
_SAMPLE = 1 << 16
_DETECTION_SAMPLE = 1 << 18
# Encodings in common use: with its full list the package prefers code pages of old terminals for short texts.
_LEGACY = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_CENTRAL_EUROPEAN = frozenset({"Croatian", "Czech", "Polish", "Romanian", "Slovak", "Slovene"})
_SIGN_IN_WORD = re.compile(r"(?<=[^\W\d_])[¹³¿¼¾¥£¯ª\ufffd](?=[^\W\d_])")
# Names that pages use for a smaller encoding than the one they are written in (the WHATWG Encoding Standard's
# labels).
_WIDENED = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}


def storable(text: str) -> str:
    """Return `text` with NULs and lone surrogates replaced by U+FFFD, one for one."""
    return _UNSTORABLE.sub("\ufffd", text)


def unix_lines(text: str) -> str:
    """Return `text` with every line end (CRLF, CR, NEL, line and paragraph separator) as a line feed."""
    return _LINE_ENDS.sub("\n", text)


def magic_name(data: bytes) -> str | None:
    """Return the kind of file by its first bytes ("a PNG picture"), or None."""
    for magic, name in _MAGIC:
        # Letters alone may also begin a text ("RIFF is a format …"), which has no control characters near.
        if data.startswith(magic) and not (magic.isalnum() and _control_share(data[:512]) == 0):
            return name
    return None


def decode(data: bytes, declared: str | None = None) -> tuple[str, Losses]:
    """Return the text of `data`, and the places where bytes were replaced.

    declared: the encoding that the content itself names, if any. Raises UnreadableError for binary data.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_losing(data[len(mark) :], encoding)
    name = magic_name(data)
    if name is not None:
        raise UnreadableError(f"is not text: it begins like {name}")
    wide = _wide_encoding(data)
    if wide is not None:
        return _decode_losing(data, wide)
    share = _control_share(data)
    if share > _MAX_CONTROL_SHARE:
        raise UnreadableError(f"is not text: {share:.0%} of its bytes are control characters")
    if b"\x1b$" in data and b"\x1b(" in data:  # ISO-2022-JP is seven-bit: it would pass as UTF-8
        japanese = _decode_strictly(data, "iso2022_jp")
        if japanese is not None:
            return japanese, ()
    for candidate in ("utf-8", _widened(declared)):
        plain = _decode_strictly(data, candidate) if candidate else None
        if plain is not None:
            return plain, ()
    repaired, losses = _decode_losing(data, "utf-8")
    n_damaged = repaired.count("\ufffd")
    n_sound = sum(1 for character in repaired if character > "\x7f") - n_damaged
    if n_sound >= 4 * n_damaged:
        return repaired, losses
    return _decode_losing(data, _detect(data))


def _decode_strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _decode_losing(data: bytes, encoding: str) -> tuple[str, Losses]:
    """Decode; invalid bytes become U+FFFD and are listed as losses."""
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError as error:
        text = data.decode(encoding, errors="replace")
        return text, (
            (
                f"byte {error.start}",
                f"not valid {encoding.upper()} from here on in places: replaced by U+FFFD",
            ),
        )


def _control_share(data: bytes) -> float:
    if not data:
        return 0.0
    # NULs are counted everywhere, so that an archive with a readable beginning is not taken for text.
    sample = data[:_SAMPLE]
    n_controls = len(sample) - len(sample.translate(None, _CONTROL_BYTES))
    return max(n_controls / len(sample), data.count(0) / len(data))


def _wide_encoding(data: bytes) -> str | None:
    """Return the UTF-16 byte order of a text without a mark: every other byte is often NUL."""
    sample = data[:_SAMPLE]
    if len(sample) < 8 or len(data) % 2:
        return None
    n_pairs = len(sample) // 2
    high, low = sample[1::2].count(0) / n_pairs, sample[0::2].count(0) / n_pairs
    for encoding, share, other in (("utf-16-le", high, low), ("utf-16-be", low, high)):
        if share > 0.4 and other < 0.01:
            text = _decode_strictly(data, encoding)
            if (
                text is not None
                and _control_share(text[:_SAMPLE].encode("utf-8", "replace")) < _MAX_CONTROL_SHARE
            ):
                return encoding
    return None


def _widened(declared: str | None) -> str | None:
    if declared is None:
        return None
    try:
        name = codecs.lookup(declared.strip()).name
    except (LookupError, ValueError):
        return None
    return _WIDENED.get(name, name)


def _is_unwestern(data: bytes) -> bool:
    """Whether Windows-1252 would show signs inside words, or carons beside letters they do not go with."""
    text = data.decode("cp1252", errors="replace")
    return _SIGN_IN_WORD.search(text) is not None or (
        any(letter in text for letter in "šžŠŽ") and any(letter in text for letter in "èìøùæðÈÌØÙÆÐ")
    )


def _detect(data: bytes) -> str:
    """Return a legacy encoding by letter statistics; Windows-1252 where they do not decide."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return "cp1252"
    best = from_bytes(data[:_DETECTION_SAMPLE], cp_isolation=_LEGACY).best()
    if best is None:
        return "cp1252"
    # The two Latin code pages agree on most letters of Western languages: the language tells them apart, or
    # signs that no Western text has.
    if best.encoding in ("cp1250", "cp1252"):
        is_central = best.language in _CENTRAL_EUROPEAN or _is_unwestern(data[:_DETECTION_SAMPLE])
        return "cp1250" if is_central else "cp1252"
    return str(best.encoding)
