"""Examples for the reader: questions with right passages and hard negatives, tokenised once and kept on the disk.

    passages.jsonl   {"header": [ids], "text": [ids], "sentence_of": [...]}, one a line, numbered by line
    examples.jsonl   {"set", "question": [ids], "type", "soft", "no_span", "passages": [numbers],
                      "right": {place in passages: {"sentences": [...], "starts": [...], "ends": [...]}}}

Negatives are what a search over the set's own passages ranks high; a passage that holds an accepted answer is not
taken for wrong. Documents that `held_out_documents` names are left out entirely. Questions whose evidence is left
out, and near misses, have nothing right: they are to be refused.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prep.document import Span
from prep.model.encoder import Encoder
from prep.store.bm25 import LexicalIndex, header_of
from retrieve.episode.episode import Passage
from retrieve.reader.answer_types import ANSWER_TYPES
from retrieve.reader.inputs import (
    InputLimits,
    TokenisedPassage,
    tokenise_passages,
    tokenise_questions,
)
from training.data.dataset import Question

__all__ = [
    "Example",
    "ExampleFiles",
    "ExampleOptions",
    "LexicalCorpus",
    "ReadableCorpus",
    "RightPlaces",
    "answer_type_of",
    "make_examples",
    "read_examples",
]

_HOW_TO = re.compile(r"\bhow (?:do|can|to|should|would|could) (?!you (?:know|feel|think))", re.IGNORECASE)
_MOST_RIGHT_SENTENCES = 6  # evidence of more sentences is a passage: any of them is enough


class ReadableCorpus(Protocol):
    """Passages of some documents, and a search over them: `PassagePool`, or `LexicalCorpus`."""

    def passages_of(self, document_id: str, /) -> list[Passage]:
        """Return the passages of one document, in order."""

    def search(self, queries: Sequence[str], k: int, /) -> list[list[Passage]]:
        """Return the k best passages for each query, best first."""


class LexicalCorpus:
    """Passages searched by their words alone, which needs no model."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(passages)
        self._by_document: dict[str, list[Passage]] = {}
        for passage in self.passages:
            self._by_document.setdefault(passage.document_id, []).append(passage)
        self._index = LexicalIndex.build(
            [f"{header_of(one.title, one.headings)} {one.text}" for one in self.passages]
        )

    def passages_of(self, document_id: str) -> list[Passage]:
        """Return the passages of one document, in order."""
        return self._by_document.get(document_id, [])

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """Return the k best passages for each query, best first."""
        return [[self.passages[row] for row in self._index.search(query, k)] for query in queries]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleOptions:
    """How examples are made of one set.

    n_negatives: wrong passages a question. same_document: only from the documents of the evidence, for questions that
    do not name theirs. withheld_share: of the answerable questions, these are shown without their evidence.
    """

    n_negatives: int = 3
    n_right: int = 2
    n_searched: int = 14
    same_document: bool = False
    withheld_share: float = 0.1


@dataclass(frozen=True, slots=True)
class RightPlaces:
    """What is right in one passage: numbers of its sentences, and of its text tokens that start and end the answer."""

    sentences: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A question with the numbers of its passages, and what is right in those that are, by place in `passages`."""

    dataset: str
    question: tuple[int, ...]
    answer_type: str | None
    soft: bool
    no_span: bool
    passages: tuple[int, ...]
    right: Mapping[int, RightPlaces]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "set": self.dataset,
            "question": self.question,
            "type": self.answer_type,
            "soft": self.soft,
            "no_span": self.no_span,
            "passages": self.passages,
            "right": {
                place: {"sentences": right.sentences, "starts": right.starts, "ends": right.ends}
                for place, right in self.right.items()
            },
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Example:
        """Read what `to_json` wrote."""
        return cls(
            row["set"],
            tuple(row["question"]),
            row["type"],
            row["soft"],
            row["no_span"],
            tuple(row["passages"]),
            {
                int(place): RightPlaces(
                    tuple(right["sentences"]), tuple(right["starts"]), tuple(right["ends"])
                )
                for place, right in row["right"].items()
            },
        )


@dataclass(slots=True)
class ExampleFiles:
    """Examples and the passages they name, as they are written."""

    examples: list[Example] = field(default_factory=list)
    passages: list[TokenisedPassage] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write both files."""
        folder.mkdir(parents=True, exist_ok=True)
        rows: Iterable[Mapping[str, Any]] = (
            {"header": one.header, "text": one.text, "sentence_of": one.sentence_of} for one in self.passages
        )
        _write(folder / "passages.jsonl", rows)
        _write(folder / "examples.jsonl", (example.to_json() for example in self.examples))


def read_examples(folder: Path) -> ExampleFiles:
    """Read both files. Offsets and the sentences' places are not in them."""
    passages = []
    for row in _read(folder / "passages.jsonl"):
        sentence_of = tuple(row["sentence_of"])
        n_sentences = max(sentence_of, default=-1) + 1
        passages.append(
            TokenisedPassage(
                tuple(row["header"]), tuple(row["text"]), (), ((0, 0),) * n_sentences, sentence_of
            )
        )
    return ExampleFiles([Example.from_json(row) for row in _read(folder / "examples.jsonl")], passages)


def answer_type_of(question: Question) -> str | None:
    """Return the type of answer that a labelled question wants, None where its labels do not say."""
    if not question.expects_answer:
        return None
    first = question.answers[0].strip().lower() if question.answers else ""
    if question.kind == "yesno":
        return next((word for word in ("yes", "no") if re.match(rf"{word}\b", first)), None)
    if question.kind == "list":
        return "list"
    if question.kind == "howto" or _HOW_TO.search(question.question.rpartition("\n")[2]):  # the last turn
        return "steps" if question.kind not in ("factoid", "fact") else "span"
    return "span" if question.kind in ("factoid", "fact") else "statement"


def make_examples(
    questions: Sequence[Question],
    corpus: ReadableCorpus,
    encoder: Encoder,
    files: ExampleFiles,
    *,
    dataset: str,
    options: ExampleOptions,
    limits: InputLimits,
    near: Mapping[str, Sequence[Span]] | None = None,
    rng: random.Random,
) -> int:
    """Add an example for each question that can be made one to `files`, and return how many there are.

    near: by question id, the spans that almost answer the unanswerable ones, which are shown with them.
    """
    numbers: dict[tuple[str, int, int], int] = {}
    ids = tokenise_questions(encoder, [question.question for question in questions], limits)
    n_before = len(files.examples)
    for question, tokens in zip(questions, ids, strict=True):
        withheld = question.answerable and rng.random() < options.withheld_share
        right, wrong = _choose(question, corpus, options, (near or {}).get(question.id, ()), rng)
        if question.answerable and not right:
            continue
        shown = wrong if withheld else [*right, *wrong]
        if not shown:
            continue
        rng.shuffle(shown)
        places: dict[int, RightPlaces] = {}
        chosen: list[int] = []
        n_sentences = 0
        for passage in shown:
            key = (passage.document_id, passage.start, passage.end)
            if key not in numbers:
                numbers[key] = len(files.passages)
                files.passages += tokenise_passages(
                    encoder, [(passage.title, passage.headings, passage.text)], limits
                )
            tokenised = files.passages[numbers[key]]
            if not tokenised.text:
                continue
            if not withheld and question.answerable and any(passage is one for one in right):
                found = _right_places(question, passage, tokenised)
                if found is None:
                    continue
                n_sentences = max(n_sentences, len(found.sentences))
                places[len(chosen)] = found
            chosen.append(numbers[key])
        refused = withheld or not question.answerable
        if not chosen or (not refused and not places):
            continue
        answer_type = None if refused else answer_type_of(question)
        whole = n_sentences > _MOST_RIGHT_SENTENCES or question.kind == "passage"
        no_span = not refused and (
            whole or answer_type in ("yes", "no") or not any(place.starts for place in places.values())
        )
        files.examples.append(
            Example(
                dataset,
                tokens,
                answer_type,
                not refused and (whole or (answer_type in ("yes", "no") and n_sentences > 3)),
                no_span,
                tuple(chosen),
                places,
            )
        )
    return len(files.examples) - n_before


def _choose(
    question: Question,
    corpus: ReadableCorpus,
    options: ExampleOptions,
    near: Sequence[Span],
    rng: random.Random,
) -> tuple[list[Passage], list[Passage]]:
    """Return the right passages of a question and wrong ones."""
    documents = list(dict.fromkeys(span.document_id for span in [*question.evidence, *near]))
    beside = [passage for document_id in documents for passage in corpus.passages_of(document_id)]
    overlap = [(passage, _overlap(passage, question.evidence)) for passage in beside]
    touching = [passage for passage, size in overlap if size > 0]
    longest = max((span.end - span.start for span in question.evidence), default=0)
    right = [passage for passage, size in overlap if size >= min(20, longest)] if touching else []
    rng.shuffle(right)
    right = right[: options.n_right]
    almost = [passage for passage in beside if any(span.overlaps(passage) for span in near)]
    rng.shuffle(almost)
    almost = almost[:2]
    known = question.answers if question.kind in ("factoid", "fact", "list") else ()
    short = [answer.lower() for answer in known if len(answer) > 2]

    def is_wrong(passage: Passage) -> bool:
        if any(span.overlaps(passage) for span in question.evidence) or passage in almost:
            return False
        text = passage.text.lower()
        return not any(answer in text for answer in short)

    if options.same_document and len(beside) > len(touching) + 1:
        rest = [passage for passage in beside if is_wrong(passage)]
        rng.shuffle(rest)
        return right, (almost + rest)[: options.n_negatives]
    found = [
        passage for passage in corpus.search([question.question], options.n_searched)[0] if is_wrong(passage)
    ]
    first, later = found[:4], found[4:]
    rng.shuffle(first)
    hard = first[: (options.n_negatives + 1) // 2]
    rest = first[len(hard) :] + later + [passage for passage in beside if is_wrong(passage)][:6]
    rng.shuffle(rest)
    wrong = list(dict.fromkeys([*almost, *hard, *rest]))
    return right, wrong[: options.n_negatives]


def _overlap(passage: Passage, spans: Iterable[Span]) -> int:
    return max(
        (
            min(passage.end, span.end) - max(passage.start, span.start)
            for span in spans
            if span.document_id == passage.document_id
        ),
        default=0,
    )


def _right_places(question: Question, passage: Passage, tokenised: TokenisedPassage) -> RightPlaces | None:
    """Return what is right in a passage, None where nothing of it was tokenised."""
    sentences: set[int] = set()
    starts: set[int] = set()
    ends: set[int] = set()
    for span in question.evidence:
        if not span.overlaps(passage):
            continue
        left, right = span.start - passage.start, span.end - passage.start
        sentences |= {
            number for number, (start, end) in enumerate(tokenised.sentences) if start < right and left < end
        }
        left, right = _answer_within(question, passage.text, left, right)
        inside = [
            number for number, (start, end) in enumerate(tokenised.offsets) if start < right and left < end
        ]
        if inside and left >= 0 and right <= tokenised.offsets[-1][1]:
            starts.add(inside[0])
            ends.add(inside[-1])
    if not sentences:
        return None
    return RightPlaces(tuple(sorted(sentences)), tuple(sorted(starts)), tuple(sorted(ends)))


def _answer_within(question: Question, text: str, left: int, right: int) -> tuple[int, int]:
    """Return where a short answer stands in the evidence left..right of a text; the whole where none does."""
    if question.kind in ("yesno", "list", "passage"):
        return left, right
    evidence = text[max(0, left) : right].lower()
    for answer in question.answers:
        at = evidence.find(answer.lower()) if answer else -1
        if at >= 0:
            return max(0, left) + at, max(0, left) + at + len(answer)
    return left, right


def type_number(answer_type: str | None) -> int:
    """Return the number of a type in ANSWER_TYPES, -1 for None."""
    return -1 if answer_type is None else [*map(str, ANSWER_TYPES)].index(answer_type)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    partial.replace(path)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
