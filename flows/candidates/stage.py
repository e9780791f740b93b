"""What a stage of the retrieve model's training starts from, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import candidate_card
from flows.candidates.dataset_folder import Dataset
from flows.candidates.training_settings import TrainingSettings

if TYPE_CHECKING:
    from retrieve.model import ServingConfig
    from training.data.dataset import LabelledSet
    from training.data.passage_pool import PassagePool

__all__ = ["RetrieveRun", "StageResult"]


@dataclass(frozen=True, slots=True)
class RetrieveRun:
    """The run of one stage: the version that it starts from, its data, and the folders that it writes.

    start: the version's folder. pool: the passages that are served, of documents that may be trained on.
    draft: the folder of the new version. about: what the version is made of, for its manifest.
    on_progress: called with (seconds so far, seconds allowed).
    """

    start: Path
    manifest: dict[str, Any]
    serving: ServingConfig
    dataset: Dataset
    training: LabelledSet
    pool: PassagePool
    settings: TrainingSettings
    folder: Path
    draft: Path
    about: dict[str, Any]
    on_progress: Callable[[float, float], None] | None

    @property
    def allowed_s(self) -> float:
        """Seconds that training may take."""
        return 60.0 * self.settings.minutes

    def report_progress(self, seconds: float) -> None:
        """Report how long training has taken so far."""
        if self.on_progress is not None:
            self.on_progress(min(seconds, self.allowed_s), self.allowed_s)

    def save(self, adapter: Path, serving: ServingConfig, n_steps: int, *, reader: Path | None = None) -> str:
        """Write the version into `draft`, with the noisy-channel model of the version before; return its name.

        reader: the folder of its reader, by default that of the version before, where it has one.
        """
        from retrieve.model import CHANNEL_ADAPTER, READER, save_retrieve_version

        before = self.start / READER

        return save_retrieve_version(
            self.draft,
            adapter,
            serving=serving,
            channel_adapter=self.start / CHANNEL_ADAPTER
            if CHANNEL_ADAPTER in self.manifest["files"]
            else None,
            reader=reader or (before if before.is_dir() else None),
            source=self.manifest["base"].get("source"),
            card=candidate_card("retrieve", self.dataset, self.settings),
            training={**self.about, "steps": n_steps},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A trained version: its name, held-out figures by system, and the names of the curves in the run's log."""

    version: str
    seconds: float
    metrics: dict[str, dict[str, float | None]]
    curves: tuple[str, ...]
