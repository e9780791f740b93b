"""Supervised traces: whole episodes with the right actions, built by the serving state machine itself.

Kinds of trace:
    direct        the evidence is among the first results: report
    several       a broad question: report a finding for each piece of evidence, in its words
    more          a broad question, after a second search that finds more of its evidence: report
    reading       no search can find the evidence (the question names nothing): its passage is put among others
    withheld      the evidence is kept out of the results: report none
    unanswerable  the set marks the question so: report none
    again         the first results miss the evidence, or it is kept out of them: search, then report
    hop           the first results hold a part and name the subject of the rest: search for that, then report
    exhausted     other queries miss the evidence too, or it is kept out of their results: search, then report none
    search        search once more, and no further (`training.traces.packed_examples`)

Among the passages without evidence a share is damaged, as scanned text is. A trace is refused (and counted) where its
label would be wrong: no sentence to point at, or a withheld answer that another passage mentions.
"""

from __future__ import annotations

import copy
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from prep.document import Span
from prep.errors import ConfigError
from retrieve.episode.episode import NONE, Episode, EpisodeLimits, Passage
from retrieve.episode.query_terms import content_words
from retrieve.lm.special_tokens import escape, marker
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import normalise_answer
from training.pages.damage import misread
from training.traces.broad_findings import findings_shown
from training.traces.evidence_checks import (
    evidence_of,
    may_answer,
    mentions,
    shows,
    touches,
    with_duplicates,
    without_evidence,
)

__all__ = [
    "Trace",
    "TraceConfig",
    "TraceCounts",
    "arrange",
    "build_traces",
    "preferred_answer",
    "report_findings",
    "report_trace",
    "rewritten_queries",
    "target_answer",
    "with_title",
]

_MULTIHOP = frozenset({"multihop"})  # kinds of question whose answer needs all of the evidence
_MOST_FINDINGS = 4


@dataclass(frozen=True, slots=True)
class Trace:
    """One episode, to its report or to another search. `segments`: text, and whether the model is to write it."""

    question_id: str
    kind: str
    segments: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.segments)

    @property
    def written(self) -> str:
        """The text of the segments that the model is to write."""
        return "".join(text for text, is_written in self.segments if is_written)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """Shares of the kinds of trace that are built from one set. The rest of the questions become direct traces.

    withheld_share: traces whose evidence is kept out of the results. again_share: a second search, among the questions
    whose evidence the first results miss. missed_share: among the others, evidence kept out of the first results for
    another query to find. persistent_share: among the withheld, a second search before none is reported. noisy_share:
    traces with one damaged passage. several: the set's questions are broad, they ask for more than a short answer.
    more_share: among these, a second search before the report where it finds more evidence.
    """

    withheld_share: float = 0.2
    shuffled_share: float = 0.15
    noisy_share: float = 0.1
    again_share: float = 0.5
    missed_share: float = 0.0
    persistent_share: float = 0.0
    several: bool = False
    more_share: float = 0.0
    fewest_passages: int = 2
    most_passages: int = 5
    reading: bool = False
    title_in_question: bool = False
    max_answer_characters: int = 200
    max_pointers: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name.endswith("_share")):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must lie in 0..1")
        if not 1 <= self.fewest_passages <= self.most_passages:
            raise ConfigError(
                f"fewest_passages={self.fewest_passages} must lie in 1..{self.most_passages} (most_passages)"
            )


@dataclass(slots=True)
class TraceCounts:
    """How many traces of each kind were built, and how many were refused by reason."""

    built: Counter[str]
    refused: Counter[str]


def build_traces(
    questions: Sequence[Question], pool: PassagePool, config: TraceConfig, *, depth: int = 20
) -> tuple[list[Trace], TraceCounts]:
    """Return a trace for each question that allows a sound one, in order, with counts. Deterministic by seed."""
    rng = random.Random(config.seed)
    titles = {passage.document_id: passage.title for passage in pool.passages}
    asked = [with_title(question, titles) if config.title_in_question else question for question in questions]
    ranked = pool.search([question.question for question in asked], depth)
    others = _other_results(asked, ranked, pool, config)
    traces: list[Trace] = []
    counts = TraceCounts(Counter(), Counter())
    for question, merged, passages, other in zip(asked, with_duplicates(asked), ranked, others, strict=True):
        outcome = _trace(question, merged, passages, other, pool, config, rng)
        if isinstance(outcome, Trace):
            traces.append(outcome)
            counts.built[outcome.kind] += 1
        else:
            counts.refused[outcome] += 1
    return traces, counts


def preferred_answer(question: Question) -> str:
    """Return the answer most annotators gave, the shortest of equals; empty where there is none."""
    if not question.answers:
        return ""
    votes = Counter(normalise_answer(answer) for answer in question.answers)
    return min(question.answers, key=lambda answer: (-votes[normalise_answer(answer)], len(answer), answer))


def target_answer(question: Question, config: TraceConfig) -> str:
    """Return the preferred answer, empty where it is too long to be copied."""
    answer = preferred_answer(question)
    fit = answer.strip() and len(answer) <= config.max_answer_characters and "\n" not in answer
    return answer if fit else ""


def rewritten_queries(question: str, passages: Sequence[Passage]) -> list[str]:
    """Return other queries for a question: its content words, and those with the best documents' titles."""
    keywords = " ".join(content_words(question))
    titles = list(dict.fromkeys(passage.title for passage in passages[:3] if passage.title))
    queries = [keywords, *(f"{title} {keywords}" for title in titles)]
    return [query for query in dict.fromkeys(queries) if query and query != question]


def with_title(question: Question, titles: dict[str, str]) -> Question:
    """Return the question with its document's title in front."""
    title = titles.get(question.evidence[0].document_id, "") if question.evidence else ""
    return replace(question, question=f"{title}: {question.question}") if title else question


def _other_results(
    questions: Sequence[Question], ranked: Sequence[list[Passage]], pool: PassagePool, config: TraceConfig
) -> list[dict[str, list[Passage]]]:
    """Return the results of other queries for each question whose first results may miss evidence; one search."""
    queries = [
        _other_queries(question, passages[: config.fewest_passages], pool, config)
        for question, passages in zip(questions, ranked, strict=True)
    ]
    found = iter(pool.search([query for some in queries for query in some], 12))
    return [{query: next(found) for query in some} for some in queries]


def _other_queries(
    question: Question, shown: Sequence[Passage], pool: PassagePool, config: TraceConfig
) -> list[str]:
    """Return second queries where the shown passages hold no evidence, or a part of it and name the rest.

    Also where evidence may be kept out of the passages, and for more evidence of a broad question.
    """
    hides = config.missed_share > 0 or config.persistent_share > 0
    if config.reading or not question.answerable:
        return []
    if config.several and config.more_share > 0:
        return rewritten_queries(question.question, shown)
    if not hides and config.again_share == 0:
        return []
    missing = [span for span in question.evidence if not any(span.overlaps(passage) for passage in shown)]
    if len(missing) == len(question.evidence):
        return rewritten_queries(question.question, shown)
    if hides and question.kind not in _MULTIHOP:
        return rewritten_queries(question.question, without_evidence(shown, question.evidence))
    text = " ".join(passage.text for passage in shown)
    subjects = []
    for span in missing:
        title = next((passage.title for passage in pool.passages_of(span.document_id)), "")
        subject = re.sub(r"\s*\(.*?\)$", "", title)
        if len(subject) > 3 and subject in text:
            subjects.append(subject)
    return list(dict.fromkeys(subjects))


def _trace(
    question: Question,
    merged: Question,
    ranked: list[Passage],
    others: dict[str, list[Passage]],
    pool: PassagePool,
    config: TraceConfig,
    rng: random.Random,
) -> Trace | str:
    n_passages = rng.randint(config.fewest_passages, config.most_passages)
    limits = EpisodeLimits(passages_per_search=n_passages, max_searches=2)
    episode = Episode(question.question, limits)
    if config.reading:
        ranked = _around_evidence(question, ranked, pool, n_passages, rng)
    if not question.answerable:
        episode.give(arrange(ranked[:n_passages], config, rng))
        return report_trace(episode, question, "unanswerable", NONE)
    if rng.random() < config.withheld_share:
        shown = arrange(without_evidence(ranked, merged.evidence)[:n_passages], config, rng)
        persists = config.persistent_share > 0 and rng.random() < config.persistent_share
        return _withheld(episode, merged, shown, others if persists else {})
    if config.several:
        shown = arrange(ranked[:n_passages], config, rng, question.evidence)
        more = config.more_share > 0 and rng.random() < config.more_share
        return _several(episode, question, shown, others if more else {}, config)
    answer = target_answer(question, config)
    if not answer:
        return "answer missing or too long"
    spans = evidence_of(question, answer, pool)
    top = ranked[:n_passages]
    may_miss = config.missed_share > 0 and not config.reading and question.kind not in _MULTIHOP
    misses = may_miss and rng.random() < config.missed_share
    if misses:
        top = without_evidence(ranked, merged.evidence)[:n_passages]
    missing = [span for span in spans if not any(shows(passage, [span]) for passage in top)]
    if len(missing) < len(spans):
        if missing and question.kind in _MULTIHOP:
            return _second_search(episode, merged, answer, spans, missing, top, others, config, kind="hop")
        episode.give(arrange(top, config, rng, spans))
        return report_trace(
            episode, question, "reading" if config.reading else "direct", answer, spans, config
        )
    if any(mentions(passage.text, merged.answers) for passage in top):
        return "answer stands elsewhere"
    if not misses and rng.random() >= config.again_share:
        return "evidence not found"
    return _second_search(episode, merged, answer, spans, missing, top, others, config, kind="again")


def _withheld(
    episode: Episode, question: Question, shown: Sequence[Passage], others: dict[str, list[Passage]]
) -> Trace | str:
    """Report none, after a second search where there are other queries."""
    if any(mentions(passage.text, question.answers) for passage in shown):
        return "withheld answer stands elsewhere"
    episode.give(shown)
    for query, found in others.items():
        fresh = episode.unseen(without_evidence(found, question.evidence))
        if fresh and not any(mentions(passage.text, question.answers) for passage in fresh):
            episode.act(f"<search> {escape(query)}</search>")
            episode.give(fresh)
            return report_trace(episode, question, "exhausted", NONE)
    return report_trace(episode, question, "withheld", NONE)


def _several(
    episode: Episode,
    question: Question,
    shown: Sequence[Passage],
    others: dict[str, list[Passage]],
    config: TraceConfig,
) -> Trace | str:
    episode.give(shown)
    kind, n_first = "several", len(episode.sentences)
    if episode.may_search and len(_findings(episode, question, config)) < _MOST_FINDINGS:
        longer = _with_more(episode, question, others)
        if any(numbers[-1] > n_first for _, numbers in _findings(longer, question, config)):
            kind, episode = "more", longer
    return report_findings(episode, question, kind, config)


def report_findings(episode: Episode, question: Question, kind: str, config: TraceConfig) -> Trace | str:
    """Report a finding for each piece of evidence shown, in its words; or return why there is none."""
    findings = _findings(episode, question, config)
    if not findings:
        return "evidence not found"
    lines = [f" {statement}{''.join(map(marker, numbers))}" for statement, numbers in findings]
    episode.act("<report>" + "\n".join(lines) + "</report>")
    return Trace(question.id, kind, tuple(episode.segments))


def _findings(episode: Episode, question: Question, config: TraceConfig) -> list[tuple[str, list[int]]]:
    return findings_shown(episode, question, config.max_pointers)[:_MOST_FINDINGS]


def _with_more(episode: Episode, question: Question, others: dict[str, list[Passage]]) -> Episode:
    """Return the episode after the search that shows most passages with evidence, unchanged where none does."""
    found = {query: episode.unseen(passages) for query, passages in others.items()}
    shown = {query: sum(shows(one, question.evidence) for one in fresh) for query, fresh in found.items()}
    best = max(shown, key=lambda query: shown[query], default="")  # of equals the first
    longer = copy.deepcopy(episode)
    if shown.get(best):
        longer.act(f"<search> {escape(best)}</search>")
        longer.give(found[best])
    return longer


def _second_search(
    episode: Episode,
    question: Question,
    answer: str,
    spans: Sequence[Span],
    missing: Sequence[Span],
    top: list[Passage],
    others: dict[str, list[Passage]],
    config: TraceConfig,
    *,
    kind: str,
) -> Trace | str:
    episode.give(top)
    for query, found in others.items():
        fresh = episode.unseen(found)
        if any(shows(passage, missing) for passage in fresh):
            episode.act(f"<search> {escape(query)}</search>")
            episode.give(fresh)
            return report_trace(episode, question, kind, answer, spans, config)
    if kind == "hop" or not others:
        return "evidence not found"
    query, found = next(iter(others.items()))
    fresh = episode.unseen(found)
    if may_answer(fresh, question):
        return "answer stands elsewhere"
    episode.act(f"<search> {escape(query)}</search>")
    episode.give(fresh)
    return report_trace(episode, question, "exhausted", NONE)


def report_trace(
    episode: Episode,
    question: Question,
    kind: str,
    statement: str,
    spans: Sequence[Span] = (),
    config: TraceConfig | None = None,
) -> Trace | str:
    """Report the statement with the shown sentences that overlap the spans; or return why there are none."""
    pointers: list[int] = []
    if config is not None:
        pointers = [
            number
            for number, sentence in enumerate(episode.sentences, start=1)
            if any(sentence.overlaps(span) for span in spans)
        ][: config.max_pointers]
        if not pointers:
            return "nothing to point at"
    words = " ".join(escape(statement).split())
    episode.act(f"<report> {words}{''.join(map(marker, pointers))}</report>")
    return Trace(question.id, kind, tuple(episode.segments))


def arrange(
    passages: Iterable[Passage],
    config: TraceConfig,
    rng: random.Random,
    evidence: Sequence[Span] = (),
) -> list[Passage]:
    """Return the passages in the order shown, a share of them shuffled, a share with one damaged without evidence."""
    shown = list(passages)
    if rng.random() < config.shuffled_share:
        rng.shuffle(shown)
    if rng.random() < config.noisy_share:
        others = [i for i, passage in enumerate(shown) if not touches(passage, evidence)]
        if others:
            i = rng.choice(others)
            text = misread(shown[i].text, rng.choice((0.02, 0.05, 0.1)), rng)
            shown[i] = replace(shown[i], text=text[: len(shown[i].text)])  # never past where it ends
    return shown


def _around_evidence(
    question: Question, ranked: list[Passage], pool: PassagePool, n_passages: int, rng: random.Random
) -> list[Passage]:
    """Put the passage that holds the evidence at a random place among passages of other documents."""
    evidence = question.evidence[:1]
    own = [p for span in evidence for p in pool.passages_of(span.document_id) if span.overlaps(p)][:1]
    documents = {span.document_id for span in question.evidence}
    others = [passage for passage in ranked[4:] if passage.document_id not in documents]
    rng.shuffle(others)
    shown = others[: max(0, n_passages - 1)]
    shown.insert(rng.randint(0, len(shown)), own[0]) if own else None
    return shown + others[n_passages:]
