"""What the tests of the prep model's training stages share: a labelled set, a tiny start, a run's log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from fixture_encoder import make_bert

from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import StructureHeads
from prep.model.prep_model import PrepModel
from prep.model.prep_version import save_version


def write_labelled_set(
    folder: Path, documents: Iterable[Mapping[str, Any]], questions: Iterable[Mapping[str, Any]]
) -> None:
    """Write rows in the documented schema."""
    folder.mkdir()
    for name, rows in (("documents", documents), ("questions", questions)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def save_start(folder: Path, config: PrepConfig, *, seed: int) -> tuple[Path, PrepModel]:
    """Write a version with heads drawn by the seed on a tiny encoder; returns that encoder's folder and the model."""
    base = make_bert(folder / "base")
    torch.manual_seed(seed)
    heads = StructureHeads(config.heads)
    save_version(folder / "start", heads, config, Encoder.load(base, precision="float32"))
    return base, PrepModel.load(folder / "start", base=base, precision="float32")


def log_rows(run: Path, having: str = "step") -> list[dict[str, float]]:
    """Return the rows of a run's log that have a figure, without what the clock decides."""
    rows = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows if having in row]
