"""Manifests and durable files: a manifest lists a folder's files with their SHA-256, and is written last.

A folder is complete when its `manifest.json` is there and every file matches it. FAISS and safetensors load
flipped bits without an error, so every loader calls `verify_folder` first. The other entries of a manifest belong to
its writer (`prep.store.generation`, the model folders).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from prep.errors import ChecksumMismatch, StoreError

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "file_digest",
    "json_digest",
    "read_json",
    "read_manifest",
    "sync_file",
    "sync_folder",
    "sync_tree",
    "verify_folder",
    "write_json",
    "write_manifest",
]

MANIFEST_NAME = "manifest.json"
FORMAT = 1


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(content: Any) -> str:
    """Return the SHA-256 of `content` in canonical JSON (sorted keys, no blanks), in hexadecimal."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def sync_file(path: Path) -> None:
    """Wait until the content of `path` is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk; do nothing where the system has no such call."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows: a folder has no descriptor, and its names are journalled
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until everything in `folder` is on the disk."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            sync_file(path)
    sync_folder(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write `content` to a temporary file beside `path` and return it: `os.replace` completes it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return temporary


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`. Raises FileNotFoundError, and StoreError where it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON and UTF-8 errors are both ValueErrors
        raise StoreError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} is damaged: expected a JSON object, found {type(content).__name__}")
    return content


def write_manifest(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of a finished folder: `content`, the format, and the SHA-256 of every file in it.

    Every file is on the disk before the manifest is. Returns the manifest.
    """
    sync_tree(folder)
    files = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST_NAME
    }
    manifest: dict[str, Any] = {"format": FORMAT, **content, "files": files}
    manifest["digest"] = json_digest(manifest)
    os.replace(write_json(folder / MANIFEST_NAME, manifest), folder / MANIFEST_NAME)
    sync_folder(folder)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of `folder`, checked against its own digest where it has one, but not the files.

    Raises StoreError where it is missing, damaged or of a later format, ChecksumMismatch where it was
    altered.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = read_json(path)
    except FileNotFoundError as error:
        raise StoreError(f"{folder} has no {MANIFEST_NAME}: it is not complete") from error
    digest = manifest.get("digest")
    if digest is not None:
        actual = json_digest({key: value for key, value in manifest.items() if key != "digest"})
        if actual != digest:
            raise ChecksumMismatch(f"{path} was altered: its digest is {actual}, and it says {digest}")
    if manifest.get("format", FORMAT) != FORMAT:
        raise StoreError(f"{path} has format {manifest['format']!r}; this version of Diptych reads {FORMAT}")
    if not isinstance(manifest.get("files"), dict):
        raise StoreError(f"{path} is damaged: it lists no files")
    return manifest


def verify_folder(folder: Path) -> dict[str, Any]:
    """Check every file of `folder` against its manifest and return the manifest.

    Raises ChecksumMismatch with the first file that is missing or differs, and the errors of `read_manifest`.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise StoreError(f"{folder / MANIFEST_NAME} names a file outside its folder: {name!r}")
        path = folder / name
        if not path.is_file():
            raise ChecksumMismatch(f"{path} is missing, though the manifest beside it lists it")
        actual = file_digest(path)
        if actual != expected:
            raise ChecksumMismatch(
                f"{path} is damaged: its SHA-256 is {actual}, and its manifest says {expected}"
            )
    return manifest
