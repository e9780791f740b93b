"""Which tokens may come next in an episode: a search or a report, and only pointers to sentences that exist.

    action  = search | report
    search  = "<search>" words "</search>"
    report  = "<report>" ( " none" | finding ("\\n" finding)* ) "</report>"
    finding = words pointer+

No two findings of a report point at the same sentence. `Grammar` belongs to a tokenizer and is shared; `GrammarState`
is one episode's place in it. A state's mask is what decoding adds to the logits, so that no sampled action can be
malformed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch

from prep.checks import check_counts
from retrieve.episode.episode import NONE
from retrieve.lm.special_tokens import MARKERS, TAGS, escape

__all__ = ["ActionLimits", "Constraint", "Decision", "Grammar", "GrammarState"]

Decision = Literal["search", "abstain"]


class Constraint(Protocol):
    """A place in a grammar: which tokens may come next, until it is done."""

    @property
    def done(self) -> bool: ...

    @property
    def decides(self) -> Decision | None:
        """The decision that the next token makes, if it makes one with a bias."""

    @property
    def n_searches(self) -> int:
        """Searches made so far."""

    def allowed(self) -> torch.Tensor: ...

    def advance(self, token: int, /) -> None: ...

    def fork(self) -> Constraint:
        """Return an independent copy."""

    def searching(self) -> Constraint | None:
        """Return a copy that allows only a search; None where no search is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLimits:
    """Longest parts of one action, in tokens, and how many findings and pointers it may hold."""

    query_tokens: int = 24
    statement_tokens: int = 48
    max_findings: int = 4
    max_pointers: int = 3

    def __post_init__(self) -> None:
        check_counts(self, *self.__dataclass_fields__)

    @property
    def max_tokens(self) -> int:
        """An upper bound of one action's length."""
        return max(
            self.query_tokens + 2, 3 + self.max_findings * (self.statement_tokens + self.max_pointers + 1)
        )


class Grammar:
    """The token classes of a tokenizer that knows the tags and markers."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """vocabulary_size: width of the logits; rows past the tokenizer's own are never allowed."""
        known: dict[str, int] = tokenizer.get_vocab()
        self.size = vocabulary_size
        self.search, self.end_search = known["<search>"], known["</search>"]
        self.report, self.end_report = known["<report>"], known["</report>"]
        self.question, self.end_question = known["<question>"], known["</question>"]
        self.markers = [known[token] for token in MARKERS]
        self.marker_tokens = torch.tensor(self.markers)
        self.number_of = {token: number for number, token in enumerate(self.markers, start=1)}
        self.newline: int = tokenizer.encode("\n", add_special_tokens=False)[-1]
        self.none: list[int] = tokenizer.encode(f" {NONE}", add_special_tokens=False)
        words = torch.zeros(vocabulary_size, dtype=torch.bool)
        words[[token for token in known.values() if token < vocabulary_size]] = True
        added = tokenizer.added_tokens_decoder.items()
        special = {token for token, about in added if about.special} | set(tokenizer.all_special_ids)
        barred = {known[token] for token in (*TAGS, *MARKERS)} | special
        words[[token for token in barred if token < vocabulary_size]] = False
        # Byte-level tokenizers write a line end as Ċ, and join it to other characters.
        byte_level = tokenizer.convert_tokens_to_string(["Ċ"]) == "\n"
        line_ends = ("Ċ", "č") if byte_level else ("\n", "\r", "<0x0A>", "<0x0D>")
        solid = torch.zeros(vocabulary_size, dtype=torch.bool)
        for text, token in known.items():
            if token >= vocabulary_size:
                continue
            if any(end in text for end in line_ends):
                words[token] = False
            solid[token] = _is_solid(text, byte_level=byte_level)
        self.words = words
        self.solid = words & solid  # tokens that show something by themselves; blanks and bytes may not
        self._tokenizer = tokenizer
        own = [self.search, self.end_search, self.report, self.end_report, *self.markers]
        self._literal = dict(zip(own, [*TAGS[4:8], *MARKERS], strict=True)) | {self.newline: "\n"}

    def deciding(self, decision: Decision) -> int:
        """Return the token that makes this decision."""
        return self.search if decision == "search" else self.none[0]

    def start(
        self,
        n_sentences: int,
        *,
        may_search: bool,
        limits: ActionLimits | None = None,
        n_searches: int = 1,
    ) -> GrammarState:
        """Return the state at the beginning of an action, with `n_sentences` sentences to point at.

        n_searches: made so far; the bias of abstaining depends on it, the mask does not.
        """
        return GrammarState(self, n_sentences, may_search, limits or ActionLimits(), n_searches)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of text that follows other text; the text of control tokens is text."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return tokens

    def abstains(self, action: Sequence[int]) -> bool:
        """Whether an action's tokens are a report of none."""
        return list(action[1:]) == [*self.none, self.end_report]

    def begins_word(self, token: int) -> bool:
        """Whether the token begins a word, a mark or a character of a script without blanks."""
        text: str = self._tokenizer.convert_ids_to_tokens(token)
        return not (text[:1].isascii() and text[:1].isalnum())

    def text(self, tokens: Sequence[int]) -> str:
        """Return an action's tokens as text. Words cannot spell a tag or marker: they are escaped."""
        parts: list[str] = []
        run: list[int] = []
        for token in tokens:
            if token in self._literal:
                parts += [self.words_text(run), self._literal[token]]
                run = []
            else:
                run.append(token)
        return "".join([*parts, self.words_text(run)])

    def words_text(self, tokens: Sequence[int]) -> str:
        """Return the text of a run of word tokens, escaped."""
        if not tokens:
            return ""
        decode = self._tokenizer.decode
        return escape(decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _is_solid(text: str, *, byte_level: bool) -> bool:
    """Whether a token shows something by itself: neither a blank nor a byte that may be part of one."""
    if byte_level:
        return any("!" <= character <= "~" for character in text)
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return False
    return bool(text.replace("▁", " ").strip())


@dataclass(slots=True)
class GrammarState:
    """The place of one action in the grammar. `advance` with each token; `done` once the action is complete.

    must_search: no report is allowed.
    """

    grammar: Grammar
    n_sentences: int
    may_search: bool
    limits: ActionLimits
    n_searches: int = 1
    must_search: bool = False
    place: str = "start"
    done: bool = False
    written: list[int] = field(default_factory=list)  # tokens of the current query or statement
    pointers: list[int] = field(default_factory=list)  # of the current finding
    quoted: list[int] = field(default_factory=list)  # pointers of earlier findings
    n_findings: int = 0

    @property
    def decides(self) -> Decision | None:
        """The next token decides whether to search once more, or, first in a report, whether to abstain."""
        if self.place == "start" and self.may_search and not self.must_search:
            return "search"
        return "abstain" if self.place == "statement" and not self.written and self.n_findings == 0 else None

    def fork(self) -> GrammarState:
        """Return an independent copy."""
        return replace(self, written=[*self.written], pointers=[*self.pointers], quoted=[*self.quoted])

    def searching(self) -> GrammarState | None:
        """Return a copy of an action's beginning that allows only a search; None where no search is allowed."""
        return replace(self.fork(), must_search=True) if self.may_search else None

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next: bool (vocabulary,). Never all False before `done`."""
        grammar, limits = self.grammar, self.limits
        mask = torch.zeros(grammar.size, dtype=torch.bool)
        if self.place == "start":
            mask[grammar.report] = not self.must_search
            mask[grammar.search] = self.may_search
        elif self.place == "search":
            self._allow_words(mask, limits.query_tokens)
            mask[grammar.end_search] = self._shows_something()
        elif self.place == "statement":
            self._allow_statement(mask)
        else:
            if len(self.pointers) < limits.max_pointers:
                self._allow_markers(mask)
            left = self.n_sentences - len(self.quoted) - len(self.pointers)
            mask[grammar.newline] = left > 0 and self.n_findings + 1 < limits.max_findings
            mask[grammar.end_report] = True
        return mask

    def advance(self, token: int) -> None:
        """Take `token`. Raises ValueError where it is not allowed."""
        if self.done or not bool(self.allowed()[token]):
            raise ValueError(f"token {token} is not allowed in place {self.place!r}")
        grammar = self.grammar
        if token == grammar.search:
            self.place = "search"
        elif token == grammar.report:
            self.place = "statement"
        elif token in (grammar.end_search, grammar.end_report):
            self.done = True
        elif self.place == "pointers" and token == grammar.newline:
            self.quoted += self.pointers
            self.place, self.written, self.pointers = "statement", [], []
            self.n_findings += 1
        elif token in grammar.number_of:
            self.place = "pointers"
            self.pointers.append(token)
        else:
            self.written.append(token)

    def _allow_statement(self, mask: torch.Tensor) -> None:
        grammar = self.grammar
        none_so_far = self.n_findings == 0 and self.written == grammar.none[: len(self.written)]
        if self.n_sentences == 0:
            # No sentence to point at: the only report is "none".
            if self.written == grammar.none:
                mask[grammar.end_report] = True
            else:
                mask[grammar.none[len(self.written)]] = True
            return
        self._allow_words(mask, self.limits.statement_tokens)
        if none_so_far and self.written == grammar.none:
            mask[grammar.end_report] = True
        if self._shows_something():
            self._allow_markers(mask)

    def _allow_words(self, mask: torch.Tensor, most: int) -> None:
        """Allow words up to `most` tokens; the last must be solid if none before it is."""
        if len(self.written) < most - 1 or (len(self.written) < most and self._shows_something()):
            mask |= self.grammar.words
        elif len(self.written) < most:
            mask |= self.grammar.solid

    def _allow_markers(self, mask: torch.Tensor) -> None:
        mask[self.grammar.marker_tokens[: self.n_sentences]] = True
        for token in (*self.quoted, *self.pointers):
            mask[token] = False

    def _shows_something(self) -> bool:
        if any(bool(self.grammar.solid[token]) for token in self.written):
            return True
        return bool(self.grammar.words_text(self.written).strip())
