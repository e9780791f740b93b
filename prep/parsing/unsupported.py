"""Formats that are not read, by content and suffix, and what to do about a file of each."""

from __future__ import annotations

from prep.parsing.text_parser import magic_name

__all__ = ["ole_kind", "unsupported_reason"]

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD_BYTES = 1 << 16
_SAVE_AS = {
    ".doc": ".docx", ".dot": ".docx", ".wpd": ".docx", ".wps": ".docx", ".pages": ".docx", ".sxw": ".odt",
    ".xls": ".xlsx", ".xlt": ".xlsx", ".xlsb": ".xlsx", ".numbers": ".xlsx", ".wk1": ".xlsx", ".sxc": ".ods",
    ".ppt": ".pptx", ".pps": ".pptx", ".pot": ".pptx", ".key": ".pptx", ".odp": ".pptx", ".sxi": ".pptx",
    ".ps": "PDF", ".eps": "PDF", ".djvu": "PDF", ".xps": "PDF", ".oxps": "PDF", ".pub": "PDF", ".vsd": "PDF",
    ".vsdx": "PDF", ".one": "PDF", ".odg": "PDF", ".dvi": "PDF", ".indd": "PDF", ".mobi": "EPUB", ".azw": "EPUB",
    ".azw3": "EPUB", ".fb2": "EPUB", ".lit": "EPUB", ".chm": "HTML", ".mdb": "CSV", ".accdb": "CSV", ".sqlite": "CSV",
    ".db": "CSV", ".parquet": "CSV", ".sav": "CSV", ".dta": "CSV", ".pst": ".eml, one message a file",
}  # fmt: skip
_PICTURES = frozenset(".png .jpg .jpeg .gif .bmp .tif .tiff .webp .heic .heif .avif .ico .psd .jp2".split())
_SOUNDS = frozenset(
    ".mp3 .wav .ogg .oga .opus .flac .m4a .aac .wma .mp4 .m4v .mov .avi .mkv .webm .wmv .mpg .mpeg".split()
)
_ARCHIVES = frozenset(".7z .rar .zst .lz .lz4 .cab .iso .dmg .jar .war .ear .apk .deb .rpm .whl".split())
_OCR = "put it into a PDF, whose scanned pages are read with the extra `ocr`"
_SOUND_ADVICE = "write out what is said in it (as .txt, .vtt or .srt)"
_UNPACK = "unpack it, or pack its files as .zip"
#: Streams of a compound file → suffix of the format that they belong to.
_STREAMS = (
    ("__substg1.0_", ".msg"),
    ("WordDocument", ".doc"),
    ("PowerPoint Document", ".ppt"),
    ("Workbook", ".xls"),
)
_NAMES = {".doc": "an old Word file", ".xls": "an old Excel file", ".ppt": "an old PowerPoint file"}
_MORE_MAGIC = (
    (b"ID3", ".mp3"),
    (b"OggS", ".ogg"),
    (b"fLaC", ".flac"),
    (b"\x1aE\xdf\xa3", ".mkv"),
    (b"Rar!\x1a\x07", ".rar"),
    (b"(\xb5/\xfd", ".zst"),
    (b"PAR1", ".parquet"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"AT&TFORM", ".djvu"),
)


def ole_kind(data: bytes) -> str | None:
    """Return the suffix that goes with a compound file's streams (".doc", ".msg"), None for other bytes."""
    if not data.startswith(_OLE):
        return None
    return next((suffix for name, suffix in _STREAMS if name.encode("utf-16-le") in data), None)


def _advice(suffix: str) -> str:
    """Return what to do with a file of a format that is not read, "" where nothing is known."""
    if suffix in _SAVE_AS:
        return f"save it as {_SAVE_AS[suffix]}"
    if suffix in _PICTURES:
        return _OCR
    if suffix in _SOUNDS:
        return _SOUND_ADVICE
    return _UNPACK if suffix in _ARCHIVES else ""


def unsupported_reason(data: bytes, suffix: str) -> str | None:
    """Return why a file of this content and suffix is not read and what to do; None where it may be text."""
    if "EncryptedPackage".encode("utf-16-le") in data and data.startswith(_OLE):
        return "is encrypted and needs a password"
    kind = ole_kind(data)
    if kind is not None:
        return f"is {_NAMES.get(kind, 'an Outlook message')}: {_advice(kind) or 'save it as .msg'}"
    name = magic_name(data)
    found = next((ending for mark, ending in _MORE_MAGIC if data.startswith(mark)), None)
    if data[4:8] == b"ftyp":
        found = ".heic" if data[8:12] in (b"heic", b"heix", b"mif1", b"avif") else ".mp4"
    if name is None and found is None:
        return None
    advice = _advice(suffix) or _advice(found or _suffix_of(name or ""))
    shown = f"is {name or f'a file like {found}'}{f' ({suffix})' if suffix else ''}, a format that is not supported"
    return f"{shown}: {advice}" if advice else shown


def _suffix_of(name: str) -> str:
    """Return a suffix that stands for the kind of file that a name from `magic_name` tells."""
    last = name.rsplit(" ", 1)[-1]
    return {"picture": ".png", "archive": ".7z", "database": ".sqlite", "icon": ".ico"}.get(last, "")
