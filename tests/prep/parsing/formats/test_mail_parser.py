"""Mail and saved pages: headers, decoded text, attachments read or named."""

from __future__ import annotations

from email.message import EmailMessage
from functools import partial

import pytest

from prep.parsing.formats.mail_parser import parse_mail, parse_mhtml
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.parsing_worker import parse_data

PARSE = partial(parse_data, memory_limit_bytes=1 << 30)


def message(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    for name, value in {"Subject": "Öfen für März", "From": "Ann <ann@kiln.example>", **headers}.items():
        mail[name] = value
    return mail


def read(mail: EmailMessage) -> Parsed:
    return parse_mail(mail.as_bytes(), PARSE)


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_headers_and_text_are_decoded(encoding: str, charset: str) -> None:
    mail = message(To="board@kiln.example", Date="Tue, 04 Mar 2031 10:00:00 +0000")
    mail.set_content("Der Ofen kühlt über Nacht ab. " * 5 + "\n", charset=charset, cte=encoding)
    parsed = read(mail)
    assert parsed.title == "Öfen für März"
    assert parsed.text.startswith(
        "Subject: Öfen für März\nFrom: Ann <ann@kiln.example>\nTo: board@kiln.example\nDate: "
    )
    assert parsed.text.endswith("\n\n" + ("Der Ofen kühlt über Nacht ab. " * 5).rstrip() + " \n")


def test_of_alternatives_the_plain_text_is_read_once() -> None:
    mail = message()
    mail.set_content("The kiln is closed until the boiler is mended.\n")
    mail.add_alternative("<p>The kiln is closed until the <b>boiler</b> is mended.</p>", subtype="html")
    assert read(mail).text.count("boiler") == 1


def test_html_is_read_where_the_plain_text_says_nothing() -> None:
    mail = message()
    mail.set_content("See HTML.\n")
    mail.add_alternative(
        "<h1>Closed</h1><p>The kiln is closed until the boiler is mended.</p>", subtype="html"
    )
    assert "# Closed\n\nThe kiln is closed" in read(mail).text


def test_attachments_are_read_by_their_format_or_named() -> None:
    mail = message()
    mail.set_content("See the list.\n")
    mail.add_attachment(b"glaze,cone\nash,10\n", maintype="text", subtype="csv", filename="glazes.csv")
    mail.add_attachment(
        b"\x89PNG\r\n\x1a\n" + bytes(900), maintype="image", subtype="png", filename="kiln.png"
    )
    inner = message()
    inner.replace_header("Subject", "Earlier")
    inner.set_content("It was hot.\n")
    mail.add_attachment(inner)
    parsed = read(mail)
    assert "# Attachment: glazes.csv\n\n| glaze | cone |\n| --- | --- |\n| ash | 10 |\n" in parsed.text
    assert "Attachment: kiln.png (image/png, 908 bytes)" in parsed.text
    assert "# Attached message: Earlier" in parsed.text
    assert "It was hot." in parsed.text
    assert [where for where, _ in parsed.losses] == ["attachment kiln.png"]


def test_an_unknown_charset_is_no_reason_to_lose_a_mail() -> None:
    data = b"Subject: a\nContent-Type: text/plain; charset=x-unknown\n\ncaf\xc3\xa9\n"
    assert parse_mail(data, PARSE).text.endswith("café\n")


def test_a_saved_page_is_its_html() -> None:
    data = (
        b'Subject: Saved\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary="b"; type="text/html"\n\n'
        b"--b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        b"<h1>Kiln</h1><p>caf=C3=A9 is op=\nen</p>\n--b\nContent-Type: image/png\n"
        b"Content-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--b--\n"
    )
    assert parse_mhtml(data) == Parsed("Kiln", "# Kiln\n\ncafé is open\n")


@pytest.mark.parametrize("data", [b"", b"no headers here", b"a: b; boundary=c\n" * 5000])
def test_what_is_no_mail_is_rejected(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse_mail(data, PARSE)
