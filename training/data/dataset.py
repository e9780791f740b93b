"""Labelled sets: documents with questions, answers and evidence spans, read from two JSON Lines files.

`documents.jsonl`   {"id", "title", "text", "format"}, optionally "topics": [{"title", "start", "end"}]
`questions.jsonl`   {"id", "question", "answers", "evidence": [{"document_id", "start", "end"}], "answerable",
                    "kind"}, and "source": "log" where it came from the experience log

Only a document's id and text, and a question's id and question, must be there; other fields are ignored.
Everything is checked on reading (`DataError` names the file and the line), so that metrics need not check
again. `training.evaluation` measures with them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prep.document import Document, Span
from prep.errors import ConfigError, DataError

__all__ = [
    "FROM_LOG",
    "LabelledSet",
    "Question",
    "Topic",
    "documents_of",
    "held_out_documents",
    "load_set",
    "sample",
    "save_set",
    "withhold_every",
]

_LOG = logging.getLogger(__name__)
#: The source of a question that came from the experience log.
FROM_LOG = "log"


@dataclass(frozen=True, slots=True)
class Topic:
    """A labelled section of a document, in code points, half open."""

    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its accepted answers and the spans that hold them.

    statements: of a report that helped, one for each finding, where a report is what the question comes from.
    `withheld` is set by `withhold_every`: the evidence is kept from the system, which should then abstain.
    `source` is FROM_LOG where people asked the question and judged its answer, otherwise empty.
    """

    id: str
    question: str
    answers: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    answerable: bool = True
    kind: str = "other"
    statements: tuple[str, ...] = ()
    withheld: bool = False
    source: str = ""

    @property
    def expects_answer(self) -> bool:
        """Whether a right system answers: the documents hold the answer and it is not withheld."""
        return self.answerable and not self.withheld


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Documents by id (in file order), their formats and topics by document id, and the questions on them."""

    documents: dict[str, Document]
    formats: dict[str, str]
    questions: list[Question]
    name: str
    topics: dict[str, tuple[Topic, ...]] = field(default_factory=dict)

    def read_questions(self, path: Path) -> list[Question]:
        """Return the questions of a file on these documents. Raises DataError as `load_set` does."""
        questions: list[Question] = []
        seen: set[str] = set()
        n_blank = 0
        for where, row in _rows(path):
            question = _question(row, self.documents, where)
            if not question.question.strip():
                n_blank += 1
                continue
            if question.id in seen:
                raise DataError(f"{where}: the question id {question.id!r} is used twice")
            seen.add(question.id)
            questions.append(question)
        if n_blank:
            _LOG.warning("%s: %d blank questions are left out", path, n_blank)
        return questions

    def joined(self, other: LabelledSet) -> LabelledSet:
        """Return the documents and questions of both, under this one's name. Ids must differ."""
        return LabelledSet(
            documents=self.documents | other.documents,
            formats=self.formats | other.formats,
            questions=[*self.questions, *other.questions],
            name=self.name,
            topics=self.topics | other.topics,
        )


def load_set(folder: str | Path, *, questions: bool = True) -> LabelledSet:
    """Read a labelled set from a folder; a missing `questions.jsonl`, or questions=False, gives one without questions.

    Raises DataError, naming file and line, where the schema is not followed: bad JSON or encoding, missing or
    wrongly typed fields, an id used twice, evidence outside its document or in one that is not there. Blank
    questions are left out, and their number logged.
    """
    root = Path(folder)
    documents: dict[str, Document] = {}
    formats: dict[str, str] = {}
    topics: dict[str, tuple[Topic, ...]] = {}
    path = root / "documents.jsonl"
    if not path.is_file():
        raise DataError(
            f"{root} has no documents.jsonl; a labelled set is a folder with that file and questions.jsonl"
        )
    for where, row in _rows(path):
        document = Document(
            id=_text(row, "id", where),
            title=_text(row, "title", where, default=""),
            text=_text(row, "text", where),
            source=str(path),
        )
        if document.id in documents:
            raise DataError(f"{where}: the document id {document.id!r} is used twice")
        documents[document.id] = document
        formats[document.id] = _text(row, "format", where, default="text")
        if "topics" in row:
            topics[document.id] = tuple(_topics(row, document, where))

    path = root / "questions.jsonl"
    labelled = LabelledSet(documents, formats, [], root.resolve().name, topics)
    if not questions or not path.is_file():
        return labelled
    return replace(labelled, questions=labelled.read_questions(path))


def save_set(labelled: LabelledSet, folder: str | Path) -> None:
    """Write `labelled` to a folder in the schema `load_set` reads. `withheld` marks are not part of it."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    with (root / "documents.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for document in labelled.documents.values():
            row: dict[str, Any] = {"id": document.id, "title": document.title, "text": document.text}
            row["format"] = labelled.formats.get(document.id, "text")
            if document.id in labelled.topics:
                row["topics"] = [
                    {"title": t.title, "start": t.start, "end": t.end} for t in labelled.topics[document.id]
                ]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    with (root / "questions.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for question in labelled.questions:
            evidence = [
                {"document_id": s.document_id, "start": s.start, "end": s.end} for s in question.evidence
            ]
            row = {"id": question.id, "question": question.question, "answers": list(question.answers)}
            row |= {"evidence": evidence, "answerable": question.answerable, "kind": question.kind}
            if question.statements:
                row["statements"] = list(question.statements)
            if question.source:
                row["source"] = question.source
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def withhold_every(questions: Sequence[Question], n: int) -> list[Question]:
    """Return the questions in order, every n-th of those that could be withheld marked `withheld`.

    Counted are only answerable questions that have evidence, so that rows marked unanswerable come on top.
    n=0 withholds none. Raises ConfigError for a negative n.
    """
    if n < 0:
        raise ConfigError(f"withhold_every={n!r} must be 0 (none) or the step between withheld questions")
    marked: list[Question] = []
    count = 0
    for question in questions:
        eligible = question.answerable and bool(question.evidence)
        count += eligible
        marked.append(replace(question, withheld=bool(eligible and n and count % n == 0)))
    return marked


def sample(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """Return at most `limit` questions, evenly spaced over the list (hence over the documents), in order."""
    if limit is None or limit >= len(questions):
        return list(questions)
    if limit < 1:
        raise ConfigError(f"limit={limit!r} must be at least 1, or None for all questions")
    return [questions[i * len(questions) // limit] for i in range(limit)]


def documents_of(questions: Iterable[Question]) -> list[str]:
    """Return the ids of the documents that hold the questions' evidence, once each, as they appear."""
    return list(dict.fromkeys(span.document_id for question in questions for span in question.evidence))


def held_out_documents(dataset: LabelledSet, every: int = 6) -> frozenset[str]:
    """Return the ids of every n-th document in id order: what is made from these is measured with, not trained on."""
    return frozenset(sorted(dataset.documents)[::every])


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # newline="\n": a JSON string may hold U+2028 and the like, which are no line ends here.
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{path.name}:{number}"
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"{where}: not valid JSON ({error.msg} at column {error.colno})"
                    ) from error
                if not isinstance(row, dict):
                    raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
                yield where, row
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}: not valid UTF-8 near byte {error.start}; re-encode the file"
        ) from error


def _text(row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        found = "nothing" if value is None else type(value).__name__
        raise DataError(f"{where}: {key!r} must be a string, found {found}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: {key!r} holds half a surrogate pair, which is not text")
    if key == "id" and not value:
        raise DataError(f"{where}: 'id' is empty")
    return value


def _texts(row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = row.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{where}: {key!r} must be a list of strings, found {values!r}")
    return tuple(values)


def _range(row: Any, length: int, where: str, what: str) -> tuple[int, int]:
    start, end = (row.get("start"), row.get("end")) if isinstance(row, dict) else (None, None)
    if type(start) is not int or type(end) is not int:
        raise DataError(f"{where}: {what} needs integer 'start' and 'end', found {row!r}")
    if not 0 <= start < end <= length:
        raise DataError(f"{where}: {what} {start}..{end} lies outside its document of {length} code points")
    return start, end


def _topics(row: dict[str, Any], document: Document, where: str) -> Iterator[Topic]:
    if not isinstance(row["topics"], list):
        raise DataError(f"{where}: 'topics' must be a list")
    for topic in row["topics"]:
        start, end = _range(topic, len(document.text), where, "topic")
        yield Topic(_text(topic, "title", where, default=""), start, end)


def _question(row: dict[str, Any], documents: dict[str, Document], where: str) -> Question:
    answers, statements = _texts(row, "answers", where), _texts(row, "statements", where)
    answerable = row.get("answerable", True)
    if not isinstance(answerable, bool):
        raise DataError(f"{where}: 'answerable' must be true or false, found {answerable!r}")
    listed = row.get("evidence", [])
    if not isinstance(listed, list):
        raise DataError(f"{where}: 'evidence' must be a list, found {type(listed).__name__}")
    evidence: list[Span] = []
    for item in listed:
        document_id = item.get("document_id") if isinstance(item, dict) else None
        if not isinstance(document_id, str) or document_id not in documents:
            raise DataError(
                f"{where}: evidence names the document {document_id!r}, which is not in documents.jsonl"
            )
        start, end = _range(item, len(documents[document_id].text), where, "evidence")
        evidence.append(Span(document_id, start, end))
    return Question(
        id=_text(row, "id", where),
        question=_text(row, "question", where),
        answers=answers,
        evidence=tuple(evidence),
        answerable=answerable,
        kind=_text(row, "kind", where, default="other"),
        statements=statements,
        source=FROM_LOG if row.get("source") == FROM_LOG else "",  # other sets have sources of their own
    )
