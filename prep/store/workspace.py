"""The workspace: generations, model versions, and the small file that says which are current.

    workspace/
      CURRENT.json        the current generation and model versions, and those before (`prep.store.current`)
      generations/<id>/   see `prep.store.generation`
      models/prep/<version>/  models/retrieve/<version>/   manifest.json and the model's files

One process writes at a time, under a file lock that the system frees when its holder dies; readers take no lock.
Replacing CURRENT.json is `prep.store.current`'s; the content of a generation or a model is its writer's.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from prep.errors import ChecksumMismatch, ConfigError, EmptyStore, StoreError, WorkspaceLocked
from prep.fault_injection import fault_point
from prep.manifest import (
    MANIFEST_NAME,
    read_manifest,
    sync_folder,
    sync_tree,
    verify_folder,
    write_manifest,
)
from prep.store.current import (
    CURRENT_NAME,
    MODEL_KINDS,
    POINTERS,
    Current,
    ModelKind,
    read_current,
    write_current,
)
from prep.store.generation import TEMPORARY_PREFIX, Generation, hold_unused

__all__ = ["Workspace"]

_LOCK_TIMEOUT_S = 10.0


class Workspace:
    """A folder of generations and models. The constructor touches nothing; writing makes the folders."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # One lock object: the thread that holds it may take it again.
        self._lock = FileLock(self.path / ".lock")

    @property
    def generations_path(self) -> Path:
        return self.path / "generations"

    # What is current

    def current(self) -> Current:
        """Return what CURRENT.json says now; nothing but Nones where there is none. Raises StoreError."""
        return read_current(self.path)

    def swap(self, **changes: str | None) -> Current:
        """Change pointers (generation, prep, retrieve) together, in one step, and return the new state.

        Where a value changes, the one before is kept for going back. Takes the lock. Raises StoreError for a
        pointer or target that does not exist.
        """
        for name, target in changes.items():
            if name not in POINTERS:
                raise StoreError(f"{name!r} cannot be current: it must be one of {', '.join(POINTERS)}")
            if target is not None:
                read_manifest(self._folder(name, target))
        with self.lock():
            before = self.current()
            after = before.changed(changes)
            if after is not before:
                write_current(self.path, after)
        return after

    # The lock

    @contextmanager
    def lock(self, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the writers' lock inside; the same thread may take it again. Raises WorkspaceLocked."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=timeout_s)
        except Timeout as error:
            raise WorkspaceLocked(
                f"another process is writing to {self.path}, and did not finish within {timeout_s:g} s: "
                "wait for it, or give a longer timeout"
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    def clean(self) -> int:
        """Remove what killed writers left unfinished; return the number of folders and files. Takes the lock."""
        n_removed = 0
        with self.lock():
            for folder in (self.generations_path, *(self.path / "models" / kind for kind in MODEL_KINDS)):
                for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    shutil.rmtree(path, ignore_errors=True)
                    n_removed += 1
            for path in self.path.glob(f".{CURRENT_NAME}.*.tmp"):
                path.unlink(missing_ok=True)
                n_removed += 1
        return n_removed

    # Generations

    def generations(self) -> list[str]:
        """Return the ids of all complete generations, oldest first."""
        found = []
        for folder in _complete_folders(self.generations_path):
            try:
                created_at = str(read_manifest(folder).get("created_at"))
            except StoreError:  # a damaged one counts as the oldest
                created_at = ""
            found.append((created_at, folder.name))
        return [name for _, name in sorted(found)]

    def generations_of(self, prep: str | None) -> list[str]:
        """Return the generations that a prep version built, oldest first. prep: None for a version from elsewhere."""
        return [name for name in self.generations() if self._fits(name, prep)]

    def open_generation(
        self,
        generation_id: str | None = None,
        *,
        prep_version: str | None = None,
        n_threads: int | None = None,
    ) -> Generation:
        """Open a generation, the current one by default, after checking its files.

        Raises EmptyStore where nothing was ingested, VersionMismatch where it was built by another prep
        version than `prep_version`, ChecksumMismatch, StoreError.
        """
        for _ in range(5):
            wanted = generation_id or self.current().generation
            if wanted is None:
                raise EmptyStore(
                    f"{self.path} has no generation: ingest documents first (`diptych ingest PATH`)"
                )
            try:
                return Generation(
                    self._folder("generation", wanted), prep_version=prep_version, n_threads=n_threads
                )
            except ChecksumMismatch as error:
                raise ChecksumMismatch(
                    f"{error}; `diptych generations rollback` goes back to the one before, `diptych ingest PATH` "
                    "builds it again"
                ) from error
            except FileNotFoundError:
                # A writer may have moved on and removed it since CURRENT.json was read.
                if generation_id is not None or self.current().generation == wanted:
                    break
        known = ", ".join(self.generations()) or "none"
        raise StoreError(f"{self.path} has no generation {wanted!r}; there are: {known}")

    def rollback_generation(self, target: str | None = None) -> Current:
        """Make a generation current again, with the prep version that built it; by default the one before.

        Rolling back twice returns to the start. Raises StoreError where there is no such generation,
        ChecksumMismatch.
        """
        with self.lock():
            before = self.current()
            wanted = target or before.previous.get("generation")
            if wanted is None:
                raise StoreError(f"{self.path} has no generation before the current one")
            folder = self._folder("generation", wanted)
            if not folder.is_dir():
                known = ", ".join(self.generations()) or "none"
                raise StoreError(f"{self.path} has no generation {wanted!r}; there are: {known}")
            manifest = verify_folder(folder)
            return self.swap(generation=wanted, prep=self.prep_name(str(manifest["prep_version"])))

    def prune(self, keep: int = 3) -> list[str]:
        """Remove all but the newest `keep` generations and return the ids of those removed.

        Some stay in any case: the current one, the one before it, those that a reader has open, and the newest one of
        the prep version before the serving one, which a rollback needs. Takes the lock.
        """
        removed = []
        with self.lock():
            current = self.current()
            spared = {current.generation, current.previous.get("generation")}
            if "prep" in current.previous:
                spared.update(self.generations_of(current.previous["prep"])[-1:])
            ids = self.generations()
            for generation_id in ids[: max(0, len(ids) - keep)]:
                folder = self._folder("generation", generation_id)
                with hold_unused(folder) as unused:
                    if generation_id in spared or not unused:
                        continue
                    doomed = _rename_for_removal(folder)
                fault_point("during-prune")
                shutil.rmtree(doomed, ignore_errors=True)
                removed.append(generation_id)
        return removed

    # Models

    def model_versions(self, kind: ModelKind) -> list[str]:
        """Return the versions of a kind of model in this workspace, by name."""
        return [folder.name for folder in _complete_folders(self._folder(kind))]

    def model_path(self, kind: ModelKind, version: str) -> Path:
        """Return the folder of a model version. Raises StoreError where it is not there."""
        folder = self._folder(kind, version)
        if not (folder / MANIFEST_NAME).is_file():
            known = ", ".join(self.model_versions(kind)) or "none"
            raise StoreError(f"{self.path} has no {kind} model {version!r}; there are: {known}")
        return folder

    @contextmanager
    def new_model(
        self, kind: ModelKind, version: str | None = None, content: Mapping[str, Any] | None = None
    ) -> Iterator[Path]:
        """Yield an empty folder to write a model into; it becomes models/<kind>/<version> when the block ends.

        A manifest.json written in the block is checked against the files and kept; it names the version where `version`
        is None. Otherwise one is written from `content`. The version is not promoted. Takes the lock. Raises StoreError
        where the version exists, or is not the one that the manifest names.
        """
        with self.lock():
            if version is not None:
                self._refuse_existing(kind, version)
            temporary = self._folder(kind) / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            temporary.mkdir(parents=True)
            try:
                yield temporary
                if version is None or (temporary / MANIFEST_NAME).is_file():
                    manifest = verify_folder(temporary)
                    sync_tree(temporary)
                else:
                    manifest = write_manifest(
                        temporary, {"kind": kind, "version": version, **(content or {})}
                    )
                named = str(manifest.get("version"))
                if manifest.get("kind") != kind or (version or named) != named:
                    raise StoreError(
                        f"the manifest written for {kind} model {version or named!r} is that of "
                        f"{manifest.get('kind')} model {named!r}"
                    )
                os.rename(temporary, self._refuse_existing(kind, named))
                sync_folder(self._folder(kind))
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def models_by_age(self, kind: ModelKind) -> list[str]:
        """Return the versions of a kind, oldest first, by their manifests' `created_at`, else by the files' time."""
        folder = self._folder(kind)
        return sorted(self.model_versions(kind), key=lambda version: (_created(folder / version), version))

    def prune_models(
        self, keep: int = 5, *, needed: Collection[tuple[ModelKind, str]] = (), dry_run: bool = False
    ) -> list[tuple[ModelKind, str]]:
        """Remove all but the newest `keep` versions of each kind and return kind and version of those removed.

        Some stay in any case: the versions that serve, those that served before them, prep versions of a generation
        that is still there, and those in `needed`. dry_run: remove nothing, return what would be removed; takes no
        lock. Raises ConfigError where `keep` is below 1.
        """
        if keep < 1:
            raise ConfigError(f"keep={keep!r} must be at least 1: the newest version of each kind stays")
        if dry_run:
            return self._prunable_models(keep, needed)
        with self.lock():
            doomed = self._prunable_models(keep, needed)
            for kind, version in doomed:
                folder = _rename_for_removal(self._folder(kind, version))
                fault_point("during-prune")
                shutil.rmtree(folder, ignore_errors=True)
        return doomed

    def _prunable_models(
        self, keep: int, needed: Collection[tuple[ModelKind, str]]
    ) -> list[tuple[ModelKind, str]]:
        current = self.current()
        found: list[tuple[ModelKind, str]] = []
        for kind in MODEL_KINDS:
            spared = {getattr(current, kind), current.previous.get(kind)}
            if kind == "prep":
                spared |= self._prep_versions_needed()
            old = self.models_by_age(kind)[:-keep]
            found += [(kind, one) for one in old if one not in spared and (kind, one) not in needed]
        return found

    def _prep_versions_needed(self) -> set[str]:
        """Return the prep versions of all generations. Raises StoreError where a manifest cannot be read."""
        folders = _complete_folders(self.generations_path)
        return {str(read_manifest(folder).get("prep_version")) for folder in folders}

    def _refuse_existing(self, kind: ModelKind, version: str) -> Path:
        folder = self._folder(kind, version)
        if folder.exists():
            raise StoreError(f"{self.path} already has a {kind} model {version!r}: versions never change")
        return folder

    def promote(self, kind: ModelKind, version: str) -> Current:
        """Make a model version current, after checking its files.

        A prep version brings the newest generation that it built. Where there is none, ingest again: the current
        generation does not open with another prep version. Raises StoreError, ChecksumMismatch.
        """
        verify_folder(self.model_path(kind, version))
        with self.lock():
            return self._swap_model(kind, version)

    def rollback(self, kind: ModelKind) -> Current:
        """Make the version before the current one current again (the shipped one, if that was it).

        A prep version brings its newest generation, as in `promote`. Rolling back twice returns to the start.
        Raises StoreError where there is no version to go back to, ChecksumMismatch.
        """
        if kind not in MODEL_KINDS:
            raise StoreError(f"{kind!r} is no kind of model: it must be one of {', '.join(MODEL_KINDS)}")
        with self.lock():
            previous = self.current().previous
            if kind not in previous:
                raise StoreError(f"{self.path} has had no other {kind} model than the current one")
            version = previous[kind]
            if version is not None:
                verify_folder(self.model_path(kind, version))
            return self._swap_model(kind, version)

    def _swap_model(self, kind: ModelKind, version: str | None) -> Current:
        changes: dict[str, str | None] = {kind: version}
        if kind == "prep":
            fitting = self.generations_of(version)
            if fitting and self.current().generation not in fitting:
                verify_folder(self._folder("generation", fitting[-1]))
                changes["generation"] = fitting[-1]
        return self.swap(**changes)

    def prep_name(self, prep_version: str) -> str | None:
        """Return the version if it is a model of this workspace, None for one from elsewhere (shipped)."""
        return prep_version if prep_version in self.model_versions("prep") else None

    def _fits(self, generation_id: str, prep: str | None) -> bool:
        """Whether this prep version built the generation. prep: None for a version from elsewhere."""
        try:
            manifest = read_manifest(self._folder("generation", generation_id))
        except StoreError:
            return False
        return self.prep_name(str(manifest.get("prep_version"))) == prep

    def _folder(self, kind: str, name: str | None = None) -> Path:
        """Return the folder of a kind, or of one name in it. Raises StoreError for a name that is not one."""
        if kind != "generation" and kind not in MODEL_KINDS:
            raise StoreError(f"{kind!r} is no kind of model: it must be one of {', '.join(MODEL_KINDS)}")
        parent = self.generations_path if kind == "generation" else self.path / "models" / kind
        if name is None:
            return parent
        if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            raise StoreError(f"{name!r} cannot be the name of a {kind}: it must be a plain folder name")
        return parent / name


def _rename_for_removal(folder: Path) -> Path:
    """Rename the folder, so that no half-removed folder has its name, and return the new path."""
    doomed = folder.with_name(f"{TEMPORARY_PREFIX}removed-{folder.name}")
    os.rename(folder, doomed)
    return doomed


def _created(folder: Path) -> str:
    """Return the time a model version was made, as ISO 8601 in UTC."""
    try:
        if (noted := read_manifest(folder).get("created_at")) is not None:
            return str(noted)
    except StoreError:
        pass  # a damaged manifest still has its time
    return datetime.fromtimestamp((folder / MANIFEST_NAME).stat().st_mtime, UTC).isoformat()


def _complete_folders(parent: Path) -> list[Path]:
    """Return the folders in `parent` that are not temporary and have a manifest, by name."""
    return sorted(
        path.parent for path in parent.glob(f"*/{MANIFEST_NAME}") if not path.parent.name.startswith(".")
    )
