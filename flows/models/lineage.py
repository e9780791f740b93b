"""A candidate's lineage: the version before, the data set, the settings, the code.

It is written into the manifest when a candidate is kept, beside what the training writes there. Versions that are older
than that, or come with the package, have none. Serving does not read it: `flows.models.registry` shows it.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prep.errors import StoreError, WeightsError
from prep.manifest import MANIFEST_NAME, read_json, read_manifest, write_json
from prep.store.current import ModelKind
from prep.store.workspace import Workspace

__all__ = ["Lineage", "code_version", "note_lineage", "shipped_folder", "version_folder"]

ROOT = Path(__file__).resolve().parents[2]
_GIT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a version was made from. start: the version that training started from.

    dataset: digest and counts. generation: whose chunks were shown, if any. config: the resolved settings of the
    training. metrics: system → figure → value, on held-out documents.
    """

    start: str
    dataset: dict[str, Any]
    config: dict[str, Any]
    generation: str | None = None
    metrics: dict[str, dict[str, float | None]] | None = None
    seconds: float = 0.0


def note_lineage(workspace: Workspace, kind: ModelKind, draft: Path, lineage: Lineage) -> None:
    """Write the lineage into the manifest of the version in `draft`, whose name and checksums stay as they are.

    All ancestors are named, nearest first, so that they are known where one of them was pruned.
    """
    manifest = read_json(draft / MANIFEST_NAME)
    manifest["created_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    manifest["lineage"] = {
        "start": lineage.start,
        "ancestors": _ancestors(workspace, kind, lineage.start),
        "dataset": lineage.dataset,
        "generation": lineage.generation,
        "config": lineage.config,
        "metrics": lineage.metrics or {},
        "seconds": round(lineage.seconds, 1),
        "code": code_version(),
    }
    os.replace(write_json(draft / MANIFEST_NAME, manifest), draft / MANIFEST_NAME)


def code_version() -> dict[str, str | bool | None]:
    """Return the package's version; in a git checkout of Diptych also the commit, and whether files differ from it."""
    try:
        package = version("diptych")
    except PackageNotFoundError:
        package = "not installed"
    commit, changed = None, None
    if (ROOT / ".git").exists():  # the package may be installed inside another repository
        commit = _git("rev-parse", "HEAD")
        status = _git("status", "--porcelain", "--untracked-files=no")
        changed = None if status is None else bool(status)
    return {"package": package, "commit": commit, "changed": changed}


def shipped_folder(kind: ModelKind) -> Path:
    """Return the folder of the version that comes with the package. Raises WeightsError where there is none."""
    from prep.model.prep_version import shipped_version
    from retrieve.model import shipped_retrieve

    return shipped_version() if kind == "prep" else shipped_retrieve()


def version_folder(workspace: Workspace, kind: ModelKind, name: str) -> Path | None:
    """Return the folder of a version of the workspace or of the package, by its name; None where there is none."""
    if name in workspace.model_versions(kind):
        return workspace.model_path(kind, name)
    try:
        folder = shipped_folder(kind)
        return folder if read_manifest(folder).get("version") == name else None
    except (StoreError, WeightsError):
        return None


def _ancestors(workspace: Workspace, kind: ModelKind, start: str) -> list[str]:
    folder = version_folder(workspace, kind, start)
    if folder is None:
        return [start]
    before = read_manifest(folder).get("lineage", {}).get("ancestors", [])
    return [start, *before]


def _git(*words: str) -> str | None:
    """Return the output of git; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
