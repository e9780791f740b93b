"""Question generation, the model's other mode: from one passage a question, its answer and the answer's place.

    <ask>
    Title › Heading
    ⟦1⟧ First sentence.⟦2⟧ Second sentence.
    </ask>
    ⟦2⟧ answer
    <question> question</question>

The grammar allows only a run of the sentence's tokens as the answer, so the sentence always holds it. The caller names
the sentence, so that questions spread over the documents.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from prep.checks import check_counts
from prep.document import Span
from retrieve.episode.episode import (
    EpisodeLimits,
    Passage,
    one_line,
    sentence_spans,
    show_passage,
    show_sentence,
)
from retrieve.episode.grammar import Decision, Grammar
from retrieve.lm.special_tokens import MAX_SENTENCES, escape, marker

__all__ = ["GeneratedQuestion", "QuestionLimits", "QuestionPrompt", "QuestionState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLimits:
    """Longest parts, in tokens."""

    answer_tokens: int = 24
    question_tokens: int = 40

    def __post_init__(self) -> None:
        check_counts(self, *self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class GeneratedQuestion:
    """A question as the model wrote it, the answer in the document's words, and its span."""

    question: str
    answer: str
    evidence: Span


@dataclass(frozen=True, slots=True)
class QuestionPrompt:
    """A passage to ask about. sentences: their spans in the document, in order; none in a blank passage."""

    passage: Passage
    sentences: tuple[Span, ...]

    @classmethod
    def of(cls, passage: Passage) -> QuestionPrompt:
        """Return the prompt of a passage, cut off where an episode cuts it off."""
        return cls(passage, tuple(sentence_spans(passage, EpisodeLimits())[:MAX_SENTENCES]))

    @property
    def text(self) -> str:
        """The prompt as the model reads it."""
        block = show_passage(self.passage, self.sentences, 1, EpisodeLimits())
        return f"<ask>\n{block}\n</ask>\n"

    def sentence(self, number: int) -> str:
        """Return the sentence, counted from 1, as the model reads it after its marker."""
        return show_sentence(self.passage, self.sentences[number - 1])

    def locate(self, number: int, answer: str) -> Span | None:
        """Return the answer's span in the sentence, blanks aside; None where the sentence does not hold it."""
        words = answer.split()
        if not words:
            return None
        span = self.sentences[number - 1]
        start, end = span.start - self.passage.start, span.end - self.passage.start
        found = re.search(r"\s+".join(map(re.escape, words)), self.passage.text[start:end])
        if found is None:
            return None
        return Span(span.document_id, span.start + found.start(), span.start + found.end())

    def generated(self, state: QuestionState) -> GeneratedQuestion | None:
        """Return the question of a finished state; None for an unfinished one, or where escaping changed the answer."""
        if not (state.done and state.answer_may_end):
            return None
        evidence = self.locate(state.number, state.grammar.words_text(state.answer))
        question = one_line(state.grammar.words_text(state.written))
        if evidence is None or not question:
            return None
        start, end = evidence.start - self.passage.start, evidence.end - self.passage.start
        return GeneratedQuestion(question, one_line(self.passage.text[start:end]), evidence)

    @staticmethod
    def target(number: int, answer: str, question: str) -> str:
        """Return the completion to train on. answer: with the blank before it, where it has one."""
        words = escape(one_line(question))
        return f"{marker(number)}{answer}\n<question> {words}</question>"


@dataclass(slots=True)
class QuestionState:
    """The place of one generated question in its grammar. `advance` with each token; `done` once it is complete.

    sentence: the tokens of sentence `number` as they stand in the prompt.
    """

    grammar: Grammar
    number: int
    sentence: Sequence[int]
    limits: QuestionLimits = field(default_factory=QuestionLimits)
    place: str = "pointer"
    done: bool = False
    answer: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)  # the question's tokens
    _next: list[int] = field(init=False)  # places of the sentence that the answer may go on with
    _begins: list[bool] = field(init=False)  # for each place, whether it begins a word

    def __post_init__(self) -> None:
        self._begins = [self.grammar.begins_word(token) for token in self.sentence]
        words = self.grammar.words
        self._next = [at for at, token in enumerate(self.sentence) if self._begins[at] and bool(words[token])]

    def fork(self) -> QuestionState:
        """Return an independent copy."""
        other = copy.copy(self)
        other.answer, other.written = [*self.answer], [*self.written]
        return other

    @property
    def decides(self) -> Decision | None:
        """None: a question is always written."""
        return None

    @property
    def n_searches(self) -> int:
        """Zero: nothing is searched for."""
        return 0

    def searching(self) -> None:
        """Return None: no search is ever allowed."""

    @property
    def answer_may_end(self) -> bool:
        """Whether the answer may end here: it shows something, and cuts no word in two."""
        if not any(bool(self.grammar.solid[token]) for token in self.answer):
            return False
        return any(at == len(self.sentence) or self._begins[at] for at in self._next)

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next: bool (vocabulary,). Never all False before `done`."""
        grammar = self.grammar
        mask = torch.zeros(grammar.size, dtype=torch.bool)
        if self.place == "pointer":
            mask[grammar.markers[self.number - 1]] = True
        elif self.place == "answer":
            if len(self.answer) < self.limits.answer_tokens:
                mask[[self.sentence[at] for at in self._next if at < len(self.sentence)]] = True
                mask &= grammar.words
            mask[grammar.newline] = self.answer_may_end or not bool(mask.any())
        elif self.place == "tag":
            mask[grammar.question] = True
        else:
            if len(self.written) < self.limits.question_tokens:
                mask |= grammar.words
            mask[grammar.end_question] = len(self.written) > 0
        return mask

    def advance(self, token: int) -> None:
        """Take `token`. Raises ValueError where it is not allowed."""
        if self.done or not bool(self.allowed()[token]):
            raise ValueError(f"token {token} is not allowed in place {self.place!r}")
        if self.place == "pointer":
            self.place = "answer"
        elif self.place == "answer" and token == self.grammar.newline:
            self.place = "tag"
        elif self.place == "answer":
            self.answer.append(token)
            self._next = [
                at + 1 for at in self._next if at < len(self.sentence) and self.sentence[at] == token
            ]
        elif self.place == "tag":
            self.place = "question"
        elif token == self.grammar.end_question:
            self.done = True
        else:
            self.written.append(token)
