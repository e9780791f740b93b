"""A prep version on disk: a manifest with checksums, the heads, the low-rank updates of the encoder, a card.

Beside them lie the three small files by which sentence-transformers opens the folder. No vector that Diptych makes
depends on them, so they are not among the files that name the version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prep.errors import ConfigError, WeightsError
from prep.lora import Updates, layer_number, read_updates, save_updates
from prep.manifest import file_digest, json_digest
from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import HeadsConfig, StructureHeads

__all__ = ["SavedVersion", "read_version", "save_version", "shipped_version"]

MANIFEST = "manifest.json"
HEADS = "heads.safetensors"
UPDATES = "encoder.safetensors"


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """The content of a saved version.

    base: name and SHA-256 of the encoder. updates: of that encoder, None where it was not trained. metrics: measured
    figures. training: how the version was trained.
    """

    version: str
    config: PrepConfig
    base: dict[str, str]
    heads: StructureHeads | None
    updates: Updates | None
    metrics: dict[str, Any]
    training: dict[str, Any]


def save_version(
    folder: str | Path,
    heads: StructureHeads | None,
    config: PrepConfig,
    encoder: Encoder,
    *,
    updates: Updates | None = None,
    name: str = "prep",
    card: str = "",
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> str:
    """Write a version into `folder` (weights, card, manifest) and return its version string.

    encoder: the base. updates: of its layers, with the scale in B, for the vectors. name: the beginning of the version
    string; the rest is a digest of weights, settings and base.
    """
    from safetensors.torch import save_file

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    if heads is not None:
        tensors = {key: value.detach().cpu().contiguous() for key, value in heads.state_dict().items()}
        save_file(tensors, target / HEADS)
        files[HEADS] = file_digest(target / HEADS)
    if updates is not None:
        save_updates(target / UPDATES, updates, scale=1.0)
        files[UPDATES] = file_digest(target / UPDATES)
    if card:
        (target / "README.md").write_text(card, encoding="utf-8")
    base = {"name": encoder.name, "sha256": encoder.fingerprint}
    digest = json_digest({"files": files, "config": config.to_json(), "base": base})
    version = f"{name}-{digest[:12]}"
    manifest = {
        "kind": "prep",
        "version": version,
        "files": files,
        "base": base,
        "config": config.to_json(),
        "metrics": metrics or {},
        "training": training or {},
    }
    _write_pipeline(target, encoder)
    _write_json(target / MANIFEST, manifest)
    return version


def _write_pipeline(folder: Path, encoder: Encoder) -> None:
    """Write the files by which sentence-transformers opens the folder (see `prep.model.sentence_transformer`)."""
    modules = [
        ("", "prep.model.sentence_transformer.PrepTransformer"),
        ("1_Pooling", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"),
        ("2_Normalize", "sentence_transformers.base.modules.normalize.Normalize"),
    ]
    _write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)],
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"embedding_dimension": encoder.dimension, "pooling_mode": encoder.pooling}
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    prompts = {"query": encoder.query_prompt, "document": encoder.document_prompt}
    _write_json(
        folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": "cosine"}
    )


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_version(folder: Path) -> SavedVersion:
    """Read a version after verifying its checksums. Raises WeightsError for missing, damaged or unknown parts."""
    manifest = _read_manifest(folder)
    try:
        config = PrepConfig.from_json(manifest["config"])
    except ConfigError as error:
        raise WeightsError(f"{folder / MANIFEST} has settings that cannot be read: {error}") from error
    updates = read_updates(folder / UPDATES)[0] if UPDATES in manifest["files"] else None
    for name in updates or ():
        if (layer := layer_number(name)) is None or layer < config.heads.layers:
            raise WeightsError(f"{folder / UPDATES} changes {name}, whose states the heads were trained on")
    heads = _load_heads(folder, config.heads) if config.trained else None
    return SavedVersion(
        version=str(manifest["version"]),
        config=config,
        base=manifest["base"],
        heads=heads,
        updates=updates,
        metrics=dict(manifest.get("metrics", {})),
        training=dict(manifest.get("training", {})),
    )


def shipped_version() -> Path:
    """Return the folder of the version that comes with the package. Raises WeightsError where it is missing."""
    root = Path(__file__).resolve().parents[1] / "weights"
    current = root / "CURRENT"
    if not current.is_file():
        raise WeightsError(f"the shipped prep weights are missing at {root}; reinstall diptych")
    return root / current.read_text(encoding="utf-8").strip()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise WeightsError(f"there is no prep version at {folder} ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kind, files, base = manifest["kind"], manifest["files"], manifest["base"]
        _ = manifest["version"], manifest["config"], base["name"], base["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({error}); fetch the version again") from error
    if kind != "prep":
        raise WeightsError(f"{folder} holds a {kind} version, not a prep version")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise WeightsError(f"{folder / name} is missing; fetch the version again")
        if file_digest(folder / name) != expected:
            raise WeightsError(f"{folder / name} does not match its checksum; fetch the version again")
    return dict(manifest)


def _load_heads(folder: Path, config: HeadsConfig) -> StructureHeads:
    from safetensors.torch import load_file

    heads = StructureHeads(config)
    try:
        heads.load_state_dict(load_file(folder / HEADS))
    except Exception as error:  # safetensors and torch raise their own kinds for wrong shapes or names
        raise WeightsError(f"{folder / HEADS} does not fit its settings: {error}") from error
    return heads
