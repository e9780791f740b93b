"""Files of the binary formats, made in memory for tests: PDF by its syntax, DOCX by python-docx."""

from __future__ import annotations

import io
from collections.abc import Sequence

import docx
from pypdf import PdfReader, PdfWriter


def pdf_bytes(
    pages: Sequence[Sequence[str]], *, title: str = "", repeat: int = 1, picture: bool = False
) -> bytes:
    """Return a PDF whose pages show these lines; each page stands `repeat` times in the page tree.

    With `picture`, pages hold an image of one pixel, as scanned ones do.
    """
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids: list[int] = []
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    pixel = b"\xff\xff\xff"
    objects.append(
        b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceRGB /BitsPerComponent 8 "
        b"/Length %d >>\nstream\n%s\nendstream" % (len(pixel), pixel)
    )
    for lines in pages:
        shown = b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines)
        content = b"BT /F1 12 Tf 14 TL 72 720 Td\n" + shown + b"ET" if lines else b""
        drawn = content + (b"\nq 100 0 0 100 0 0 cm /Im1 Do Q" if picture else b"")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        resources = b"<< /Font << /F1 3 0 R >>" + (b" /XObject << /Im1 4 0 R >>" if picture else b"") + b" >>"
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources %s >>"
            % (len(objects), resources)
        )
        kids.extend([len(objects)] * repeat)
    references = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (references, len(kids))
    trailer = b"/Root 1 0 R"
    if title:
        objects.append(b"<< /Title (%s) >>" % _escaped(title))
        trailer += b" /Info %d 0 R" % len(objects)
    return _assembled(objects, trailer)


def encrypted_pdf_bytes(password: str) -> bytes:
    """Return a PDF that opens with `password` only, by RC4, which needs no further package."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes([["A secret line."]]))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def docx_bytes(document: docx.document.Document | None = None, *, text: str = "A line of text.") -> bytes:
    """Return the document as a file; without one, a document of a single paragraph."""
    if document is None:
        document = docx.Document()
        document.add_paragraph(text)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _escaped(text: str) -> bytes:
    plain = text.encode("latin-1")
    return plain.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _assembled(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets: list[int] = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)
