"""A training run on disk: what it is, its log, and checkpoints that count only once they are whole.

    config.json             what the run is; another run in the same folder is refused
    log.jsonl               a row a logged step, cut back to the checkpoint where a run goes on
    checkpoints/step-N/     state.safetensors, notes.json, and the marker `complete`, written last

`training.runs.training_loop` writes it for our own stages, `training.rl.reinforce` for the one that trl trains.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prep.errors import ConfigError

__all__ = ["Checkpoint", "RunFolder", "read_log"]

_MARKER = "complete"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint: after how many steps, its tensors, and whatever else the trainer noted."""

    step: int
    tensors: dict[str, torch.Tensor]
    notes: dict[str, Any]


class RunFolder:
    """The folder of one run. identity: plain values that say which run it is: settings, data, start."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        """Raises ConfigError where the folder belongs to another run."""
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        described = json.loads(json.dumps(identity, sort_keys=True))
        config = self.path / "config.json"
        if not config.exists() or not self.checkpoints():
            _write_whole(config, json.dumps(described, indent=2, sort_keys=True) + "\n")
        elif (held := json.loads(config.read_text(encoding="utf-8"))) != described:
            changed = sorted(key for key in {*held, *described} if held.get(key) != described.get(key))
            raise ConfigError(
                f"{self.path} holds checkpoints of a run with other settings or data ({', '.join(changed)}); "
                "choose another folder or delete it"
            )

    def checkpoints(self) -> list[Path]:
        """Return the folders of the complete checkpoints, oldest first."""
        return [path.parent for path in sorted(self.path.glob(f"checkpoints/step-*/{_MARKER}"))]

    def resume(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, the log cut back to it; None, with an empty log, where none is."""
        from safetensors.torch import load_file

        found = self.checkpoints()
        if not found:
            self._rewrite_log(())
            return None
        notes = json.loads((found[-1] / "notes.json").read_text(encoding="utf-8"))
        step = int(notes.pop("step"))
        self._rewrite_log(row for row in self.rows() if row["step"] <= step)
        return Checkpoint(step, load_file(found[-1] / "state.safetensors"), notes)

    def checkpoint(
        self,
        step: int,
        tensors: Mapping[str, torch.Tensor],
        *,
        beside: Callable[[Path], object] | None = None,
        **notes: Any,
    ) -> None:
        """Write a checkpoint, its marker last, and remove all but the two newest.

        beside: called with the folder, to write more files into it. notes: plain values to be given back.
        Nothing is written at step 0 or where the step has a checkpoint.
        """
        from safetensors.torch import save_file

        folder = self.path / "checkpoints" / f"step-{step:07d}"
        if step == 0 or (folder / _MARKER).exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
            folder / "state.safetensors",
        )
        (folder / "notes.json").write_text(json.dumps({"step": step, **notes}), encoding="utf-8")
        if beside is not None:
            beside(folder)
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        (folder / _MARKER).touch()
        for old in self.checkpoints()[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row; it names its `step`."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return the log's rows; a last one that was cut is left out."""
        return read_log(self.path / "log.jsonl")

    def _rewrite_log(self, rows: Iterable[Mapping[str, Any]]) -> None:
        _write_whole(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log, none where there is no log; a last one that was cut is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
