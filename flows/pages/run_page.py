"""Writes the page a person looks at after a run: reports, metrics, chunks in their text, curves, rejections.

One HTML file that needs nothing else: no script, nothing fetched (its own content policy forbids both), styles and
drawings inline, light and dark. Whatever comes from documents, questions or file names is shown as text. The markup is
`templates/run.html.jinja`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.pages.charts import draw_curve
from flows.pages.metrics_table import Metrics, metrics_tables
from flows.pages.rendering import counted, render_page, write_html
from prep.document import Chunk, Document, Rejected
from retrieve.report.report import Report

__all__ = ["Curves", "render_run", "write_page"]

#: Stage → curve → points (step, value).
Curves = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]

# A document is shown up to here, and the page counts the rest.
MAX_CHARACTERS_PER_DOCUMENT = 8000


@dataclass(frozen=True, slots=True)
class ChunkBand:
    """A stretch of a document on the page. kind: its CSS classes; label, notes: in the margin beside its text."""

    kind: str
    label: str
    notes: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document in bands, up to a length; n_hidden_chunks: those of which nothing is shown."""

    name: str
    source: str
    n_chunks: int
    n_characters: int
    bands: tuple[ChunkBand, ...]
    n_hidden_characters: int
    n_hidden_chunks: int


def write_page(
    path: str | Path,
    *,
    title: str,
    reports: Sequence[Report] = (),
    documents: Sequence[tuple[Document, Sequence[Chunk]]] = (),
    metrics: Metrics | None = None,
    training: Curves | None = None,
    rejected: Sequence[Rejected] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write the page and return its path. It appears whole or not at all; empty sections are left out.

    documents: samples with all their chunks, in order. Raises StoreError if the file cannot be written.
    """
    page = render_run(
        title=title,
        reports=reports,
        documents=documents,
        metrics=metrics or {},
        training=training or {},
        rejected=rejected,
        notes=notes,
    )
    return write_html(path, page)


def render_run(
    *,
    title: str,
    reports: Sequence[Report],
    documents: Sequence[tuple[Document, Sequence[Chunk]]],
    metrics: Metrics,
    training: Curves,
    rejected: Sequence[Rejected],
    notes: Sequence[str],
) -> str:
    """Return the whole page as HTML; see `write_page`."""
    return render_page(
        "run.html.jinja",
        title=title,
        reports=reports,
        n_quotes=sum(len(report.quotes) for report in reports),
        tables=metrics_tables(metrics),
        documents=[_shown_document(document, chunks) for document, chunks in documents],
        training={
            stage: [draw_curve(points, label) for label, points in curves.items()]
            for stage, curves in training.items()
        },
        rejected=rejected,
        notes=notes,
    )


def _shown_document(document: Document, chunks: Sequence[Chunk]) -> ShownDocument:
    shown = [chunk for chunk in chunks if chunk.start < MAX_CHARACTERS_PER_DOCUMENT]
    bands: list[ChunkBand] = []
    cursor = 0
    for place, chunk in enumerate(shown, start=1):
        if chunk.start > cursor:
            between = document.text[cursor : chunk.start].strip("\n")
            bands.append(ChunkBand("gap", "", ("in no chunk",), between))
        bands.append(_chunk_band(document, chunk, place))
        cursor = max(cursor, chunk.end)
    return ShownDocument(
        name=document.title.strip() or document.id,
        source=document.source,
        n_chunks=len(chunks),
        n_characters=len(document.text),
        bands=tuple(bands),
        n_hidden_characters=len(document.text) - min(cursor, MAX_CHARACTERS_PER_DOCUMENT),
        n_hidden_chunks=len(chunks) - len(shown),
    )


def _chunk_band(document: Document, chunk: Chunk, place: int) -> ChunkBand:
    headings = (" › ".join(chunk.headings),) if chunk.headings else ()
    return ChunkBand(
        kind=f"{'odd' if place % 2 else 'even'} {chunk.role}",
        label=f"{place} · {chunk.role}",
        notes=(counted(chunk.n_tokens, "token"), *headings),
        text=document.text[chunk.start : min(chunk.end, MAX_CHARACTERS_PER_DOCUMENT)].strip("\n"),
    )
