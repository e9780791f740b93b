"""A version of the retrieve model: the base, an adapter, and the serving settings.

A version is a folder with `adapter.safetensors`, a card and `manifest.json` (checksums, base, settings, metrics), and
with `backwards.safetensors` where it has a noisy-channel model (`retrieve.decoding.noisy_channel`), and a folder
`reader` where it has one (`retrieve.reader`). The base alone can be served for comparison (`RetrieveModel.untrained`).
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
from retrieve.decoding.generator import Generator
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import EpisodeLimits
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.base import EMBEDDED_SHA256, compute_dtype, load_base
from retrieve.old_settings import current_settings
from retrieve.reader.reader import Reader
from retrieve.reader.reader_policy import ReaderConfig, ReaderPolicy
from retrieve.reader.selection import Selection

__all__ = [
    "ADAPTER",
    "CHANNEL_ADAPTER",
    "MANIFEST",
    "READER",
    "RetrieveModel",
    "ServingConfig",
    "read_retrieve_manifest",
    "save_retrieve_version",
    "shipped_question_generator",
    "shipped_retrieve",
]

ADAPTER = "adapter.safetensors"
CHANNEL_ADAPTER = "backwards.safetensors"
MANIFEST = "manifest.json"
READER = "reader"
_WEIGHTS = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """How a version is served. Biases are added to logits (`retrieve.decoding.generator.Generator`); they are tuned.

    abstention_bias_after_search: replaces abstention_bias after a second search; unless it is None, the model searches
    again before it abstains, where a search is allowed and there is time. reranking: of unsure reports; channel scores
    need a noisy-channel model.
    """

    abstention_bias: float = 0.0
    abstention_bias_after_search: float | None = None
    search_bias: float = 0.0
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    reranking: RerankingConfig = field(default_factory=RerankingConfig)
    episode: EpisodeLimits = field(default_factory=EpisodeLimits)
    action: ActionLimits = field(default_factory=ActionLimits)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ServingConfig:
        """Read what `dataclasses.asdict` gives, or a manifest of diptych 0.1.

        Raises WeightsError for unknown keys and for modes that are no longer served.
        """
        content = current_settings(content)
        known = {item.name for item in fields(cls)}
        after_search = content.get("abstention_bias_after_search")
        try:
            if unknown := set(content) - known:
                raise TypeError(f"unknown settings {sorted(unknown)}")
            return cls(
                abstention_bias=float(content.get("abstention_bias", 0.0)),
                abstention_bias_after_search=None if after_search is None else float(after_search),
                search_bias=float(content.get("search_bias", 0.0)),
                reader=_reader_config(content.get("reader", {})),
                reranking=RerankingConfig(**content.get("reranking", {})),
                episode=EpisodeLimits(**content.get("episode", {})),
                action=ActionLimits(**content.get("action", {})),
            )
        except TypeError as error:
            raise WeightsError(
                f"the serving settings of a retrieve version cannot be read: {error}"
            ) from error


def _reader_config(content: dict[str, Any]) -> ReaderConfig:
    selection = Selection(**content.get("selection", {}))
    return ReaderConfig(**{**content, "selection": selection})


@dataclass(slots=True)
class RetrieveModel:
    """A loaded version: a causal LM with the adapter merged, its tokenizer, and serving settings.

    channel_model: scores candidate reports (`retrieve.decoding.noisy_channel`); reader: reads before the model
    (`retrieve.reader`); where the version has one.
    """

    version: str
    model: Any
    tokenizer: Any
    serving: ServingConfig
    channel_model: Any = None
    reader: Reader | None = None

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

        base: another causal LM by path or name; only for versions trained on it. device: by default CUDA where there
        is any, else the CPU. serving: instead of the version's own settings.
        """
        import torch

        from retrieve.decoding.noisy_channel import load_channel_model
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
        has_channel = CHANNEL_ADAPTER in manifest["files"]
        channel_model = load_channel_model(model, folder / CHANNEL_ADAPTER) if has_channel else None
        reader = Reader.load(folder / READER) if f"{READER}/{MANIFEST}" in manifest["files"] else None
        return cls(manifest["version"], model, tokenizer, settings, channel_model, reader)

    def reader_policy(self) -> ReaderPolicy | None:
        """Return the reader with this version's settings, where it has one."""
        return None if self.reader is None else ReaderPolicy(self.reader, self.serving.reader)

    def decoder(self) -> Decoder:
        """Return a decoder with this version's settings."""
        serving = self.serving
        generator = Generator(
            self.model,
            self.tokenizer,
            abstention_bias=serving.abstention_bias,
            abstention_bias_after_search=serving.abstention_bias_after_search,
            search_bias=serving.search_bias,
        )
        return Decoder(generator, reranking=serving.reranking, channel_model=self.channel_model)

    @classmethod
    def untrained(cls, base: str | Path | None = None, *, device: str = "cpu") -> RetrieveModel:
        """Return the base alone, under the same grammar; training starts from it."""
        model, tokenizer = load_base(base, device=device)
        return cls("untrained", model, tokenizer, ServingConfig())


def save_retrieve_version(
    folder: Path,
    adapter: Path,
    *,
    serving: ServingConfig,
    channel_adapter: Path | None = None,
    reader: Path | None = None,
    name: str = "retrieve",
    source: str | None = None,
    card: str = "",
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> str:
    """Write a version into `folder`, the manifest last, and return its version string.

    channel_adapter: of the noisy-channel model (`retrieve.decoding.noisy_channel`), where there is one. reader: the
    folder of a saved `Reader`. source: the base's path or hub name; None for the embedded base.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {ADAPTER: adapter, **({} if channel_adapter is None else {CHANNEL_ADAPTER: channel_adapter})}
    if reader is not None:
        weights |= {f"{READER}/{path.name}": path for path in sorted(reader.iterdir()) if path.is_file()}
    for file, origin in weights.items():
        if origin.resolve() != (folder / file).resolve():
            (folder / file).parent.mkdir(exist_ok=True)
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


def shipped_question_generator() -> Path:
    """Return the folder of the shipped version that generates questions. Raises WeightsError where there is none."""
    return _current(_WEIGHTS / "ask")


def _current(root: Path) -> Path:
    current = root / "CURRENT"
    if not current.is_file():
        raise WeightsError(f"the shipped retrieve weights are missing at {root}; reinstall diptych")
    return root / current.read_text(encoding="utf-8").strip()


def read_retrieve_manifest(folder: Path) -> dict[str, Any]:
    """Return a version's manifest after verifying the checksums of its files. Raises WeightsError."""
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
