"""From a reading to an answer: its quotes, a short answer that stands in them, and what a person is told.

A fact is told as the sentence that holds the answer, a row of a table with its columns; yes and no as the word with
the sentence that decides; lists and steps as every item that stands together with the best sentence, code whole. What
is told is always made of what is quoted. What no sentence says is refused, and the nearest passages are still given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prep.document import Span
from retrieve.episode.episode import Passage, one_line
from retrieve.episode.query_terms import uncovered_terms
from retrieve.reader.answer_types import AnswerType
from retrieve.reader.expected_answer import expected_in, is_polar
from retrieve.reader.reader import EvidenceSentence, Reading
from retrieve.reader.selection import Selection, rank_passages, select_sentences
from retrieve.reader.stretches import Stretch, apart, items, whole_block, with_neighbours
from retrieve.reader.table_rows import find_cell, named_row, row_in_words
from retrieve.reader.versions import differ_in_values, in_force_first

__all__ = ["ReaderAnswer", "answer_from", "quoted_text", "told_text"]

_TABLES_LOOKED_UP = 3  # of the nearest passages
_AROUND = " \t\n|-*+•"  # marks of lists and tables, no part of an answer at its edges


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """What the reader alone answers.

    answer: short, a stretch of a quote, or the word, None where refused. statement: what a person is told. quotes:
    stretches of documents, the best first. passages: the numbers of the passages, nearest first. n_tokens: read.
    is_final: it is not to be put in other words: several values are told, or a row of a table.
    """

    answer: str | None
    statement: str | None
    answer_type: AnswerType | None
    confidence: float
    quotes: tuple[Span, ...]
    passages: tuple[int, ...]
    n_tokens: int = 0
    is_final: bool = False

    @property
    def abstained(self) -> bool:
        """Whether nothing is answered."""
        return self.answer is None


def answer_from(
    question: str,
    reading: Reading,
    passages: Sequence[Passage],
    selection: Selection,
    *,
    threshold: float,
) -> ReaderAnswer:
    """Return the answer that a reading of these passages gives; refused where its confidence is below `threshold`."""
    scores = [passage.score for passage in passages]
    sentences = [(one.passage, one.logit) for one in reading.sentences]
    order = tuple(rank_passages(scores, reading.relevance.tolist(), sentences, selection))
    refused = ReaderAnswer(None, None, None, reading.confidence, (), order, reading.n_tokens)
    chosen = [reading.sentences[place] for place in select_sentences(scores, sentences, selection)]
    if not chosen:
        return refused
    looked_up = _looked_up(question, passages, order[:_TABLES_LOOKED_UP])
    if not (looked_up is not None and looked_up.is_whole):
        expected = expected_in(question)
        said = (passages[one.passage].text[one.start : one.end] for one in chosen)
        is_missing = expected is not None and not any(map(expected.search, said))
        if reading.confidence < threshold or is_missing:
            return refused
    if looked_up is not None:
        return replace(
            refused,
            answer=looked_up.cell,
            statement=told_text(looked_up.row, passages),
            answer_type="span",
            confidence=max(reading.confidence, threshold),
            quotes=(looked_up.row,),
            is_final=True,
        )
    return _worded(question, reading, passages, chosen, selection, refused)


def _worded(
    question: str,
    reading: Reading,
    passages: Sequence[Passage],
    chosen: Sequence[EvidenceSentence],
    selection: Selection,
    refused: ReaderAnswer,
) -> ReaderAnswer:
    """Return `refused` with what the chosen sentences, at least one, say."""
    answer_type = _told_type(reading, selection)
    stretches = [(one.passage, one.start, one.end) for one in chosen]
    row = _named_row(question, passages, stretches[0])
    core = sentence = stretches[0] = row or stretches[0]
    if row is None and answer_type in ("list", "steps", "statement"):
        core = whole_block(passages, *sentence)
        stretches = [with_neighbours(passages, *stretch) for stretch in stretches]
    if core != sentence:
        stretches[0] = core
        if answer_type == "statement" and not is_polar(question):
            answer_type = "list"  # one item of several is no answer
    stretches, n_differing = _in_force_first(question, passages, apart(stretches))
    if n_differing:
        core = stretches[0]
    best_said = _text_of(passages, core)
    answer, best = best_said, 0
    if answer_type in ("yes", "no"):
        answer = answer_type.capitalize()
    elif answer_type == "span":
        some = stretches[:1] if n_differing else stretches
        answer, best = _span_in(reading, passages, some, expected_in(question)) or (best_said, 0)
    elif answer_type == "list":
        answer = "; ".join(items(best_said)) or best_said
    elif answer_type == "statement":
        answer = _text_of(passages, sentence)
    stretches.insert(0, stretches.pop(best))
    quotes = tuple(
        Span(passages[number].document_id, passages[number].start + start, passages[number].start + end)
        for number, start, end in stretches
    )
    told = told_text(quotes[0], passages)
    if n_differing:
        several = zip(
            _names_of([passages[number] for number, _, _ in stretches[:n_differing]]), quotes, strict=False
        )
        told = " ".join(f"{name}: {told_text(quote, passages)}" for name, quote in several)
    statement = f"{answer}. {told}" if answer_type in ("yes", "no") else told
    if answer_type not in ("list", "steps"):  # where lines mean something
        answer, statement = one_line(answer), one_line(statement)
    return replace(
        refused,
        answer=answer,
        statement=statement,
        answer_type=answer_type,
        quotes=quotes,
        is_final=n_differing > 0 or row is not None,
    )


def _names_of(passages: Sequence[Passage]) -> list[str]:
    """Return what the passages' documents are called: by title, or by id where titles are none or the same."""
    titles = [passage.title for passage in passages]
    if all(titles) and len(set(titles)) == len({passage.document_id for passage in passages}):
        return titles
    return [passage.document_id for passage in passages]


def _named_row(question: str, passages: Sequence[Passage], stretch: Stretch) -> Stretch | None:
    """Return the row of the stretch's table that the question is about, where it lies in a table and one row is."""
    number, start, end = stretch
    row = named_row(question, passages[number].text, start, end, passages[number].headings)
    return None if row is None else (number, row.start, row.end)


def _told_type(reading: Reading, selection: Selection) -> AnswerType:
    """Return the likeliest type of answer; a statement where yes or no is wanted and neither is likely enough."""
    yes, no = reading.types["yes"], reading.types["no"]
    if reading.answer_type in ("yes", "no") and max(yes, no) < selection.word_odds * min(yes, no):
        return "statement"
    return reading.answer_type


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """A cell that the question asks for by its row and column; is_whole: it asks for nothing else."""

    row: Span
    cell: str
    is_whole: bool


def _looked_up(question: str, passages: Sequence[Passage], numbers: Sequence[int]) -> _LookedUp | None:
    """Return the cell of the first of these passages that has the one that is asked for."""
    for number in numbers:
        passage = passages[number]
        found = find_cell(question, passage.text, passage.headings)
        if found is None:
            continue
        row, cell = found
        if cell is None:
            continue
        name, start, end = cell
        said = [passage.text[row.start : row.end], name, passage.title, *passage.headings]
        return _LookedUp(
            Span(passage.document_id, passage.start + row.start, passage.start + row.end),
            passage.text[start:end],
            not uncovered_terms(question, said),
        )
    return None


def quoted_text(span: Span, passages: Sequence[Passage]) -> str:
    """Return the text of a quote that one of these passages holds."""
    passage, start, end = _placed(span, passages)
    return passage.text[start:end]


def told_text(span: Span, passages: Sequence[Passage]) -> str:
    """Return a quote as a person is told it: a row of a table with the names of its columns."""
    passage, start, end = _placed(span, passages)
    row = row_in_words(passage.text, start, end, passage.headings)
    return passage.text[start:end] if row is None else row


def _placed(span: Span, passages: Sequence[Passage]) -> tuple[Passage, int, int]:
    """Return the passage that holds a quote, and where in its text."""
    passage = next(one for one in passages if one.start <= span.start and span.overlaps(one))
    return passage, span.start - passage.start, span.end - passage.start


def _in_force_first(
    question: str, passages: Sequence[Passage], stretches: list[Stretch]
) -> tuple[list[Stretch], int]:
    """Return the stretches, and how many of the first ones differ in values from one another; 0 where none does.

    What other documents say of the best stretch's matter comes beside it, the one in force first.
    """
    best = _text_of(passages, stretches[0])
    document_id = passages[stretches[0][0]].document_id

    def differs(stretch: Stretch) -> bool:
        is_other = passages[stretch[0]].document_id != document_id
        return is_other and differ_in_values(best, _text_of(passages, stretch))

    rivals = [stretch for stretch in stretches[1:] if differs(stretch)]
    if not rivals:
        return stretches, 0
    group = [stretches[0], *rivals]
    order = in_force_first(question, [passages[one] for one, _, _ in group])
    rest = [stretch for stretch in stretches if stretch not in group]
    return [*(group[place] for place in order), *rest], len(group)


def _text_of(passages: Sequence[Passage], stretch: Stretch) -> str:
    number, start, end = stretch
    return passages[number].text[start:end]


def _span_in(
    reading: Reading,
    passages: Sequence[Passage],
    stretches: Sequence[Stretch],
    expected: re.Pattern[str] | None,
) -> tuple[str, int] | None:
    """Return the best span that stands in one of these stretches and holds what is expected, and which stretch."""
    for span in reading.spans:
        for place, (number, start, end) in enumerate(stretches):
            if span.passage == number and start <= span.start and span.end <= end:
                text = passages[number].text[span.start : span.end].strip(_AROUND)
                if text and (expected is None or expected.search(text)):
                    return text, place
    return None
