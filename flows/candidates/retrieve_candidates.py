"""A stage of the retrieve model's training on questions about a workspace's documents: a candidate version.

    supervised      on traces of what should be said (`flows.candidates.supervised_stage`)
    reinforcement   on what its own reports are worth, GRPO (`flows.candidates.reinforcement_stage`)

Each goes on from the version that serves, or from the one that is shipped (`PassSettings.retrieve_start`). Plain
functions, as in `flows.candidates.candidate_folder`, which says what a candidate is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from flows.candidates.candidate_folder import (
    Candidate,
    candidate_card,
    curves_of,
    finished_candidate,
    keep_candidate,
)
from flows.candidates.training_sets import Dataset, PassSettings
from flows.models.lineage import Lineage
from prep.errors import ConfigError
from prep.manifest import json_digest
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from retrieve.model import ServingConfig
    from training.data.dataset import LabelledSet
    from training.data.passage_pool import PassagePool

__all__ = [
    "RETRIEVE_STAGES",
    "Begun",
    "RetrieveStage",
    "Trained",
    "check_retrieve_stage",
    "train_retrieve_candidate",
]

RetrieveStage: TypeAlias = Literal["supervised", "reinforcement"]
RETRIEVE_STAGES: tuple[RetrieveStage, ...] = get_args(RetrieveStage)
#: Raise it when what is trained from the same data and settings changes.
FORMAT = 4


@dataclass(frozen=True, slots=True)
class Begun:
    """What a stage goes on from, and where it writes.

    start: the version's folder. pool: the passages that are served, of documents that may be trained on.
    draft: for the version. about: what it is made of. told: as `train_retrieve_candidate` has it.
    """

    start: Path
    manifest: dict[str, Any]
    serving: ServingConfig
    dataset: Dataset
    training: LabelledSet
    pool: PassagePool
    settings: PassSettings
    run: Path
    draft: Path
    about: dict[str, Any]
    told: Callable[[float, float], None] | None

    @property
    def allowed_s(self) -> float:
        """Seconds that training may take."""
        return 60.0 * self.settings.minutes

    def tell(self, seconds: float) -> None:
        """Say how long it has taken so far."""
        if self.told is not None:
            self.told(min(seconds, self.allowed_s), self.allowed_s)

    def save(self, adapter: Path, serving: ServingConfig, n_steps: int) -> str:
        """Write the version into `draft`, with the noisy-channel model of the one it went on from; returns its name."""
        from retrieve.model import CHANNEL_ADAPTER, save_retrieve_version

        return save_retrieve_version(
            self.draft,
            adapter,
            serving=serving,
            channel_adapter=self.start / CHANNEL_ADAPTER
            if CHANNEL_ADAPTER in self.manifest["files"]
            else None,
            source=self.manifest["base"].get("source"),
            card=candidate_card("retrieve", self.dataset, self.settings),
            training={**self.about, "steps": n_steps},
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """What a stage gives: the version's name, held-out figures by system, and the names of the curves in its log."""

    version: str
    seconds: float
    metrics: dict[str, dict[str, float | None]]
    curves: tuple[str, ...]


def check_retrieve_stage(stage: str) -> None:
    """Raise ConfigError for a stage that there is not."""
    if stage not in RETRIEVE_STAGES:
        raise ConfigError(f"there is no stage {stage!r} of retrieve; known are {', '.join(RETRIEVE_STAGES)}")


def train_retrieve_candidate(
    workspace: Workspace,
    dataset: Dataset,
    settings: PassSettings,
    stage: RetrieveStage = "supervised",
    *,
    told: Callable[[float, float], None] | None = None,
    generation_id: str | None = None,
) -> Candidate:
    """Train a retrieve model further on the documents' questions; keep a candidate version.

    told: called with (seconds so far, seconds allowed) as it goes on. generation_id: whose chunks are shown, by
    default the current one's; a run that was interrupted goes on only with the same. Raises ConfigError for an unknown
    stage, DataError where the questions give nothing to train on.
    """
    from flows.candidates import reinforcement_stage as retrieve_reinforcement
    from flows.candidates import supervised_stage as retrieve_supervised
    from flows.candidates.question_sets import generation_pool
    from flows.models.serving import serving_prep, serving_retrieve_path
    from retrieve.model import ServingConfig, read_retrieve_manifest, shipped_retrieve

    stages: dict[RetrieveStage, Any] = {
        "supervised": retrieve_supervised,
        "reinforcement": retrieve_reinforcement,
    }
    check_retrieve_stage(stage)
    start = shipped_retrieve() if settings.retrieve_start == "shipped" else serving_retrieve_path(workspace)
    manifest = read_retrieve_manifest(start)
    serving = ServingConfig.from_json(manifest["serving"])
    config = stages[stage].configure(start, serving, settings, dataset)
    with workspace.open_generation(generation_id) as generation:
        made_of = {
            "format": FORMAT,
            "stage": stage,
            "dataset": dataset.digest,
            "generation": generation.id,
            "start": manifest["version"],
            "config": asdict(config),
            "minutes": settings.minutes,
            "share": settings.share,
            "seed": settings.seed,
        }
        run = workspace.path / "runs" / f"retrieve-{json_digest(made_of)[:12]}"
        if (finished := finished_candidate(workspace, run)) is not None:
            return finished
        training = dataset.training()
        pool = generation_pool(generation, training.documents, serving_prep(workspace).encoder)
    draft = run / "version"
    begun = Begun(start, manifest, serving, dataset, training, pool, settings, run, draft, made_of, told)
    trained = stages[stage].train(begun, config)
    curves = curves_of(run, trained.curves)
    candidate = Candidate("retrieve", trained.version, trained.seconds, trained.metrics, curves)
    lineage = Lineage(
        start=manifest["version"],
        dataset=dataset.describe(),
        config={"stage": stage, **asdict(config), "minutes": settings.minutes, "seed": settings.seed}
        | ({"share": settings.share} if stage == "supervised" else {}),
        generation=made_of["generation"],
    )
    return keep_candidate(workspace, run, candidate, draft, lineage)
