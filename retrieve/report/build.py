"""Turn a finished episode into a report: pointers become exact quotes of the passages that were shown."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from prep.document import Span
from prep.store.metadata_filter import MetadataFilter
from prep.store.origins import Origin
from retrieve.episode.episode import Claim, Episode, Passage
from retrieve.episode_runner import Run
from retrieve.reader.answering import ReaderAnswer, quoted_text
from retrieve.report.data import Finding, Quote, Source, Usage, answer_statements
from retrieve.report.report import Report

__all__ = ["expand_quotes", "report_of"]


def report_of(
    question: str,
    run: Run,
    *,
    models: Mapping[str, str],
    generation: str = "",
    seconds: float = 0.0,
    where: MetadataFilter | None = None,
    origin: Callable[[str], Origin] | None = None,
) -> Report:
    """Return the report of an episode.

    models: versions by kind. generation: the store's, where there was one; origin: returns where a document of it comes
    from. where: the filter that was set.
    """
    episode, read = run.episode, run.answer
    if read is None:
        findings = [
            Finding(claim.statement, list(expand_quotes(claim, episode)), claim.alternative)
            for claim in episode.claims
        ]
        answer = "; ".join(answer_statements(findings)) or None
    else:
        findings, answer = _read_findings(read, episode), read.answer
    shown = {passage.document_id for passage in episode.passages}
    origins = {} if origin is None else {document_id: origin(document_id) for document_id in shown}
    findings = [
        replace(finding, quotes=[_located(quote, episode, origins) for quote in finding.quotes])
        for finding in findings
    ]
    quotes = [quote for finding in findings for quote in finding.quotes]
    sources = [
        _source(
            passage,
            any(Span(quote.document_id, quote.start, quote.end).overlaps(passage) for quote in quotes),
            origins.get(passage.document_id),
        )
        for passage in episode.passages
    ]
    note = "" if read is not None and answer is not None else run.note  # the reader had read the sources
    return Report(
        id=uuid.uuid4().hex,
        question=question,
        answer=answer,
        abstained=answer is None and not note,
        unfinished=answer is None and bool(note),
        findings=findings,
        searches=list(episode.queries),
        sources=sources,
        usage=Usage(run.n_prompt_tokens, run.n_completion_tokens, len(episode.queries), seconds),
        models=dict(models),
        generation=generation,
        note=note,
        answer_type=_type_of(read, answer),
        confidence=None if read is None else read.confidence,
        where={} if where is None else where.as_where(),
    )


def _source(passage: Passage, used: bool, origin: Origin | None) -> Source:
    source = Source(
        passage.document_id,
        passage.title,
        passage.headings,
        passage.start,
        passage.end,
        passage.score,
        used,
        passage.text,
    )
    if origin is None:
        return source
    page = origin.page(passage.start)
    return replace(source, page=page, path=origin.path, distinct_path=origin.distinct_path)


def _located(quote: Quote, episode: Episode, origins: Mapping[str, Origin]) -> Quote:
    """Return the quote with its page, section and path."""
    span = Span(quote.document_id, quote.start, quote.end)
    section = next((passage.headings for passage in episode.passages if span.overlaps(passage)), ())
    origin = origins.get(quote.document_id)
    if origin is None:
        return replace(quote, section=section)
    return replace(quote, section=section, page=origin.page(quote.start), path=origin.path)


def _read_findings(read: ReaderAnswer, episode: Episode) -> list[Finding]:
    """Return the one finding of a reader's answer; none where it refuses."""
    if read.answer is None or read.statement is None:
        return []
    quotes = [
        Quote(span.document_id, span.start, span.end, quoted_text(span, episode.passages))
        for span in read.quotes
    ]
    return [Finding(read.statement, quotes)]


def _type_of(read: ReaderAnswer | None, answer: str | None) -> str | None:
    """Return the type of the answer, where a reader told it; `none` where nothing is answered."""
    if answer is None:
        return "none"
    return None if read is None else read.answer_type


def expand_quotes(claim: Claim, episode: Episode) -> Iterator[Quote]:
    """Expand a claim's pointers into exact quotes of the passages shown."""
    for pointer in claim.pointers:
        span = episode.sentences[pointer - 1]
        passage = episode.passages[episode.sentence_passage[pointer - 1]]
        text = passage.text[span.start - passage.start : span.end - passage.start]
        yield Quote(span.document_id, span.start, span.end, text)
