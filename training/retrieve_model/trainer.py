"""The retrieve model in supervised training: its trained parameters, losses and gradients.

Trained are low-rank pairs on the linear layers and the embedding rows of our own tokens. The frozen base stays in its
own precision, often bfloat16, while the optimiser keeps float32 masters of what is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from prep.errors import ConfigError
from retrieve.decoding.noisy_channel import lay_out_suffixes, sharing_copy
from retrieve.lm.adapter import read_adapter, save_adapter
from retrieve.lm.special_tokens import MARKERS, TAGS
from training.retrieve_model.peft_lora import decoder_of, freeze_layers, start_values, updates_of, wrap
from training.retrieve_model.supervised_config import SupervisedConfig
from training.traces.packing import PackedSequence, batch_packed, lay_out_packed

__all__ = ["AdapterTrainer"]

_CUDA_TOKENS = 16_384  # of one packed batch, padding included; it fitted 80 GB with the embedded base


class AdapterTrainer:
    """The model with its trained parameters: LoRA pairs and token rows, with float32 masters for the optimiser.

    shared_model: reads the results for a noisy-channel model; None where the model reads for itself.
    """

    def __init__(self, model: Any, tokenizer: Any, config: SupervisedConfig) -> None:
        # The noisy-channel model is trained behind the results, which the model itself reads.
        self.shared_model: Any = model.get_decoder() if config.channel_of else None
        self.wrapped = wrap(
            sharing_copy(model) if config.channel_of else model, rank=config.rank, alpha=config.alpha
        )
        self.model = cast(Any, self.wrapped.get_base_model())
        self.body = decoder_of(self.wrapped)
        self.embedding: Any = self.model.get_input_embeddings()
        self.head = self.model.get_output_embeddings().weight
        known = tokenizer.get_vocab()
        self.tokens = [*TAGS, *MARKERS]
        self.token_ids = torch.tensor([known[token] for token in self.tokens], device=self.head.device)
        self.row_of = torch.full((self.head.shape[0],), -1, device=self.head.device)
        self.row_of[self.token_ids] = torch.arange(len(self.tokens), device=self.head.device)
        self.rows = nn.Parameter(self.embedding.weight.detach()[self.token_ids].clone())
        self.rank = config.rank
        self.scale = config.alpha / config.rank
        self.trained: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in self.wrapped.named_parameters() if parameter.requires_grad
        }
        self.trained["token_rows"] = self.rows
        self.masters = {
            name: nn.Parameter(parameter.detach().float()) for name, parameter in self.trained.items()
        }
        length = config.lengths[-1]
        # Rows of a packed batch and their length. On a CPU each sequence is a batch, as padding costs; on CUDA
        # launches cost.
        self.shape = (max(1, _CUDA_TOKENS // length), length) if self.head.device.type == "cuda" else (1, 0)
        self.padded = False  # to that shape, so that the layers can be compiled
        if config.frozen_layers or config.channel_of:
            self._freeze(config.frozen_layers)

    def _freeze(self, n_layers: int) -> None:
        """Train neither the lowest layers nor the token rows."""
        freeze_layers(self.body, n_layers)
        self.rows.requires_grad_(False)

    @torch.no_grad()
    def start_from(self, path: Path) -> None:
        """Take over an adapter's values. Raises ConfigError where its rank or its modules differ."""
        adapter = read_adapter(path)
        shapes = {name: master.shape for name, master in self._saved().items() if name != "token_rows"}
        for name, value in start_values(adapter, shapes, scale=self.scale, path=path).items():
            self.masters[name].copy_(value)
        for place, token in enumerate(self.tokens):
            if token in adapter.rows and self.shared_model is None:  # else they are the shared model's
                self.masters["token_rows"][place] = adapter.rows[token]
        self.scatter_masters()

    def compile_layers(self) -> None:
        """Compile each layer; the layers share their code, so a shape is compiled once for all.

        Packs are padded to one shape from then on.
        """
        self.padded = True
        torch._dynamo.config.cache_size_limit = max(64, torch._dynamo.config.cache_size_limit)
        for layer in self.body.layers:
            layer.compile(dynamic=False)

    def loss(self, ids: torch.Tensor, labelled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean cross-entropy at labelled positions and whether each is predicted, in reading order.

        ids, labelled: (batch, length). Padding is at the right, so nothing sees it.
        """
        hidden = self.body(inputs_embeds=self._embed(ids), use_cache=False).last_hidden_state
        state = hidden[:, :-1][labelled[:, 1:]]
        target = ids[:, 1:][labelled[:, 1:]]
        logits = self._logits(state)
        return nn.functional.cross_entropy(logits, target), logits.argmax(dim=-1) == target

    def packed_losses(self, packed: Sequence[PackedSequence]) -> Iterator[torch.Tensor]:
        """Yield the parts of the mean cross-entropy at all labels, one for each batch of packed sequences."""
        n_labels = sum(sequence.n_labels for sequence in packed)
        if self.shared_model is not None:
            yield from (-self.channel_logprobs(sequence).sum() / n_labels for sequence in packed)
            return
        for batch in batch_packed(packed, self.shape):
            shape = self.shape if self.padded else (0, 0)
            layout, before, target = lay_out_packed(self.model, batch, shape=shape)
            embedded = self._embed(layout.ids)
            hidden = self.body(inputs_embeds=embedded, use_cache=False, **layout.given).last_hidden_state
            logits = self._logits(hidden.flatten(0, 1)[before])
            yield nn.functional.cross_entropy(logits, target, reduction="sum") / n_labels

    def channel_logprobs(self, sequence: PackedSequence) -> torch.Tensor:
        """Return the log-probability of each label, (n_labels,); the shared prefix is read without gradients.

        For a noisy-channel model. Raises ConfigError for any other.
        """
        from transformers import DynamicCache

        if self.shared_model is None:
            raise ConfigError("this model reads its results itself: it is no noisy-channel model")
        device = self.head.device
        cache = DynamicCache(config=self.model.config)
        with torch.no_grad():
            prompt = torch.tensor([sequence.prompt], device=device)
            self.shared_model(input_ids=prompt, past_key_values=cache, use_cache=True)
        laid = lay_out_suffixes(self.model, len(sequence.prompt), [part.ids for part in sequence.parts])
        embedded = self._embed(laid.ids)
        hidden = self.body(inputs_embeds=embedded, past_key_values=cache, **laid.inputs).last_hidden_state[0]
        labelled = torch.tensor([label for part in sequence.parts for label in part.labelled], device=device)
        # No part begins with a label: what predicts one stands in the same part.
        logits = self._logits(hidden[:-1][labelled[1:]])
        return -nn.functional.cross_entropy(logits, laid.ids[0, 1:][labelled[1:]], reduction="none")

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of ids, our tokens' rows being those in training."""
        row = self.row_of[ids]
        scale = getattr(self.embedding, "embed_scale", None)
        rows = self.rows if scale is None else self.rows * scale.to(self.rows.dtype)
        return torch.where((row >= 0).unsqueeze(-1), rows[row.clamp(min=0)], self.embedding(ids))

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = states @ self.head.T
        return logits.index_copy(1, self.token_ids, states @ self.rows.T).float()

    def backward(self, losses: Iterable[torch.Tensor]) -> float:
        """Put the gradient of the losses' sum on the masters; returns the sum."""
        total = 0.0
        for loss in losses:
            torch.autograd.backward(loss)
            total += float(loss.detach())
        for name, parameter in self.trained.items():
            self.masters[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        return total

    @torch.no_grad()
    def scatter_masters(self) -> None:
        """Put the masters' values into the model."""
        for name, parameter in self.trained.items():
            parameter.copy_(self.masters[name])

    def save(self, path: Path) -> None:
        """Write the adapter."""
        updates = updates_of(self._saved().items())
        save_adapter(path, updates, self.tokens, self.masters["token_rows"], scale=self.scale)

    def _saved(self) -> dict[str, nn.Parameter]:
        """Return the masters that an adapter file holds; that of a noisy-channel model lacks frozen ones."""
        if self.shared_model is None:
            return self.masters
        return {name: self.masters[name] for name, value in self.trained.items() if value.requires_grad}
