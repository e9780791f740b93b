"""PDF to text with its structure in Markdown form: columns, tables, headings, lists and code by where things stand.

PDFium reads the file; the modules beside this one make lines, tables, columns and blocks of what stands on its pages.
A scanned page is read by text recognition where the extra `ocr` is installed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pypdfium2.raw as pdfium

from prep.parsing.formats.pdf.aligned_tables import with_aligned_tables
from prep.parsing.formats.pdf.block_text import write_blocks
from prep.parsing.formats.pdf.column_order import Item, in_reading_order
from prep.parsing.formats.pdf.content.annotations import AnnotationReader, PageAnnotations
from prep.parsing.formats.pdf.content.page_content import PageContent, read_content
from prep.parsing.formats.pdf.content.pdf_file import PdfFile
from prep.parsing.formats.pdf.content.scanned_pages import Recognizer, can_recognize
from prep.parsing.formats.pdf.field_placement import add_addresses, field_words, with_values
from prep.parsing.formats.pdf.furniture import Furniture, find_furniture
from prep.parsing.formats.pdf.heading_levels import mark_headings
from prep.parsing.formats.pdf.page_blocks import PageBlock, TextLine, column_blocks
from prep.parsing.formats.pdf.page_joining import join_columns
from prep.parsing.formats.pdf.page_lines import Line, build_lines
from prep.parsing.formats.pdf.ruled_tables import find_ruled_tables
from prep.parsing.formats.pdf.word_joining import words_in
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.titles import clean_title
from prep.places import Place

__all__ = ["parse_pdf"]

# A page is unmapped where more of its characters than this have no letter in the file's fonts.
_MAX_UNMAPPED_SHARE = 0.3
_PICTURE_SHARE = 0.01
_MAX_MONO_SHARE = 0.6
_NO_AUTHOR = frozenset(["anonymous", "unknown", "author", "user", "unspecified"])


@dataclass(slots=True)
class _PdfPage:
    height: float
    items: list[Item] = field(default_factory=list)
    sideways: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    picture_share: float = 0.0


@dataclass(slots=True)
class _Losses:
    """Positions of pages by why their text, or a part of it, is missing."""

    pages: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, position: int) -> None:
        self.pages.setdefault(reason, []).append(position + 1)

    def rows(self) -> list[tuple[str, str]]:
        return [(_page_names(numbers), reason) for reason, numbers in self.pages.items()]


_DAMAGED = "cannot be read: the page is damaged"
_PICTURES = "no text: may be scanned images"
_NEEDS_EXTRA = f"{_PICTURES}, which the extra ocr would read: pip install 'diptych[ocr]'"
_NO_TIME = f"{_PICTURES}, and text recognition did not get to it in the time limit"
_RECOGNISED = "is a picture: its text is from text recognition and may have mistakes"
_UNMAPPED = "left out: its fonts do not say which letters its characters are"
_BEYOND = "text after the first million characters of the page is left out"
_OUTSIDE = "text outside the visible page is left out"


def parse_pdf(data: bytes) -> Parsed:
    """Return text, title, pages and metadata.

    Pages that cannot be read, or that are pictures, are losses. Raises UnreadableError for a file without any text and
    for an encrypted one.
    """
    if b"%PDF-" not in data[:1024]:
        raise UnreadableError("is damaged: it does not begin like a PDF")
    with PdfFile(data) as file:
        if file.n_pages == 0:
            raise UnreadableError("is damaged or empty: it has no pages")
        losses = _Losses()
        pages, is_xfa = _read_pages(file, losses)
        blocks = _blocks(pages, file, losses)
        vocabulary = words_in([line.text for block in blocks for line in block.lines])
        text, starts = write_blocks(blocks, vocabulary)
        if not text.strip():
            raise _no_text(losses)
        rows = losses.rows()
        if is_xfa:
            rows.append(("form", "is an XFA form: only its pages for readers without XFA are read"))
        rows.extend(
            (f"attached file {name}", "files inside a PDF are not read") for name in file.attachment_names()
        )
        metadata = file.metadata()
        title = clean_title(metadata.pop("title", "")) or _heading_title(blocks)
        if metadata.get("author", "").casefold() in _NO_AUTHOR:
            del metadata["author"]
        return Parsed(
            title,
            text,
            tuple(rows),
            _places(file, starts, len(text)),
            {**({"title": title} if title else {}), **metadata},
        )


def _read_pages(file: PdfFile, losses: _Losses) -> tuple[list[_PdfPage], bool]:
    """Return what stands on each page, and whether the file is a form that only special readers show."""
    forms = AnnotationReader(file)
    try:
        return [_read_page(file, forms, position, losses) for position in range(file.n_pages)], forms.is_xfa
    finally:
        forms.close()


def _read_page(file: PdfFile, forms: AnnotationReader, position: int, losses: _Losses) -> _PdfPage:
    page = pdfium.FPDF_LoadPage(file.handle, position)
    if not page:
        losses.add(_DAMAGED, position)
        return _PdfPage(792.0)
    try:
        content = read_content(page)
        fields = forms.read(file, page, content.frame)
    finally:
        pdfium.FPDF_ClosePage(page)
    if content.n_unmapped > 20 and content.n_unmapped > _MAX_UNMAPPED_SHARE * content.n_characters:
        losses.add(_UNMAPPED, position)
        content.words.clear()
        content.sideways.clear()
    if content.n_beyond:
        losses.add(_BEYOND, position)
    if content.n_outside:
        losses.add(_OUTSIDE, position)
    return _laid_out(content, fields)


def _laid_out(content: PageContent, fields: PageAnnotations) -> _PdfPage:
    add_addresses(content.words, fields.links)
    values = field_words(fields.fields, content.words)
    tables, words = find_ruled_tables(content.rules, [*content.words, *values])
    lines = build_lines([word for word in words if word.field_name is None])
    lines = with_values(lines, [word for word in words if word.field_name is not None])
    return _PdfPage(
        content.frame.height,
        [*lines, *tables],
        [line for group in content.sideways for line in build_lines(group)],
        fields.notes,
        content.picture_share,
    )


def _recognize(pages: Sequence[_PdfPage], pictures: Sequence[int], file: PdfFile, losses: _Losses) -> None:
    """Read the pages that are pictures by text recognition where it is there; report each."""
    recognizer = Recognizer() if can_recognize() else None
    for position in pictures:
        if recognizer is None:
            losses.add(_NEEDS_EXTRA, position)
        elif not recognizer.has_time:
            losses.add(_NO_TIME, position)
        else:
            handle = pdfium.FPDF_LoadPage(file.handle, position)
            try:
                lines = build_lines(recognizer.read(handle))
            except MemoryError:
                raise
            except Exception as error:  # the engine or one of its libraries is broken
                losses.add(f"{_PICTURES}, and text recognition failed: {_message(error)}", position)
                continue
            finally:
                pdfium.FPDF_ClosePage(handle)
            if lines:
                pages[position].items = list(lines)
            losses.add(_RECOGNISED if lines else _PICTURES, position)


def _blocks(pages: Sequence[_PdfPage], file: PdfFile, losses: _Losses) -> list[PageBlock]:
    """Return the blocks of the document, furniture taken out, joined over columns and pages."""
    body_size, keeps_mono = _usual_print(pages)
    furniture = _furniture(pages, body_size)
    pictures = [
        position
        for position, page in enumerate(pages)
        if page.picture_share >= _PICTURE_SHARE
        and all(id(item) in furniture.items[position] for item in page.items)
    ]
    if pictures:
        _recognize(pages, pictures, file, losses)
        body_size, keeps_mono = _usual_print(pages)
        furniture = _furniture(pages, body_size)
    columns: list[list[PageBlock]] = []
    seen_sideways: Counter[str] = Counter(line.text for page in pages for line in page.sideways)
    for position, page in enumerate(pages):
        dropped = furniture.items[position]
        items = [item for item in page.items if id(item) not in dropped]
        for column in in_reading_order(items):
            columns.append(column_blocks(with_aligned_tables(column), position, keeps_mono=keeps_mono))
        beside = [
            line.text
            for line in page.sideways
            if seen_sideways[line.text] < 3 or seen_sideways.pop(line.text)
        ]
        columns.append([_note(text, position) for text in [*beside, *page.notes]])
    mark_headings([block for column in columns for block in column], body_size, file.outline())
    _write_once(furniture, columns)
    return join_columns(columns, body_size)


def _furniture(pages: Sequence[_PdfPage], body_size: float) -> Furniture:
    return find_furniture([page.items for page in pages], [page.height for page in pages], body_size)


def _usual_print(pages: Sequence[_PdfPage]) -> tuple[float, bool]:
    """Return the size of most of the text in points, and whether a monospaced font marks code."""
    sizes: Counter[float] = Counter()
    mono: Counter[float] = Counter()
    for page in pages:
        for item in page.items:
            if isinstance(item, Line):
                (mono if item.is_mono else sizes)[round(item.size * 2) / 2] += len(item.text)
    keeps_mono = mono.total() <= _MAX_MONO_SHARE * (sizes + mono).total()
    usual = sizes if keeps_mono else sizes + mono
    return (usual.most_common(1)[0][0] if usual else 10.0), keeps_mono


def _note(text: str, position: int) -> PageBlock:
    return PageBlock("text", [TextLine(text, position, True)], 0.0, 0.0)


def _write_once(furniture: Furniture, columns: list[list[PageBlock]]) -> None:
    """Add running headers and footers to the first page that has them, where no heading or line says the same."""
    if not furniture.first:
        return
    blocks = [block for column in columns for block in column]
    said = {_letters(line.text) for block in blocks for line in block.lines}
    headings = {
        _letters(" ".join(line.text for line in block.lines)) for block in blocks if block.kind == "heading"
    }
    for page, texts, is_header in furniture.first:
        text = " ".join(text for text in texts if not _is_said(text, said, headings))
        if not text:
            continue
        said.add(_letters(text))
        block = _note(text, page)
        here = [i for i, column in enumerate(columns) if column and column[0].page == page]
        if not here:
            columns.append([block])
            columns.sort(key=lambda column: column[0].page if column else -1)
        elif is_header:
            columns[here[0]].insert(0, block)
        else:
            columns[here[-1]].append(block)


def _is_said(text: str, said: set[str], headings: set[str]) -> bool:
    """Whether a heading or a line has the words of a running header, which may be cut or led by "Chapter 3"."""
    whole, tail = _letters(text), _letters(text.partition(" ")[2])
    if whole in said:
        return True
    return any(len(part) > 4 and any(part in heading for heading in headings) for part in (whole, tail))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _heading_title(blocks: Sequence[PageBlock]) -> str:
    for block in blocks[:20]:
        if block.kind == "heading" and block.page <= 1:
            return clean_title(" ".join(line.text for line in block.lines))
    return ""


def _places(file: PdfFile, starts: dict[int, int], length: int) -> tuple[Place, ...]:
    """Return where each page begins; one without text where the next begins."""
    places: list[Place] = []
    following = length
    for position in range(file.n_pages - 1, -1, -1):
        following = min(starts.get(position, following), following)
        places.append(Place(following, "page", file.page_label(position)))
    return tuple(reversed(places))


def _no_text(losses: _Losses) -> UnreadableError:
    if _DAMAGED in losses.pages:
        return UnreadableError("is damaged: no page can be read")
    if _UNMAPPED in losses.pages:
        return UnreadableError("has no readable text: its fonts do not say which letters its characters are")
    if any(reason in losses.pages for reason in (_PICTURES, _NO_TIME)):
        return UnreadableError("has no text: it may be scanned images, in which text recognition found none")
    return UnreadableError(
        "has no text: it may be scanned images, which need text recognition first: pip install 'diptych[ocr]'"
    )


def _message(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _page_names(numbers: list[int]) -> str:
    """Return page numbers with runs joined: "pages 1-3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    names = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"page{'s' if len(numbers) > 1 else ''} {shown}"
