"""What is deleted from the experience log leaves the training data, too, that were made with it.

Versions that were trained with it stay as they are: what a model learned cannot be taken out of it.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from flows.candidates.training_sets import CORPUS
from prep.errors import DataError, StoreError
from prep.manifest import MANIFEST_NAME, read_manifest, sync_folder, verify_folder, write_manifest
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from training.data.dataset import load_set, save_set
from training.data.feedback_examples import LOGGED

__all__ = ["forget_deleted"]

_LOG = logging.getLogger(__name__)
_PARTIAL, _REMOVED = ".partial-", ".removed-"


def forget_deleted(place: Workspace) -> int:
    """Take the lessons of rows that the log no longer holds out of all data sets, and return how many there were.

    While nothing else writes data sets: inside `flows.retraining.cycle.alone`. A data set that cannot be read is
    left, with a warning. Raises StoreError where the log cannot be read.
    """
    root = place.path / "datasets"
    for path in root.glob(f"{_REMOVED}*"):  # of a process that was killed
        shutil.rmtree(path, ignore_errors=True)
    folders = [path.parent for path in root.glob(f"[!.]*/{MANIFEST_NAME}")]
    if not folders:
        return 0
    kept = ExperienceLog(place.path / LOG_NAME).report_ids()
    return sum(_strike(folder, kept) for folder in folders)


def _strike(folder: Path, kept: Collection[str]) -> int:
    """Write a data set again without the lessons of rows that are not kept, under the same name."""
    try:
        if read_manifest(folder)["counts"].get("lessons") == 0:
            return 0  # nothing to look through all of it for
        manifest = verify_folder(folder)
        training = load_set(folder / CORPUS)
    except (StoreError, DataError) as error:
        _LOG.warning("what people deleted cannot be taken out of %s (%s): remove the folder", folder, error)
        return 0
    questions = [
        question
        for question in training.questions
        if not question.id.startswith(LOGGED) or question.id.removeprefix(LOGGED) in kept
    ]
    n_struck = len(training.questions) - len(questions)
    if n_struck == 0:
        return 0
    n_lessons = sum(question.id.startswith(LOGGED) for question in questions)
    counts = manifest["counts"] | {CORPUS: len(questions), "lessons": n_lessons}
    about = {name: value for name, value in manifest.items() if name not in ("format", "files", "digest")}
    about |= {"counts": counts, "struck": manifest.get("struck", 0) + n_struck}
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary, removed = (folder.with_name(f"{prefix}{token}") for prefix in (_PARTIAL, _REMOVED))
    try:
        shutil.copytree(folder, temporary)
        shutil.rmtree(temporary / CORPUS)
        save_set(replace(training, questions=questions), temporary / CORPUS)
        write_manifest(temporary, about)
        os.rename(folder, removed)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    finally:
        for path in (temporary, removed):
            shutil.rmtree(path, ignore_errors=True)
    return n_struck
