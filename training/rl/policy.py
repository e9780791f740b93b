"""The policy of reinforcement: a version of the retrieve model whose low-rank pairs are trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from retrieve.decoding.reranking import RerankingConfig
from retrieve.lm.adapter import apply_rows, read_adapter, save_adapter
from retrieve.lm.base import compute_dtype, load_base
from retrieve.model import ADAPTER, RetrieveModel, ServingConfig, read_retrieve_manifest
from training.retrieve_model.peft_lora import decoder_of, freeze_layers, start_values, updates_of, wrap

__all__ = ["Policy"]


class Policy:
    """A version's model with its low-rank pairs apart from the base, so that they can be trained."""

    def __init__(
        self,
        start: Path,
        *,
        rank: int,
        alpha: int,
        frozen_layers: int = 0,
        base: str | Path | None = None,
        device: str = "cpu",
    ) -> None:
        """start: a version's folder. base: its base, where it is not at the place that the version names.

        Raises ConfigError for another rank, WeightsError, BaseModelError.
        """
        manifest = read_retrieve_manifest(start)
        # Reinforced are the reports as they are generated, without reranking.
        self.serving = replace(ServingConfig.from_json(manifest["serving"]), reranking=RerankingConfig())
        adapter = read_adapter(start / ADAPTER)
        source = base if base is not None else manifest["base"].get("source")
        # On CUDA too in float32: episodes are few and short, and the scores must be those of the generation.
        dtype = torch.float32 if torch.device(device).type == "cuda" else compute_dtype(device)
        model, tokenizer = load_base(source, dtype=dtype, device=device)
        apply_rows(model, tokenizer, adapter)
        self.tokens, self.rows = list(adapter.rows), torch.stack(list(adapter.rows.values()))
        self.scale = alpha / rank
        self.wrapped = wrap(model, rank=rank, alpha=alpha, full_precision=True)
        self.pairs = {name: pair for name, pair in self.wrapped.named_parameters() if pair.requires_grad}
        shapes = {name: pair.shape for name, pair in self.pairs.items()}
        self.load(start_values(adapter, shapes, scale=self.scale, path=start / ADAPTER))
        freeze_layers(decoder_of(self.wrapped), frozen_layers)
        self.model = RetrieveModel("in training", self.wrapped.get_base_model(), tokenizer, self.serving)

    @torch.no_grad()
    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Set pairs by name."""
        for name, value in values.items():
            self.pairs[name].copy_(value)

    def save(self, path: Path) -> None:
        """Write the adapter."""
        save_adapter(path, updates_of(self.pairs.items()), self.tokens, self.rows, scale=self.scale)

    def save_base(self, folder: Path) -> None:
        """Write the model without the pairs, token rows applied, with its tokenizer, for an engine to start from."""
        model = self.wrapped.get_base_model()
        weights = {
            name.replace(".base_layer.", "."): value
            for name, value in model.state_dict().items()
            if ".lora_" not in name
        }
        model.save_pretrained(folder, state_dict=weights)
        self.model.tokenizer.save_pretrained(folder)

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Merge the pairs while episodes are generated; every weight is restored to the bit."""
        training = self.wrapped.training
        with self.weights_restored():
            self.wrapped.eval()
            self.wrapped.merge_adapter(["default"])
            try:
                yield
            finally:
                self.wrapped.unmerge_adapter()
                self.wrapped.train(training)

    @contextmanager
    def weights_restored(self) -> Iterator[None]:
        """Restore the base weights to the bit at the end: peft unmerges pairs inexactly."""
        layers: list[Any] = [one for one in self.wrapped.modules() if isinstance(one, LoraLayer)]
        weights = [layer.base_layer.weight for layer in layers]
        kept = [weight.detach().clone() for weight in weights]
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, one in zip(weights, kept, strict=True):
                    weight.copy_(one)
