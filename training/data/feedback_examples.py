"""What the experience log teaches: questions to train on, each with a weight, from what people said and did.

    corrected        the answer someone gave instead, where sentences that were shown hold it, or some searched for
    helpful          the answer and its quotes, where the documents still say so, without quotes said to be wrong
    refused rightly  nothing was answered, and that helped
    quoted rightly   nobody judged the answer, but somebody its quotes
    followed up      nobody said anything, but the user went on from it: a weak sign

Other rows teach nothing: an answer that did not help is no example of anything. Of what one person says later things
replace earlier ones, and those who are not named count as one person; where people contradict each other about one
answer, or correct it in different ways, nothing is learned. No user and no document gives more than a share of all
the weight, or half more than an even one where there are few, so that nobody steers the training alone; refusals,
which rest on no document, count as one. What the log blacked out is not taught. Frozen questions and documents are
left out (`training.data.gate_set`): what candidates are judged by cannot be reached from here.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from prep.document import Document, Span
from prep.errors import ConfigError
from prep.text import split_sentences, strip_span
from retrieve.experience.log import ASKED_AGAIN, FOLLOWED_UP, Experience
from retrieve.experience.log_config import MASK
from training.data.dataset import Question
from training.data.gate_set import FrozenSet
from training.metrics.answer_metrics import normalise_answer, says

__all__ = ["LOGGED", "Lesson", "LessonConfig", "Lessons", "chosen", "learnable"]

#: What the ids of lessons begin with; the report's id follows.
LOGGED = "log:"
_SILENT = "nobody said anything"
_OVER_SHARE = "more than the share of one"
_NO_DOCUMENT = ("",)  # what refusals rest on; no document has this id
# Of four documents none can keep to a fifth: without this, each would give `free` lessons and no more.
_OF_EVEN_SHARE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonConfig:
    """What rows weigh. A weight below 1 is the chance of being trained on.

    asked_again: what a row's weight is multiplied by where the question was asked again soon after. user_share,
    document_share: of all weight, at most from one; half more than an even share and up to `free` weight are never too
    much, and all who are not named are one who has no limit.
    """

    corrected: float = 1.0
    helpful: float = 1.0
    quoted_rightly: float = 0.5
    followed_up: float = 0.2
    asked_again: float = 0.5
    user_share: float = 0.2
    document_share: float = 0.2
    free: float = 10.0

    def __post_init__(self) -> None:
        for name in ("corrected", "helpful", "quoted_rightly", "followed_up", "asked_again"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must lie in 0..1")
        for name in ("user_share", "document_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must lie above 0 and not above 1")
        if not self.free >= 0:
            raise ConfigError(f"free={self.free!r} must not be negative")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question to train on. user: who asked it, if known; report_id: the row it comes from."""

    question: Question
    weight: float
    report_id: str
    user: str | None = None

    @property
    def documents(self) -> frozenset[str]:
        """What its evidence stands in."""
        return frozenset(span.document_id for span in self.question.evidence)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the log teaches, oldest question first, and why other rows teach nothing."""

    lessons: tuple[Lesson, ...] = ()
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def kinds(self) -> Counter[str]:
        """How many of each kind there are."""
        return Counter(lesson.question.kind for lesson in self.lessons)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a row's feedback comes to: "helpful", "unhelpful", "corrected", or "" where nobody judged the answer."""

    verdict: str = ""
    answer: str | None = None


def learnable(
    rows: Iterable[Experience],
    documents: Mapping[str, Document],
    frozen: FrozenSet | None = None,
    config: LessonConfig | None = None,
    *,
    search: Callable[[str], Iterable[Span]] = lambda text: (),
) -> Lessons:
    """Return what the rows, oldest first, teach about the documents as they are now. Deterministic.

    search: gives the passages that hold most of a text's words, for corrected answers that no passage shown holds:
    what was not found teaches the most. Without it, those teach nothing.
    """
    config = config or LessonConfig()
    left_out: Counter[str] = Counter()
    of_question: dict[str, list[Experience]] = defaultdict(list)
    for row in rows:
        if row.feedback or row.signals:
            # Traces are most of a row and teach nothing here: a long log need not fit into memory with them.
            kept = replace(row, trace=[])
            of_question[normalise_answer(row.report.question) or row.report.question].append(kept)
        else:
            left_out[_SILENT] += 1
    found: list[Lesson] = []
    for some in of_question.values():
        newest = _newest(some, left_out)
        outcome = newest if isinstance(newest, str) else _lesson(newest, documents, frozen, config, search)
        if isinstance(outcome, Lesson):
            found.append(outcome)
        else:
            left_out[outcome] += 1
    return Lessons(tuple(_within_shares(found, config, left_out)), +left_out)


def chosen(lessons: Iterable[Lesson]) -> list[Question]:
    """Return the questions to train on: each with its weight as the chance, drawn from its report's id alone."""
    return [lesson.question for lesson in lessons if _draw(lesson.report_id) < lesson.weight]


def _newest(rows: Sequence[Experience], left_out: Counter[str]) -> Experience | str:
    """Return the row that counts of those on one question, or why none does; the others are counted as left out."""
    judged = sorted((row for row in rows if _said(row).verdict), key=lambda row: row.feedback[-1].created)
    signs = [row for row in rows if not _said(row).verdict and (row.signals or row.has_quote(right=True))]
    words = _last_words(judged)
    if _contradicted(words):
        left_out["people contradict each other"] += len(judged) - 1
        left_out[_SILENT] += len(rows) - len(judged)
        return "people contradict each other"
    candidates = judged or signs
    if not candidates:
        left_out[_SILENT] += len(rows) - 1
        return _SILENT
    left_out["judged again later" if judged else _SILENT] += len(candidates) - 1
    left_out[_SILENT] += len(rows) - len(candidates)
    taught = [row for row in words if _said(row).verdict != "unhelpful"]
    return (taught or words or signs)[-1]


def _last_words(judged: Sequence[Experience]) -> list[Experience]:
    """Return each one's last word on a question, in the order they were said; those who are not named are one.

    That an answer did not help takes nothing back but that this answer is right: a correction stands until what it
    says is itself said not to help.
    """
    last: dict[str | None, Experience] = {}
    for row in judged:
        before = last.get(row.user)
        if before is None or _said(row).verdict != "unhelpful" or _approved(before) in (_given(row), None):
            last.pop(row.user, None)
            last[row.user] = row
    return list(last.values())


def _given(row: Experience) -> str:
    return normalise_answer(row.report.answer or "")


def _approved(row: Experience) -> str | None:
    """Return which answer was said to be right, if one was."""
    said = _said(row)
    if said.answer is not None:
        return normalise_answer(said.answer)
    return _given(row) if said.verdict == "helpful" else None


def _said(row: Experience) -> _Said:
    said = _Said()
    for item in row.feedback:
        if item.answer is not None:
            said = _Said("corrected", item.answer)
        elif item.helpful:
            said = _Said("helpful")
        elif item.helpful is False and said.verdict != "corrected":
            said = _Said("unhelpful")
    return said


def _contradicted(words: Sequence[Experience]) -> bool:
    """Whether somebody rejects what another approves of, or two correct it, and neither says what the other does."""
    rejected = [(place, _given(row)) for place, row in enumerate(words) if _said(row).verdict != "helpful"]
    approved = [(place, answer) for place, row in enumerate(words) if (answer := _approved(row)) is not None]
    if any(a != b and given == answer for a, given in rejected for b, answer in approved):
        return True
    corrections = [said.answer for row in words if (said := _said(row)).answer is not None]
    return any(not says(one, other) and not says(other, one) for one, other in combinations(corrections, 2))


def _lesson(
    row: Experience,
    documents: Mapping[str, Document],
    frozen: FrozenSet | None,
    config: LessonConfig,
    search: Callable[[str], Iterable[Span]],
) -> Lesson | str:
    """Return what a row teaches, or why nothing."""
    report, said = row.report, _said(row)
    if frozen is not None and frozen.holds_question(report.question):
        return "a frozen question"
    if MASK in report.question or MASK in (said.answer or report.answer or ""):
        return "blacked out"
    signs = {signal.kind for signal in row.signals}
    name = f"{LOGGED}{report.id}"
    again = config.asked_again if ASKED_AGAIN in signs else 1.0
    missing = "the documents do not say it any more"
    statements: tuple[str, ...] = ()
    if said.verdict == "unhelpful":
        return "did not help, and nobody said what would"
    if said.verdict == "corrected":
        assert said.answer is not None
        answer, kind, weight = said.answer, "corrected", config.corrected
        shown = (Span(source.document_id, source.start, source.end) for source in report.sources)
        evidence = _sentences_with(answer, shown, documents)[:1]
        if not evidence:
            evidence = _sentences_with(answer, search(f"{report.question} {answer}"), documents)
            missing = "no sentence found holds the corrected answer"
            if len(evidence) > 1:  # which of them answers the question is not known
                evidence, missing = (), "several sentences hold the corrected answer"
    elif report.answer is None:
        if said.verdict != "helpful":
            return _SILENT
        question = Question(name, report.question, answerable=False, kind="refused rightly")
        return Lesson(question, config.helpful * again, report.id, row.user)
    else:
        answer, evidence, statements = report.answer, _quoted(row, documents), report.statements
        if all(quote in row.quotes(right=False) for quote in report.answer_quotes):
            missing = "no quotes, or all said to be wrong"
        if said.verdict == "helpful":
            kind, weight = "helpful", config.helpful * again
        elif row.has_quote(right=True):
            kind, weight = "quoted rightly", config.quoted_rightly * again
        elif FOLLOWED_UP in signs and ASKED_AGAIN not in signs:
            kind, weight = "followed up", config.followed_up
        else:
            return "asked again, and nobody said anything"
    if not evidence:
        return missing
    if frozen is not None and any(frozen.holds_document(documents[span.document_id]) for span in evidence):
        return "on a frozen document"
    if weight <= 0:
        return "weighs nothing"
    question = Question(name, report.question, (answer,), evidence, kind=kind, statements=statements)
    return Lesson(question, weight, report.id, row.user)


def _quoted(row: Experience, documents: Mapping[str, Document]) -> tuple[Span, ...]:
    """Return the answer's quotes that the documents still hold, but for those that are said to be wrong."""
    wrong = row.quotes(right=False)
    return tuple(
        Span(quote.document_id, quote.start, quote.end)
        for quote in row.report.answer_quotes
        if quote not in wrong
        and (document := documents.get(quote.document_id)) is not None
        and document.text[quote.start : quote.end] == quote.text
    )


def _sentences_with(
    answer: str, passages: Iterable[Span], documents: Mapping[str, Document]
) -> tuple[Span, ...]:
    """Return the passages' sentences that hold the answer, word for word, each once, in the passages' order.

    Where none does, those that follow each other and do together: a clause may be longer than a sentence.
    """
    single: dict[Span, None] = {}
    joined: dict[Span, None] = {}
    for passage in passages:
        document = documents.get(passage.document_id)
        if document is None:
            continue
        text, end = document.text, min(passage.end, len(document.text))
        sentences = split_sentences(text, min(passage.start, end), end)
        holding = [(left, right) for left, right in sentences if says(text[left:right], answer)]
        single.update((Span(document.id, *strip_span(text, *one)), None) for one in holding)
        if not single and (run := _run_with(answer, sentences, text)) is not None:
            joined[Span(document.id, *strip_span(text, *run))] = None
    return tuple(single or joined)


def _run_with(answer: str, sentences: Sequence[tuple[int, int]], text: str) -> tuple[int, int] | None:
    """Return where the first sentences that hold the answer together begin and end, as few as do."""
    end = next((right for _, right in sentences if says(text[sentences[0][0] : right], answer)), None)
    if end is None:
        return None
    return max(left for left, _ in sentences if left < end and says(text[left:end], answer)), end


def _within_shares(
    lessons: Sequence[Lesson], config: LessonConfig, left_out: Counter[str]
) -> Sequence[Lesson]:
    """Leave out lessons until users and documents keep to their shares of what is left, and count them."""
    while True:
        of_users = _capped(
            lessons, lambda lesson: [lesson.user] if lesson.user else [], config.user_share, config.free
        )
        left_out[f"{_OVER_SHARE} user"] += len(lessons) - len(of_users)
        kept = _capped(
            of_users,
            lambda lesson: sorted(lesson.documents) or _NO_DOCUMENT,
            config.document_share,
            config.free,
        )
        left_out[f"{_OVER_SHARE} document"] += len(of_users) - len(kept)
        if len(kept) == len(of_users):
            return kept
        lessons = kept  # less weight in all: a user's share of it may have grown


def _capped(
    lessons: Sequence[Lesson], sources: Callable[[Lesson], Sequence[str]], share: float, free: float
) -> list[Lesson]:
    """Leave out lessons, one of the heaviest source at a time, until none is over its share; the newest stay."""
    of_lesson = [sources(lesson) for lesson in lessons]
    n_sources = len({source for some in of_lesson for source in some}) + (not all(of_lesson))
    share = max(share, _OF_EVEN_SHARE / max(n_sources, 1))
    weights: dict[str, float] = defaultdict(float)
    places: dict[str, deque[int]] = defaultdict(deque)
    for place, lesson in enumerate(lessons):
        for source in of_lesson[place]:
            weights[source] += lesson.weight
            places[source].append(place)
    total = sum(lesson.weight for lesson in lessons)
    heaviest = [(-weight, source) for source, weight in weights.items()]
    heapq.heapify(heaviest)
    gone: set[int] = set()
    while heaviest:
        weight, source = -heaviest[0][0], heaviest[0][1]
        if weight != weights[source]:  # it has lost some since
            heapq.heapreplace(heaviest, (-weights[source], source))
            continue
        if weight <= max(free, share * total) + 1e-9:
            break
        place = places[source].popleft()
        if place not in gone:
            gone.add(place)
            total -= lessons[place].weight
            for one in of_lesson[place]:
                weights[one] -= lessons[place].weight
    return [lesson for place, lesson in enumerate(lessons) if place not in gone]


def _draw(name: str) -> float:
    """Return a number in 0..1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
