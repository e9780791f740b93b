"""From a reading to an answer: its quotes, a short answer that stands in them, and what a person is told.

A fact is told as the sentence that holds the answer, a row of a table with its columns; yes and no as the word with
the sentence that decides; lists and steps as every item that stands together with the best sentence, code whole. What
is told is always made of what is quoted. What no sentence says is refused, and the nearest passages are still given.
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
from retrieve.reader.table_rows import row_in_words

__all__ = ["ReaderAnswer", "answer_from", "quoted_text", "told_text"]

_ITEM = re.compile(r"\s*(?:[-*+•·–]|\d{1,3}[.)]|[a-zA-Z][.)]|\|)[ \t]*\S")
_ITEM_TEXT = re.compile(r"^[ \t]*(?:[-*+•·–]|\d{1,3}[.)])[ \t]+(.+)$", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?^[ \t]*\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"#{1,6}[ \t]")
_AROUND = " \t\n|-*+•"  # marks of lists and tables, no part of an answer at its edges


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
    core = sentence = stretches[0]
    if answer_type in ("list", "steps"):
        core = _whole_block(passages, *sentence)
    if answer_type in ("list", "steps", "statement"):
        stretches = [_with_neighbours(passages, *stretch) for stretch in stretches]
    if core != sentence:
        stretches[0] = core
    stretches = _apart(stretches)
    said = passages[core[0]].text[core[1] : core[2]]
    answer, best = said, 0
    if answer_type in ("yes", "no"):
        answer = answer_type.capitalize()
    elif answer_type == "span":
        answer, best = _span_in(reading, passages, stretches) or (said, 0)
    elif answer_type == "list":
        answer = "; ".join(_items(said)) or said
    stretches.insert(0, stretches.pop(best))
    quotes = tuple(
        Span(passages[number].document_id, passages[number].start + start, passages[number].start + end)
        for number, start, end in stretches
    )
    told = told_text(quotes[0], passages)
    statement = f"{answer}. {told}" if answer_type in ("yes", "no") else told
    return ReaderAnswer(answer, statement, answer_type, reading.confidence, quotes, order, reading.n_tokens)


def quoted_text(span: Span, passages: Sequence[Passage]) -> str:
    """Return the text of a quote that one of these passages holds. Raises StopIteration where none does."""
    passage = next(one for one in passages if one.start <= span.start and span.overlaps(one))
    return passage.text[span.start - passage.start : span.end - passage.start]


def told_text(span: Span, passages: Sequence[Passage]) -> str:
    """Return a quote as a person is told it: a row of a table with the names of its columns."""
    passage = next(one for one in passages if one.start <= span.start and span.overlaps(one))
    start, end = span.start - passage.start, span.end - passage.start
    row = row_in_words(passage.text, start, end, passage.headings)
    return passage.text[start:end] if row is None else row


def _span_in(
    reading: Reading, passages: Sequence[Passage], stretches: Sequence[tuple[int, int, int]]
) -> tuple[str, int] | None:
    """Return the best span that stands in one of these stretches, and the number of the stretch."""
    for span in reading.spans:
        for place, (number, start, end) in enumerate(stretches):
            if span.passage == number and start <= span.start and span.end <= end:
                text = passages[number].text[span.start : span.end].strip(_AROUND)
                if text:
                    return text, place
    return None


def _whole_block(passages: Sequence[Passage], number: int, start: int, end: int) -> tuple[int, int, int]:
    """Return the stretch with what belongs to it: all items of its list, the list or code that it announces."""
    text = passages[number].text
    spans = sentences_of(text)
    here = next((place for place, (left, right) in enumerate(spans) if left < end and start < right), None)
    if here is None:
        return number, start, end
    if (fence := _fence_around(text, start)) is not None:
        return number, *fence
    items = [bool(_ITEM.match(text[left:right])) for left, right in spans]
    first = last = here
    while last + 1 < len(spans) and items[last + 1]:
        last += 1
    if items[here]:
        while first > 0 and items[first]:
            first -= 1
    start, end = min(start, spans[first][0]), max(end, spans[last][1])
    if last == here and text[start:end].rstrip().endswith(":") and last + 1 < len(spans):
        after = _fence_around(text, spans[last + 1][0])
        end = after[1] if after is not None else spans[last + 1][1]
    return number, start, end


def _with_neighbours(passages: Sequence[Passage], number: int, start: int, end: int) -> tuple[int, int, int]:
    """Return the stretch with the sentence before and the one after it, which say what it is about; no headings."""
    text = passages[number].text
    spans = sentences_of(text)
    before = [span for span in spans if span[1] <= start][-1:]
    after = [span for span in spans if span[0] >= end][:1]
    beside = [span for span in (*before, *after) if not _HEADING.match(text, *span)]
    return number, min([start, *(left for left, _ in beside)]), max([end, *(right for _, right in beside)])


def _fence_around(text: str, at: int) -> tuple[int, int] | None:
    """Return the span of the fenced code that holds this place, fences included; None where none does."""
    for match in _FENCED.finditer(text):
        if match.start() <= at < match.end():
            return match.start(), match.end()
    return None


def _items(text: str) -> list[str]:
    """Return the items of a list, without their bullets and numbers; none where the text is no list."""
    return [match[1].strip() for match in _ITEM_TEXT.finditer(text) if match[1].strip()]


def _apart(stretches: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the stretches without those that lie in an earlier one."""
    kept: list[tuple[int, int, int]] = []
    for number, start, end in stretches:
        if not any(number == other and start < right and left < end for other, left, right in kept):
            kept.append((number, start, end))
    return kept
