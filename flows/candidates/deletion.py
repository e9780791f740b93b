"""Deletes from data sets the feedback examples of reports that people have deleted from the experience log.

Versions that were trained with them stay as they are: what a model learned cannot be taken out of it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from flows.candidates.dataset_folder import (
    CORPUS,
    HELD_OUT,
    REMOVED,
    new_dataset,
    read_dataset,
    read_training,
)
from prep.errors import DataError, StoreError
from prep.manifest import MANIFEST_NAME, verify_folder
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from training.data.dataset import FROM_LOG, save_set

__all__ = ["delete_from_datasets"]

_LOG = logging.getLogger(__name__)


def delete_from_datasets(workspace: Workspace) -> int:
    """Delete feedback examples of reports that the log no longer holds from all data sets; return their number.

    Nothing else may write data sets meanwhile: hold `flows.retraining.lock.retraining_lock`. A data set that cannot be
    read is left, with a warning. Raises StoreError where the log cannot be read.
    """
    root = workspace.path / "datasets"
    for path in root.glob(f"{REMOVED}*"):  # of a process that was killed
        shutil.rmtree(path, ignore_errors=True)
    folders = [path.parent for path in root.glob(f"[!.]*/{MANIFEST_NAME}")]
    if not folders:
        return 0
    report_ids = ExperienceLog(workspace.path / LOG_NAME).report_ids()
    return sum(_delete_from(folder, report_ids) for folder in folders)


def _delete_from(folder: Path, report_ids: Collection[str]) -> int:
    """Write a data set again under the same name, with the feedback examples of these reports alone."""
    try:
        dataset = read_dataset(folder, reused=True, check_files=False)
        if dataset.n_feedback_examples == 0:
            return 0  # without reading its files
        verify_folder(folder)
        training = read_training(folder)
    except (StoreError, DataError) as error:
        _LOG.warning("deleted reports cannot be taken out of %s (%s): remove the folder", folder, error)
        return 0
    questions = [
        question
        for question in training.questions
        if question.source != FROM_LOG or question.id in report_ids
    ]
    n_deleted = len(training.questions) - len(questions)
    if n_deleted == 0:
        return 0
    counts = {
        "documents": dataset.n_documents,
        CORPUS: len(questions),
        HELD_OUT: dataset.n_held_out,
        "feedback_examples": dataset.n_feedback_examples - n_deleted,
    }
    about = {
        "kind": "dataset",
        "held_out_every": dataset.held_out_every,
        "counts": counts,
        "deleted": dataset.n_deleted + n_deleted,
        "generated": dataset.generated,
    }
    with new_dataset(folder, about) as temporary:
        shutil.copytree(folder, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CORPUS))
        save_set(replace(training, questions=questions), temporary / CORPUS)
    return n_deleted
