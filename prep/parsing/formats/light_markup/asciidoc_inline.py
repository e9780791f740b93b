"""Running text of AsciiDoc: links, cross references and macros as what a reader sees; what is literal stays."""

from __future__ import annotations

import re

__all__ = ["inline_text"]

_LINK = re.compile(r"(?:link:|(?=https?://|ftp://|mailto:))([^\s\[\]<>]{1,500})\[([^\[\]]{0,500})\]")
_CROSS = re.compile(
    r"<<([^<>,]{1,200})(?:,[ \t]*([^<>]{1,300}))?>>|xref:([^\s\[\]]{1,300})\[([^\[\]]{0,500})\]"
)
_INLINE = re.compile(
    r"(?<!\w)(kbd|btn|menu|footnote|image|icon|stem|latexmath|pass|anchor|indexterm2?):([^\s\[\]:]{0,200})\[([^\[\]]{0,1000})\]"
)
_ANCHOR = re.compile(r"\[\[[^\[\]]{1,200}\]\]|\(\(\([^()]{1,200}\)\)\)")
_LITERAL = re.compile(r"(``?[^`\n]{1,500}``?)")


def inline_text(text: str) -> str:
    """Return running text without the macros that only AsciiDoc has."""
    if not any(mark in text for mark in "[<("):
        return text
    parts = _LITERAL.split(text)
    for at in range(0, len(parts), 2):
        part = _ANCHOR.sub("", parts[at])
        part = _CROSS.sub(_cross_text, part)
        part = _LINK.sub(_link_text, part)
        parts[at] = _INLINE.sub(_macro_text, part)
    return "".join(parts)


def _cross_text(found: re.Match[str]) -> str:
    target, label, other, other_label = found.groups()
    return (label or other_label or target or other).strip()


def _link_text(found: re.Match[str]) -> str:
    address, label = (
        found.group(1),
        found.group(2).split(",window=")[0].split(",role=")[0].strip().strip('"').rstrip("^"),
    )
    shown = address.removeprefix("mailto:")
    return f"{label} ({shown})" if label and label != shown else shown


def _macro_text(found: re.Match[str]) -> str:
    name, target, content = found.groups()
    if name == "menu":
        return " › ".join(filter(None, [target, *(part.strip() for part in content.split(">"))]))
    if name == "footnote":
        return f" ({content})" if content else ""
    if name in ("image", "icon"):
        return content.split(",")[0].strip('"') if "=" not in content.split(",")[0] else ""
    return "" if name in ("anchor", "indexterm") else content
