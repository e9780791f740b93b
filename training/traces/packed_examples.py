"""Packed shared-context examples: several questions on the same passages, which training reads once for all of them.

An example is drawn as serving would show it: the first results of one question, with or without its evidence. It has
the other questions whose evidence is among these passages, and near misses: questions with some of the passages among
their results, but no evidence there. For sets whose questions name nothing an example shows one document, and has no
near misses. A broad question (`TraceConfig.several`) joins where a part of its evidence is shown. The question stands
after the passages, so all traces of an example share their prefix, which `training.traces.packing` reads once. Some
near misses end in a second search; the results of such a search are left to `training.traces.traces`.
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
from training.traces.evidence_checks import evidence_of, may_answer, shows, with_duplicates, without_evidence
from training.traces.traces import (
    Trace,
    TraceConfig,
    TraceCounts,
    arrange,
    report_findings,
    report_trace,
    rewritten_queries,
    target_answer,
    with_title,
)

__all__ = [
    "PackedExample",
    "PackedExampleConfig",
    "build_packed_traces",
    "draw_packed_examples",
    "draw_second_searches",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedExampleConfig:
    """How examples are drawn. traces: how many passages are shown, in which order, how often without the evidence.

    most_questions: of an example, near misses included. none_share: near misses among an example's questions, on
    average. search_share: near misses whose trace ends in a second search. near: a near miss has one of the passages
    among so many first results, not counting those with its evidence. often: in how many examples a question is at
    most.
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
class PackedExample:
    """Passages and the questions on them; near misses are marked as withheld.

    query: a second search, for an example of one question; more: its results.
    """

    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    query: str = ""
    more: tuple[Passage, ...] = ()

    def begun(self, question: Question, limits: EpisodeLimits) -> Episode:
        """Return the question's episode up to its report, all of it given: no segment is the model's own."""
        episode = Episode(question.question, replace(limits, max_searches=2 if self.query else 1))
        episode.give(self.passages)
        if self.query:
            episode.act(f"<search> {escape(self.query)}</search>")
            episode.give(self.more)
            episode.segments = [(text, False) for text, _ in episode.segments]
        return episode


def draw_packed_examples(
    questions: Sequence[Question], pool: PassagePool, config: PackedExampleConfig, *, depth: int = 20
) -> Iterator[PackedExample]:
    """Yield examples, one around each question, and again while it may be used more. Deterministic by seed."""
    traces = config.traces
    titles = {passage.document_id: passage.title for passage in pool.passages}
    asked = [with_title(question, titles) if traces.title_in_question else question for question in questions]
    asked = [question for question in asked if question.answerable and _fit(question, traces)]
    if traces.reading:
        ranked: list[list[Passage]] = [[] for _ in asked]
    else:
        ranked = pool.search([question.question for question in asked], depth)
    draws = _ExampleDraws(asked, ranked, pool, config)
    for anchor in draws.anchors():
        yield draws.draw(anchor)


def draw_second_searches(
    questions: Sequence[Question],
    pool: PassagePool,
    config: TraceConfig,
    *,
    none_share: float = 0.5,
    depth: int = 20,
) -> Iterator[PackedExample]:
    """Yield examples of one question whose first results miss the evidence, with a second search and its results.

    Questions come shuffled. In a share of the examples the evidence is kept out of the second results, too: near
    misses. Questions without another query that finds the evidence are left out. Deterministic by seed.
    """
    rng = random.Random(config.seed)
    fit = [question for question in questions if question.answerable and target_answer(question, config)]
    with_all_evidence = with_duplicates(fit)
    order = list(range(len(fit)))
    rng.shuffle(order)
    ranked = pool.search([question.question for question in fit], depth)
    for number in order:
        question, merged = fit[number], with_all_evidence[number]
        spans = evidence_of(question, target_answer(question, config), pool)
        n_passages = rng.randint(config.fewest_passages, config.most_passages)
        missed = without_evidence(ranked[number], merged.evidence)[:n_passages]
        missed = arrange(missed, replace(config, noisy_share=0.0), rng)
        withheld = rng.random() < none_share
        queries = [] if may_answer(missed, merged) else rewritten_queries(question.question, missed)
        shown = {_place(passage) for passage in missed}
        for query, found in zip(queries, pool.search(queries, depth), strict=True):
            more = [passage for passage in found if _place(passage) not in shown]
            more = (without_evidence(more, merged.evidence) if withheld else more)[:n_passages]
            answered = all(any(shows(passage, [span]) for passage in more) for span in spans)
            if may_answer(more, merged) is not withheld and answered is not withheld:
                yield PackedExample(
                    tuple(missed), (replace(question, withheld=withheld),), query, tuple(more)
                )
                break


def build_packed_traces(
    questions: Sequence[Question], pool: PassagePool, config: PackedExampleConfig, *, n: int
) -> tuple[list[Trace], TraceCounts]:
    """Return about n traces, those of an example one after another, with counts. Deterministic by seed."""
    counts = TraceCounts(Counter(), Counter())
    found: list[Trace] = []
    rng = random.Random(config.traces.seed)
    for example in draw_packed_examples(questions, pool, config):
        for question in example.questions:
            searches = question.withheld and rng.random() < config.search_share
            build = _search if searches else _trace
            trace = build(example, question, pool, config.traces)
            if isinstance(trace, Trace):
                found.append(trace)
                counts.built[trace.kind] += 1
            else:
                counts.refused[trace] += 1
        if len(found) >= n:
            break
    return found, counts


def _begun(example: PackedExample, question: Question) -> Episode:
    limits = EpisodeLimits(passages_per_search=len(example.passages) or 1, max_searches=2)
    episode = Episode(question.question, limits)
    episode.give(example.passages)
    return episode


def _search(
    example: PackedExample, question: Question, pool: PassagePool, config: TraceConfig
) -> Trace | str:
    """Search with the first query that finds the evidence, with the content words where none does; the trace ends."""
    episode = _begun(example, question)
    queries = rewritten_queries(question.question, example.passages)
    if not queries or not episode.may_search:
        return "no other query, or no room for its results"
    found = dict(zip(queries, pool.search(queries, 12), strict=True))
    finds = (q for q, some in found.items() if any(shows(p, question.evidence) for p in episode.unseen(some)))
    episode.act(f"<search> {escape(next(finds, queries[0]))}</search>")
    return Trace(question.id, "search", tuple(episode.segments))


def _trace(example: PackedExample, question: Question, pool: PassagePool, config: TraceConfig) -> Trace | str:
    episode = _begun(example, question)
    if question.withheld:
        return report_trace(episode, question, "withheld", NONE)
    if config.several:
        return report_findings(episode, question, "several", config)
    answer = target_answer(question, config)
    return report_trace(episode, question, "direct", answer, evidence_of(question, answer, pool), config)


class _ExampleDraws:
    """Draws examples, and counts how often each question was used."""

    def __init__(
        self,
        questions: Sequence[Question],
        ranked: Sequence[list[Passage]],
        pool: PassagePool,
        config: PackedExampleConfig,
    ) -> None:
        self.questions, self.ranked, self.pool = questions, ranked, pool
        self.config, self.rng = config, random.Random(config.traces.seed)
        self.with_all_evidence = with_duplicates(questions)
        self.spans = [_evidence(one, pool, config.traces) for one in questions]
        self.used: Counter[int] = Counter()
        self.by_passage: dict[tuple[str, int], list[int]] = defaultdict(
            list
        )  # the questions that have it as a result
        self.nearest: list[set[tuple[str, int]]] = []  # each question's first results without its evidence
        for number, passages in enumerate(ranked):
            own = pool.passages_of(self.spans[number][0].document_id) if config.traces.reading else passages
            for passage in own:
                self.by_passage[_place(passage)].append(number)
            others = without_evidence(passages, self.with_all_evidence[number].evidence)[: config.near]
            self.nearest.append(set(map(_place, others)))

    def anchors(self) -> Iterator[int]:
        """Yield questions to draw an example around: all once, then again those that may be used more."""
        for _ in range(self.config.often):
            order = list(range(len(self.questions)))
            self.rng.shuffle(order)
            yield from (number for number in order if self.used[number] < self.config.often)

    def draw(self, anchor: int) -> PackedExample:
        """Return the example around this question's results."""
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
            elif self.nearest[number] & places and not may_answer(shown, self.with_all_evidence[number]):
                missed.append(number)
            else:
                continue
            texts.add(question.question)
        self.rng.shuffle(missed)
        n_none = self._about(config.none_share * config.most_questions)
        answered = answered[: config.most_questions - n_none]
        if (
            len(answered) + n_none < config.most_questions
        ):  # few are answered: fewer near misses, at least one
            n_none = min(n_none, max(1, round(config.none_share / (1 - config.none_share) * len(answered))))
        missed = missed[:n_none]
        chosen = [*answered, *missed]
        self.rng.shuffle(chosen)
        self.used.update(chosen)
        asked = [replace(self.questions[number], withheld=number not in answered) for number in chosen]
        return PackedExample(tuple(shown), tuple(asked))

    def _about(self, n: float) -> int:
        """Return n rounded up or down at random, n on average; a whole n needs no draw."""
        return int(n) if n == int(n) else int(n + self.rng.random())

    def _shown(self, anchor: int, n_passages: int) -> list[Passage]:
        traces = self.config.traces
        if traces.reading:
            own = self.pool.passages_of(self.spans[anchor][0].document_id)
            first = next((i for i, passage in enumerate(own) if shows(passage, self.spans[anchor])), 0)
            return own[first : first + n_passages]
        ranked = self.ranked[anchor]
        if self.rng.random() < traces.withheld_share:
            ranked = without_evidence(ranked, self.with_all_evidence[anchor].evidence)
        return arrange(ranked[:n_passages], replace(traces, noisy_share=0.0), self.rng)

    def _found_with(self, shown: Sequence[Passage]) -> list[int]:
        """Return the questions that have one of the passages among their results, those with more of them first."""
        hits = Counter(number for passage in shown for number in self.by_passage[_place(passage)])
        order = sorted(hits)
        self.rng.shuffle(order)
        return sorted(order, key=lambda number: -hits[number])


def _evidence(question: Question, pool: PassagePool, config: TraceConfig) -> list[Span]:
    if config.several:
        return list(question.evidence)
    return evidence_of(question, target_answer(question, config), pool)


def _fit(question: Question, config: TraceConfig) -> bool:
    """Whether a report can be judged: by its answer, or by its quotes for a broad question."""
    return bool(question.evidence if config.several else target_answer(question, config))


def _place(passage: Passage) -> tuple[str, int]:
    return passage.document_id, passage.start
