"""The model's other mode: it reads one passage and writes a question on it, with its answer and where that stands.

    <ask>
    Title › Heading
    ⟦1⟧ First sentence.⟦2⟧ Second sentence.
    </ask>
    ⟦2⟧ answer
    <question> question</question>

The answer is a run of tokens of the sentence pointed at, and the grammar allows nothing else, so it always stands
there. Which sentence is asked about is the caller's to say, so that questions spread over the documents.
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

__all__ = ["AskLimits", "AskPrompt", "AskState", "Asked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLimits:
    """Longest parts, in tokens."""

    answer_tokens: int = 24
    question_tokens: int = 40

    def __post_init__(self) -> None:
        check_counts(self, *self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the model wrote it, the answer as the document has it, and the span of that answer."""

    question: str
    answer: str
    evidence: Span


@dataclass(frozen=True, slots=True)
class AskPrompt:
    """A passage to ask about. sentences: their spans in the document, in order; none where nothing can be asked."""

    passage: Passage
    sentences: tuple[Span, ...]

    @classmethod
    def of(cls, passage: Passage) -> AskPrompt:
        """Return the prompt of a passage, which is cut off where an episode would cut it off."""
        return cls(passage, tuple(sentence_spans(passage, EpisodeLimits())[:MAX_SENTENCES]))

    @property
    def text(self) -> str:
        """What the model reads."""
        block = show_passage(self.passage, self.sentences, 1, EpisodeLimits())
        return f"<ask>\n{block}\n</ask>\n"

    def sentence(self, number: int) -> str:
        """Return the sentence, counted from 1, as the model reads it after its marker."""
        return show_sentence(self.passage, self.sentences[number - 1])

    def locate(self, number: int, answer: str) -> Span | None:
        """Return where the answer stands in the sentence, blanks aside; None where it does not."""
        words = answer.split()
        if not words:
            return None
        span = self.sentences[number - 1]
        start, end = span.start - self.passage.start, span.end - self.passage.start
        found = re.search(r"\s+".join(map(re.escape, words)), self.passage.text[start:end])
        if found is None:
            return None
        return Span(span.document_id, span.start + found.start(), span.start + found.end())

    def asked(self, state: AskState) -> Asked | None:
        """Return what was written; None where it is not whole, or where escaping changed the answer."""
        if not (state.done and state.answer_may_end):
            return None
        evidence = self.locate(state.number, state.grammar.words_text(state.answer))
        question = one_line(state.grammar.words_text(state.written))
        if evidence is None or not question:
            return None
        start, end = evidence.start - self.passage.start, evidence.end - self.passage.start
        return Asked(question, one_line(self.passage.text[start:end]), evidence)

    @staticmethod
    def target(number: int, answer: str, question: str) -> str:
        """Return what the model is trained to write. answer: with the blank before it, where it has one."""
        words = escape(one_line(question))
        return f"{marker(number)}{answer}\n<question> {words}</question>"


@dataclass(slots=True)
class AskState:
    """The place in the grammar of one question. `advance` with each token; `done` once it is complete.

    sentence: the tokens of the sentence asked about, `number`, as they stand in the prompt.
    """

    grammar: Grammar
    number: int
    sentence: Sequence[int]
    limits: AskLimits = field(default_factory=AskLimits)
    place: str = "pointer"
    done: bool = False
    answer: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)  # the question's tokens
    _next: list[int] = field(init=False)  # where in the sentence the answer's next token may stand
    _begins: list[bool] = field(init=False)  # whether a word begins with that token

    def __post_init__(self) -> None:
        self._begins = [self.grammar.begins_word(token) for token in self.sentence]
        words = self.grammar.words
        self._next = [at for at, token in enumerate(self.sentence) if self._begins[at] and bool(words[token])]

    def fork(self) -> AskState:
        """Return a copy that goes its own way."""
        other = copy.copy(self)
        other.answer, other.written = [*self.answer], [*self.written]
        return other

    @property
    def decides(self) -> Decision | None:
        """Nothing: a question is always written."""
        return None

    @property
    def n_searches(self) -> int:
        """None: nothing is searched for."""
        return 0

    def searching(self) -> None:
        """None: no search is ever allowed."""

    @property
    def answer_may_end(self) -> bool:
        """Whether the answer may end as it is: it says something, and no word is cut in two."""
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
