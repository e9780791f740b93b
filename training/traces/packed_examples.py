"""Traces of several questions on the same passages, so that training reads the passages once for all of them.

A sheet is drawn as serving would show it: the first results of one question, with or without its evidence. The other
questions whose evidence stands in them are asked as well, and so are near misses: questions that have some of them
among their results, but no evidence there. Of sets whose questions name nothing a sheet shows one document, without
near misses. A broad question (`TraceConfig.several`) is asked where a part of its evidence stands. The question
stands behind the passages, so all traces of a sheet begin alike, and `training.traces.packing` reads that part once. Of
the near misses some are searched for again; what such a search finds is for `training.traces.traces`.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from prep.checks import check_counts
from prep.document import Span
from prep.errors import ConfigError
from retrieve.episode.episode import NONE, Episode, EpisodeLimits, Passage
from retrieve.lm.special_tokens import escape
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.traces.traces import (
    Trace,
    TraceConfig,
    TraceCounts,
    arranged,
    evidence_of,
    finished,
    may_answer,
    named,
    reworded,
    shows,
    taught_answer,
    told_at_length,
    with_twins,
    without,
)

__all__ = ["Sheet", "SheetConfig", "build_sheets", "draw_second_looks", "draw_sheets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetConfig:
    """How sheets are drawn. traces: how many passages are shown, in which order, how often without the evidence.

    most_questions: of a sheet, near misses among them. none_share: of a sheet's questions, near misses, on average.
    search_share: of these, the trace is another search and ends there. near: a near miss has one of the passages among
    so many first results, those with its evidence aside. often: on how many sheets a question is asked at most.
    """

    traces: TraceConfig = field(default_factory=TraceConfig)
    most_questions: int = 10
    none_share: float = 0.3
    search_share: float = 0.0
    near: int = 20
    often: int = 4

    def __post_init__(self) -> None:
        check_counts(self, "most_questions", "near", "often")
        if not 0 <= self.none_share < 1:
            raise ConfigError(f"none_share={self.none_share!r} must lie in 0..1, below 1")
        if not 0 <= self.search_share <= 1:
            raise ConfigError(f"search_share={self.search_share!r} must lie in 0..1")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Passages, and questions on them; near misses among these are marked as withheld.

    query: another search after them, for its only question; more: what that found.
    """

    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    query: str = ""
    more: tuple[Passage, ...] = ()

    def begun(self, question: Question, limits: EpisodeLimits) -> Episode:
        """Return the question's episode up to its report. What stands in it is given: nothing the model has written."""
        episode = Episode(question.question, replace(limits, max_searches=2 if self.query else 1))
        episode.give(self.passages)
        if self.query:
            episode.act(f"<search> {escape(self.query)}</search>")
            episode.give(self.more)
            episode.segments = [(text, False) for text, _ in episode.segments]
        return episode


def draw_sheets(
    questions: Sequence[Question], pool: PassagePool, config: SheetConfig, *, depth: int = 20
) -> Iterator[Sheet]:
    """Yield sheets, each question's once and again while it may be asked more. Deterministic by seed."""
    traces = config.traces
    titles = {passage.document_id: passage.title for passage in pool.passages}
    asked = [named(question, titles) if traces.title_in_question else question for question in questions]
    asked = [question for question in asked if question.answerable and _fit(question, traces)]
    if traces.reading:
        ranked: list[list[Passage]] = [[] for _ in asked]
    else:
        ranked = pool.search([question.question for question in asked], depth)
    sheets = _Sheets(asked, ranked, pool, config)
    for anchor in sheets.anchors():
        yield sheets.draw(anchor)


def draw_second_looks(
    questions: Sequence[Question],
    pool: PassagePool,
    config: TraceConfig,
    *,
    none_share: float = 0.5,
    depth: int = 20,
) -> Iterator[Sheet]:
    """Yield sheets of one question whose first results do not answer it, and what another search finds.

    In order of the questions, shuffled. Of a share the evidence is kept out of those, too: near misses. Left out are
    questions without another query, or where none finds the evidence. Deterministic by seed.
    """
    rng = random.Random(config.seed)
    fit = [question for question in questions if question.answerable and taught_answer(question, config)]
    twins = with_twins(fit)
    order = list(range(len(fit)))
    rng.shuffle(order)
    ranked = pool.search([question.question for question in fit], depth)
    for number in order:
        question, twin = fit[number], twins[number]
        spans = evidence_of(question, taught_answer(question, config), pool)
        n_passages = rng.randint(config.fewest_passages, config.most_passages)
        missed = without(ranked[number], twin.evidence)[:n_passages]
        missed = arranged(missed, replace(config, noisy_share=0.0), rng)
        withheld = rng.random() < none_share
        queries = [] if may_answer(missed, twin) else reworded(question.question, missed)
        shown = {_place(passage) for passage in missed}
        for query, found in zip(queries, pool.search(queries, depth), strict=True):
            more = [passage for passage in found if _place(passage) not in shown]
            more = (without(more, twin.evidence) if withheld else more)[:n_passages]
            answered = all(any(shows(passage, [span]) for passage in more) for span in spans)
            if may_answer(more, twin) is not withheld and answered is not withheld:
                yield Sheet(tuple(missed), (replace(question, withheld=withheld),), query, tuple(more))
                break


def build_sheets(
    questions: Sequence[Question], pool: PassagePool, config: SheetConfig, *, n: int
) -> tuple[list[Trace], TraceCounts]:
    """Return about n traces, those of a sheet behind one another, with counts. Deterministic by seed."""
    counts = TraceCounts(Counter(), Counter())
    found: list[Trace] = []
    rng = random.Random(config.traces.seed)
    for sheet in draw_sheets(questions, pool, config):
        for question in sheet.questions:
            searches = question.withheld and rng.random() < config.search_share
            build = _search if searches else _trace
            trace = build(sheet, question, pool, config.traces)
            if isinstance(trace, Trace):
                found.append(trace)
                counts.built[trace.kind] += 1
            else:
                counts.refused[trace] += 1
        if len(found) >= n:
            break
    return found, counts


def _begun(sheet: Sheet, question: Question) -> Episode:
    limits = EpisodeLimits(passages_per_search=len(sheet.passages) or 1, max_searches=2)
    episode = Episode(question.question, limits)
    episode.give(sheet.passages)
    return episode


def _search(sheet: Sheet, question: Question, pool: PassagePool, config: TraceConfig) -> Trace | str:
    """Search with the first query that finds the evidence, with the content words where none does; the trace ends."""
    episode = _begun(sheet, question)
    queries = reworded(question.question, sheet.passages)
    if not queries or not episode.may_search:
        return "no other query, or no room for its results"
    found = dict(zip(queries, pool.search(queries, 12), strict=True))
    finds = (q for q, some in found.items() if any(shows(p, question.evidence) for p in episode.unseen(some)))
    episode.act(f"<search> {escape(next(finds, queries[0]))}</search>")
    return Trace(question.id, "search", tuple(episode.segments))


def _trace(sheet: Sheet, question: Question, pool: PassagePool, config: TraceConfig) -> Trace | str:
    episode = _begun(sheet, question)
    if question.withheld:
        return finished(episode, question, "withheld", NONE)
    if config.several:
        return told_at_length(episode, question, "several", config)
    answer = taught_answer(question, config)
    return finished(episode, question, "direct", answer, evidence_of(question, answer, pool), config)


class _Sheets:
    """What is drawn from, and how often each question was asked so far."""

    def __init__(
        self,
        questions: Sequence[Question],
        ranked: Sequence[list[Passage]],
        pool: PassagePool,
        config: SheetConfig,
    ) -> None:
        self.questions, self.ranked, self.pool = questions, ranked, pool
        self.config, self.rng = config, random.Random(config.traces.seed)
        self.twins = with_twins(questions)
        self.spans = [_evidence(one, pool, config.traces) for one in questions]
        self.used: Counter[int] = Counter()
        self.by_passage: dict[tuple[str, int], list[int]] = defaultdict(list)  # whose result it is
        self.nearest: list[set[tuple[str, int]]] = []  # each one's first results, its evidence aside
        for number, passages in enumerate(ranked):
            own = pool.passages_of(self.spans[number][0].document_id) if config.traces.reading else passages
            for passage in own:
                self.by_passage[_place(passage)].append(number)
            others = without(passages, self.twins[number].evidence)[: config.near]
            self.nearest.append(set(map(_place, others)))

    def anchors(self) -> Iterator[int]:
        """Yield questions to draw a sheet for: all once, then all again as far as they were not asked enough."""
        for _ in range(self.config.often):
            order = list(range(len(self.questions)))
            self.rng.shuffle(order)
            yield from (number for number in order if self.used[number] < self.config.often)

    def draw(self, anchor: int) -> Sheet:
        """Return the sheet that this question's results make."""
        config, traces = self.config, self.config.traces
        n_passages = self.rng.randint(traces.fewest_passages, traces.most_passages)
        shown = self._shown(anchor, n_passages)
        places = set(map(_place, shown))
        answered: list[int] = []
        missed: list[int] = []
        texts: set[str] = set()
        for number in dict.fromkeys([anchor, *self._found_with(shown)]):
            question = self.questions[number]
            if self.used[number] >= config.often or question.question in texts:
                continue
            enough = any if traces.several else all
            if enough(any(shows(passage, [span]) for passage in shown) for span in self.spans[number]):
                answered.append(number)
            elif self.nearest[number] & places and not may_answer(shown, self.twins[number]):
                missed.append(number)
            else:
                continue
            texts.add(question.question)
        self.rng.shuffle(missed)
        n_none = self._about(config.none_share * config.most_questions)
        answered = answered[: config.most_questions - n_none]
        if len(answered) + n_none < config.most_questions:  # few are answered: fewer near misses, but one
            n_none = min(n_none, max(1, round(config.none_share / (1 - config.none_share) * len(answered))))
        missed = missed[:n_none]
        chosen = [*answered, *missed]
        self.rng.shuffle(chosen)
        self.used.update(chosen)
        asked = [replace(self.questions[number], withheld=number not in answered) for number in chosen]
        return Sheet(tuple(shown), tuple(asked))

    def _about(self, n: float) -> int:
        """Return a whole number, n on average; nothing is drawn where it is whole."""
        return int(n) if n == int(n) else int(n + self.rng.random())

    def _shown(self, anchor: int, n_passages: int) -> list[Passage]:
        traces = self.config.traces
        if traces.reading:
            own = self.pool.passages_of(self.spans[anchor][0].document_id)
            first = next((i for i, passage in enumerate(own) if shows(passage, self.spans[anchor])), 0)
            return own[first : first + n_passages]
        ranked = self.ranked[anchor]
        if self.rng.random() < traces.withheld_share:
            ranked = without(ranked, self.twins[anchor].evidence)
        return arranged(ranked[:n_passages], replace(traces, noisy_share=0.0), self.rng)

    def _found_with(self, shown: Sequence[Passage]) -> list[int]:
        """Return the questions that have one of the passages among their results, those with more of them first."""
        hits = Counter(number for passage in shown for number in self.by_passage[_place(passage)])
        order = sorted(hits)
        self.rng.shuffle(order)
        return sorted(order, key=lambda number: -hits[number])


def _evidence(question: Question, pool: PassagePool, config: TraceConfig) -> list[Span]:
    if config.several:
        return list(question.evidence)
    return evidence_of(question, taught_answer(question, config), pool)


def _fit(question: Question, config: TraceConfig) -> bool:
    """Whether an answer can be told right: by its words, or a broad question's by what it quotes."""
    return bool(question.evidence if config.several else taught_answer(question, config))


def _place(passage: Passage) -> tuple[str, int]:
    return passage.document_id, passage.start
