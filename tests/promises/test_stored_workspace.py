"""Promise: a workspace of earlier code opens, is searched, answers, and its experience log is read and written.

`stored_workspace/` was made by `tests/bench/store_reports.py`, which says when to make it again. It has no models of
its own, so that the shipped ones serve. A prep model that is shipped later does not fit it: make it again then.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import store_reports

from prep import Workspace
from retrieve import ExperienceLog, Report, Researcher

pytestmark = pytest.mark.slow

MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, for opening a workspace writes locks, and asking writes its log."""
    return shutil.copytree(store_reports.WORKSPACE, tmp_path_factory.mktemp("stored") / "workspace")


@pytest.fixture(scope="module")
def logged(folder: Path) -> list[Report]:
    """The reports that were in the log before anything was asked here."""
    return [row.report for row in ExperienceLog.of(folder).rows()]


@pytest.fixture(scope="module")
def researcher(folder: Path, logged: list[Report]) -> Iterator[Researcher]:
    with store_reports.float32_processor():
        opened = Researcher.open(folder)
    with opened:
        yield opened


def test_the_stored_workspace_is_small() -> None:
    files = [path for path in store_reports.WORKSPACE.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < MOST_BYTES


def test_its_generation_opens_with_every_document_as_it_was_read(folder: Path) -> None:
    assert Workspace(folder).current().prep is None
    with Workspace(folder).open_generation() as generation:
        assert list(generation.documents()) == store_reports.stored_documents()


def test_its_log_holds_the_questions_with_all_that_was_said_of_the_answers(
    logged: list[Report], folder: Path
) -> None:
    first, second = list(ExperienceLog.of(folder).rows(user=store_reports.USER))[:2]
    assert [first.report, second.report] == logged[:2]
    assert [report.question for report in logged[:2]] == list(store_reports.LOGGED)
    assert (first.helpful, first.quotes(right=True)) == (True, first.report.quotes[:1])
    assert (second.helpful, second.corrected_answer) == (False, store_reports.CORRECTED)
    assert all(row.trace for row in (first, second))


def test_a_logged_question_asked_again_gives_the_logged_report_and_is_logged(
    researcher: Researcher, logged: list[Report], folder: Path
) -> None:
    report = researcher.ask(logged[0].question, deadline_s=store_reports.DEADLINE_S, user=store_reports.USER)
    assert store_reports.stable_part(report) == store_reports.stable_part(logged[0])
    assert [source.score for source in report.sources] == pytest.approx(
        [source.score for source in logged[0].sources], abs=1e-4
    )
    assert (report.generation, report.models) == (logged[0].generation, logged[0].models)
    assert ExperienceLog.of(folder).count() == len(logged) + 1


def test_feedback_can_be_given_on_a_report_of_the_old_log(
    researcher: Researcher, logged: list[Report]
) -> None:
    researcher.feedback(logged[1].id, answer="27")
    assert researcher.log is not None
    row = next(row for row in researcher.log.rows() if row.report.id == logged[1].id)
    assert row.corrected_answer == "27"
    assert len(row.feedback) == 2


def test_documents_that_did_not_change_are_not_prepared_again(researcher: Researcher, folder: Path) -> None:
    done = store_reports.ingest(
        folder,
        store_reports.stored_documents(),
        store_reports.PrepModel.load(precision="float32"),
        progress=False,
    )
    assert (done.n_documents, done.n_unchanged) == (7, 7)
