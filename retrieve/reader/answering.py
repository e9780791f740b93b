"""From a reading to an answer: its quotes, a short answer that stands in them, and what a person is told.

A fact is told as the sentence that holds the answer; yes and no as the word with the sentence that decides; lists and
steps as every item that stands together with the best sentence. What is told is always made of what is quoted. What
no sentence says is refused, and the nearest passages are still given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prep.document import Span
from retrieve.episode.episode import Passage
from retrieve.reader.answer_types import AnswerType
from retrieve.reader.inputs import sentences_of
from retrieve.reader.reader import Reading
from retrieve.reader.selection import Selection, rank_passages, select_sentences

__all__ = ["ReaderAnswer", "answer_from", "quoted_text"]

_ITEM = re.compile(r"\s*(?:[-*+•·–]|\d{1,3}[.)]|[a-zA-Z][.)]|\|)[ \t]*\S")


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """What the reader alone answers.

    answer: short, a stretch of a quote, or the word, None where refused. statement: what a person is told. quotes:
    stretches of documents, the best first. passages: the numbers of the passages, nearest first. n_tokens: read.
    """

    answer: str | None
    statement: str | None
    answer_type: AnswerType | None
    confidence: float
    quotes: tuple[Span, ...]
    passages: tuple[int, ...]
    n_tokens: int = 0

    @property
    def abstained(self) -> bool:
        """Whether nothing is answered."""
        return self.answer is None


def answer_from(
    reading: Reading, passages: Sequence[Passage], selection: Selection, *, threshold: float
) -> ReaderAnswer:
    """Return the answer that a reading of these passages gives; refused where its confidence is below `threshold`."""
    scores = [passage.score for passage in passages]
    sentences = [(one.passage, one.logit) for one in reading.sentences]
    order = tuple(rank_passages(scores, reading.relevance.tolist(), sentences, selection))
    chosen = [reading.sentences[place] for place in select_sentences(scores, sentences, selection)]
    if not chosen or reading.confidence < threshold:
        return ReaderAnswer(None, None, None, reading.confidence, (), order, reading.n_tokens)
    answer_type = reading.answer_type
    stretches = [(one.passage, one.start, one.end) for one in chosen]
    if answer_type in ("list", "steps"):
        stretches[0] = _whole_list(passages, *stretches[0])
    stretches = _apart(stretches)
    quoted = [passages[number].text[start:end] for number, start, end in stretches]
    if answer_type in ("yes", "no"):
        answer, statement = answer_type.capitalize(), f"{answer_type.capitalize()}. {quoted[0]}"
    elif answer_type == "span":
        answer, statement = _span_in(reading, passages, stretches) or (quoted[0], quoted[0])
    else:
        answer = statement = quoted[0]
    quotes = tuple(
        Span(passages[number].document_id, passages[number].start + start, passages[number].start + end)
        for number, start, end in stretches
    )
    return ReaderAnswer(answer, statement, answer_type, reading.confidence, quotes, order, reading.n_tokens)


def quoted_text(span: Span, passages: Sequence[Passage]) -> str:
    """Return the text of a quote that one of these passages holds. Raises StopIteration where none does."""
    passage = next(one for one in passages if one.start <= span.start and span.overlaps(one))
    return passage.text[span.start - passage.start : span.end - passage.start]


def _span_in(
    reading: Reading, passages: Sequence[Passage], stretches: Sequence[tuple[int, int, int]]
) -> tuple[str, str] | None:
    """Return the best span that stands in a quote, and that quote, which comes to the front."""
    for span in reading.spans:
        for number, start, end in stretches:
            if span.passage == number and start <= span.start and span.end <= end:
                text = passages[number].text
                return text[span.start : span.end], text[start:end]
    return None


def _whole_list(passages: Sequence[Passage], number: int, start: int, end: int) -> tuple[int, int, int]:
    """Return the stretch with all items of the list that it is part of, or that it announces, and what announces it."""
    text = passages[number].text
    spans = sentences_of(text)
    here = next((place for place, (left, right) in enumerate(spans) if left < end and start < right), None)
    if here is None:
        return number, start, end
    items = [bool(_ITEM.match(text[left:right])) for left, right in spans]
    first = last = here
    while last + 1 < len(spans) and items[last + 1]:
        last += 1
    if items[here]:
        while first > 0 and items[first]:
            first -= 1
    return number, min(start, spans[first][0]), max(end, spans[last][1])


def _apart(stretches: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the stretches without those that lie in an earlier one."""
    kept: list[tuple[int, int, int]] = []
    for number, start, end in stretches:
        if not any(number == other and start < right and left < end for other, left, right in kept):
            kept.append((number, start, end))
    return kept
