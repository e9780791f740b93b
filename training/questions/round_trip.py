"""The round trip: a generated question is kept where search and the answering model lead back to its sentence.

A question must have the form of one, neither give its answer away nor refer to a text that is not shown, find its
passage among the first results of the search, get the same answer from the answering model on that passage with a
pointer to the same sentence (Alberti et al., https://arxiv.org/abs/1906.05416, for reading; here for search as well),
and be no near-duplicate of one kept before. Only the last check depends on other questions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from prep.checks import check_counts
from prep.document import Floats, Span
from prep.errors import ConfigError
from retrieve.decoding.decoder import Decoder
from retrieve.decoding.generator import Generator
from retrieve.episode.episode import Episode, Passage
from retrieve.episode.question_writing import GeneratedQuestion
from retrieve.model import RetrieveModel
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import f1, has_cjk, normalise_answer

__all__ = [
    "DUPLICATE",
    "KINDS",
    "AnsweringModel",
    "DuplicateFilter",
    "RoundTrip",
    "RoundTripConfig",
    "form_problem",
    "kind_of",
]

KINDS = ("who", "when", "where", "how many", "how", "why", "which", "what", "other")
DUPLICATE = "nearly asked before"
_UNIT = "year|date|day|month|century|decade|time"
_QUESTION_WORDS = {  # kind → English words, Chinese words; of two that begin at one place the first counts
    "who": ("who|whom|whose", "谁"),
    "when": (f"when|(?:what|which) (?:{_UNIT})", "何时|什么时候|哪一?年"),
    "where": ("where", "哪里|何处|什么地方"),
    "how many": ("how (?:many|much|long|old|far|tall|large|big|often)", "多少|几"),
    "how": ("how", "如何|怎么"),
    "why": ("why", "为什么|为何"),
    "which": ("which", "哪"),
    "what": ("what", "什么|何"),
}
_KINDS = {
    kind: re.compile(rf"\b(?:{english})\b|{chinese}", re.IGNORECASE)
    for kind, (english, chinese) in _QUESTION_WORDS.items()
}
# Words that refer to a text that the reader of the question does not see.
_LEANING = re.compile(
    r"\b(?:th(?:is|e|at) (?:passage|text|paragraph|sentence|excerpt|section|article|above|following|author)"
    r"|according to the|mentioned|in this (?:case|example))\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"\b(?:he|she|it|they|him|her|them|his|its|their|this|these|those)\b", re.IGNORECASE)
_NAMED = re.compile(r"(?<!^)\b[A-Z0-9]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTripConfig:
    """depth: the passage must be among so many first results. least_f1: of the model's answer to the generated.

    fewest_words: of a question.
    """

    depth: int = 10
    least_f1: float = 0.6
    fewest_words: int = 4

    def __post_init__(self) -> None:
        check_counts(self, "depth", "fewest_words")
        if not 0 <= self.least_f1 <= 1:
            raise ConfigError(f"least_f1={self.least_f1!r} must lie in 0..1")


_Questions: TypeAlias = Sequence[tuple[GeneratedQuestion, Passage]]


class AnsweringModel:
    """The retrieve model on one passage: its answer and the sentences that it points at."""

    def __init__(self, model: RetrieveModel) -> None:
        self.version = model.version
        self._decoder = Decoder(Generator(model.model, model.tokenizer))
        self._action = model.serving.action
        self._limits = replace(model.serving.episode, max_searches=1)

    def read(self, questions: Sequence[str], passages: Sequence[Passage]) -> list[tuple[str, list[Span]]]:
        """Return for each question, on its passage, the first statement and its sentences; "" where there is none."""
        episodes = []
        for question, passage in zip(questions, passages, strict=True):
            episode = Episode(question, self._limits)
            episode.give([passage])
            episodes.append(episode)
        grammar = self._decoder.grammar
        states = [
            grammar.start(len(episode.sentences), may_search=False, limits=self._action)
            for episode in episodes
        ]
        actions = self._decoder.decode([episode.prompt for episode in episodes], states)
        read: list[tuple[str, list[Span]]] = []
        for episode, action in zip(episodes, actions, strict=True):
            episode.act(action.text)
            if not episode.claims:
                read.append(("", []))
                continue
            claim = episode.claims[0]
            read.append((claim.statement, [episode.sentences[number - 1] for number in claim.pointers]))
        return read


class RoundTrip:
    """The checks of a question by itself, over one pool."""

    def __init__(
        self, pool: PassagePool, reader: AnsweringModel, config: RoundTripConfig | None = None
    ) -> None:
        self.pool = pool
        self.reader = reader
        self.config = config or RoundTripConfig()

    def reject_reasons(self, asked: _Questions) -> list[str]:
        """Return for each question why it is left out, "" where it is kept. Cheap checks come first."""
        reasons = [form_problem(one, self.config) for one, _ in asked]
        self._where(reasons, asked, self._unfound)
        self._where(reasons, asked, self._misread)
        return reasons

    @staticmethod
    def _where(reasons: list[str], asked: _Questions, check: Callable[[_Questions], list[str]]) -> None:
        """Run a check on the questions without a reason so far, and fill in its reasons."""
        left = [row for row, reason in enumerate(reasons) if not reason]
        if left:
            for row, reason in zip(left, check([asked[row] for row in left]), strict=True):
                reasons[row] = reason

    def _unfound(self, asked: _Questions) -> list[str]:
        ranked = self.pool.search([one.question for one, _ in asked], self.config.depth)
        return [
            "" if any(one.evidence.overlaps(found) for found in passages) else "its passage is not found"
            for (one, _), passages in zip(asked, ranked, strict=True)
        ]

    def _misread(self, asked: _Questions) -> list[str]:
        read = self.reader.read([one.question for one, _ in asked], [passage for _, passage in asked])
        return [
            self._difference(one, statement, spans)
            for (one, _), (statement, spans) in zip(asked, read, strict=True)
        ]

    def _difference(self, one: GeneratedQuestion, statement: str, spans: Sequence[Span]) -> str:
        if not statement:
            return "the model finds no answer"
        if f1(statement, [one.answer]) < self.config.least_f1:
            return "the model answers something else"
        return "" if any(span.overlaps(one.evidence) for span in spans) else "the model points elsewhere"


class DuplicateFilter:
    """Finds near-duplicates of earlier questions; it remembers those that passed."""

    def __init__(self, encode: Callable[[Sequence[str]], Floats], cosine: float) -> None:
        """encode: unit vectors of questions, (n, dimension). cosine: from which a later question is a duplicate."""
        self._encode = encode
        self._cosine = cosine
        self._passed: list[Floats] = []

    def are_duplicates(self, questions: Sequence[str]) -> list[bool]:
        """Return for each question whether an earlier one, of these or of those that passed, is nearly the same."""
        if not questions:
            return []
        vectors = self._encode(questions)
        before = (
            np.stack(self._passed) if self._passed else np.zeros((0, vectors.shape[1]), dtype=vectors.dtype)
        )
        nearest = (vectors @ before.T).max(axis=1, initial=-1.0)
        fresh: list[Floats] = []
        duplicates = []
        for vector, cosine in zip(vectors, nearest, strict=True):
            closest = max([float(cosine), *(float(vector @ other) for other in fresh)])
            duplicates.append(closest >= self._cosine)
            if not duplicates[-1]:
                fresh.append(vector)
        self._passed += fresh
        return duplicates


def form_problem(one: GeneratedQuestion, config: RoundTripConfig) -> str:
    """Return what is wrong with a question by its words alone, "" where nothing is."""
    question = one.question
    plain = normalise_answer(question)
    is_cjk = has_cjk(question)
    n_words = len(question) // 2 if is_cjk else len(_WORD.findall(question))
    if not question.rstrip().endswith(("?", "？")):
        return "no question mark"
    if n_words < config.fewest_words:
        return "too short"
    answer = normalise_answer(one.answer)
    if not answer or (answer in plain if is_cjk else f" {answer} " in f" {plain} "):
        return "gives its answer away"
    if _LEANING.search(question) or (_PRONOUN.search(question) and not _NAMED.search(question)):
        return "leans on a text that is not there"
    return ""


def kind_of(question: str) -> str:
    """Return the kind of a question, one of KINDS, by the first question word in it.

    >>> kind_of("In which year did the war end?"), kind_of("How many moons has Mars?")
    ('when', 'how many')
    """
    found = [
        (match.start(), place, kind)
        for place, (kind, pattern) in enumerate(_KINDS.items())
        if (match := pattern.search(question))
    ]
    return min(found)[2] if found else "other"
