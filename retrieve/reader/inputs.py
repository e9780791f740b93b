"""What the reader reads: `[CLS] question [SEP] title > headings: passage [SEP]`, with sentences and offsets.

In the rows of a table the name of its column is read before every cell; headers and rules are left out there.

Passages and questions are tokenised once and put together in pairs, so that training does not tokenise again. What is
made of the states is the business of `retrieve.reader.network`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from prep.checks import check_counts
from prep.model.encoder import Encoder
from prep.text import split_sentences, strip_span
from retrieve.episode.episode import EpisodeLimits, cut_at_blanks
from retrieve.reader.table_rows import table_lines

__all__ = [
    "InputLimits",
    "PairBatch",
    "TokenisedPassage",
    "is_heading",
    "join_pairs",
    "sentences_of",
    "tokenise_passages",
    "tokenise_questions",
]

_BETWEEN_HEADINGS = " > "
_MAX_SENTENCE_CHARACTERS = EpisodeLimits().max_sentence_characters
_HEADING = re.compile(r"#{1,6}[ \t][^\n]*|[^\n]+\n[ \t]*([=\-*~^\"#+.`'_:])\1{2,}")
_HEADING_LINE = re.compile(r"#{1,6}[ \t][^\n]*\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """How many tokens of a question (its last), a header (its last) and a passage (its first) are read.

    table_tokens: of a passage with a table.
    """

    question_tokens: int = 64
    header_tokens: int = 32
    text_tokens: int = 256
    table_tokens: int = 400

    def __post_init__(self) -> None:
        check_counts(self, "question_tokens", "header_tokens", "text_tokens", "table_tokens")


@dataclass(frozen=True, slots=True)
class TokenisedPassage:
    """A passage's tokens: those of its header, then those of its text.

    offsets: the span in the passage's text of each text token, an empty one before the cell that a column's name was
    read for. sentences: the spans in the text of its sentences, of
    those alone that have tokens; sentence_of: the number of each text token's sentence.
    """

    header: tuple[int, ...]
    text: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    sentences: tuple[tuple[int, int], ...]
    sentence_of: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs as tensors, flat over the tokens and the sentences of all pairs, in the order of the pairs.

    ids, types, mask: (pairs, longest). text_row, text_column: where the text tokens stand, (T,). text_sentence: the
    sentence, counted over the batch, of each (T,). sentence_pair: the pair of each sentence (S,). first_token,
    first_sentence: the first of each pair, with the whole count at the end (pairs + 1).
    """

    ids: torch.Tensor
    types: torch.Tensor
    mask: torch.Tensor
    text_row: torch.Tensor
    text_column: torch.Tensor
    text_sentence: torch.Tensor
    sentence_pair: torch.Tensor
    first_token: tuple[int, ...]
    first_sentence: tuple[int, ...]


def sentences_of(text: str) -> list[tuple[int, int]]:
    """Return the spans of the sentences of a passage's text, without blanks at their ends; long ones in pieces.

    A Markdown heading before a sentence is one by itself.
    """
    spans = []
    for left, right in split_sentences(text):
        heading = _HEADING_LINE.match(text, left, right)
        if heading is not None and heading.end() < right:
            spans.append((left, heading.end() - 1))
            left = heading.end()
        for start, end in cut_at_blanks(text, left, right, _MAX_SENTENCE_CHARACTERS):
            start, end = strip_span(text, start, end)
            if start < end:
                spans.append((start, end))
    return spans


def is_heading(sentence: str) -> bool:
    """Whether a sentence is only a heading: a line of Markdown's, or a line that is underlined.

    >>> is_heading("## Hours"), is_heading("Hours\\n====="), is_heading("#1 is open.\\nSo is #2.")
    (True, True, False)
    """
    return bool(_HEADING.fullmatch(sentence.strip()))


def tokenise_questions(
    encoder: Encoder, questions: Sequence[str], limits: InputLimits
) -> list[tuple[int, ...]]:
    """Return the token ids of the questions: the last ones of a long one, for a conversation asks at its end."""
    return [tuple(ids[-limits.question_tokens :]) for ids in encoder.tokenize(questions)]


def tokenise_passages(
    encoder: Encoder, passages: Sequence[tuple[str, Sequence[str], str]], limits: InputLimits
) -> list[TokenisedPassage]:
    """Return the tokens of passages, each given as its title, its headings and its text."""
    headers = [
        _BETWEEN_HEADINGS.join(dict.fromkeys(part for part in (title, *headings) if part)) + ":"
        for title, headings, _ in passages
    ]
    tokenised = []
    for header, (_, headings, text) in zip(encoder.tokenize(headers), passages, strict=True):
        # One pass gives ids and offsets.
        encoding = encoder.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = list(encoding.ids), [(int(start), int(end)) for start, end in encoding.offsets]
        size = limits.text_tokens
        if "|" in text:
            size = limits.table_tokens
            ids, offsets = _with_columns(encoder, text, headings, ids, offsets)
        ids, offsets = ids[:size], offsets[:size]
        sentences, sentence_of = _place_in_sentences(text, offsets)
        tokenised.append(
            TokenisedPassage(
                tuple(header[-limits.header_tokens :]),
                tuple(ids),
                tuple(offsets),
                sentences,
                sentence_of,
            )
        )
    return tokenised


def join_pairs(encoder: Encoder, pairs: Sequence[tuple[Sequence[int], TokenisedPassage]]) -> PairBatch:
    """Return pairs of a question's tokens and a passage, at least one, as one batch."""
    start, end = encoder.prefix, encoder.suffix
    rows, row_types, texts = [], [], []
    for question, passage in pairs:
        first = [*start, *question, *end]
        second = [*passage.header, *passage.text, *end]
        rows.append(first + second)
        row_types.append([0] * len(first) + [1] * len(second))
        texts.append(len(first) + len(passage.header))
    width = max(map(len, rows))
    pad = encoder.tokenizer.pad_token_id or 0
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    types = torch.tensor([row + [0] * (width - len(row)) for row in row_types])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    text_row: list[int] = []
    text_column: list[int] = []
    text_sentence: list[int] = []
    sentence_pair: list[int] = []
    first_token, first_sentence = [0], [0]
    for number, ((_, passage), at) in enumerate(zip(pairs, texts, strict=True)):
        text_row += [number] * len(passage.text)
        text_column += range(at, at + len(passage.text))
        text_sentence += [first_sentence[-1] + one for one in passage.sentence_of]
        sentence_pair += [number] * len(passage.sentences)
        first_token.append(len(text_row))
        first_sentence.append(len(sentence_pair))
    return PairBatch(
        ids,
        types,
        mask,
        torch.tensor(text_row, dtype=torch.long),
        torch.tensor(text_column, dtype=torch.long),
        torch.tensor(text_sentence, dtype=torch.long),
        torch.tensor(sentence_pair, dtype=torch.long),
        tuple(first_token),
        tuple(first_sentence),
    )


def _with_columns(
    encoder: Encoder, text: str, headings: Sequence[str], ids: list[int], offsets: list[tuple[int, int]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the tokens with the name of its column before every cell of a table, without the lines that name them."""
    rows, heads = table_lines(text, headings)
    if not rows:
        return ids, offsets
    names = sorted({name for row in rows for name, _, _ in row.cells if name})
    tokens = dict(zip(names, encoder.tokenize([f"{name}:" for name in names]), strict=True))
    before = {left: tokens.get(name, []) for row in rows for name, left, _ in row.cells}
    new_ids: list[int] = []
    new_offsets: list[tuple[int, int]] = []
    for token, (start, end) in zip(ids, offsets, strict=True):
        if any(left <= start < right for left, right in heads):
            continue
        named = before.get(start, ())
        new_ids += [*named, token]
        new_offsets += [*((start, start) for _ in named), (start, end)]
    return new_ids, new_offsets


def _place_in_sentences(
    text: str, offsets: Sequence[tuple[int, int]]
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Return the sentences that have tokens, and the number among them of each token's."""
    spans = sentences_of(text)
    starts = [start for start, _ in spans]
    found = [max(0, bisect_right(starts, start) - 1) for start, _ in offsets]
    kept = sorted(set(found))
    number = {old: new for new, old in enumerate(kept)}
    return tuple(spans[old] for old in kept), tuple(number[old] for old in found)
