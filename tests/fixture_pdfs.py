"""PDFs drawn for tests by reportlab: `drawn` for pages by position, `flowing` for documents that lay themselves out."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, SimpleDocTemplate

__all__ = ["STYLES", "Sheet", "drawn", "flowing"]

STYLES = getSampleStyleSheet()


class Sheet:
    """A page of A4 to draw on, in points from its top left corner."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.height = A4[1]

    def text(self, x: float, y: float, text: str, *, size: float = 11, font: str = "Helvetica") -> None:
        """Draw a line with its baseline `y` below the top."""
        self.canvas.setFont(font, size)
        self.canvas.drawString(x, self.height - y, text)

    def lines(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        *,
        size: float = 11,
        font: str = "Helvetica",
        leading: float = 14,
    ) -> None:
        """Draw lines below one another."""
        for i, line in enumerate(lines):
            self.text(x, y + i * leading, line, size=size, font=font)

    def rule(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a straight line."""
        self.canvas.line(x0, self.height - y0, x1, self.height - y1)


def drawn(*pages: Callable[[Sheet], None], **information: str) -> bytes:
    """Return a PDF with a page for each function. information: title, author."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=True)
    for name, value in information.items():
        getattr(canvas, f"set{name.capitalize()}")(value)
    for page in pages:
        page(Sheet(canvas))
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def flowing(story: Sequence[Flowable], on_page: Callable[[Sheet, int], None] | None = None) -> bytes:
    """Return a PDF of flowing parts. on_page: draws on every page, given its number from 1."""

    def draw(canvas: Canvas, document: SimpleDocTemplate) -> None:
        if on_page is not None:
            on_page(Sheet(canvas), document.page)

    buffer = io.BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4, invariant=True).build(
        list(story), onFirstPage=draw, onLaterPages=draw
    )
    return buffer.getvalue()
