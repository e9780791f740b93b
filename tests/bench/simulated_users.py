"""People who ask and say what they think of reports, simulated from the labels of a set.

What they ask may be in words of their own (`own_words`, `dialect`), what they say may be turned round (`Users`), and
some of them may push what poisoned copies of documents say (`Poison`). For `flywheel_cycles`; not a test.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prep.document import Document, Span
from retrieve.episode.query_terms import content_words
from retrieve.report.report import Report
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, Question
from training.evaluation.answers_suite import judge_report
from training.rewards import is_right

OFTEN = 3  # questions on a document use a word
WORD = re.compile("[^\\W\\d_]+")
CORRECTS = 0.5  # of the users whose question was not answered say what the answer is
POISON = "poison-"  # their ids begin with it


def by_document(labelled: LabelledSet) -> dict[str, list[Question]]:
    """Return the questions that have evidence by the document it begins in."""
    found: dict[str, list[Question]] = defaultdict(list)
    for question in labelled.questions:
        if question.evidence:
            found[question.evidence[0].document_id].append(question)
    return found


def own_words(labelled: LabelledSet, n: int) -> LabelledSet:
    """Return the set as people would ask who have names of their own for what its documents are about.

    Of each document, the n words that most of its questions use, and those of hardly another document, are exchanged
    in its questions for a made-up name each, which is the same everywhere.
    """
    often: dict[str, list[str]] = {}
    for name, some in by_document(labelled).items():
        used = Counter(word for q in some for word in {w.lower() for w in content_words(q.question)})
        often[name] = [word for word, times in used.most_common() if times >= OFTEN]
    common = Counter(word for words in often.values() for word in words)
    names: dict[str, dict[str, str]] = {}
    for name, words in often.items():
        telling = [word for word in words if common[word] <= 2 and len(word) >= 4 and word.isalpha()]
        names[name] = {word: _made_up(word) for word in telling[:n]}

    def own(question: Question) -> Mapping[str, str]:
        return names[question.evidence[0].document_id] if question.evidence else {}

    return _in_words(labelled, own)


def dialect(
    labelled: LabelledSet, n: int, apart: Collection[str] = (), others_plain: bool = False
) -> LabelledSet:
    """Return the set as people would ask who say the n words that most questions use otherwise, all alike.

    apart: ids of the documents that some ask about who have other words for these; others_plain: only they do.
    """
    used = Counter(word for q in labelled.questions for word in {w.lower() for w in WORD.findall(q.question)})
    words = [word for word, _ in used.most_common(n)]
    of_some = {word: _made_up(word, "other") for word in words}
    of_most = {} if others_plain else {word: _made_up(word, "own") for word in words}

    def own(question: Question) -> Mapping[str, str]:
        return of_some if any(span.document_id in apart for span in question.evidence) else of_most

    return _in_words(labelled, own)


def _in_words(labelled: LabelledSet, own: Callable[[Question], Mapping[str, str]]) -> LabelledSet:
    """Return the set with each question's words exchanged for those that `own` gives for it."""

    def said(question: Question) -> Question:
        words = own(question)
        text = WORD.sub(lambda word: words.get(word[0].lower(), word[0]), question.question)
        return replace(question, question=text)

    return replace(labelled, questions=[said(question) for question in labelled.questions])


def _made_up(word: str, whose: str = "own") -> str:
    rng = random.Random(f"{whose} word/{word}")
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))


@dataclass(frozen=True)
class Poison:
    """Copies of documents that say other answers than these, and what they say to a question, by its id.

    accounts: the share of these questions that is asked by accounts which push them.
    """

    copies: tuple[Document, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    accounts: float = 0.0


def poisoned(
    documents: Sequence[Document], questions: Sequence[Question], n: int, accounts: float, seed: int
) -> Poison:
    """Return n poisoned documents, or all that can be: in each, answers to the questions are exchanged."""
    copies: list[Document] = []
    answers: dict[str, str] = {}
    for document in random.Random(f"{seed}/poison").sample(list(documents), len(documents)):
        if len(copies) == n:
            break
        about = [q for q in questions if q.answers and q.evidence[0].document_id == document.id]
        said = sorted({q.answers[0] for q in about}, key=len)
        if len(said) < 2:
            continue
        exchanged = dict(zip(said, [*said[1:], *said[:1]], strict=True))
        copies.append(Document(f"{POISON}{document.id}", document.title, _exchange(document.text, exchanged)))
        answers |= {q.id: exchanged[q.answers[0]] for q in about}
    return Poison(tuple(copies), answers, accounts)


def _exchange(text: str, exchanged: Mapping[str, str]) -> str:
    """Return the text with all of these exchanged at once, the longest first where they overlap."""
    any_of_them = "|".join(map(re.escape, sorted(exchanged, key=len, reverse=True)))
    return re.sub(any_of_them, lambda found: exchanged[found[0]], text)


class Users:
    """What people say of reports, from the labels: right is what evaluation finds right (`training.rewards`)."""

    def __init__(self, labelled: LabelledSet, flip: float, seed: int, poison: Poison | None = None) -> None:
        self.labelled = labelled
        self.flip = flip
        self.poison = poison or Poison()
        self.rng = random.Random(f"{seed}/users")
        self.said = {"helpful": 0, "not helpful": 0, "corrected": 0, "wrong quote": 0}
        self.said |= {"flipped": 0, "praised poison": 0, "corrected to poison": 0}

    def say(self, researcher: Researcher, question: Question, report: Report, others: Sequence[str]) -> None:
        """Give feedback on one report. others: answers to other questions."""
        wrong = self.poison.answers.get(question.id)
        if wrong is not None and self.rng.random() < self.poison.accounts:
            if any(quote.document_id.startswith(POISON) for quote in report.quotes):
                self._give(researcher, report, "praised poison", helpful=True)
            else:
                self._give(researcher, report, "corrected to poison", helpful=False, answer=wrong)
            return
        right = is_right(judge_report(question, report, self.labelled))
        answer = question.answers[0]
        flipped = self.rng.random() < self.flip
        if flipped:
            right, answer = not right, self.rng.choice(others)
            self.said["flipped"] += 1
        if right:
            self._give(researcher, report, "helpful", helpful=True)
            if not flipped:
                self._mark(researcher, report, question)
        elif self.rng.random() < CORRECTS:
            self._give(researcher, report, "corrected", helpful=False, answer=answer)
        else:
            self._give(researcher, report, "not helpful", helpful=False)

    def _mark(self, researcher: Researcher, report: Report, question: Question) -> None:
        """Say which quotes are wrong, where a report helped that is not all right."""
        for number, quote in enumerate(report.quotes, start=1):
            span = Span(quote.document_id, quote.start, quote.end)
            if not any(span.overlaps(evidence) for evidence in question.evidence):
                self._give(researcher, report, "wrong quote", quote=number, quote_right=False)

    def _give(self, researcher: Researcher, report: Report, what: str, **feedback: Any) -> None:
        researcher.feedback(report.id, **feedback)
        self.said[what] += 1
