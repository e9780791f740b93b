"""A data set is one folder that appears whole; those that older versions wrote are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.candidates.dataset_folder import (
    CORPUS,
    HELD_OUT,
    find_dataset,
    gate_set_path,
    new_dataset,
    read_dataset,
)
from flows.candidates.deletion import delete_from_datasets
from prep.document import Document, Span
from prep.errors import StoreError
from prep.manifest import read_manifest, write_manifest
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from retrieve.report.data import Usage
from retrieve.report.report import Report
from training.data.dataset import FROM_LOG, LabelledSet, Question, load_set, save_set

DOCUMENT = Document("log:book.md", "Book", "Nine turns. Ten locks.")
CLOZE = Question("cloze:log:book.md:0", "____ turns?", ("Nine",), (Span(DOCUMENT.id, 0, 4),), kind="cloze")


def labelled(*questions: Question) -> LabelledSet:
    return LabelledSet({DOCUMENT.id: DOCUMENT}, {DOCUMENT.id: "markdown"}, list(questions), CORPUS)


def example(name: str, source: str = FROM_LOG) -> Question:
    return Question(name, "How many locks?", ("Ten",), (Span(DOCUMENT.id, 12, 15),), source=source)


def older_dataset(workspace: Workspace) -> Path:
    """Write a data set as it was written before questions had a source."""
    folder = workspace.path / "datasets" / "0123456789ab"
    save_set(labelled(CLOZE, example("log:kept", ""), example("log:gone", "")), folder / CORPUS)
    save_set(labelled(), folder / HELD_OUT)
    counts = {"documents": 1, CORPUS: 3, HELD_OUT: 0, "lessons": 2}
    about = {"kind": "dataset", "held_out_every": 6, "counts": counts, "struck": 1, "asked": {"kept": 4}}
    write_manifest(folder, about)
    return folder


def record(workspace: Workspace, name: str) -> None:
    report = Report(
        name, "How many locks?", None, True, [], [], [], Usage(9, 4, 1, 0.1), "2026-01-01T00:00:00"
    )
    assert ExperienceLog.of(workspace.path).record(report)


def test_an_older_data_set_is_read_and_its_logged_questions_are_known_by_their_ids(tmp_path):
    workspace = Workspace(tmp_path)
    folder = older_dataset(workspace)
    dataset = find_dataset(workspace, folder.name)
    assert (dataset.n_questions, dataset.n_feedback_examples, dataset.n_deleted) == (3, 2, 1)
    assert dataset.generated == {"kept": 4}
    assert dataset.training().questions == [CLOZE, example("kept"), example("gone")]


def test_deleted_reports_leave_an_older_data_set_which_is_written_in_the_format_of_today(tmp_path):
    workspace = Workspace(tmp_path)
    folder = older_dataset(workspace)
    record(workspace, "kept")
    assert delete_from_datasets(workspace) == 1
    dataset = find_dataset(workspace, folder.name)
    assert (dataset.n_questions, dataset.n_feedback_examples, dataset.n_deleted) == (2, 1, 2)
    assert dataset.training().questions == load_set(folder / CORPUS).questions == [CLOZE, example("kept")]
    assert read_manifest(folder)["counts"]["feedback_examples"] == 1
    assert delete_from_datasets(workspace) == 0
    assert "gone" not in "".join(path.read_text() for path in workspace.path.rglob("*.jsonl"))


def test_only_questions_of_the_log_are_deleted_whatever_their_ids(tmp_path):
    workspace = Workspace(tmp_path)
    record(workspace, "kept")
    counts = {"documents": 1, CORPUS: 3, HELD_OUT: 0, "feedback_examples": 2}
    folder = workspace.path / "datasets" / "0123456789ab"
    with new_dataset(folder, {"kind": "dataset", "held_out_every": 6, "counts": counts}) as temporary:
        save_set(labelled(CLOZE, example("kept"), example("gone")), temporary / CORPUS)
        save_set(labelled(), temporary / HELD_OUT)
    assert delete_from_datasets(workspace) == 1
    assert find_dataset(workspace, folder.name).training().questions == [CLOZE, example("kept")]


def test_a_data_set_that_fails_to_be_written_leaves_nothing(tmp_path):
    folder = tmp_path / "datasets" / "0123456789ab"
    with pytest.raises(FileNotFoundError), new_dataset(folder, {}) as temporary:
        (temporary / "no folder" / "part").write_text("x")
    assert list(folder.parent.iterdir()) == []
    with pytest.raises(StoreError):
        read_dataset(folder, reused=True)


def test_the_gate_set_of_an_older_workspace_stays_where_it_is(tmp_path):
    assert gate_set_path(Workspace(tmp_path)) == tmp_path / "gate-set"
    (tmp_path / "frozen").mkdir()
    assert gate_set_path(Workspace(tmp_path)) == tmp_path / "frozen"
