"""Questions made from a corpus without labels or another model: cloze questions whose evidence is known.

A sentence loses a name, number, code word or rare term; the question shows the words around the blank, the removed
words are the answer. Cloze questions train pointing and copying on any corpus. Questions as a person asks them are
written by a model (`training.questions`).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prep.document import Document, Span
from prep.errors import ConfigError
from prep.text import split_sentences, strip_span
from training.data.dataset import Question

__all__ = ["ClozeConfig", "is_prose", "synthesize_cloze"]

BLANK = "____"
_CANDIDATE = re.compile(
    r"``?[^`\n]{2,40}``?"  # code
    r"|(?<=\s)[\"“][^\"”\n]{3,50}[\"”]"  # quoted
    r"|(?<=[\w,] )(?:[A-Z][\w’'-]+)(?: (?:of |the |de )?[A-Z][\w’'-]+){0,3}"  # names, not first in the sentence
    r"|(?<![\w.])\d[\d,.]*\d(?: ?%| [a-z]{3,})?"  # numbers of two digits or more, with their unit
    r"|(?<=\s)[a-z]{7,}(?:-[a-z]+)?"  # long words
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClozeConfig:
    """Limits of the sentences used. Lengths in characters; `context_words` on each side of the blank are shown."""

    min_sentence: int = 50
    max_sentence: int = 350
    min_letters_share: float = 0.7
    context_words: int = 9
    max_per_document: int = 40

    def __post_init__(self) -> None:
        if not 0 < self.min_sentence <= self.max_sentence:
            raise ConfigError(
                f"min_sentence={self.min_sentence} must lie in 1..{self.max_sentence} (max_sentence)"
            )


def synthesize_cloze(
    documents: Iterable[Document], *, n: int, seed: int = 0, config: ClozeConfig | None = None
) -> list[Question]:
    """Return at most n cloze questions, spread over the documents, none asked twice. Deterministic by seed."""
    config = config or ClozeConfig()
    rng = random.Random(seed)
    corpus = sorted(documents, key=lambda document: document.id)
    frequency = Counter(word.lower() for document in corpus for word in _WORD.findall(document.text))
    per_document = [list(_questions(document, frequency, rng, config)) for document in corpus]
    for questions in per_document:
        rng.shuffle(questions)
    chosen: list[Question] = []
    seen: set[str] = set()
    for turn in range(config.max_per_document):
        for questions in per_document:
            if len(chosen) == n:
                return chosen
            if turn < len(questions) and questions[turn].question not in seen:
                seen.add(questions[turn].question)
                chosen.append(questions[turn])
    return chosen


def _questions(
    document: Document, frequency: Counter[str], rng: random.Random, config: ClozeConfig
) -> Iterator[Question]:
    for number, (left, right) in enumerate(split_sentences(document.text)):
        start, end = strip_span(document.text, left, right)
        sentence = document.text[start:end]
        if not config.min_sentence <= len(sentence) <= config.max_sentence or not _is_sentence(
            sentence, config
        ):
            continue
        found = [match for match in _CANDIDATE.finditer(sentence) if sentence.count(match.group()) == 1]
        if not found:
            continue
        match = _rarest(found, frequency, rng)
        first, last = _inside_quotes(match)
        yield Question(
            id=f"cloze:{document.id}:{number}",
            question=_question(sentence, first, last, document.title, rng, config),
            answers=(" ".join(sentence[first:last].split()),),
            evidence=(Span(document.id, start + first, start + last),),
            answerable=True,
            kind="cloze",
        )


def is_prose(sentence: str, least_letters: float) -> bool:
    """Whether at least this share of a sentence is letters and spaces, and it is no row of a table."""
    letters = sum(character.isalpha() or character.isspace() for character in sentence)
    return letters >= least_letters * len(sentence) and "|" not in sentence


def _is_sentence(sentence: str, config: ClozeConfig) -> bool:
    return sentence[-1:] in ".!?:;" and is_prose(sentence, config.min_letters_share)


def _rarest(found: Sequence[re.Match[str]], frequency: Counter[str], rng: random.Random) -> re.Match[str]:
    """Draw among the three candidates whose commonest word is rarest, so that the blank is worth asking for."""

    def commonness(match: re.Match[str]) -> int:
        return max((frequency[word.lower()] for word in _WORD.findall(match.group())), default=0)

    ranked = sorted(found, key=lambda match: (commonness(match), match.start()))
    return rng.choice(ranked[:3])


def _inside_quotes(match: re.Match[str]) -> tuple[int, int]:
    start, end = match.span()
    text = match.string
    while start < end - 1 and text[start] in '`"“':
        start += 1
    while end > start + 1 and text[end - 1] in '`"”,.':
        end -= 1
    return start, end


def _question(
    sentence: str, first: int, last: int, title: str, rng: random.Random, config: ClozeConfig
) -> str:
    before = sentence[:first].split()[-config.context_words :]
    after = sentence[last:].split(" ")
    glued = after[0]
    context = " ".join([*before, BLANK + glued, *" ".join(after[1:]).split()[: config.context_words]]).strip()
    context = " ".join(context.split())
    forms = [f"What fills the gap: {context}", f'Complete: "{context}"', context]
    if title:
        forms.append(f"{title}: what is {BLANK} in “{context}”?")
    return rng.choice(forms)
