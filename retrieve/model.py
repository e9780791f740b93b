"""A version of the retrieve model: the base, an adapter, and how to serve it.

A version is a folder with `adapter.safetensors`, a card and `manifest.json` (checksums, base, settings, metrics); with
`backwards.safetensors`, too, where it tells its episodes backwards (`retrieve.decoding.channel_model`).
The base alone can be served too, for comparison (`RetrieveModel.untrained`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from prep.errors import WeightsError
from prep.manifest import file_digest
from retrieve.decoding.decoder import Decoder
from retrieve.decoding.reranking import Comparing
from retrieve.episode.episode import EpisodeLimits
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.base import EMBEDDED_SHA256, compute_dtype, load_base

__all__ = [
    "RetrieveModel",
    "ServingConfig",
    "read_retrieve_manifest",
    "save_retrieve_version",
    "shipped_ask",
    "shipped_retrieve",
]

ADAPTER = "adapter.safetensors"
BACKWARDS = "backwards.safetensors"
MANIFEST = "manifest.json"
_WEIGHTS = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """What a version is served with. Offsets: see `retrieve.decoding.decoder.Decoder`; they are tuned, see the card.

    none_offset_again: where given, none is reported only after another search, where one is allowed and there is time.
    comparing: whether unsure reports are compared with others; for their questions to count a version needs what
    tells episodes backwards.
    """

    none_offset: float = 0.0
    none_offset_again: float | None = None
    search_offset: float = 0.0
    comparing: Comparing = field(default_factory=Comparing)
    episode: EpisodeLimits = field(default_factory=EpisodeLimits)
    action: ActionLimits = field(default_factory=ActionLimits)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ServingConfig:
        """Read what `dataclasses.asdict` gives. Raises WeightsError for unknown keys, and for modes that are gone."""
        content = _without_gone_modes(content)
        known = {item.name for item in fields(cls)}
        again = content.get("none_offset_again")
        try:
            if unknown := set(content) - known:
                raise TypeError(f"unknown settings {sorted(unknown)}")
            return cls(
                none_offset=float(content.get("none_offset", 0.0)),
                none_offset_again=None if again is None else float(again),
                search_offset=float(content.get("search_offset", 0.0)),
                comparing=Comparing(**content.get("comparing", {})),
                episode=EpisodeLimits(**content.get("episode", {})),
                action=ActionLimits(**content.get("action", {})),
            )
        except TypeError as error:
            raise WeightsError(
                f"the serving settings of a retrieve version cannot be read: {error}"
            ) from error


def _without_gone_modes(content: dict[str, Any]) -> dict[str, Any]:
    """Drop settings of modes that version 0.1 still had, where they are off. Raises WeightsError where one is on."""
    rest, episode = dict(content), dict(content.get("episode", {}))
    on = [name for name in ("two_way", "unsaid_offset") if rest.pop(name, 0)]
    if not episode.pop("question_last", True):
        on.append("question_last=False")
    if on:
        raise WeightsError(
            f"this retrieve version needs {' and '.join(on)}, which is no longer served: "
            "serve it with diptych 0.1, or train it again"
        )
    return {**rest, **({"episode": episode} if episode else {})}


@dataclass(slots=True)
class RetrieveModel:
    """A loaded version: a causal LM with the adapter merged, its tokenizer, and serving settings.

    teller: its twin that tells episodes backwards (`retrieve.decoding.channel_model`), where the version has one.
    """

    version: str
    model: Any
    tokenizer: Any
    serving: ServingConfig
    teller: Any = None

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        base: str | Path | None = None,
        device: str | None = None,
        serving: ServingConfig | None = None,
    ) -> RetrieveModel:
        """Load a version's folder, or the shipped one. Raises WeightsError, BaseModelError.

        base: another causal LM by path or name; only for versions trained on it. device: default CUDA where there
        is any, else the CPU. serving: instead of the version's own settings.
        """
        import torch

        from retrieve.decoding.channel_model import load_teller
        from retrieve.lm.adapter import apply_adapter

        folder = shipped_retrieve() if path is None else Path(path)
        manifest = read_retrieve_manifest(folder)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        wanted = manifest["base"]
        source = base if base is not None else wanted.get("source")
        model, tokenizer = load_base(source, dtype=torch.float32, device=device)
        adapter = folder / ADAPTER
        if ADAPTER in manifest["files"]:
            if source is None and wanted.get("sha256") != EMBEDDED_SHA256:
                raise WeightsError(
                    f"the retrieve version {manifest['version']} was trained on the base {wanted}, "
                    f"and the embedded base is {EMBEDDED_SHA256}; give its base by path"
                )
            apply_adapter(model, tokenizer, adapter)
        model.to(compute_dtype(device)).eval()
        settings = serving or ServingConfig.from_json(manifest["serving"])
        teller = load_teller(model, folder / BACKWARDS) if BACKWARDS in manifest["files"] else None
        return cls(manifest["version"], model, tokenizer, settings, teller)

    def decoder(self) -> Decoder:
        """Return what writes this version's actions, with its offsets."""
        serving = self.serving
        return Decoder(
            self.model,
            self.tokenizer,
            none_offset=serving.none_offset,
            none_offset_again=serving.none_offset_again,
            search_offset=serving.search_offset,
            comparing=serving.comparing,
            teller=self.teller,
        )

    @classmethod
    def untrained(cls, base: str | Path | None = None, *, device: str = "cpu") -> RetrieveModel:
        """Return the base alone, under the same grammar: what training starts from."""
        model, tokenizer = load_base(base, device=device)
        return cls("untrained", model, tokenizer, ServingConfig())


def save_retrieve_version(
    folder: Path,
    adapter: Path,
    *,
    serving: ServingConfig,
    backwards: Path | None = None,
    name: str = "retrieve",
    source: str | None = None,
    card: str = "",
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> str:
    """Write a version into `folder`, the manifest last, and return its version string.

    backwards: the adapter of what tells its episodes backwards (`retrieve.decoding.channel_model`), where it has one.
    source: the base's path or hub name; None for the embedded base.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {ADAPTER: adapter, **({} if backwards is None else {BACKWARDS: backwards})}
    for file, origin in weights.items():
        if origin.resolve() != (folder / file).resolve():
            (folder / file).write_bytes(origin.read_bytes())
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")
    base = (
        {"name": "gemma-3-270m", "sha256": EMBEDDED_SHA256}
        if source is None
        else {"name": source, "source": source}
    )
    files = {file: file_digest(folder / file) for file in weights}
    content = {"files": files, "base": base, "serving": asdict(serving)}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    version = f"{name}-{digest[:12]}"
    manifest = {
        "kind": "retrieve",
        "version": version,
        **content,
        "metrics": metrics or {},
        "training": training or {},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return version


def shipped_retrieve() -> Path:
    """Return the folder of the version that comes with the package. Raises WeightsError where there is none."""
    return _current(_WEIGHTS)


def shipped_ask() -> Path:
    """Return the folder of the version that writes questions, likewise."""
    return _current(_WEIGHTS / "ask")


def _current(root: Path) -> Path:
    current = root / "CURRENT"
    if not current.is_file():
        raise WeightsError(f"the shipped retrieve weights are missing at {root}; reinstall diptych")
    return root / current.read_text(encoding="utf-8").strip()


def read_retrieve_manifest(folder: Path) -> dict[str, Any]:
    """Return a version's manifest, the files' checksums verified. Raises WeightsError."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["kind"] != "retrieve":
            raise WeightsError(f"{folder} holds a {manifest['kind']} model, not a retrieve model")
        for name, digest in manifest["files"].items():
            if file_digest(folder / name) != digest:
                raise WeightsError(
                    f"{folder / name} is damaged: its checksum is not the manifest's; get the version again"
                )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder} is not a readable retrieve version: {error!r}") from error
    return manifest
