"""The page on a workspace: its content, that words stay words, and that it stays small."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from fixture_pages import HOSTILE, START, PageMarkup, decision, fill, report

from flows.cli.app import main
from flows.models.registry import ModelVersion, find_version
from flows.pages.corpus_health import CorpusHealth
from flows.pages.overview import GateHistory, Overview, read_overview
from flows.pages.usage import DayUsage, FailedQuestion, UsageSummary
from flows.pages.workspace_page import (
    MAX_FAILURES,
    MAX_TRACE_CHARACTERS,
    render_workspace,
    write_workspace_page,
)
from prep.document import Rejected
from prep.errors import StoreError
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from retrieve.experience.record import Experience, Feedback


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
    harmless, hostile = map(PageMarkup, pages)
    assert hostile.tags == harmless.tags
    assert not {"script", "img", "iframe", "link"} & {tag for tag, _ in hostile.tags}
    assert hostile.words.count(HOSTILE) > 30
    assert "default-src 'none'; style-src 'unsafe-inline'" in pages[1]
    assert all(link.removeprefix("#") in hostile.ids for link in hostile.links)
    assert len(set(hostile.ids)) == len(hostile.ids)


def test_a_decision_that_cannot_be_read_is_named(place: Workspace, log: ExperienceLog) -> None:
    fill(place, log)
    (place.path / "reports" / "gate" / "02-retrieve" / "decision.json").write_text("{")
    page = render_workspace(read_overview(place))
    assert "1 decision could not be read: 02-retrieve." in page
    assert "2 decisions, and why" in page


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


def overview_of(words: str, other: str) -> Overview:
    """An overview with `words` or `other` in every field that is text; its shape does not depend on them."""
    manifest = {
        "lineage": {"start": words, "dataset": {"digest": other, "questions": 3, "lessons": 1}},
        "created_at": words,
    }
    asked = replace(report(1, words, answer=other, words=words), models={"prep": words, "retrieve": other})
    episode = Experience(
        [[words, False], [other, True], {words: other}], asked, (Feedback("2026-03-02", answer=words),)
    )
    day = DayUsage(date(2026, 3, 2), 3, 1, 1, 1, 1.0, 2.0)
    decided = replace(
        decision(1, 0.4, 0.5, words, promoted=True),
        created=words,
        candidate=words,
        current=other,
        reasons=(words, other),
        figures={side: {"reward": 0.5, "f1": 0.5} for side in ("current", "candidate")},
    )
    return Overview(
        name=words,
        versions=(ModelVersion("prep", words, Path(), manifest, True, False, False),),
        problems=(words, other),
        histories=(GateHistory("retrieve", (decided, replace(decided, promoted=False)), words),),
        unreadable=(words, other),
        usage=UsageSummary(
            3,
            1,
            1,
            1,
            1.0,
            2.0,
            (day,),
            (FailedQuestion(words, 2, {other: 2}, episode, True),),
            problem=words,
        ),
        health=CorpusHealth(
            words, other, words, 2, Counter({(words, 3): 2, (other, 4): 1}), 3, (Rejected(words, other),)
        ),
    )


def test_no_field_of_an_overview_becomes_markup() -> None:
    expected = PageMarkup(render_workspace(overview_of("abcdef", "xyzuvw")))
    for hostile in (HOSTILE, '" onclick="x', "' onclick='x", "&lt;i&gt;x", "{{ 7 * 7 }}"):
        for words, other in ((hostile, "xyzuvw"), ("abcdef", hostile)):
            page = PageMarkup(render_workspace(overview_of(words, other)))
            assert page.tags == expected.tags
            assert page.words.count(hostile) > 10
        problem = Overview("w", (), (), (), (), UsageSummary(problem=hostile), CorpusHealth(problem=hostile))
        assert PageMarkup(render_workspace(problem)).words.count(hostile) == 2
