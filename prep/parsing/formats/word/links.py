"""The address of a link, written behind its text where nothing else shows it."""

from __future__ import annotations

import re

__all__ = ["MAX_ADDRESS_CHARACTERS", "address_after"]

MAX_ADDRESS_CHARACTERS = 1000
_SCHEME = re.compile(r"\A(?:mailto|tel):(?://)?", re.I)
_WEB = re.compile(r"\Ahttps?://(?:www\.)?", re.I)


def address_after(address: str, shown: str) -> str:
    """Return ` (address)`; "" where `shown`, the text of the link, is blank or says it, or it leads into the document.

    >>> address_after("https://kit.example.org/get", "Download"), address_after("mailto:a@b.example", "a@b.example")
    (' (https://kit.example.org/get)', '')
    """
    plain = _SCHEME.sub("", " ".join(address.split()))
    if not plain or plain.startswith("#") or len(plain) > MAX_ADDRESS_CHARACTERS or not shown.strip():
        return ""
    bare = _WEB.sub("", plain).rstrip("/").lower()
    return "" if bare in "".join(shown.split()).lower() or bare in shown.lower() else f" ({plain})"
