"""What the tests of the pages share: reports, decisions, and a workspace with something in every section."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from fixture_prep import LinePrep

from flows.models.gate_decisions import Gain, GateDecision
from flows.models.registry import find_version
from prep.document import Document, Rejected
from prep.ingest import ingest
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report

HOSTILE = '</pre></style></title><script>alert("x")</script><img src=x onerror=alert(1)>'
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class PageMarkup(HTMLParser):
    """Every tag and attribute of a page, in order, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("href", "src") if name in values]

    def handle_data(self, data: str) -> None:
        self.words += data


def report(
    number: int,
    question: str = "How does the vault open?",
    *,
    at: datetime = START,
    answer: str | None = "with nine turns",
    seconds: float = 1.0,
    words: str = "The vault opens with nine turns.",
) -> Report:
    quote = Quote("safe.md", 10, 10 + len(words), words)
    return Report(
        f"r{number}",
        question,
        answer,
        answer is None,
        [] if answer is None else [Finding(answer, [quote])],
        [question],
        [Source("safe.md", "Safes", ("Vault",), 0, 900, 0.8, answer is not None)],
        Usage(300, 12, 1, seconds),
        created=at.isoformat(timespec="seconds"),
        models={"prep": "p1", "retrieve": "r1"},
        generation="g1",
    )


def trace(words: str = "with nine turns") -> list[object]:
    return [["<question>How?</question>", False], [f"<report> {words}</report>", True]]


def decide(
    place: Workspace,
    number: int,
    kind: str,
    candidate: str,
    current: str,
    figures: tuple[float, float],
    *,
    promoted: bool,
    reason: str = "better for sure",
    questions: str = "set-1",
) -> None:
    name = "reward" if kind == "retrieve" else "evidence_recall"
    gain = figures[1] - figures[0]
    created = (START + timedelta(days=7 * number)).isoformat()
    folder = place.path / "reports" / "gate" / f"{number:02}-{kind}"
    folder.mkdir(parents=True)
    sides = [{name: value, "f1": value + 0.1} for value in figures]
    content = {
        "created": created,
        "kind": kind,
        "candidate": candidate,
        "current": current,
        "promoted": promoted,
        "reasons": [reason],
        "figures": dict(zip(("current", "candidate"), sides, strict=True)),
        "gains": {name: {"mean": gain, "low": gain - 0.02, "high": gain + 0.02}},
        "questions": {"set": questions, "n": 60},
    }
    (folder / "decision.json").write_text(json.dumps(content), encoding="utf-8")


def serve(place: Workspace, kind: str, version: str, content: dict[str, object] | None = None) -> None:
    with place.new_model(kind, version, content) as folder:  # type: ignore[arg-type]
        (folder / "weights.bin").write_bytes(version.encode())
    place.promote(kind, version)  # type: ignore[arg-type]


def fill(place: Workspace, log: ExperienceLog, words: str = "abc", other: str = "xyz") -> None:
    """A workspace with something in every part of the page, `words` and `other` wherever text is."""
    serve(place, "prep", "p1", {"config": {"limits": {"max_tokens": 3}}})
    documents = [Document("d1", "title", f"# Vaults\none two {words}\n~menu\n"), Rejected(f"f{words}", other)]
    ingest(place, documents, LinePrep("p1"), progress=False)
    decide(
        place, 1, "retrieve", f"c{words}", find_version(place, "retrieve").version, (0.4, 0.5), promoted=True
    )
    decide(place, 2, "retrieve", "c2", f"c{words}", (0.5, 0.45), promoted=False, reason=other)
    decide(place, 3, "retrieve", "c3", f"c{words}", (0.5, 0.51), promoted=False, questions=words)
    for number in range(16):
        asked = report(
            number, f"Q{number}? {words}", at=START + timedelta(days=number), answer=f"a{other}", words=words
        )
        log.record(asked, [*trace(words), {words: other}])
        log.feedback(f"r{number}", helpful=number % 3 == 0, answer=other if number % 4 == 1 else None)


def decision(
    number: int, current: float, candidate: float, question_set: str, *, promoted: bool
) -> GateDecision:
    return GateDecision(
        created=f"2026-03-{number + 1:02}T00:00:00+00:00",
        kind="retrieve",
        candidate=f"c{number}",
        current="c",
        promoted=promoted,
        reasons=(),
        figures={"current": {"reward": current}, "candidate": {"reward": candidate}},
        gains={"reward": Gain(candidate - current, candidate - current - 0.1, candidate - current + 0.1)},
        question_set=question_set,
        n_questions=9,
        folder=Path(),
    )


def drawing(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure[figure.index("<svg") : figure.index("</svg>") + 6])
