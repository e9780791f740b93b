"""Which tokens may come next in an episode: a search or a report, and only pointers to sentences that exist.

    action  = search | report
    search  = "<search>" words "</search>"
    report  = "<report>" ( " none" | finding ("\\n" finding)* ) "</report>"
    finding = words pointer+

`Grammar` belongs to a tokenizer and is shared; `GrammarState` is one episode's place in it. A state's mask is what
decoding adds to the logits, so that no sampled action can be malformed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from retrieve.episode import NONE
from retrieve.tags import MARKERS, TAGS

__all__ = ["ActionLimits", "Grammar", "GrammarState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLimits:
    """Longest parts of one action, in tokens, and how many findings and pointers it may hold."""

    query_tokens: int = 24
    statement_tokens: int = 48
    max_findings: int = 4
    max_pointers: int = 3

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
        self.markers = [known[token] for token in MARKERS]
        self.number_of = {token: number for number, token in enumerate(self.markers, start=1)}
        self.newline: int = tokenizer.encode("\n", add_special_tokens=False)[-1]
        self.none: list[int] = tokenizer.encode(f" {NONE}", add_special_tokens=False)
        words = torch.zeros(vocabulary_size, dtype=torch.bool)
        words[[token for token in known.values() if token < vocabulary_size]] = True
        barred = {known[token] for token in (*TAGS, *MARKERS)} | set(tokenizer.all_special_ids)
        words[list(barred)] = False
        for text, token in known.items():
            if token < vocabulary_size and (
                "\n" in text or "\r" in text or text in ("<0x0A>", "<0x0D>", "Ċ")
            ):
                words[token] = False
        self.words = words
        blank = [
            token for text, token in known.items() if not text.strip(" ▁Ġ\t") and token < vocabulary_size
        ]
        self.blank = set(blank)

    def start(
        self, n_sentences: int, *, may_search: bool, limits: ActionLimits | None = None
    ) -> GrammarState:
        """Return the state at the beginning of an action, with `n_sentences` sentences to point at."""
        return GrammarState(self, n_sentences, may_search, limits or ActionLimits())


@dataclass(slots=True)
class GrammarState:
    """One action's place in the grammar. `advance` with each token; `done` once the action is complete."""

    grammar: Grammar
    n_sentences: int
    may_search: bool
    limits: ActionLimits
    place: str = "start"
    done: bool = False
    written: list[int] = field(default_factory=list)  # tokens of the query or statement at hand
    pointers: list[int] = field(default_factory=list)  # of the finding at hand
    n_findings: int = 0

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next: bool (vocabulary,). Never all False before `done`."""
        grammar, limits = self.grammar, self.limits
        mask = torch.zeros(grammar.size, dtype=torch.bool)
        if self.place == "start":
            mask[grammar.report] = True
            mask[grammar.search] = self.may_search
        elif self.place == "search":
            if len(self.written) < limits.query_tokens:
                mask |= grammar.words
            mask[grammar.end_search] = self._says_something()
        elif self.place == "statement":
            self._allow_statement(mask)
        else:
            if len(self.pointers) < limits.max_pointers:
                self._allow_markers(mask)
            mask[grammar.newline] = self.n_findings + 1 < limits.max_findings
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
            # Nothing to point at: the only report is "none".
            if self.written == grammar.none:
                mask[grammar.end_report] = True
            else:
                mask[grammar.none[len(self.written)]] = True
            return
        if len(self.written) < self.limits.statement_tokens:
            mask |= grammar.words
        if none_so_far and self.written == grammar.none:
            mask[grammar.end_report] = True
        if self._says_something():
            self._allow_markers(mask)

    def _allow_markers(self, mask: torch.Tensor) -> None:
        for token in self.grammar.markers[: self.n_sentences]:
            mask[token] = token not in self.pointers

    def _says_something(self) -> bool:
        return any(token not in self.grammar.blank for token in self.written)
