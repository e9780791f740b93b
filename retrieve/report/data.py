"""The content of a report: quotes, findings, sources, usage, and their JSON form.

A report says what it claims, which words of which document support each claim, what was searched for, which sources
were read and set aside, and what it cost. `retrieve.report.report` adds how it looks; the experience log keeps the
JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Self

from prep.document import Span
from prep.errors import DataError
from retrieve.episode.query_terms import uncovered_terms

__all__ = [
    "SCHEMA",
    "Finding",
    "Quote",
    "ReportData",
    "Source",
    "Usage",
    "answer_statements",
    "breadcrumb",
    "dump_json",
    "location",
]

#: The version of the JSON form. It changes when a reader of the old form would misread the new one.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of a document, exactly: `text == document.text[start:end]`, offsets in code points.

    page: the page, slide, sheet, cell or chapter that it begins in, with its kind ("page 3"); None where the file has
    none. section: the headings above it, outermost first. path: of its file inside the folder that was ingested, else
    the document's id. All three are empty in reports of diptych 0.9 and before.
    """

    document_id: str
    start: int
    end: int
    text: str
    page: str | None = None
    section: tuple[str, ...] = ()
    path: str = ""

    def __post_init__(self) -> None:
        _check_span("quote", self.document_id, self.start, self.end)
        if len(self.text) != self.end - self.start:
            raise DataError(
                f"quote from {self.document_id!r} has {len(self.text)} code points at "
                f"{self.start}..{self.end}: a quote must be the document's text at its offsets, unchanged"
            )

    @property
    def location(self) -> str:
        """Its file and its page: "policies/safes.pdf, page 3"; empty where neither is known."""
        return location(self.path, self.page)


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement and the quotes that support it, in the order given.

    Our model always gives at least one quote. Other systems shown beside it may not: see `supported`. alternative: what
    else may be meant, less likely than the other findings, and not part of the answer.
    """

    statement: str
    quotes: list[Quote]
    alternative: bool = False

    def __post_init__(self) -> None:
        if not self.statement.strip():
            raise DataError("a finding must state something, and its statement is blank")

    @property
    def supported(self) -> bool:
        """Whether any quote is given for the statement."""
        return bool(self.quotes)

    @property
    def is_quote(self) -> bool:
        """Whether the statement is the first quote word for word, so that showing both would say it twice."""
        return bool(self.quotes) and self.statement.split() == self.quotes[0].text.split()


@dataclass(frozen=True, slots=True)
class Source:
    """One chunk that was shown to the model, in rank order; `used` where a quote was taken from it.

    `score`, in [-1, 1], is what it was found with: cosine and matching words, weighed (`prep.store.ranking`). `title`
    may be empty, `headings` are outermost first, `text` is empty in reports of diptych 0.2 and before. page, path: as
    for `Quote`. distinct_path: the shortest end of the path that no other document of this title has; empty where the
    title is its own.
    """

    document_id: str
    title: str
    headings: tuple[str, ...]
    start: int
    end: int
    score: float
    used: bool
    text: str = ""
    page: str | None = None
    path: str = ""
    distinct_path: str = ""

    def __post_init__(self) -> None:
        _check_span("source", self.document_id, self.start, self.end)
        if not math.isfinite(self.score):
            raise DataError(f"source {self.document_id!r} {self.start}..{self.end} has score {self.score!r}")

    @property
    def breadcrumb(self) -> tuple[str, ...]:
        """Document title (its id where it has none), then the headings, the title not repeated."""
        return breadcrumb(self.title, self.document_id, self.headings)

    @property
    def distinct_breadcrumb(self) -> tuple[str, ...]:
        """The same, with the path that tells the document from others of its title."""
        return breadcrumb(self.title, self.document_id, self.headings, self.distinct_path)

    @property
    def location(self) -> str:
        """Its file and its page, as for `Quote`."""
        return location(self.path, self.page)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost. Tokens are the retrieve model's; `seconds` is wall-clock time."""

    prompt_tokens: int
    completion_tokens: int
    n_searches: int
    seconds: float

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not math.isfinite(value) or value < 0:
                raise DataError(f"usage.{item.name}={value!r} must be a finite number, zero or above")


@dataclass(frozen=True, slots=True)
class ReportData:
    """The answer to one question, with its evidence.

    Always true, and checked: `abstained` if and only if there is no answer though there was time for one; without an
    answer nothing is found and no source is used; every quote lies in a source marked used, and every such source is
    quoted. `note` says what a reader must know besides (a deadline that ran out). `models` maps "prep" and "retrieve"
    to versions. answer_type: span, yes, no, list, steps, statement, or none where nothing is answered; None where no
    reader told it. confidence: the reader's calibrated probability that the quotes hold the answer.
    unfinished: the time ran out first. where: the filter by metadata that was set, by key and operator. Raises
    DataError.
    """

    id: str
    question: str
    answer: str | None
    abstained: bool
    findings: list[Finding]
    searches: list[str]
    sources: list[Source]
    usage: Usage
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    models: dict[str, str] = field(default_factory=dict)
    generation: str = ""
    note: str = ""
    answer_type: str | None = None
    confidence: float | None = None
    unfinished: bool = False
    where: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a report needs an id, and it is empty")
        where = f"report {self.id!r}"
        if [self.abstained, self.unfinished, self.answer is not None].count(True) != 1:
            raise DataError(
                f"{where}: abstained={self.abstained!r}, unfinished={self.unfinished!r} with answer="
                f"{self.answer!r}; it is one of the three"
            )
        if self.answer is not None and not self.answer.strip():
            raise DataError(f"{where}: the answer is blank; abstain instead (answer=None, abstained=True)")
        if self.answer is None and self.findings:
            raise DataError(
                f"{where} has no answer and yet {len(self.findings)} findings; drop them or answer"
            )
        if self.findings and all(finding.alternative for finding in self.findings):
            raise DataError(f"{where} has alternatives alone: one of its findings must be the answer's")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise DataError(f"{where}: confidence={self.confidence!r} is no probability")
        try:
            datetime.fromisoformat(self.created)
        except ValueError as error:
            raise DataError(f"{where}: created={self.created!r} is no ISO 8601 time") from error
        used = [source for source in self.sources if source.used]
        for quote in self.quotes:
            if not any(_overlap(quote, source) for source in used):
                raise DataError(
                    f"{where} quotes {quote.document_id!r} {quote.start}..{quote.end}, which lies in no "
                    f"source marked used; a quote can only come from what was shown"
                )
        for source in used:
            if not any(_overlap(quote, source) for quote in self.quotes):
                raise DataError(
                    f"{where}: source {source.document_id!r} {source.start}..{source.end} used, not quoted"
                )

    @property
    def status(self) -> Literal["answered", "abstained", "unfinished"]:
        """Whether there is an answer, the sources hold none, or the time ran out before that was known."""
        if self.unfinished:
            return "unfinished"
        return "abstained" if self.abstained else "answered"

    @property
    def nearest(self) -> list[Source]:
        """The passages to show where nothing is answered: the nearest whose text is known, at most three."""
        return [source for source in self.sources if source.text.strip()][:3] if self.answer is None else []

    @property
    def passages(self) -> list[Source]:
        """The nearest passages with their text, best first, also where nothing is answered."""
        return self.sources

    @property
    def quotes(self) -> list[Quote]:
        """Every quote of every finding, in order."""
        return [quote for finding in self.findings for quote in finding.quotes]

    @property
    def statements(self) -> tuple[str, ...]:
        """The answer's statements, one for each finding that is no alternative, each once."""
        return answer_statements(self.findings)

    @property
    def answer_quotes(self) -> list[Quote]:
        """The quotes that the answer rests on: all but those of alternatives."""
        return [quote for finding in self.findings if not finding.alternative for quote in finding.quotes]

    @property
    def uncovered_terms(self) -> list[str]:
        """Terms of the question that neither a quote nor the headings above it cover; none where nothing is quoted."""
        if not self.quotes:
            return []
        under = (" ".join(source.breadcrumb) for source in self.sources if source.used)
        return uncovered_terms(self.question, [*(quote.text for quote in self.quotes), *under])

    @property
    def shared_titles(self) -> dict[str, list[str]]:
        """The titles that several documents among the sources have, and their paths.

        Only of what is quoted, or nearest where nothing is.
        """
        documents: dict[str, dict[str, str]] = {}
        shown = {source.title for source in [*self.nearest, *(one for one in self.sources if one.used)]}
        for source in self.sources:
            if source.title.strip() and source.title in shown:
                name = source.distinct_path or source.path or source.document_id
                documents.setdefault(source.title, {})[source.document_id] = name
        return {title: list(names.values()) for title, names in documents.items() if len(names) > 1}

    def source_of(self, quote: Quote) -> Source | None:
        """Return the best ranked source that `quote` was taken from; None for a quote of another report."""
        return next((source for source in self.sources if source.used and _overlap(quote, source)), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, with the schema version."""
        return {"schema": SCHEMA, **asdict(self)}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the report as JSON that `from_json` reads back unchanged."""
        return dump_json(self.to_dict(), indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises DataError for anything else, another schema version included."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise DataError(f"this is no report: {error}") from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave. Raises DataError."""
        if not isinstance(values, Mapping) or values.get("schema") != SCHEMA:
            found = values.get("schema") if isinstance(values, Mapping) else type(values).__name__
            raise DataError(
                f"a report of schema {found!r} cannot be read; this version reads schema {SCHEMA}"
            )
        try:
            parts = {key: value for key, value in values.items() if key != "schema"}
            parts["findings"] = [
                Finding(
                    finding["statement"],
                    [
                        Quote(**{**quote, "section": tuple(quote.get("section", ()))})
                        for quote in finding["quotes"]
                    ],
                    finding.get("alternative", False),
                )
                for finding in parts["findings"]
            ]
            parts["sources"] = [
                Source(**{**source, "headings": tuple(source["headings"])}) for source in parts["sources"]
            ]
            parts["usage"] = Usage(**parts["usage"])
            return cls(**parts)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the report does not follow schema {SCHEMA}: {error!r}") from error


def breadcrumb(
    title: str, document_id: str, headings: Sequence[str], distinct_path: str = ""
) -> tuple[str, ...]:
    """Return a document's title (its id where it has none), then the headings, the title not repeated.

    distinct_path: is put behind the title.
    """
    name = title.strip() or document_id
    below = tuple(headings[1:] if tuple(headings[:1]) == (name,) else headings)
    return (f"{name} ({distinct_path})" if title.strip() and distinct_path else name, *below)


def location(path: str, page: str | None) -> str:
    """Return a file's path and a page in it as words: "policies/safes.pdf, page 3"."""
    return ", ".join(part for part in (path, page) if part)


def answer_statements(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the statements of all findings but alternatives, in order, each once."""
    return tuple(dict.fromkeys(finding.statement for finding in findings if not finding.alternative))


def dump_json(value: Any, *, indent: int | None = None, allow_nan: bool = False) -> str:
    """Return JSON that can be written as UTF-8, whatever strings it holds. allow_nan: NaN and infinities, too."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: only its escape can be written
        text = json.dumps(value, ensure_ascii=True, allow_nan=allow_nan, indent=indent)
    return text


def _overlap(quote: Quote, source: Source) -> bool:
    return Span(quote.document_id, quote.start, quote.end).overlaps(source)


def _check_span(kind: str, document_id: str, start: int, end: int) -> None:
    if not document_id:
        raise DataError(f"a {kind} must name its document, and document_id is empty")
    if not 0 <= start < end:
        raise DataError(f"{kind} from {document_id!r}: {start}..{end} is no stretch of a document")
