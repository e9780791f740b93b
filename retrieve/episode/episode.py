"""One episode: a question, its searches, and the report. The one state machine, in serving and in training.

    <results>
    Title › Heading
    ⟦1⟧ First sentence.⟦2⟧ Second sentence.
    </results>
    <question>…</question>
    <search> other words for it</search>
    <results>…only what was not shown before, numbered on…</results>
    <report> short answer⟦2⟧⟦7⟧</report>        or <report> none</report>

A blank before every word makes a copied word the same token as its source; no blank before a marker saves a token. The
first results stand before the question, so that several questions on the same passages share a prefix.

The first search is the question itself, and free. An episode runs neither a model nor a search: its state says what it
waits for, and the caller gives passages (`give`) or the model's action (`act`). Pointers are sentence numbers; code
turns them into exact spans, so no quote can be invented.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from prep.checks import check_counts
from prep.document import Chunk, Span
from prep.errors import ConfigError
from prep.text import split_sentences, strip_span
from retrieve.lm.special_tokens import MAX_SENTENCES, POINTER, escape, marker

__all__ = [
    "NONE",
    "Claim",
    "Episode",
    "EpisodeLimits",
    "MalformedAction",
    "Passage",
    "PromptParts",
    "cut_at_blanks",
    "one_line",
    "parse_report",
    "sentence_spans",
    "show_passage",
    "show_sentence",
]

NONE = "none"
_SEARCH = re.compile(r"\s*<search>(.*?)</search>", re.DOTALL)
_REPORT = re.compile(r"\s*<report>(.*?)</report>", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_SURROGATE = re.compile("[\ud800-\udfff]")  # no tokenizer takes half a character


class MalformedAction(ValueError):
    """An action that is neither a search nor a report. Constrained decoding cannot produce one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLimits:
    """How much an episode may show and ask. Sizes in characters, so that they need no tokenizer.

    score_margin: by how much a passage may score less than the best new one of its search and still be shown
    (`prep.store.ranking`; 2 keeps all).
    """

    score_margin: float = 2.0
    max_searches: int = 3
    passages_per_search: int = 4
    max_sentence_characters: int = 400
    max_passage_characters: int = 1_000
    max_question_characters: int = 600
    max_heading_characters: int = 120

    def __post_init__(self) -> None:
        check_counts(self, *(name for name in self.__dataclass_fields__ if name != "score_margin"))
        if not 0 <= self.score_margin <= 2:
            raise ConfigError(f"score_margin={self.score_margin!r} must lie in 0..2")


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as an episode shows it: its place, its search score, and its document's title."""

    document_id: str
    title: str
    headings: tuple[str, ...]
    start: int
    end: int
    text: str
    score: float = 0.0

    @classmethod
    def of(cls, chunk: Chunk, title: str, score: float) -> Passage:
        """Return the passage of a stored chunk."""
        return cls(chunk.document_id, title, chunk.headings, chunk.start, chunk.end, chunk.text, score)


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding of a report as the model wrote it: a statement and the numbers of its sentences.

    alternative: less likely than the others, and not part of the answer.
    """

    statement: str
    pointers: tuple[int, ...]
    alternative: bool = False


@dataclass(frozen=True, slots=True)
class PromptParts:
    """A prompt of one search in two parts: the results, which other questions may share, and the question."""

    results: str
    question: str


@dataclass(slots=True)
class Episode:
    """One question. `state` is what it waits for: passages ("search"), an action ("act"), or nothing ("done")."""

    question: str
    limits: EpisodeLimits = field(default_factory=EpisodeLimits)
    # Each with its text, and whether the model wrote it.
    segments: list[tuple[str, bool]] = field(init=False, default_factory=list)
    state: Literal["search", "act", "done"] = field(init=False, default="search")
    queries: list[str] = field(init=False)
    passages: list[Passage] = field(init=False, default_factory=list)
    sentences: list[Span] = field(init=False, default_factory=list)
    sentence_passage: list[int] = field(init=False, default_factory=list)
    actions: list[str] = field(init=False, default_factory=list)
    claims: tuple[Claim, ...] = field(init=False, default=())
    abstained: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        storable = _SURROGATE.sub("\ufffd", self.question)
        self.queries = [one_line(storable)[: self.limits.max_question_characters]]

    @property
    def prompt(self) -> str:
        """The whole episode so far, as the model reads it."""
        return "".join(text for text, _ in self.segments)

    @property
    def first_prompt(self) -> PromptParts | None:
        """The prompt of the first action; None before the first results and after a second search."""
        if len(self.queries) > 1 or len(self.segments) < 2:
            return None
        (results, _), (question, _) = self.segments[:2]
        return PromptParts(results, question)

    @property
    def query(self) -> str:
        """The pending search. Meaningful in state "search"."""
        return self.queries[-1]

    @property
    def may_search(self) -> bool:
        """Whether the next action may still be a search."""
        return len(self.queries) < self.limits.max_searches and len(self.sentences) < MAX_SENTENCES

    def unseen(self, passages: Iterable[Passage], *, is_chosen: bool = False) -> list[Passage]:
        """Return the passages that overlap none shown before, at most as many as `limits` allows. Best first.

        is_chosen: they were chosen by more than their scores, which then leave none out.
        """
        chosen: list[Passage] = []
        for passage in passages:
            if len(chosen) == self.limits.passages_per_search:
                break
            if chosen and not is_chosen and passage.score < chosen[0].score - self.limits.score_margin:
                break
            span = Span(passage.document_id, passage.start, passage.end)
            if not any(span.overlaps(other) for other in (*self.passages, *chosen)):
                chosen.append(passage)
        return chosen

    def give(self, passages: Sequence[Passage], *, is_chosen: bool = False) -> None:
        """Show the results of the pending search, best first; passages shown before are left out.

        is_chosen: as for `unseen`.
        """
        if self.state != "search":
            raise RuntimeError(f"passages were given in state {self.state!r}")
        blocks: list[str] = []
        for passage in self.unseen(passages, is_chosen=is_chosen):
            block = self._render(passage)
            if block is not None:
                blocks.append(block)
        body = "".join(f"{block}\n" for block in blocks)
        self.segments.append((f"<results>\n{body}</results>\n", False))
        if len(self.segments) == 1:
            self.segments.append((f"<question>{escape(self.queries[0])}</question>\n", False))
        self.state = "act"

    def act(self, action: str) -> None:
        """Take the model's action. Raises MalformedAction; pointers to sentences not shown are malformed."""
        if self.state != "act":
            raise RuntimeError(f"an action was taken in state {self.state!r}")
        if match := _SEARCH.fullmatch(action):
            query = one_line(match.group(1))
            if not query or not self.may_search:
                raise MalformedAction(f"no such search is allowed here: {action!r}")
            self.queries.append(query)
            action = f"<search> {escape(query)}</search>"
            self.segments += [(action, True), ("\n", False)]
            self.state = "search"
        elif match := _REPORT.fullmatch(action):
            self.claims = parse_report(match.group(1), len(self.sentences))
            self.abstained = not self.claims
            action = action.strip()
            self.segments.append((action, True))
            self.state = "done"
        else:
            raise MalformedAction(f"neither a search nor a report: {action!r}")
        self.actions.append(action)

    def conclude(self, answer: str | None, quotes: Sequence[Span] = ()) -> bool:
        """End with an answer that was found without the model, None for refusing, as an action like the model's.

        Returns False, and does nothing, where a quote holds no sentence that was shown.
        """
        pointers: list[int] = []
        for quote in quotes:
            found = [number for number, span in enumerate(self.sentences, start=1) if span.overlaps(quote)]
            if not found:
                return False
            pointers += found
        words = NONE if answer is None else escape(one_line(answer))
        marks = "".join(marker(number) for number in dict.fromkeys(pointers))
        self.act(f"<report> {words}{marks}</report>")
        return True

    def add_alternative(self, report: str) -> None:
        """Add the claims of a less likely report to those the episode ended with; the prompt stays as it is.

        A claim with the same statement as an earlier one adds its pointers to it. Raises MalformedAction as `act` does.
        """
        match = _REPORT.fullmatch(report)
        if self.state != "done" or not self.claims or match is None:
            raise MalformedAction(f"no alternative to a report: {report!r}")
        others = parse_report(match.group(1), len(self.sentences))
        claims: dict[str, Claim] = {}
        for claim in (*self.claims, *(replace(other, alternative=True) for other in others)):
            key = one_line(claim.statement).lower()
            first = claims.get(key, claim)
            claims[key] = replace(first, pointers=tuple(dict.fromkeys((*first.pointers, *claim.pointers))))
        self.claims = tuple(claims.values())

    def _render(self, passage: Passage) -> str | None:
        """Number the passage's sentences and return its block; None without a sentence or a free number."""
        limits = self.limits
        spans = sentence_spans(passage, limits)
        spans = spans[: MAX_SENTENCES - len(self.sentences)]
        if not spans:
            return None
        block = show_passage(passage, spans, len(self.sentences) + 1, limits)
        self.sentences += spans
        self.sentence_passage += [len(self.passages)] * len(spans)
        self.passages.append(passage)
        return block


def show_passage(passage: Passage, spans: Sequence[Span], first: int, limits: EpisodeLimits) -> str:
    """Return a passage as the model reads it: a line of headings, then the sentences numbered from `first`."""
    heading = " › ".join(part for part in (passage.title, *passage.headings) if part.strip())
    heading = escape(one_line(heading))[: limits.max_heading_characters]
    parts = [
        f"{marker(number)}{show_sentence(passage, span)}" for number, span in enumerate(spans, start=first)
    ]
    return f"{heading}\n{''.join(parts)}"


def show_sentence(passage: Passage, span: Span) -> str:
    """Return a sentence of a passage as the model reads it after its marker."""
    text = passage.text[span.start - passage.start : span.end - passage.start]
    return f" {escape(one_line(text))}"


def sentence_spans(passage: Passage, limits: EpisodeLimits) -> list[Span]:
    """Return the spans of the passage's sentences in its document up to the size limit, long ones cut at a blank."""
    spans: list[Span] = []
    stop = min(len(passage.text), limits.max_passage_characters)
    for left, right in split_sentences(passage.text):
        if left >= stop:
            break
        for start, end in cut_at_blanks(passage.text, left, right, limits.max_sentence_characters):
            if start >= stop:
                break
            start, end = strip_span(passage.text, start, end)
            if start < end:
                spans.append(Span(passage.document_id, passage.start + start, passage.start + end))
    return spans


def parse_report(body: str, n_sentences: int) -> tuple[Claim, ...]:
    """Return the claims of a report's body; empty for `none`. Raises MalformedAction."""
    if body.strip() == NONE:
        return ()
    claims = []
    for line in body.strip().split("\n"):
        pointers = tuple(dict.fromkeys(int(number) for number in POINTER.findall(line)))
        statement = POINTER.sub("", line).strip()
        if not statement or not pointers:
            raise MalformedAction(f"a finding needs a statement and a pointer: {line!r}")
        if escape(statement) != statement:
            raise MalformedAction(f"a statement holds a tag or a marker: {statement!r}")
        if not all(1 <= pointer <= n_sentences for pointer in pointers):
            raise MalformedAction(f"a pointer of {line!r} is outside 1..{n_sentences}")
        claims.append(Claim(statement, pointers))
    return tuple(claims)


def cut_at_blanks(text: str, start: int, end: int, size: int) -> list[tuple[int, int]]:
    """Return start..end in pieces of at most `size` characters, cut behind a blank where one is near enough."""
    pieces = []
    while end - start > size:
        blank = text.rfind(" ", start + size // 2, start + size)
        cut = start + size if blank < 0 else blank + 1
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]


def one_line(text: str) -> str:
    """Return the text with every run of blanks and line ends as one blank."""
    return _BLANKS.sub(" ", text).strip()
