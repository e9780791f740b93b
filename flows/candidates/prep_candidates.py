"""A stage of the prep model's training on a workspace's documents: a candidate version of each.

    supervised      the heads, on the documents' own structure
    contrastive     the chunk vectors, on questions synthesised from the documents
    reinforcement   the cuts, on search results for those questions

Each starts from the version that serves. Plain functions, as in `flows.candidates.candidate_folder`, which says what
a candidate is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from flows.candidates.candidate_folder import (
    Candidate,
    candidate_card,
    curves_of,
    finished_candidate,
    fresh_folder,
    keep_candidate,
)
from flows.candidates.dataset_folder import CORPUS, HELD_OUT, Dataset
from flows.candidates.training_settings import TrainingSettings
from flows.models.lineage import Lineage
from flows.models.measurement import SERVING
from prep.errors import ConfigError
from prep.manifest import json_digest
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel

__all__ = ["STAGES", "PrepStage", "check_prep_stage", "train_prep_candidate"]

PrepStage: TypeAlias = Literal["supervised", "contrastive", "reinforcement"]
STAGES: tuple[PrepStage, ...] = get_args(PrepStage)


def check_prep_stage(stage: str) -> PrepStage:
    """Return the stage. Raises ConfigError for an unknown one."""
    for known in STAGES:
        if stage == known:
            return known
    raise ConfigError(f"there is no stage {stage!r} of prep; known are {', '.join(STAGES)}")


#: A stage's result: the version's name, its held-out figures by system, and the names of the curves in its log.
_StageFigures: TypeAlias = tuple[str, dict[str, dict[str, float | None]], tuple[str, ...]]


def train_prep_candidate(
    workspace: Workspace, dataset: Dataset, settings: TrainingSettings, stage: PrepStage = "supervised"
) -> Candidate:
    """Train the serving prep model further in one stage; keep a candidate version.

    Raises ConfigError for an unknown stage, DataError where the documents hold nothing to train on.
    """
    from flows.models.serving import serving_prep

    stages: dict[PrepStage, tuple[Any, Callable[..., _StageFigures]]] = {
        "supervised": (_supervised_config, _train_supervised),
        "contrastive": (_contrastive_config, _train_contrastive),
        "reinforcement": (_reinforcement_config, _train_reinforcement),
    }
    configure, train = stages[check_prep_stage(stage)]
    start = serving_prep(workspace)
    config = configure(dataset, settings, start)
    made_of = {"stage": stage, **asdict(config), "dataset": dataset.digest, "start": start.version}
    made_of |= {"threads": None, "minutes": settings.minutes if stage == "contrastive" else None}
    run = workspace.path / "runs" / f"prep-{json_digest(made_of)[:12]}"
    if (finished := finished_candidate(workspace, run)) is not None:
        return finished
    started = time.monotonic()
    draft = run / "version"
    version, metrics, names = train(dataset, run, config, start, draft, settings)
    candidate = Candidate("prep", version, time.monotonic() - started, metrics, curves_of(run, names))
    lineage = Lineage(
        start=start.version,
        dataset=dataset.describe(),
        config={"stage": stage, **asdict(config), "minutes": made_of["minutes"]},
    )
    return keep_candidate(workspace, run, candidate, draft, lineage)


def _supervised_config(dataset: Dataset, settings: TrainingSettings, start: PrepModel) -> Any:
    import torch

    from training.prep_model.structure_config import StructureConfig

    return StructureConfig(
        sets={CORPUS: dataset.n_documents},
        joined={},
        held_out_every=settings.held_out_every,
        pages=settings.prep_pages,
        epochs=settings.prep_epochs,
        learning_rate=1e-4,  # a tenth of what heads are trained with from the start
        heads=start.config.heads,
        threads=torch.get_num_threads(),
        seed=settings.seed,
    )


def _train_supervised(
    dataset: Dataset, run: Path, config: Any, start: PrepModel, draft: Path, settings: TrainingSettings
) -> _StageFigures:
    from training.prep_model.structure_training import train_structure

    result = train_structure(dataset.folder, run, config, start=start.heads)
    card = candidate_card("prep", dataset, settings)
    trained = result.version(config, start.config, updates=start.updates)
    version = trained.save(fresh_folder(draft), start.encoder, card=card)
    scores = {"candidate": result.scores, SERVING: result.start_scores, "rules alone": result.rule_scores}
    metrics = {name: asdict(of_one) for name, of_one in scores.items() if of_one is not None}
    return version, metrics, ("loss", "boundary", "role")


def _contrastive_config(dataset: Dataset, settings: TrainingSettings, start: PrepModel) -> Any:
    from training.prep_model.contrastive_config import ContrastiveConfig
    from training.prep_model.vector_pages import VectorSet

    return ContrastiveConfig(
        sets=(VectorSet(name=CORPUS, split=False),),
        measured=(VectorSet(name=HELD_OUT),),
        held_out_every=settings.held_out_every,
        epochs=float(settings.vector_epochs),
        queries=start.config.queries,
        seed=settings.seed,
    )


def _train_contrastive(
    dataset: Dataset, run: Path, config: Any, start: PrepModel, draft: Path, settings: TrainingSettings
) -> _StageFigures:
    from training.prep_model.contrastive import train_contrastive

    result = train_contrastive(dataset.folder, run, config, start=start, stop_after_s=60.0 * settings.minutes)
    card = candidate_card("prep", dataset, settings)
    version = result.version(config, start).save(fresh_folder(draft), start.encoder, card=card)
    (ways,) = result.measures.values()
    return version, {way: asdict(recall) for way, recall in ways.items()}, ("contrast", "anchor")


def _reinforcement_config(dataset: Dataset, settings: TrainingSettings, start: PrepModel) -> Any:
    from training.prep_model.vector_pages import VectorSet
    from training.rl.segmentation_config import SegmentationConfig

    return SegmentationConfig(
        sets=(VectorSet(name=CORPUS, split=False),),
        measured=(VectorSet(name=HELD_OUT),),
        held_out_every=settings.held_out_every,
        steps=settings.cut_steps,
        seed=settings.seed,
    )


def _train_reinforcement(
    dataset: Dataset, run: Path, config: Any, start: PrepModel, draft: Path, settings: TrainingSettings
) -> _StageFigures:
    from training.rl.segmentation_rl import train_segmentation

    result = train_segmentation(dataset.folder, run, start, config)
    card = candidate_card("prep", dataset, settings)
    version = result.version(config, start).save(fresh_folder(draft), start.encoder, card=card)
    return version, {"candidate": asdict(result.after), SERVING: asdict(result.before)}, ("reward", "spread")
