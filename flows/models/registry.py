"""The versions of a workspace's models: which serve, their ancestors, and differences between two.

This module only reads: `flows.models.promotion` changes which serve. A version is known by its manifest: files with
checksums, configuration, figures, and the lineage that `flows.models.lineage` wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.models.gate_decisions import GateDecision, read_decisions
from flows.models.lineage import shipped_folder
from flows.models.weight_distance import weight_distances
from prep.errors import StoreError
from prep.manifest import file_digest, read_manifest, verify_folder
from prep.store.current import ModelKind
from prep.store.workspace import Workspace
from retrieve.old_settings import current_names

__all__ = [
    "SHIPPED",
    "FileState",
    "ModelVersion",
    "ValueChange",
    "VersionDifference",
    "ancestors",
    "compare_versions",
    "decisions_on",
    "describe_version",
    "find_version",
    "flatten",
    "list_versions",
]

#: The name of the version that comes with the package.
SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class FileState:
    """A file of a version: its name, the SHA-256 its manifest says, its bytes, and whether it still matches."""

    name: str
    sha256: str
    n_bytes: int
    is_intact: bool


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version of a workspace or of the package.

    is_previous: it served before the serving one. damage: why its manifest cannot be read, else empty.
    """

    kind: ModelKind
    version: str
    folder: Path
    manifest: Mapping[str, Any]
    is_serving: bool
    is_previous: bool
    is_shipped: bool
    damage: str = ""

    @property
    def state(self) -> str:
        """ "shipped", "serving", "served before" or two of these; empty for any other version."""
        serving = "serving" if self.is_serving else "served before" if self.is_previous else ""
        return ", ".join(word for word in (SHIPPED if self.is_shipped else "", serving) if word)

    @property
    def created(self) -> str | None:
        """When it was kept, as ISO 8601 in UTC; None where nobody noted it."""
        noted = self.manifest.get("created_at")
        return None if noted is None else str(noted)

    @property
    def lineage(self) -> dict[str, Any]:
        """What was noted when it was kept; of older versions, the start, config and data that their training wrote.

        Older data sets count "lessons": these are feedback examples.
        """
        if noted := self.manifest.get("lineage"):
            dataset = dict(noted.get("dataset") or {})
            if "lessons" in dataset:
                dataset["feedback_examples"] = dataset.pop("lessons")
            return {**noted, "dataset": dataset or None}
        about = self.manifest.get("training") or {}
        found: dict[str, Any] = {"start": about.get("start"), "config": about.get("config") or {}}
        if "dataset" in about:
            found["dataset"] = {"digest": about["dataset"]}
        return found

    @property
    def configuration(self) -> dict[str, Any]:
        """Its settings for serving and for training, by dotted names; under today's names."""
        serving = self.manifest.get("config" if self.kind == "prep" else "serving") or {}
        if self.kind == "retrieve":
            serving = current_names(serving)
        return flatten({"serving": serving, "training": self.lineage.get("config") or {}})

    @property
    def metrics(self) -> dict[str, Any]:
        """Its figures on held-out data, by dotted names."""
        return flatten({**(self.manifest.get("metrics") or {}), **(self.lineage.get("metrics") or {})})

    def check_files(self) -> list[FileState]:
        """Read every file that the manifest lists, and return its state."""
        states = []
        for name, expected in sorted(self.manifest["files"].items()):
            path = self.folder / name
            there = path.is_file()
            intact = there and file_digest(path) == expected
            states.append(FileState(name, expected, path.stat().st_size if there else 0, intact))
        return states

    @property
    def n_bytes(self) -> int:
        """The size of its files on the disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A value that differs; None where one side has none."""

    name: str
    before: Any
    after: Any

    @property
    def difference(self) -> float | None:
        """After minus before, of two numbers."""
        values = (self.before, self.after)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            return None
        return float(self.after) - float(self.before)


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """What differs between two versions. weights: file → group of tensors → distance (`weight_distance`)."""

    configuration: list[ValueChange]
    origin: list[ValueChange]
    metrics: list[ValueChange]
    weights: dict[str, dict[str, float]]


def list_versions(workspace: Workspace, kind: ModelKind) -> list[ModelVersion]:
    """Return the shipped version, if it serves, then the workspace's, oldest first; damaged ones say why they are."""
    found = [] if getattr(workspace.current(), kind) is not None else [_shipped(workspace, kind)]
    for version in workspace.models_by_age(kind):
        try:
            found.append(_of_workspace(workspace, kind, version))
        except StoreError as error:
            folder = workspace.model_path(kind, version)
            found.append(_version(workspace, kind, version, folder, {"files": {}}, damage=str(error)))
    return found


def find_version(workspace: Workspace, kind: ModelKind, version: str | None = None) -> ModelVersion:
    """Return a version by its name or "shipped"; without a name, the serving one. Raises StoreError."""
    name = version if version is not None else getattr(workspace.current(), kind) or SHIPPED
    if name not in workspace.model_versions(kind):
        shipped = _shipped(workspace, kind)
        if name in (SHIPPED, shipped.version):
            return shipped
    return _of_workspace(workspace, kind, name)


def ancestors(workspace: Workspace, version: ModelVersion) -> list[tuple[str, str]]:
    """Return its ancestors, nearest first, each with its state now, "kept" or "gone"."""
    noted = [str(name) for name in version.lineage.get("ancestors") or ()]
    line: list[tuple[str, str]] = []
    seen = {version.version}
    before: ModelVersion | None = version
    while before is not None and not before.is_shipped:
        start = before.lineage.get("start")
        if not start or start in seen:
            break
        seen.add(start)
        before = _known(workspace, version.kind, start)
        line.append((start, "gone" if before is None else before.state or "kept"))
    if before is None:  # it was pruned: the ancestors noted in this version go on from there
        for name in noted[len(line) :]:
            later = _known(workspace, version.kind, name)
            line.append((name, "gone" if later is None else later.state or "kept"))
    return line


def decisions_on(workspace: Workspace, version: ModelVersion) -> list[GateDecision]:
    """Return the gate's decisions on it as a candidate, oldest first."""
    decisions, _ = read_decisions(workspace)
    return [one for one in decisions if (one.kind, one.candidate) == (version.kind, version.version)]


def describe_version(workspace: Workspace, version: ModelVersion) -> dict[str, Any]:
    """Return everything known about a version as JSON-ready values; reads and checks its files."""
    lineage = version.lineage
    return {
        "kind": version.kind,
        "version": version.version,
        "serving": version.is_serving,
        "served_before": version.is_previous,
        "shipped": version.is_shipped,
        "created": version.created,
        "base": dict(version.manifest.get("base") or {}),
        "ancestors": [{"version": name, "state": state} for name, state in ancestors(workspace, version)],
        "dataset": lineage.get("dataset"),
        "generation": lineage.get("generation"),
        "code": lineage.get("code"),
        "seconds": lineage.get("seconds"),
        "configuration": version.configuration,
        "metrics": version.metrics,
        "files": [asdict(state) for state in version.check_files()],
        "gate": [
            {
                "created": one.created,
                "current": one.current,
                "promoted": one.promoted,
                "reasons": list(one.reasons),
            }
            for one in decisions_on(workspace, version)
        ],
    }


def compare_versions(first: ModelVersion, second: ModelVersion) -> VersionDifference:
    """Return what differs from the first to the second. Raises StoreError, ChecksumMismatch, WeightsError."""
    for version in (first, second):
        verify_folder(version.folder)
    files = dict(first.manifest["files"]), dict(second.manifest["files"])
    return VersionDifference(
        configuration=_changes(first.configuration, second.configuration),
        origin=_changes(_origin(first), _origin(second)),
        metrics=_changes(first.metrics, second.metrics),
        weights=weight_distances(first.folder, second.folder, files),
    )


def flatten(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by dotted names, in order; lists stay whole.

    >>> flatten({"limits": {"max": 200}, "sizes": [1, 2]})
    {'limits.max': 200, 'sizes': [1, 2]}
    """
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _origin(version: ModelVersion) -> dict[str, Any]:
    lineage = version.lineage
    parts = {name: lineage.get(name) for name in ("start", "dataset", "generation", "code")}
    return flatten(
        {
            "base": version.manifest.get("base") or {},
            "created": version.created,
            **{name: value for name, value in parts.items() if value is not None},
        }
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueChange]:
    names = dict.fromkeys((*before, *after))
    return [
        ValueChange(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _known(workspace: Workspace, kind: ModelKind, name: str) -> ModelVersion | None:
    try:
        return find_version(workspace, kind, name)
    except StoreError:
        return None


def _of_workspace(workspace: Workspace, kind: ModelKind, version: str) -> ModelVersion:
    folder = workspace.model_path(kind, version)
    return _version(workspace, kind, version, folder, read_manifest(folder))


def _shipped(workspace: Workspace, kind: ModelKind) -> ModelVersion:
    folder = shipped_folder(kind)
    manifest = read_manifest(folder)
    return _version(workspace, kind, None, folder, manifest)


def _version(
    workspace: Workspace,
    kind: ModelKind,
    name: str | None,
    folder: Path,
    manifest: Mapping[str, Any],
    *,
    damage: str = "",
) -> ModelVersion:
    """Return the version. name: in CURRENT.json; None for the shipped one."""
    current = workspace.current()
    return ModelVersion(
        kind=kind,
        version=str(manifest["version"]) if name is None else name,
        folder=folder,
        manifest=manifest,
        is_serving=getattr(current, kind) == name,
        is_previous=kind in current.previous and current.previous[kind] == name,
        is_shipped=name is None,
        damage=damage,
    )
