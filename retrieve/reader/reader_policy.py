"""How a version's reader is served: what is read in the time there is, and what becomes of the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from prep.checks import check_counts
from prep.errors import ConfigError
from retrieve.episode.episode import Episode, Passage, one_line
from retrieve.reader.answer_types import AnswerType
from retrieve.reader.answering import ReaderAnswer, answer_from, quoted_text, told_text
from retrieve.reader.reader import Reader
from retrieve.reader.selection import Selection

__all__ = ["ReaderConfig", "ReaderPolicy", "passages_shown", "settle"]

# Of five digits or more, so that it is no year, or with separators.
_LARGE_NUMBER = re.compile(r"(?<![\w.,])(?:\d{5,15}|\d{1,3}(?:,\d{3})+)(?![\w]|[.,]\d)")
_BROAD = re.compile(
    r"\b(?:summari[sz]e|summary of|overview|recap|main points|key points|tell me about)\b"
    r"|\bwhat (?:did|does|do|was|were|is|are)\b.{0,80}?\b(?:think|thought|say|said|decided?|discuss(?:ed|ion)?"
    r"|argued?|recommend(?:ed)?|mention(?:ed)?|agreed?|concluded?|opinions?|views?|attitudes?|decisions?)\b",
    re.IGNORECASE,
)
_PAST_LATIN = "\u0250"  # letters below are Latin, with and without accents


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """How a reader is served.

    passages: how many of a search are read. written: types of answer for which the writer is asked for words, too.
    sure: a confidence from which an answer stands though the writer refuses.
    """

    passages: int = 20
    written: tuple[AnswerType, ...] = ("span",)
    sure: float = 0.5
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        check_counts(self, "passages")
        if not 0 <= self.sure <= 1:
            raise ConfigError(f"sure={self.sure!r} must lie in 0..1")
        object.__setattr__(self, "written", tuple(self.written))


class ReaderPolicy:
    """A reader with its settings: passages in, an answer out."""

    def __init__(self, reader: Reader, config: ReaderConfig) -> None:
        self.reader = reader
        self.config = config

    def answer(
        self, question: str, passages: Sequence[Passage], *, deadline: float | None = None
    ) -> ReaderAnswer:
        """Return the reader's answer from passages, the best of the search first.

        deadline: a `time.monotonic()` value; the first passages are read in any case, others while there is time.
        """
        reading = self.reader.read(_numbers_both_ways(question), passages, deadline=deadline)
        threshold = self.reader.calibration.threshold
        return answer_from(question, reading, passages, self.config.selection, threshold=threshold)

    @staticmethod
    def reads(question: str) -> bool:
        """Whether a question is of the kind that the reader was trained on.

        Most of its letters are Latin, and it is not broad: it does not ask for a summary or for what was discussed,
        thought or decided, which the writer gathers from several places.
        """
        letters = [mark for mark in question if mark.isalpha()]
        is_latin = sum(mark < _PAST_LATIN for mark in letters) * 2 > len(letters)
        return is_latin and not _BROAD.search(question)

    def wants_writer(self, answer: ReaderAnswer) -> bool:
        """Whether the writer is asked for the words of this answer."""
        return answer.answer_type in self.config.written and not answer.is_final


def _numbers_both_ways(question: str) -> str:
    """Return the question with its large numbers with and without separators, since texts have either; no years.

    >>> _numbers_both_ways("What holds 12500 litres, and what 1,250,000? Since 2019?")
    'What holds 12500 (12,500) litres, and what 1,250,000 (1250000)? Since 2019?'
    """

    def both(number: re.Match[str]) -> str:
        plain = number[0].replace(",", "")
        return f"{number[0]} ({plain if ',' in number[0] else f'{int(plain):,}'})"

    return _LARGE_NUMBER.sub(both, question)


def settle(read: ReaderAnswer, episode: Episode, config: ReaderConfig) -> ReaderAnswer:
    """Return the reader's answer in the writer's words, where a sentence that both rest on holds them.

    The quotes are then those that both rest on. What neither is sure of is refused.
    """
    if episode.abstained and read.confidence < config.sure:
        return replace(read, answer=None, statement=None, answer_type=None, quotes=())
    for claim in episode.claims:
        pointed = [episode.sentences[pointer - 1] for pointer in claim.pointers]
        agreed = [quote for quote in read.quotes if any(quote.overlaps(other) for other in pointed)]
        said = [one_line(quoted_text(quote, episode.passages)).lower() for quote in agreed]
        words = one_line(claim.statement).lower()
        if claim.alternative or not any(words in one for one in said):
            continue
        first = next(place for place, one in enumerate(said) if words in one)
        agreed.insert(0, agreed.pop(first))
        statement = one_line(told_text(agreed[0], episode.passages))
        return replace(read, answer=claim.statement, statement=statement, quotes=tuple(agreed))
    return read


def passages_shown(answer: ReaderAnswer, passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages in the order in which they are shown: those that are quoted, then the nearest."""
    ranked = [passages[number] for number in answer.passages]

    def first_quote(passage: Passage) -> int:
        return next(
            (place for place, quote in enumerate(answer.quotes) if quote.overlaps(passage)),
            len(answer.quotes),
        )

    return sorted(ranked, key=first_quote)
