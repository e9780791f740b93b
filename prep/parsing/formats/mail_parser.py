"""Mail (EML) and saved web pages (MHTML): headers, the decoded text, and what is attached.

Transfer encodings, charsets and encoded words are undone by `email`. Of alternatives the plain text is taken, HTML
where there is no plain text worth the name. Attachments are read by the parser of their format under a heading with
their name, within the limits of the file; what cannot be read is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from email.policy import EmailPolicy

from prep.parsing.formats.html_parser import parse_html
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.text_parser import decode, unix_lines
from prep.parsing.titles import clean_title

__all__ = ["ParseData", "parse_mail", "parse_message", "parse_mhtml"]

ParseData = Callable[[str, bytes], Parsed]

_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_MAX_PARTS = 500
_MAX_COMPARISONS = 30_000_000
_MAX_DEPTH = 5
# The email package reads a header in time that grows with the square of its length.
_MAX_HEADER_CHARACTERS = 6000
_MAX_PART_HEADER_CHARACTERS = 1000
_PICTURES = ("image/", "audio/", "video/", "font/")


def parse_mail(data: bytes, parse_data: ParseData) -> Parsed:
    """Return headers, text and attachments; the title is the subject. parse_data: reads an attachment by its name."""
    message = _message(data)
    if not message.keys():
        raise UnreadableError("is no mail: it has no headers")
    return parse_message(message, parse_data)


def parse_message(message: Message, parse_data: ParseData) -> Parsed:
    """Return what `parse_mail` does of a message that is read already."""
    reader = _Reader(parse_data)
    lines = reader.read(message, 0)
    return Parsed(clean_title(_header(message, "Subject")), "\n".join(lines) + "\n", tuple(reader.losses))


def parse_mhtml(data: bytes) -> Parsed:
    """Return the page of a saved web page; pictures and style sheets beside it are left out."""
    message = _message(data)
    for part in _leaves(message):
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            parsed = parse_html(_decoded(part).encode("utf-8", "replace"))
            return Parsed(
                parsed.title or clean_title(_header(message, "Subject")), parsed.text, parsed.losses
            )
    for part in _leaves(message):
        if part.get_content_maintype() == "text":
            return Parsed(clean_title(_header(message, "Subject")), _decoded(part))
    raise UnreadableError("holds no page: it has no part of text")


def _message(data: bytes) -> Message:
    """Return the parsed message. Raises UnreadableError for one of more nested parts than any mail program writes."""
    n_nested = data.lower().count(b"boundary=")
    # Every line is compared with the boundaries of all parts that are open.
    if n_nested > _MAX_PARTS or n_nested * data.count(b"\n") > _MAX_COMPARISONS:
        raise UnreadableError(f"has {n_nested} nested parts, more than can be read")
    return BytesParser(policy=_HeaderLimits()).parsebytes(data)


class _HeaderLimits(EmailPolicy):
    """Cuts the value of a header at a length that no mail program writes."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        is_of_part = name.lower().startswith("content-")
        return name, value[: _MAX_PART_HEADER_CHARACTERS if is_of_part else _MAX_HEADER_CHARACTERS]


class _Reader:
    """Reads a message and those attached to it; `losses` are the parts that could not be read."""

    def __init__(self, parse_data: ParseData) -> None:
        self.losses: list[tuple[str, str]] = []
        self._parse_data = parse_data
        self._n_parts = 0

    def read(self, message: Message, depth: int) -> list[str]:
        """Return the lines of a message."""
        lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
        body, attached = _split(message)
        text = "\n\n".join(filter(None, (_text(part) for part in body)))
        lines += ["", *text.split("\n")] if text else []
        for part in attached:
            self._n_parts += 1
            if self._n_parts > _MAX_PARTS:
                self.losses.append(("attachments", f"more than the {_MAX_PARTS} that are read"))
                break
            lines += ["", *self._attachment(part, depth)]
        return lines

    def _attachment(self, part: Message, depth: int) -> list[str]:
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload()
            held = inner[0] if isinstance(inner, list) and inner else None
            if isinstance(held, Message):
                heading = f"# Attached message: {_header(held, 'Subject') or 'without subject'}"
                return [heading, "", *(self.read(held, depth + 1) if depth < _MAX_DEPTH else [])]
        name = " ".join((part.get_filename() or "").split())
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        label = f"{name or 'without name'} ({part.get_content_type()}, {_size(len(data))})"
        if name and data and depth < _MAX_DEPTH:
            try:
                parsed = self._parse_data(name, data)
            except UnreadableError as error:
                self.losses.append((f"attachment {name}", error.reason))
            else:
                self.losses += [(f"attachment {name}, {where}", why) for where, why in parsed.losses]
                lines = []
                for inside, held in parsed.members or (("", parsed),):
                    heading = f"# Attachment: {name}{f' › {inside}' if inside else ''}"
                    lines += [heading, "", *held.text.strip("\n").split("\n"), ""]
                return lines[:-1]
        return [f"Attachment: {label}"]


def _split(message: Message) -> tuple[list[Message], list[Message]]:
    """Return the parts that are the text of a message, and those that are attached to it."""
    body: list[Message] = []
    attached: list[Message] = []
    pending: list[Message] = [message]
    while pending:
        part = pending.pop()
        kind = part.get_content_type()
        if kind == "multipart/alternative":
            chosen = _best(part)
            pending.extend([chosen] if chosen is not None else [])
        elif part.is_multipart() and kind != "message/rfc822":
            inner = part.get_payload()
            children = (
                [child for child in inner if isinstance(child, Message)] if isinstance(inner, list) else []
            )
            pending.extend(reversed(children))
        elif (
            part.get_content_disposition() == "attachment" or part.get_filename() or kind == "message/rfc822"
        ):
            if not (part.get_content_disposition() == "inline" and kind.startswith(_PICTURES)):
                attached.append(part)
        elif part.get_content_maintype() == "text":
            body.append(part)
    return body, attached


def _best(alternatives: Message) -> Message | None:
    """Return the alternative to read: plain text, unless it says nothing or only that there is HTML."""
    inner = alternatives.get_payload()
    children = [child for child in inner if isinstance(child, Message)] if isinstance(inner, list) else []
    plain = next((child for child in children if child.get_content_type() == "text/plain"), None)
    other = next(
        (
            child
            for child in reversed(children)
            if child.get_content_type() not in ("text/plain", "text/calendar")
        ),
        None,
    )
    if plain is None or (other is not None and len(_decoded(plain).strip()) < 40 < len(_rich_text(other))):
        return other if other is not None else plain
    return plain


def _rich_text(part: Message) -> str:
    html = next((leaf for leaf in _leaves(part) if leaf.get_content_type() == "text/html"), None)
    return parse_html(_decoded(html).encode("utf-8", "replace")).text if html is not None else ""


def _text(part: Message) -> str:
    text = _decoded(part)
    if part.get_content_subtype() == "html":
        return parse_html(text.encode("utf-8", "replace")).text.strip("\n")
    if part.get_param("format") == "flowed":
        text = re.sub(r"(?<=[^ \n-]) \n(?=[^\s>])", " ", text)
    return text.strip("\n")


def _leaves(message: Message) -> list[Message]:
    leaves: list[Message] = []
    pending = [message]
    while pending and len(leaves) < _MAX_PARTS:
        part = pending.pop()
        inner = part.get_payload()
        if isinstance(inner, list):
            pending.extend(child for child in reversed(inner) if isinstance(child, Message))
        else:
            leaves.append(part)
    return leaves


def _decoded(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content:
        return ""
    charset = part.get_content_charset()
    try:
        return unix_lines(content.decode(charset or "utf-8"))
    except (LookupError, UnicodeDecodeError, ValueError):
        pass
    try:
        return unix_lines(decode(content, charset)[0])
    except UnreadableError:
        return unix_lines(content.decode("utf-8", "replace"))


def _header(message: Message, name: str) -> str:
    try:
        value = str(message.get(name) or "")
    except Exception:  # the email package raises many things for damaged headers
        value = next((str(raw) for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(value.split())


def _size(n_bytes: int) -> str:
    return f"{n_bytes:,} bytes" if n_bytes < 10_000 else f"{n_bytes // 1000:,} kB"
