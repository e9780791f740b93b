"""Feedback examples: questions of the experience log to train on, weighted by what people said and did.

    corrected        the answer someone gave instead, where sentences that were shown hold it, or some searched for
    helpful          the answer and its quotes, where the documents still say so, without quotes said to be wrong
    refused rightly  nothing was answered, and that helped
    quoted rightly   nobody judged the answer, but somebody its quotes
    followed up      nobody said anything, but the user went on from it: a weak sign

Other rows give no example: an answer that did not help shows nothing right. A person's later feedback replaces the
earlier; users without a name count as one person. Where people contradict each other about one answer, or correct it in
different ways, the row gives no example. No user and no document has more than a share of all the weight, or half more
than an even share where there are few, so that nobody steers the training alone; refusals, which rest on no document,
count as one document. Masked text is not trained on. Questions and documents of the gate set (`training.data.gate_set`)
are left out.
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
from retrieve.experience.log_config import MASK
from retrieve.experience.record import ASKED_AGAIN, FOLLOWED_UP, Experience
from training.data.dataset import FROM_LOG, Question
from training.data.gate_set import GateSet
from training.metrics.answer_metrics import normalise_answer, says

__all__ = [
    "FeedbackConfig",
    "FeedbackExample",
    "FeedbackExamples",
    "draw_examples",
    "examples_from_log",
]

_SILENT = "nobody said anything"
_OVER_SHARE = "more than the share of one"
_NO_DOCUMENT = ("",)  # what refusals rest on; no document has this id
# With four documents none can keep to a fifth: without this factor each would give `free` examples and no more.
_OF_EVEN_SHARE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackConfig:
    """Weights of rows by the kind of their feedback. A weight below 1 is the chance of being trained on.

    asked_again: factor of a row's weight where the question was asked again soon after. user_share, document_share:
    the most that one user or document has of all weight. Half more than an even share, and up to `free` weight, are
    always allowed; users without a name have no limit.
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
class FeedbackExample:
    """A question to train on. user: who asked it, if known; report_id: of the row in the log."""

    question: Question
    weight: float
    report_id: str
    user: str | None = None

    @property
    def documents(self) -> frozenset[str]:
        """The ids of the documents that hold its evidence."""
        return frozenset(span.document_id for span in self.question.evidence)


@dataclass(frozen=True, slots=True)
class FeedbackExamples:
    """The examples, oldest question first, and why other rows gave none: reason → number of rows."""

    examples: tuple[FeedbackExample, ...] = ()
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def kinds(self) -> Counter[str]:
        """How many of each kind there are."""
        return Counter(example.question.kind for example in self.examples)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A row's feedback in sum: "helpful", "unhelpful", "corrected", or "" where nobody judged the answer."""

    kind: str = ""
    answer: str | None = None


def examples_from_log(
    rows: Iterable[Experience],
    documents: Mapping[str, Document],
    gate_set: GateSet | None = None,
    config: FeedbackConfig | None = None,
    *,
    search: Callable[[str], Iterable[Span]] = lambda text: (),
) -> FeedbackExamples:
    """Return the examples that the rows, oldest first, give on the documents as they are now. Deterministic.

    search: gives the passages that hold most of a text's words, for corrected answers that no shown passage holds:
    missed evidence teaches the most. Without it, such rows give no example.
    """
    config = config or FeedbackConfig()
    left_out: Counter[str] = Counter()
    of_question: dict[str, list[Experience]] = defaultdict(list)
    for row in rows:
        if row.feedback or row.signals:
            # Traces are most of a row and not needed here: a long log need not fit into memory with them.
            kept = replace(row, trace=[])
            of_question[normalise_answer(row.report.question) or row.report.question].append(kept)
        else:
            left_out[_SILENT] += 1
    found: list[FeedbackExample] = []
    for some in of_question.values():
        newest = _newest(some, left_out)
        outcome = newest if isinstance(newest, str) else _example(newest, documents, gate_set, config, search)
        if isinstance(outcome, FeedbackExample):
            found.append(outcome)
        else:
            left_out[outcome] += 1
    return FeedbackExamples(tuple(_within_shares(found, config, left_out)), +left_out)


def draw_examples(examples: Iterable[FeedbackExample]) -> list[Question]:
    """Return the questions to train on, each drawn with its weight as the chance, by its report's id alone."""
    return [example.question for example in examples if _draw(example.report_id) < example.weight]


def _newest(rows: Sequence[Experience], left_out: Counter[str]) -> Experience | str:
    """Return the row that counts among those on one question, or why none does; the others count as left out."""
    judged = sorted((row for row in rows if _verdict(row).kind), key=lambda row: row.feedback[-1].created)
    signs = [row for row in rows if not _verdict(row).kind and (row.signals or row.has_quote(right=True))]
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
    taught = [row for row in words if _verdict(row).kind != "unhelpful"]
    return (taught or words or signs)[-1]


def _last_words(judged: Sequence[Experience]) -> list[Experience]:
    """Return each person's last row on a question, in the order of the feedback; unnamed users are one person.

    "Did not help" takes back approval of the same answer alone: a correction stands until the corrected answer itself
    is said not to help.
    """
    last: dict[str | None, Experience] = {}
    for row in judged:
        before = last.get(row.user)
        if before is None or _verdict(row).kind != "unhelpful" or _approved(before) in (_given(row), None):
            last.pop(row.user, None)
            last[row.user] = row
    return list(last.values())


def _given(row: Experience) -> str:
    return normalise_answer(row.report.answer or "")


def _approved(row: Experience) -> str | None:
    """Return the answer that was said to be right, if one was."""
    verdict = _verdict(row)
    if verdict.answer is not None:
        return normalise_answer(verdict.answer)
    return _given(row) if verdict.kind == "helpful" else None


def _verdict(row: Experience) -> _Verdict:
    verdict = _Verdict()
    for item in row.feedback:
        if item.answer is not None:
            verdict = _Verdict("corrected", item.answer)
        elif item.helpful:
            verdict = _Verdict("helpful")
        elif item.helpful is False and verdict.kind != "corrected":
            verdict = _Verdict("unhelpful")
    return verdict


def _contradicted(words: Sequence[Experience]) -> bool:
    """Whether somebody rejects what another approves of, or two correct it, and neither says what the other does."""
    rejected = [(place, _given(row)) for place, row in enumerate(words) if _verdict(row).kind != "helpful"]
    approved = [(place, answer) for place, row in enumerate(words) if (answer := _approved(row)) is not None]
    if any(a != b and given == answer for a, given in rejected for b, answer in approved):
        return True
    corrections = [verdict.answer for row in words if (verdict := _verdict(row)).answer is not None]
    return any(not says(one, other) and not says(other, one) for one, other in combinations(corrections, 2))


def _example(
    row: Experience,
    documents: Mapping[str, Document],
    gate_set: GateSet | None,
    config: FeedbackConfig,
    search: Callable[[str], Iterable[Span]],
) -> FeedbackExample | str:
    """Return the example that a row gives, or why it gives none."""
    report, verdict = row.report, _verdict(row)
    if gate_set is not None and gate_set.holds_question(report.question):
        return "a question of the gate set"
    if MASK in report.question or MASK in (verdict.answer or report.answer or ""):
        return "blacked out"
    signs = {signal.kind for signal in row.signals}
    again = config.asked_again if ASKED_AGAIN in signs else 1.0
    missing = "the documents do not say it any more"
    statements: tuple[str, ...] = ()
    if verdict.kind == "unhelpful":
        return "did not help, and nobody said what would"
    if verdict.kind == "corrected":
        assert verdict.answer is not None
        answer, kind, weight = verdict.answer, "corrected", config.corrected
        shown = (Span(source.document_id, source.start, source.end) for source in report.sources)
        evidence = _sentences_with(answer, shown, documents)[:1]
        if not evidence:
            evidence = _sentences_with(answer, search(f"{report.question} {answer}"), documents)
            missing = "no sentence found holds the corrected answer"
            if len(evidence) > 1:  # which of them answers the question is not known
                evidence, missing = (), "several sentences hold the corrected answer"
    elif report.answer is None:
        if verdict.kind != "helpful":
            return _SILENT
        question = Question(
            report.id, report.question, answerable=False, kind="refused rightly", source=FROM_LOG
        )
        return FeedbackExample(question, config.helpful * again, report.id, row.user)
    else:
        answer, evidence, statements = report.answer, _quoted(row, documents), report.statements
        if all(quote in row.quotes(right=False) for quote in report.answer_quotes):
            missing = "no quotes, or all said to be wrong"
        if verdict.kind == "helpful":
            kind, weight = "helpful", config.helpful * again
        elif row.has_quote(right=True):
            kind, weight = "quoted rightly", config.quoted_rightly * again
        elif FOLLOWED_UP in signs and ASKED_AGAIN not in signs:
            kind, weight = "followed up", config.followed_up
        else:
            return "asked again, and nobody said anything"
    if not evidence:
        return missing
    if gate_set is not None and any(
        gate_set.holds_document(documents[span.document_id]) for span in evidence
    ):
        return "on a document of the gate set"
    if weight <= 0:
        return "weighs nothing"
    question = Question(
        id=report.id,
        question=report.question,
        answers=(answer,),
        evidence=evidence,
        kind=kind,
        statements=statements,
        source=FROM_LOG,
    )
    return FeedbackExample(question, weight, report.id, row.user)


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
    examples: Sequence[FeedbackExample], config: FeedbackConfig, left_out: Counter[str]
) -> Sequence[FeedbackExample]:
    """Leave out examples until users and documents keep to their shares of what is left, and count them."""
    while True:
        of_users = _capped(
            examples, lambda example: [example.user] if example.user else [], config.user_share, config.free
        )
        left_out[f"{_OVER_SHARE} user"] += len(examples) - len(of_users)
        kept = _capped(
            of_users,
            lambda example: sorted(example.documents) or _NO_DOCUMENT,
            config.document_share,
            config.free,
        )
        left_out[f"{_OVER_SHARE} document"] += len(of_users) - len(kept)
        if len(kept) == len(of_users):
            return kept
        examples = kept  # less weight in all: a user's share of it may have grown


def _capped(
    examples: Sequence[FeedbackExample],
    sources: Callable[[FeedbackExample], Sequence[str]],
    share: float,
    free: float,
) -> list[FeedbackExample]:
    """Leave out examples, one of the heaviest source at a time, until none is over its share; the newest stay."""
    of_example = [sources(example) for example in examples]
    n_sources = len({source for some in of_example for source in some}) + (not all(of_example))
    share = max(share, _OF_EVEN_SHARE / max(n_sources, 1))
    weights: dict[str, float] = defaultdict(float)
    places: dict[str, deque[int]] = defaultdict(deque)
    for place, example in enumerate(examples):
        for source in of_example[place]:
            weights[source] += example.weight
            places[source].append(place)
    total = sum(example.weight for example in examples)
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
            total -= examples[place].weight
            for one in of_example[place]:
                weights[one] -= examples[place].weight
    return [example for place, example in enumerate(examples) if place not in gone]


def _draw(name: str) -> float:
    """Return a number in 0..1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
