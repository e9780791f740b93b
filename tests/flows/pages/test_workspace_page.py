"""The page on a workspace: whether it says rightly if things get better, and that it shows words as words."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fixture_prep import LinePrep
from hypothesis import example, given
from hypothesis import strategies as st

from flows.cli.app import main
from flows.models.registry import find_version
from flows.pages.chart_frame import LARGE
from flows.pages.charts import Bar, draw_bars, draw_decisions, draw_lines
from flows.pages.corpus_health import read_health
from flows.pages.overview import GateHistory, helpful_trend, read_overview
from flows.pages.usage import CORRECTED, UNHELPFUL, WRONG_QUOTE, DayUsage, measure_usage, read_usage
from flows.pages.workspace_page import (
    MAX_FAILURES,
    MAX_TRACE_CHARACTERS,
    render_workspace,
    write_workspace_page,
)
from flows.retraining.gate_decisions import Gain, GateDecision
from prep.document import Document, Rejected
from prep.errors import StoreError
from prep.ingest import ingest
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from retrieve.experience.record import ASKED_AGAIN
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report

HOSTILE = '</pre></style></title><script>alert("x")</script><img src=x onerror=alert(1)>'
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Markup(HTMLParser):
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


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "handbook")


@pytest.fixture
def log(place: Workspace) -> ExperienceLog:
    return ExperienceLog(place.path / "experience.sqlite")


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


def test_an_empty_workspace_gives_a_page_that_says_what_is_missing(place: Workspace) -> None:
    written = write_workspace_page(place)
    assert (written.word, Path(written.path)) == ("unknown", place.path / "reports" / "index.html")
    page = Path(written.path).read_text(encoding="utf-8")
    for words in (
        "Not known yet: the gate has decided on no candidate.",
        "No question was logged yet.",
        "Nothing has been ingested yet.",
        "nobody marked, corrected or repeated a question",
        find_version(place, "prep").version,
    ):
        assert words in page
    assert "<svg" not in page


def test_a_workspace_without_a_log_shows_its_corpus_and_decisions(
    place: Workspace, log: ExperienceLog
) -> None:
    fill(place, log)
    log.path.unlink()
    overview = read_overview(place)
    assert (overview.usage.n_asked, overview.usage.problem) == (0, "")
    page = render_workspace(overview)
    assert "No question was logged yet." in page
    assert "Lengths of chunks that are searched" in page
    assert '<circle class="in"' in page


def test_the_page_is_the_same_for_the_same_workspace(
    place: Workspace, log: ExperienceLog, tmp_path: Path
) -> None:
    fill(place, log)
    first = Path(write_workspace_page(place, tmp_path / "a.html").path).read_bytes()
    assert Path(write_workspace_page(place, tmp_path / "b.html").path).read_bytes() == first
    copy = Workspace(shutil.copytree(place.path, tmp_path / "copy" / "handbook"))
    assert render_workspace(read_overview(copy)).encode() == first


def test_nothing_that_documents_questions_or_versions_say_becomes_markup(tmp_path: Path) -> None:
    pages = []
    for name, words in (("harmless", "abc def ghi"), ("hostile", HOSTILE)):
        place = Workspace(tmp_path / name)
        fill(
            place,
            ExperienceLog(place.path / "experience.sqlite"),
            words,
            words[::-1] if name == "harmless" else words,
        )
        pages.append(render_workspace(read_overview(place)))
    harmless, hostile = map(Markup, pages)
    assert hostile.tags == harmless.tags
    assert not {"script", "img", "iframe", "link"} & {tag for tag, _ in hostile.tags}
    assert hostile.words.count(HOSTILE) > 30
    assert "default-src 'none'; style-src 'unsafe-inline'" in pages[1]
    assert all(link.removeprefix("#") in hostile.ids for link in hostile.links)
    assert len(set(hostile.ids)) == len(hostile.ids)


def test_the_gains_that_led_to_what_serves_are_added_up(place: Workspace) -> None:
    shipped = find_version(place, "retrieve").version
    decide(place, 1, "retrieve", "c1", shipped, (0.40, 0.50), promoted=True)
    decide(place, 2, "retrieve", "c2", "c1", (0.50, 0.49), promoted=False)
    # Harder questions were added: the figures fall, and the gain counts all the same.
    decide(place, 3, "retrieve", "c3", "c1", (0.30, 0.35), promoted=True, questions="set-2")
    for version in ("c1", "c3"):
        serve(place, "retrieve", version)
    verdict = read_overview(place).verdict
    assert (verdict.word, verdict.sentence) == ("better", "It is getting better.")
    assert verdict.details == ("retrieve: reward +0.150, 2 of 3 candidates promoted since 2026-03-09",)
    place.rollback("retrieve")
    verdict = read_overview(place).verdict
    assert verdict.word == "better"
    assert verdict.details[0].startswith("retrieve: reward +0.100,")
    assert verdict.details[0].endswith("the last promoted version is not serving")
    place.swap(retrieve=None)
    verdict = read_overview(place).verdict
    assert (verdict.word, "rolled back" in verdict.sentence) == ("same", True)
    serve(place, "retrieve", "by-hand")
    verdict = read_overview(place).verdict
    assert (verdict.word, verdict.sentence) == (
        "unknown",
        "Not known: the gate never measured the serving model.",
    )


def test_refused_candidates_leave_it_as_it_is_and_a_promoted_loss_is_called_one(place: Workspace) -> None:
    shipped = find_version(place, "prep").version
    decide(place, 1, "prep", "p2", shipped, (0.7, 0.6), promoted=False)
    assert read_overview(place).verdict.word == "same"
    serve(place, "prep", "p3")
    decide(place, 2, "prep", "p3", shipped, (0.7, 0.65), promoted=True)
    assert read_overview(place).verdict.word == "worse"


def test_a_decision_that_cannot_be_read_is_named(place: Workspace, log: ExperienceLog) -> None:
    fill(place, log)
    (place.path / "reports" / "gate" / "02-retrieve" / "decision.json").write_text("{")
    page = render_workspace(read_overview(place))
    assert "1 decision could not be read: 02-retrieve." in page
    assert "2 decisions, and why" in page


def test_use_is_counted_by_day_with_the_days_on_which_nobody_asked(
    log: ExperienceLog, place: Workspace
) -> None:
    for number, (days, seconds, answer) in enumerate(
        [(0, 1.0, "x"), (0, 2.0, None), (0, 3.0, "x"), (3, 9.0, "x"), (3, 4.0, None)]
    ):
        log.record(
            report(number, f"Q{number}", at=START + timedelta(days=days), answer=answer, seconds=seconds)
        )
    log.feedback("r0", helpful=True)
    log.feedback("r3", answer="another")
    usage = read_usage(place)
    assert (usage.n_asked, usage.n_abstained, usage.n_rated, usage.n_helpful) == (5, 2, 2, 1)
    assert (usage.seconds_p50, usage.seconds_p95) == (3.0, 9.0)
    assert [(day.day.day, day.n_asked, day.n_abstained) for day in usage.days] == [
        (2, 3, 1),
        (3, 0, 0),
        (4, 0, 0),
        (5, 2, 1),
    ]
    assert [day.seconds_p50 for day in usage.days] == [2.0, None, None, 4.0]
    assert usage.days[0].day == date(2026, 3, 2)


def test_questions_that_failed_most_come_first_and_those_mended_last(
    log: ExperienceLog, place: Workspace
) -> None:
    asked = [
        ("The Vault?", 0, {"helpful": False}),
        ("the vault", 10, {"answer": "with ten turns"}),
        ("Only repeated?", 100, {}),
        ("only repeated", 110, {}),
        ("Mended?", 200, {"helpful": False}),
        ("Mended?", 600, {"helpful": True}),
        ("Liked?", 700, {"helpful": True}),
        ("Asked a day later?", 800, {}),
        ("Asked a day later?", 800 + 24 * 60, {}),
        ("A wrong quote?", 900, {"quote": 1, "quote_right": False}),
    ]
    for number, (question, minutes, said) in enumerate(asked):
        log.record(report(number, question, at=START + timedelta(minutes=minutes)), trace(f"answer {number}"))
        if said:
            log.feedback(f"r{number}", **said)
    failures = read_usage(place).failures
    assert [(one.question, one.n_asked, one.is_mended) for one in failures] == [
        ("the vault", 2, False),
        ("A wrong quote?", 1, False),
        ("Only repeated?", 2, False),
        ("Mended?", 2, True),
    ]
    assert failures[0].signs == {UNHELPFUL: 1, CORRECTED: 1, ASKED_AGAIN: 1}
    assert failures[1].signs == {WRONG_QUOTE: 1}
    assert [one.last.report.id for one in failures] == ["r1", "r9", "r2", "r4"]
    page = render_workspace(read_overview(place))
    assert page.index("the vault") < page.index("Only repeated?") < page.index("Mended?")
    assert "with ten turns" in page
    assert "<b>&lt;report&gt; answer 1&lt;/report&gt;</b>" in page
    assert "4 questions of 10 asked failed, 3 without a good answer since" in page


def test_an_episode_that_was_marked_is_shown_rather_than_a_later_repeat(
    log: ExperienceLog, place: Workspace
) -> None:
    for number, minutes in enumerate((0, 10, 20)):
        log.record(report(number, at=START + timedelta(minutes=minutes)))
    log.feedback("r1", helpful=False)
    (failure,) = read_usage(place).failures
    assert failure.last.report.id == "r1"


def test_what_comes_before_a_damaged_row_is_shown_and_the_damage_named(
    log: ExperienceLog, place: Workspace
) -> None:
    for number in range(3):
        log.record(report(number, at=START + timedelta(days=number)))
    with sqlite3.connect(log.path) as database:
        database.execute("UPDATE reports SET report = '{}' WHERE report_id = 'r2'")
    database.close()
    usage = read_usage(place)
    assert usage.n_asked == 2
    assert "'r2'" in usage.problem
    assert "cannot be read" in Markup(render_workspace(read_overview(place))).words
    log.path.write_bytes(b"no database" * 100)
    assert "2026-03-02" not in render_workspace(read_overview(place))


def test_a_page_stays_small_however_much_failed(log: ExperienceLog, place: Workspace) -> None:
    for number in range(60):
        log.record(
            report(number, f"Question {number}?", at=START + timedelta(days=3 * number)),
            [["word " * 20_000, False]],
        )
        log.feedback(f"r{number}", helpful=False)
    page = render_workspace(read_overview(place))
    assert page.count('class="document failure"') == MAX_FAILURES
    assert "48 more questions failed" in page
    assert "The beginning is left out." in page
    assert len(page) < MAX_FAILURES * (MAX_TRACE_CHARACTERS + 6000) + 60_000


def test_the_corpus_is_told_by_numbers_that_add_up(place: Workspace) -> None:
    serve(place, "prep", "p1", {"config": {"limits": {"max_tokens": 3}}})
    documents = [
        Document("d1", "", "# Vaults\none two three four\n~menu about\n"),
        Document("d2", "", "one\ntwo three\n"),
        Rejected("scan.pdf", "no text"),
    ]
    ingest(place, documents, LinePrep("p1"), progress=False)
    health = read_health(place)
    assert (health.n_documents, health.n_chunks, health.max_tokens, health.n_over) == (2, 5, 3, 1)
    assert health.roles == {"heading": 1, "text": 3, "boilerplate": 1}
    assert health.boilerplate_share == pytest.approx(2 / (2 + 4 + 2 + 1 + 2))
    assert health.searched_lengths() == {1: 1, 2: 2, 4: 1}
    assert health.rejected == (Rejected("scan.pdf", "no text"),)
    page = render_workspace(read_overview(place))
    assert page.count('<rect class="over"') == 1
    assert "limit 3" in page
    assert "scan.pdf" in page
    shutil.rmtree(place.model_path("prep", "p1"))
    assert read_health(place).n_over is None
    assert "not known, its prep version is not here" in render_workspace(read_overview(place))


def test_a_damaged_generation_is_told_and_the_rest_is_shown(place: Workspace, log: ExperienceLog) -> None:
    fill(place, log)
    generation = place.current().generation
    with (place.generations_path / str(generation) / "chunks.sqlite").open("ab") as file:
        file.write(b"x")
    page = render_workspace(read_overview(place))
    assert "chunks.sqlite is damaged" in page
    assert "Questions a day" in page


def day(number: int, n_helpful: int, n_rated: int) -> DayUsage:
    return DayUsage(date(2026, 1, 1) + timedelta(days=number), n_rated, 0, n_helpful, n_rated, 1.0, 1.0)


@pytest.mark.parametrize(
    ("before", "recent", "expected"),
    [
        ((50, 100), (80, 100), (0.5, 0.8, True)),
        ((50, 100), (55, 100), (0.5, 0.55, False)),
        ((5, 10), (80, 100), None),
    ],
)
def test_people_s_marks_count_as_a_change_only_where_they_are_sure(before, recent, expected):
    trend = helpful_trend([day(0, *before), day(30, *recent)])
    assert trend == (None if expected is None else pytest.approx(expected))


def test_there_is_no_trend_without_days() -> None:
    assert helpful_trend([]) is None
    assert measure_usage([]).days == ()
    assert GateHistory("prep", (), None).gained is None


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


def test_the_line_of_what_served_goes_through_promoted_candidates_only_and_breaks_with_the_questions() -> (
    None
):
    rows = [
        decision(0, 0.4, 0.5, "a", promoted=True),
        decision(1, 0.5, 0.3, "a", promoted=False),
        decision(2, 0.2, 0.3, "b", promoted=True),
    ]
    figure = drawing(draw_decisions(rows, "reward", "reward"))
    lines = [line.get("points", "").split() for line in figure.iter("polyline")]
    circles = list(figure.iter("circle"))
    assert [circle.get("class") for circle in circles] == ["in", "out", "in"]
    assert [len(line) for line in lines] == [3, 2]
    assert lines[0][1] == f"{circles[0].get('cx')},{circles[0].get('cy')}"
    assert lines[0][2].split(",")[1] == circles[0].get("cy")  # the refused one does not move it
    assert lines[1][1] == f"{circles[2].get('cx')},{circles[2].get('cy')}"
    assert draw_decisions(rows, "f1", "f1") is None


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from("ab"), st.booleans()),
        min_size=1,
        max_size=50,
    )
)
def test_any_decisions_stay_inside_their_frame(values):
    rows = [decision(n % 28, *value[:3], promoted=value[3]) for n, value in enumerate(values)]
    for circle in drawing(draw_decisions(rows, "reward", "reward")).iter("circle"):
        assert 0 <= float(circle.get("cx", "")) <= LARGE.width
        assert 0 <= float(circle.get("cy", "")) <= LARGE.height


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), min_size=1, max_size=50))
@example([(0.0, 5e-324)])
@example([(5e-324, 5e-324)])
def test_any_bars_and_lines_stay_inside_their_frame(parts):
    figure = drawing(draw_bars([Bar("x", part) for part in parts], "bars", ""))
    for rect in figure.iter("rect"):
        top, height = float(rect.get("y", "")), float(rect.get("height", ""))
        assert 0 <= top <= top + height <= LARGE.height
        assert 0 <= float(rect.get("x", "")) <= LARGE.width
    lines = drawing(
        draw_lines(["x"] * len(parts), [("one", [a for a, _ in parts]), ("two", [None] * len(parts))], "", "")
    )
    (points,) = [line.get("points", "").split() for line in lines.iter("polyline")]
    assert all(0 <= float(part) <= LARGE.width for point in points for part in point.split(","))


def test_charts_without_values_are_left_out() -> None:
    assert draw_bars([], "bars", "") is None
    assert draw_lines(["x"], [("one", [None])], "", "") is None


def test_the_command_writes_the_page_and_says_what_it_says_first(
    place: Workspace, log: ExperienceLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(place, log)
    where = ["--workspace", str(place.path)]
    assert main(["report", *where]) == 0
    assert str(place.path / "reports" / "index.html") in capsys.readouterr().out
    assert main(["report", "--out", str(tmp_path / "page.html"), "--json", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert said["word"] == "same"
    (place.path / "CURRENT.json").write_text("{")
    assert main(["report", *where]) == 2
    assert "CURRENT.json is damaged" in capsys.readouterr().err
    with pytest.raises(StoreError, match="cannot be written"):
        write_workspace_page(Workspace(tmp_path / "other"), tmp_path / "page.html" / "x")
