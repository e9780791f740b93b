"""Outlook messages (MSG): read as the mails that they are, attachments and messages attached to them included.

python-oxmsg reads the compound file; `mail_parser` writes what it holds. The format is Microsoft's [MS-OXMSG].
"""

from __future__ import annotations

import email.utils
import io
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

from prep.parsing.formats.mail_parser import ParseData, parse_message
from prep.parsing.parsed import Parsed, UnreadableError

__all__ = ["parse_msg"]

_MAX_DEPTH = 5
_MAX_HEADER_CHARACTERS = 6000
_SHOWN_HEADERS = frozenset({"Subject", "From", "To", "Cc", "Date"})
_EMBEDDED_HEADER_BYTES = 24  # of the properties of a message in another
_EMBEDDED = "__substg1.0_3701000D"
# Property ids.
_SUBJECT, _BODY, _HTML, _BODY_HTML, _RTF = 0x0037, 0x1000, 0x1013, 0x1013, 0x1009
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP, _REPRESENTING = 0x0C1A, 0x0C1F, 0x5D01, 0x0042
_DISPLAY_TO, _DISPLAY_CC, _SUBMITTED, _DELIVERED = 0x0E04, 0x0E03, 0x0039, 0x0E06
_SHORT_NAME, _SHOWN_NAME = 0x3704, 0x3001


class _ShownHeaders(EmailPolicy):
    """Keeps headers as Outlook shows them, "Board; Ann", which is no list of addresses."""

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return (name, value) if name in _SHOWN_HEADERS else super().header_store_parse(name, value)

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return value if name in _SHOWN_HEADERS else super().header_fetch_parse(name, value)


def parse_msg(data: bytes, parse_data: ParseData) -> Parsed:
    """Return headers, text and attachments; the title is the subject. parse_data: reads an attachment by its name."""
    from oxmsg import Message

    try:
        message = Message.load(io.BytesIO(data))
        losses: list[tuple[str, str]] = []
        mail = _mail(message.properties, message._storage, losses, 0)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the error depends on the damaged part
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableError(f"is damaged or no Outlook message: {reason}") from error
    parsed = parse_message(mail, parse_data)
    return Parsed(parsed.title, parsed.text, (*losses, *parsed.losses), parsed.places, parsed.metadata)


def _mail(properties: Any, storage: Any, losses: list[tuple[str, str]], depth: int) -> EmailMessage:
    """Return the message as a mail."""
    mail = EmailMessage(policy=_ShownHeaders())
    for name, value in _headers(properties):
        mail[name] = " ".join(value.split())[:_MAX_HEADER_CHARACTERS]
    body, page = properties.str_prop_value(_BODY) or "", _page(properties)
    if body.strip() or not page:
        mail.set_content(body.replace("\r\n", "\n"))
        if page:
            mail.add_alternative(page, subtype="html")
    else:
        mail.set_content(page, subtype="html")
    if not body.strip() and not page and properties.binary_prop_value(_RTF):
        losses.append(
            ("body", "is in Outlook's own rich text: save the message with a plain text or HTML body")
        )
    for attached in storage.iter_attachment_storages():
        _attach(mail, attached, losses, depth)
    return mail


def _headers(properties: Any) -> Iterator[tuple[str, str]]:
    yield "Subject", properties.str_prop_value(_SUBJECT) or ""
    name = properties.str_prop_value(_SENDER_NAME) or properties.str_prop_value(_REPRESENTING) or ""
    address = properties.str_prop_value(_SENDER_SMTP) or properties.str_prop_value(_SENDER_ADDRESS) or ""
    if "@" in address and address != name:
        name = f"{name} <{address}>".strip()
    for header, value in (
        ("From", name or address),
        ("To", properties.str_prop_value(_DISPLAY_TO) or ""),
        ("Cc", properties.str_prop_value(_DISPLAY_CC) or ""),
    ):
        if value.strip("\0 "):
            yield header, value.strip("\0 ")
    sent = properties.date_prop_value(_SUBMITTED) or properties.date_prop_value(_DELIVERED)
    if sent is not None:
        yield "Date", email.utils.format_datetime(sent)


def _page(properties: Any) -> str:
    """Return the body in HTML, "" where there is none."""
    held = properties.binary_prop_value(_HTML)
    if held:
        try:
            return str(held.decode(properties.body_encoding))
        except (LookupError, UnicodeDecodeError):
            return str(held.decode("utf-8", "replace"))
    return properties.str_prop_value(_BODY_HTML) or ""


def _attach(mail: EmailMessage, storage: Any, losses: list[tuple[str, str]], depth: int) -> None:
    from oxmsg.attachment import Attachment
    from oxmsg.properties import Properties

    attachment = Attachment(storage)
    properties = attachment.properties
    name = (
        attachment.file_name
        or properties.str_prop_value(_SHORT_NAME)
        or properties.str_prop_value(_SHOWN_NAME)
    )
    name = " ".join((name or "").split())
    embedded = next((one for one in storage.storages if one.name == _EMBEDDED), None)
    if embedded is not None:
        if depth >= _MAX_DEPTH:
            losses.append((f"attachment {name}", "messages are attached to messages too deeply"))
            return
        inner = Properties(embedded, properties_header_offset=_EMBEDDED_HEADER_BYTES)
        mail.add_attachment(_mail(inner, embedded, losses, depth + 1))
        return
    content = attachment.file_bytes
    if content is None:
        losses.append((f"attachment {name or 'without name'}", "is not in the message, only a link to it"))
        return
    kind, _, subtype = (attachment.mime_type or "").partition("/")
    is_named = kind.isalpha() and subtype.replace("-", "").replace(".", "").replace("+", "").isalnum()
    if not is_named or kind in ("multipart", "message"):
        kind, subtype = "application", "octet-stream"
    mail.add_attachment(content, maintype=kind, subtype=subtype, filename=name or "attachment")
