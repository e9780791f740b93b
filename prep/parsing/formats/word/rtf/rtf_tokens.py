"""RTF as a stream of tokens, and its code pages (Rich Text Format Specification 1.9.1)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Token", "charset_codec", "codec_name", "tokens"]

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n\0]+|([^\\{}\r\n\0]+)",
    re.S,
)
_CHARSETS = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "big5", 161: "cp1253",
    162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
    238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
_PAGES = {
    936: "gb18030",
    950: "big5",
    10000: "mac_roman",
    10007: "mac_cyrillic",
    65001: "utf-8",
    1361: "johab",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One of: a control `word` with its `number`, a control `symbol`, `{` or `}` as a symbol, or bytes of text."""

    word: str = ""
    number: int | None = None
    symbol: str = ""
    text: bytes = b""


def tokens(data: bytes) -> Iterator[Token]:
    """Yield the tokens of a document; binary data are left out."""
    position = 0
    while position < len(data):
        match = _TOKEN.match(data, position)
        if match is None:  # a lone backslash at the end
            return
        position = match.end()
        word, number, code, symbol, brace, text = match.groups()
        if text is not None:
            yield Token(text=text)
        elif code is not None:
            yield Token(text=bytes([int(code, 16)]))
        elif word is not None:
            value = int(number) if number is not None else None
            if word == b"bin":
                position += max(value or 0, 0)
                continue
            yield Token(word=word.decode("ascii"), number=value)
        elif symbol is not None:
            yield Token(symbol=symbol.decode("latin-1"))
        elif brace is not None:
            yield Token(symbol=f"group {brace.decode()}")


def charset_codec(charset: int) -> str | None:
    """Return the code page of a font's character set, None for that of the document."""
    return _CHARSETS.get(charset)


def codec_name(code_page: int | None) -> str | None:
    """Return the codec of a Windows code page, None for one that is not known."""
    name = _PAGES.get(code_page or 0, f"cp{code_page}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
