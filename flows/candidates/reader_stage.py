"""The reader stage of a retrieve candidate: the reader trained further on the documents' questions, the writer kept.

Passages and wrong passages are those that serving shows. The confidence stays calibrated as it was; questions whose
evidence is left out are among the examples, so that refusing is not forgotten.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import fresh_folder
from flows.candidates.dataset_folder import Dataset
from flows.candidates.question_sets import limit_cloze
from flows.candidates.stage import RetrieveRun, StageResult
from flows.candidates.training_settings import TrainingSettings
from prep.errors import ConfigError, DataError

if TYPE_CHECKING:
    from retrieve.model import ServingConfig

__all__ = ["configure", "train"]

_QUESTIONS_PER_STEP, _EPOCHS = 5, 3


def configure(start: Path, serving: ServingConfig, settings: TrainingSettings, dataset: Dataset) -> Any:
    """Return the stage's settings. Raises ConfigError where the version to start from has no reader."""
    from retrieve.model import READER
    from training.reader.train import ReaderTraining

    if not (start / READER).is_dir():
        raise ConfigError(f"{start} has no reader to train: start from a version that has one")
    return ReaderTraining(
        minutes=settings.minutes,
        questions_per_step=_QUESTIONS_PER_STEP,
        learning_rate=5e-5,
        heads_learning_rate=2e-4,
        max_steps=max(1, math.ceil(_EPOCHS * dataset.n_questions / _QUESTIONS_PER_STEP)),
        seed=settings.seed,
    )


def train(run: RetrieveRun, config: Any) -> StageResult:
    """Train, and write the version. Raises DataError where no example could be made."""
    from retrieve.model import ADAPTER, READER
    from retrieve.reader.reader import Reader
    from training.reader.examples import ExampleFiles, ExampleOptions, make_examples
    from training.reader.train import train_reader

    before = Reader.load(run.start / READER, precision="float32")
    files = ExampleFiles()
    make_examples(
        limit_cloze(run.training.questions),
        run.pool,
        before.encoder,
        files,
        dataset=run.training.name,
        options=ExampleOptions(n_negatives=4, n_searched=16),
        limits=before.limits,
        rng=random.Random(run.settings.seed),
    )
    if not files.examples:
        raise DataError(
            "the questions give the reader nothing to learn from: no passage holds their evidence"
        )
    random.Random(run.settings.seed).shuffle(files.examples)
    result = train_reader(
        lambda _: files,
        before.encoder,
        run.folder,
        config,
        start=before.weights(),
        on_step=lambda row: run.report_progress(row["spent_s"]),
    )
    fresh_folder(run.draft)
    trained = run.folder / "reader"
    Reader(before.encoder, result.network, before.limits, before.calibration).save(trained)
    version = run.save(run.start / ADAPTER, run.serving, result.n_steps, reader=trained)
    return StageResult(version=version, seconds=result.seconds, metrics={}, curves=("loss",))
