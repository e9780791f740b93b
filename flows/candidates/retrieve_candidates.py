"""A stage of the retrieve model's training on questions about a workspace's documents: a candidate version.

    supervised      on traces of right reports (`flows.candidates.supervised_stage`)
    reinforcement   on rewards of its own reports, GRPO (`flows.candidates.reinforcement_stage`)
    reader          the reader alone, on evidence and refusing (`flows.candidates.reader_stage`)

Each starts from the version that serves, or from the shipped one (`TrainingSettings.retrieve_start`). Plain
functions, as in `flows.candidates.candidate_folder`, which says what a candidate is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, TypeAlias, get_args

from flows.candidates import reader_stage, reinforcement_stage, supervised_stage
from flows.candidates.candidate_folder import (
    Candidate,
    curves_of,
    finished_candidate,
    keep_candidate,
)
from flows.candidates.dataset_folder import Dataset
from flows.candidates.question_sets import generation_pool
from flows.candidates.stage import RetrieveRun, StageResult
from flows.candidates.training_settings import TrainingSettings
from flows.models.lineage import Lineage
from prep.errors import ConfigError
from prep.manifest import json_digest
from prep.store.workspace import Workspace

__all__ = ["RETRIEVE_STAGES", "RetrieveStage", "check_retrieve_stage", "train_retrieve_candidate"]

RetrieveStage: TypeAlias = Literal["supervised", "reinforcement", "reader"]
RETRIEVE_STAGES: tuple[RetrieveStage, ...] = get_args(RetrieveStage)
#: Raise it when what is trained from the same data and settings changes.
FORMAT = 5


def check_retrieve_stage(stage: str) -> RetrieveStage:
    """Return the stage. Raises ConfigError for an unknown one."""
    for known in RETRIEVE_STAGES:
        if stage == known:
            return known
    raise ConfigError(f"there is no stage {stage!r} of retrieve; known are {', '.join(RETRIEVE_STAGES)}")


def train_retrieve_candidate(
    workspace: Workspace,
    dataset: Dataset,
    settings: TrainingSettings,
    stage: RetrieveStage = "supervised",
    *,
    on_progress: Callable[[float, float], None] | None = None,
    generation_id: str | None = None,
) -> Candidate:
    """Train a retrieve model further on the documents' questions; keep a candidate version.

    on_progress: called with (seconds so far, seconds allowed). generation_id: whose chunks are shown, by default the
    current one's; an interrupted run goes on only with the same. Raises ConfigError for an unknown stage, DataError
    where the questions give nothing to train on.
    """
    from flows.models.serving import serving_prep, serving_retrieve_path
    from retrieve.model import ServingConfig, read_retrieve_manifest, shipped_retrieve

    check_retrieve_stage(stage)
    stages = {
        "supervised": supervised_stage,
        "reinforcement": reinforcement_stage,
        "reader": reader_stage,
    }
    training_stage: Any = stages[stage]
    start = shipped_retrieve() if settings.retrieve_start == "shipped" else serving_retrieve_path(workspace)
    manifest = read_retrieve_manifest(start)
    serving = ServingConfig.from_json(manifest["serving"])
    config = training_stage.configure(start, serving, settings, dataset)
    with workspace.open_generation(generation_id) as generation:
        made_of = {
            "format": FORMAT,
            "stage": stage,
            "dataset": dataset.digest,
            "generation": generation.id,
            "start": manifest["version"],
            "config": asdict(config),
            "minutes": settings.minutes,
            "interpolation": settings.interpolation,
            "seed": settings.seed,
        }
        folder = workspace.path / "runs" / f"retrieve-{json_digest(made_of)[:12]}"
        if (finished := finished_candidate(workspace, folder)) is not None:
            return finished
        training = dataset.training()
        pool = generation_pool(generation, training.documents, serving_prep(workspace).encoder)
    run = RetrieveRun(
        start=start,
        manifest=manifest,
        serving=serving,
        dataset=dataset,
        training=training,
        pool=pool,
        settings=settings,
        folder=folder,
        draft=folder / "version",
        about=made_of,
        on_progress=on_progress,
    )
    trained: StageResult = training_stage.train(run, config)
    curves = curves_of(folder, trained.curves)
    candidate = Candidate("retrieve", trained.version, trained.seconds, trained.metrics, curves)
    lineage = Lineage(
        start=manifest["version"],
        dataset=dataset.describe(),
        config={"stage": stage, **asdict(config), "minutes": settings.minutes, "seed": settings.seed}
        | ({"interpolation": settings.interpolation} if stage == "supervised" else {}),
        generation=made_of["generation"],
    )
    return keep_candidate(workspace, folder, candidate, run.draft, lineage)
