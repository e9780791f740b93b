"""Supervised traces: whole episodes with the right actions, built by the serving state machine itself.

Kinds of trace
    direct      the evidence is among the first results: report it several     it asks for more than a short answer: a
    finding for each piece of evidence, its words as the statement more        the same, once another query has found
    more of it reading     no search can find it (the question names nothing): its passage is put among others
    withheld    the evidence is kept away: report none unanswerable  the set says so: report none again       the
    first results miss it, or it is kept out of them, and another query finds it: search, then report hop         the
    first results hold a part and name what the rest is about: search for that, then report exhausted   other queries
    miss it too, or it is kept away from them: search, then report none search      search once more, and no further:
    one of many traces on the same passages (`training.traces.packed_examples`)

A share of the passages that hold no evidence is damaged, as text from scans is. A trace is refused (and counted) where
its label would be wrong: nothing to point at, or a withheld answer that stands in another passage all the same.
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
from retrieve.episode.episode import NONE, Episode, EpisodeLimits, Passage, sentence_spans
from retrieve.episode.query_terms import content_words
from retrieve.lm.special_tokens import escape, marker
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import has_cjk, normalise_answer
from training.pages.damage import misread
from training.traces.broad_findings import findings_shown

__all__ = [
    "Trace",
    "TraceConfig",
    "TraceCounts",
    "arranged",
    "build_traces",
    "evidence_of",
    "finished",
    "may_answer",
    "mentions",
    "named",
    "preferred_answer",
    "reworded",
    "shows",
    "taught_answer",
    "told_at_length",
    "with_twins",
    "without",
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
        """What the model is to write."""
        return "".join(text for text, is_written in self.segments if is_written)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """Shares of what is built from one set. The rest of the questions become direct traces.

    again_share: of the questions whose evidence the first results miss. missed_share: of the others, it is kept out of
    the first results, for another query to find. persistent_share: of the withheld, another search before none is
    reported. noisy_share: of the traces, one passage without evidence damaged. several: the set's questions ask for
    more than a short answer. more_share: of these, another search before the report where that finds more evidence.
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
    """How many traces of each kind were built, and why others were refused."""

    built: Counter[str]
    refused: Counter[str]


def build_traces(
    questions: Sequence[Question], pool: PassagePool, config: TraceConfig, *, depth: int = 20
) -> tuple[list[Trace], TraceCounts]:
    """Return a trace for each question that allows a sound one, in order, with counts. Deterministic by seed."""
    rng = random.Random(config.seed)
    titles = {passage.document_id: passage.title for passage in pool.passages}
    asked = [named(question, titles) if config.title_in_question else question for question in questions]
    ranked = pool.search([question.question for question in asked], depth)
    others = _other_results(asked, ranked, pool, config)
    traces: list[Trace] = []
    counts = TraceCounts(Counter(), Counter())
    for question, twin, passages, other in zip(asked, with_twins(asked), ranked, others, strict=True):
        outcome = _trace(question, twin, passages, other, pool, config, rng)
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


def taught_answer(question: Question, config: TraceConfig) -> str:
    """Return the preferred answer, empty where none is fit to be copied."""
    answer = preferred_answer(question)
    fit = answer.strip() and len(answer) <= config.max_answer_characters and "\n" not in answer
    return answer if fit else ""


def reworded(question: str, passages: Sequence[Passage]) -> list[str]:
    """Return other queries for a question: its content words, and those with the best documents' titles."""
    keywords = " ".join(content_words(question))
    titles = list(dict.fromkeys(passage.title for passage in passages[:3] if passage.title))
    queries = [keywords, *(f"{title} {keywords}" for title in titles)]
    return [query for query in dict.fromkeys(queries) if query and query != question]


def named(question: Question, titles: dict[str, str]) -> Question:
    """Return the question with its document's title in front."""
    title = titles.get(question.evidence[0].document_id, "") if question.evidence else ""
    return replace(question, question=f"{title}: {question.question}") if title else question


def _other_results(
    questions: Sequence[Question], ranked: Sequence[list[Passage]], pool: PassagePool, config: TraceConfig
) -> list[dict[str, list[Passage]]]:
    """Return, for each question whose first results may miss evidence, what other queries find; one search."""
    queries = [
        _other_queries(question, passages[: config.fewest_passages], pool, config)
        for question, passages in zip(questions, ranked, strict=True)
    ]
    found = iter(pool.search([query for some in queries for query in some], 12))
    return [{query: next(found) for query in some} for some in queries]


def _other_queries(
    question: Question, shown: Sequence[Passage], pool: PassagePool, config: TraceConfig
) -> list[str]:
    """Return what to search for where the passages shown hold no evidence, or a part of it and name the rest.

    Evidence that they hold may be kept out of them, and of a broad question more may be wanted.
    """
    hides = config.missed_share > 0 or config.persistent_share > 0
    if config.reading or not question.answerable:
        return []
    if config.several and config.more_share > 0:
        return reworded(question.question, shown)
    if not hides and config.again_share == 0:
        return []
    missing = [span for span in question.evidence if not any(span.overlaps(passage) for passage in shown)]
    if len(missing) == len(question.evidence):
        return reworded(question.question, shown)
    if hides and question.kind not in _MULTIHOP:
        return reworded(question.question, without(shown, question.evidence))
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
    twin: Question,
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
        episode.give(arranged(ranked[:n_passages], config, rng))
        return finished(episode, question, "unanswerable", NONE)
    if rng.random() < config.withheld_share:
        shown = arranged(without(ranked, twin.evidence)[:n_passages], config, rng)
        persists = config.persistent_share > 0 and rng.random() < config.persistent_share
        return _withheld(episode, twin, shown, others if persists else {})
    if config.several:
        shown = arranged(ranked[:n_passages], config, rng, question.evidence)
        more = config.more_share > 0 and rng.random() < config.more_share
        return _several(episode, question, shown, others if more else {}, config)
    answer = taught_answer(question, config)
    if not answer:
        return "answer missing or too long"
    spans = evidence_of(question, answer, pool)
    top = ranked[:n_passages]
    may_miss = config.missed_share > 0 and not config.reading and question.kind not in _MULTIHOP
    misses = may_miss and rng.random() < config.missed_share
    if misses:
        top = without(ranked, twin.evidence)[:n_passages]
    missing = [span for span in spans if not any(shows(passage, [span]) for passage in top)]
    if len(missing) < len(spans):
        if missing and question.kind in _MULTIHOP:
            return _second_search(episode, twin, answer, spans, missing, top, others, config, kind="hop")
        episode.give(arranged(top, config, rng, spans))
        return finished(episode, question, "reading" if config.reading else "direct", answer, spans, config)
    if any(mentions(passage.text, twin.answers) for passage in top):
        return "answer stands elsewhere"
    if not misses and rng.random() >= config.again_share:
        return "evidence not found"
    return _second_search(episode, twin, answer, spans, missing, top, others, config, kind="again")


def _withheld(
    episode: Episode, question: Question, shown: Sequence[Passage], others: dict[str, list[Passage]]
) -> Trace | str:
    """Report none; after one more search where there are other queries."""
    if any(mentions(passage.text, question.answers) for passage in shown):
        return "withheld answer stands elsewhere"
    episode.give(shown)
    for query, found in others.items():
        fresh = episode.unseen(without(found, question.evidence))
        if fresh and not any(mentions(passage.text, question.answers) for passage in fresh):
            episode.act(f"<search> {escape(query)}</search>")
            episode.give(fresh)
            return finished(episode, question, "exhausted", NONE)
    return finished(episode, question, "withheld", NONE)


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
    return told_at_length(episode, question, kind, config)


def told_at_length(episode: Episode, question: Question, kind: str, config: TraceConfig) -> Trace | str:
    """Report a finding for each piece of evidence shown, in its words; or why that cannot be."""
    findings = _findings(episode, question, config)
    if not findings:
        return "evidence not found"
    lines = [f" {statement}{''.join(map(marker, numbers))}" for statement, numbers in findings]
    episode.act("<report>" + "\n".join(lines) + "</report>")
    return Trace(question.id, kind, tuple(episode.segments))


def _findings(episode: Episode, question: Question, config: TraceConfig) -> list[tuple[str, list[int]]]:
    return findings_shown(episode, question, config.max_pointers)[:_MOST_FINDINGS]


def _with_more(episode: Episode, question: Question, others: dict[str, list[Passage]]) -> Episode:
    """Return the episode after the search that shows most passages with evidence; as it is where none shows any."""
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
            return finished(episode, question, kind, answer, spans, config)
    if kind == "hop" or not others:
        return "evidence not found"
    query, found = next(iter(others.items()))
    fresh = episode.unseen(found)
    if may_answer(fresh, question):
        return "answer stands elsewhere"
    episode.act(f"<search> {escape(query)}</search>")
    episode.give(fresh)
    return finished(episode, question, "exhausted", NONE)


def finished(
    episode: Episode,
    question: Question,
    kind: str,
    statement: str,
    spans: Sequence[Span] = (),
    config: TraceConfig | None = None,
) -> Trace | str:
    """Report the statement with the sentences shown that overlap the spans; or why that cannot be."""
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


def arranged(
    passages: Iterable[Passage],
    config: TraceConfig,
    rng: random.Random,
    evidence: Sequence[Span] = (),
) -> list[Passage]:
    """Return the passages as they are shown: some shuffled, some with one damaged that holds no evidence."""
    shown = list(passages)
    if rng.random() < config.shuffled_share:
        rng.shuffle(shown)
    if rng.random() < config.noisy_share:
        others = [i for i, passage in enumerate(shown) if not _holds(passage, evidence)]
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


def evidence_of(question: Question, answer: str, pool: PassagePool) -> list[Span]:
    """Return the evidence spans whose text is the chosen answer; all of them where none is."""
    matching = [
        span
        for span in question.evidence
        for passage in pool.passages_of(span.document_id)
        if passage.start <= span.start
        and span.end <= passage.end
        and passage.text[span.start - passage.start : span.end - passage.start].strip() == answer.strip()
    ]
    return matching[:1] or list(question.evidence)


def may_answer(passages: Iterable[Passage], question: Question) -> bool:
    """Whether a passage touches the question's evidence or says one of its answers."""
    return any(
        _holds(passage, question.evidence) or mentions(passage.text, question.answers) for passage in passages
    )


def without(passages: Iterable[Passage], evidence: Sequence[Span]) -> list[Passage]:
    """Return the passages that touch none of the evidence."""
    return [passage for passage in passages if not _holds(passage, evidence)]


def _holds(passage: Passage, spans: Iterable[Span]) -> bool:
    return any(span.overlaps(passage) for span in spans)


def shows(passage: Passage, spans: Iterable[Span]) -> bool:
    """Whether a numbered sentence of the passage overlaps the evidence (a long passage is cut off)."""
    wanted = list(spans)
    return any(
        sentence.overlaps(span) for sentence in sentence_spans(passage, EpisodeLimits()) for span in wanted
    )


def mentions(text: str, answers: Iterable[str]) -> bool:
    """Whether one of the answers stands in the text: as whole words, or as characters where it has no blanks."""
    plain = f" {normalise_answer(text)} "
    keys = [normalise_answer(answer) for answer in answers]
    return any(len(key) > 1 and (key if has_cjk(key) else f" {key} ") in plain for key in keys)


def with_twins(questions: Sequence[Question]) -> list[Question]:
    """Return each question with the answers and the evidence of all that ask the same in the same words.

    Where none of these may be shown, none is right.
    """
    same: dict[str, list[Question]] = {}
    for question in questions:
        same.setdefault(normalise_answer(question.question), []).append(question)
    return [
        replace(
            question,
            answers=tuple(dict.fromkeys(answer for twin in twins for answer in twin.answers)),
            evidence=tuple(dict.fromkeys(span for twin in twins for span in twin.evidence)),
        )
        for question in questions
        for twins in [same[normalise_answer(question.question)]]
    ]
