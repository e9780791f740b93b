"""Settings of the prep model's structure stage: which pages the heads are trained on, and how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prep.checks import check_counts
from prep.errors import ConfigError
from prep.model.base_encoder import Precision
from prep.model.heads import HeadsConfig
from training.runs.config_file import read_config

__all__ = ["StructureConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureConfig:
    """One run of the structure stage.

    sets: names of labelled sets below the data folder and how many of their documents at most. joined: sets
    whose prose is put together to topics, and how many such documents; a set may be named in either or both.
    held_out_every: every n-th document of a set, in order of its id, is for measuring alone. pages: damaged pages
    a document. page_characters: about how long. Losses are summed with the given weights. device: cpu or cuda.
    """

    sets: Mapping[str, int] = field(
        default_factory=lambda: {
            "docs_peps": 400,
            "docs_vue": 112,
            "docs_powershell": 150,
            "docs_handbook": 241,
            "docs_prometheus": 124,
            "docs_rust_book": 110,
            "docs_site_policy": 63,
            "medquad": 350,
            "qmsum_train": 162,
            "new_wiki": 48,
            "policyqa_dev": 20,
            "contractnli": 95,
            "drcd_dev": 60,
        }
    )
    joined: Mapping[str, int] = field(
        default_factory=lambda: {
            "new_wiki": 200,
            "clapnq_dev": 150,
            "hotpot_train100": 150,
            "musique_train100": 150,
            "amazon_reviews": 120,
            "reddit": 120,
            "medquad": 120,
            "docs_peps": 40,
            "drcd_dev": 40,
        }
    )
    held_out_every: int = 6
    pages: int = 1
    page_characters: int = 5000
    shard_pages: int = 200
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    epochs: int = 8
    batch_pages: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.05
    boundary_weight: float = 1.0
    role_weight: float = 1.0
    level_weight: float = 0.3
    checkpoint_steps: int = 100
    seed: int = 17
    threads: int = 1
    device: str = "cpu"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_counts(
            self,
            "held_out_every",
            "pages",
            "page_characters",
            "shard_pages",
            "epochs",
            "batch_pages",
            "threads",
        )
        if self.held_out_every < 2:
            raise ConfigError("held_out_every=1 would hold out everything")
        if self.learning_rate <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(
                f"learning_rate={self.learning_rate!r}, warmup={self.warmup!r} are out of range"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {
            **asdict(replace(self, heads=HeadsConfig())),
            "sets": dict(self.sets),
            "joined": dict(self.joined),
            "heads": self.heads.to_json(),
        }

    @classmethod
    def from_toml(cls, path: str | Path) -> StructureConfig:
        """Read settings; an unknown key is a ConfigError."""
        return read_config(cls, path, nested={"heads": HeadsConfig.from_json})

    def digest(self, *names: str) -> str:
        """A short hash of the named settings, or of all of them."""
        values = self.to_json()
        chosen = {name: values[name] for name in names} if names else values
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]
