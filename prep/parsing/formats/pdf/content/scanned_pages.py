"""Text recognition for PDF pages that are pictures, by RapidOCR where the extra `ocr` is installed.

Its models come inside its package and run on one thread of the processor; a page takes seconds. A file gets a part of
the time its parsing may take: pages beyond that stay without text and are reported.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterable
from importlib.util import find_spec
from statistics import median
from typing import Any

import pypdfium2.raw as pdfium

from prep.parsing.formats.pdf.content.page_content import TextStyle, Word

__all__ = ["Recognizer", "can_recognize"]

_MAX_SIDE = 2000  # pixels of the rendered page
_PIXELS_PER_POINT = 150 / 72
_MIN_CONFIDENCE = 0.5
_TIME_SHARE = 0.7
_MIN_ADDRESS_SPACE = 1400 << 20  # bytes the models and their runtime reserve


def can_recognize() -> bool:
    """Whether the extra `ocr` is installed and the memory limit of this process leaves room for its models."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None and _has_room()


class Recognizer:
    """Reads pages of one file; the models are loaded for the first."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._start = time.monotonic()
        self._limit_s = _time_limit_s() * _TIME_SHARE
        self._longest_s = 0.0

    @property
    def has_time(self) -> bool:
        """Whether another page is likely to be read in time."""
        return time.monotonic() - self._start + self._longest_s < self._limit_s

    def read(self, page: Any) -> list[Word]:
        """Return the words of a loaded page, in points from its top left corner as it is shown."""
        start = time.monotonic()
        image, scale = _rendered(page)
        if self._engine is None:
            self._engine = _engine()
        found = self._engine(image)
        words: list[Word] = []
        if found.boxes is not None and found.txts is not None:
            words = list(_words(found.boxes.tolist(), found.txts, found.scores, scale))
        self._longest_s = max(self._longest_s, time.monotonic() - start)
        return words


def _engine() -> Any:
    from rapidocr import RapidOCR

    runtime = "EngineConfig.onnxruntime."
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            runtime + "intra_op_num_threads": 1,
            runtime + "inter_op_num_threads": 1,
            runtime + "enable_cpu_mem_arena": False,
        }
    )


def _rendered(page: Any) -> tuple[Any, float]:
    """Return a page as an array (height, width, 3) of bytes, and its pixels per point."""
    import numpy

    width, height = pdfium.FPDF_GetPageWidthF(page), pdfium.FPDF_GetPageHeightF(page)
    scale = min(_PIXELS_PER_POINT, _MAX_SIDE / max(width, height, 1.0))
    n_columns, n_rows = max(int(width * scale), 1), max(int(height * scale), 1)
    bitmap = pdfium.FPDFBitmap_CreateEx(n_columns, n_rows, pdfium.FPDFBitmap_BGR, None, 0)
    if not bitmap:
        raise MemoryError
    try:
        pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, n_columns, n_rows, 0xFFFFFFFF)
        pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, n_columns, n_rows, 0, pdfium.FPDF_ANNOT)
        stride = pdfium.FPDFBitmap_GetStride(bitmap)
        pixels = ctypes.string_at(pdfium.FPDFBitmap_GetBuffer(bitmap), stride * n_rows)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    rows = numpy.frombuffer(pixels, numpy.uint8).reshape(n_rows, stride)
    return rows[:, : 3 * n_columns].reshape(n_rows, n_columns, 3).copy(), scale


def _words(
    boxes: list[list[list[float]]], texts: Iterable[str], scores: Iterable[float], scale: float
) -> Iterable[Word]:
    """Return the words of recognised lines; heights that differ little are one size of print."""
    lines = [
        (box, text)
        for box, text, score in zip(boxes, texts, scores, strict=True)
        if score >= _MIN_CONFIDENCE and text
    ]
    if not lines:
        return
    heights = [max(box[3][1] - box[0][1], box[2][1] - box[1][1], 1.0) / scale for box, _ in lines]
    usual = median(heights)
    for (box, text), height in zip(lines, heights, strict=True):
        size = usual if 0.75 * usual < height < 1.35 * usual else height
        x0, x1 = min(box[0][0], box[3][0]) / scale, max(box[1][0], box[2][0]) / scale
        baseline = (box[3][1] + box[2][1]) / 2 / scale - 0.2 * height
        advance = (x1 - x0) / len(text)
        style = TextStyle(round(0.75 * size, 1))
        at = 0
        for part in text.split(" "):
            if part:
                yield Word(part, x0 + at * advance, x0 + (at + len(part)) * advance, baseline, style)
            at += len(part) + 1


def _has_room() -> bool:
    try:
        import resource
    except ImportError:
        return True
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit == resource.RLIM_INFINITY or limit >= _MIN_ADDRESS_SPACE


def _time_limit_s() -> float:
    """Return the seconds this file may take: the parsing process has them as a limit of its processor time."""
    try:
        import resource
    except ImportError:
        return 60.0
    limit = resource.getrlimit(resource.RLIMIT_CPU)[0]
    if limit == resource.RLIM_INFINITY:
        return 3600.0
    used = resource.getrusage(resource.RUSAGE_SELF)
    return max(limit - used.ru_utime - used.ru_stime - 5.0, 1.0)
