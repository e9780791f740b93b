"""The base encoder at work: tokens, token states, the base's own vectors, and its lower and upper layers apart.

Loading it is `prep.model.base_encoder`'s; boundaries, roles and chunk vectors are made from the states by
`prep.model.heads` and `prep.model.prep_model`.

Where the processor has AMX tiles or AVX-512 BF16 the states are computed in bfloat16, three times faster on one core
and within 1e-4 cosine distance of float32; everywhere else in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prep.document import Floats
from prep.errors import ConfigError
from prep.lora import Updates, merge_updates
from prep.model.base_encoder import BaseEncoder, Precision, load_base

__all__ = ["Encoder", "States", "like_lengths", "pad_states"]

#: States (tokens, d) of one sequence, in float32 or coarser.
TokenStates: TypeAlias = npt.NDArray[np.floating[Any]]

#: Of a batch, on a CPU: larger batches only have more padding (LOG.md, 2026-11-28).
BATCH_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class States:
    """Token states of some sequences.

    rows: the positions of these sequences among those given. lengths: their token counts. states: (rows, longest, d)
    in the encoder's dtype; row r is valid up to lengths[r].
    """

    rows: list[int]
    lengths: list[int]
    states: torch.Tensor


class Encoder:
    """A sentence-transformers encoder, frozen and in evaluation mode."""

    def __init__(self, base: BaseEncoder) -> None:
        tokenizer = base.tokenizer
        model: Any = base.model
        if getattr(model, "pooler", None) is not None:  # not part of any sentence vector
            model.pooler = None
        self.tokenizer = tokenizer
        self.model: nn.Module = model.eval().requires_grad_(False)
        self.name = base.name
        self.folder = base.folder
        self.fingerprint = base.fingerprint
        self.pooling = base.pooling
        self.max_tokens = base.max_tokens
        self.query_prompt = base.query_prompt
        self.document_prompt = base.document_prompt
        self.dimension = int(_config(model).hidden_size)
        # Positions the model has, less what RoBERTa-like models lose to their padding offset.
        self.max_positions = int(getattr(_config(model), "max_position_embeddings", 512) or 512)
        if "roberta" in str(getattr(_config(model), "model_type", "")):
            self.max_positions -= 2
        specials = tokenizer.build_inputs_with_special_tokens([_PROBE]) if _builds(tokenizer) else None
        if specials is None:
            wrapped = tokenizer("a")["input_ids"]
            bare = tokenizer("a", add_special_tokens=False)["input_ids"]
            at = next(
                i for i in range(len(wrapped) - len(bare) + 1) if wrapped[i : i + len(bare)] == list(bare)
            )
            self.prefix, self.suffix = list(wrapped[:at]), list(wrapped[at + len(bare) :])
        else:
            at = specials.index(_PROBE)
            self.prefix, self.suffix = list(specials[:at]), list(specials[at + 1 :])
        self._parts: dict[tuple[int, int], nn.Module] = {}

    @classmethod
    def load(cls, base: str | Path | None = None, *, precision: Precision = "auto") -> Encoder:
        """Load an encoder: the embedded default, a sentence-transformers folder, or a hub name.

        Raises BaseModelError where it is missing, damaged, or pools in a way that is not supported.
        """
        return cls(load_base(base, precision=precision))

    @property
    def n_layers(self) -> int:
        """The number of the base's transformer layers."""
        return int(_config(self.model).num_hidden_layers)

    @property
    def n_special(self) -> int:
        """The number of special tokens around one sequence."""
        return len(self.prefix) + len(self.suffix)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens and without truncation."""
        if not texts:
            return []
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return [encoding.ids for encoding in backend.encode_batch(list(texts), add_special_tokens=False)]

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the code-point span of every token of `text`."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return [(int(a), int(b)) for a, b in backend.encode(text, add_special_tokens=False).offsets]

    def states(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        layers: int,
        specials: bool = False,
        batch_tokens: int = BATCH_TOKENS,
    ) -> Iterator[States]:
        """Run token ids through the first `layers` and yield their states, in batches of similar lengths.

        sequences: token ids without special tokens, each within the base's positions. layers: 0 gives the embeddings.
        specials: keep the states of the special tokens around each sequence. Raises ConfigError for layers that the
        base does not have.
        """
        module = self.lower(layers)
        skip, more = (0, self.n_special) if specials else (len(self.prefix), 0)
        for rows in like_lengths([len(s) + self.n_special for s in sequences], batch_tokens):
            ids, mask = self.pad([sequences[row] for row in rows])
            lengths = [len(sequences[row]) + more for row in rows]
            with torch.inference_mode():
                states = module(input_ids=ids, attention_mask=mask).last_hidden_state
            yield States(rows, lengths, states[:, skip : skip + max(lengths)])

    def encode_states(
        self, sequences: Sequence[TokenStates], *, layers: int, batch_tokens: int = BATCH_TOKENS
    ) -> Floats:
        """Run states through the layers above the first `layers` and pool them: (n, d) float32, L2-normalised.

        sequences: (tokens, d) each, special tokens included, as `states` gives them. Raises ConfigError where the model
        cannot be split there.
        """
        module = self.upper(layers)
        vectors = np.zeros((len(sequences), self.dimension), dtype=np.float32)
        for rows in like_lengths([len(s) for s in sequences], batch_tokens):
            states, mask = pad_states([sequences[row] for row in rows])
            with torch.inference_mode():
                found = module(inputs_embeds=states.to(self.dtype), attention_mask=mask).last_hidden_state
                pooled = nn.functional.normalize(self.pool(found.float(), mask), dim=-1)
            vectors[rows] = pooled.numpy()
        return vectors

    def encode_tokens(
        self, sequences: Sequence[Sequence[int]], *, batch_tokens: int = BATCH_TOKENS
    ) -> Floats:
        """Return the vectors of token sequences (without special tokens): (n, d) float32, L2-normalised."""
        vectors = np.zeros((len(sequences), self.dimension), dtype=np.float32)
        for rows in like_lengths([len(s) + self.n_special for s in sequences], batch_tokens):
            ids, mask = self.pad([sequences[row] for row in rows])
            with torch.inference_mode():
                states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
                pooled = nn.functional.normalize(self.pool(states, mask), dim=-1)
            vectors[rows] = pooled.numpy()
        return vectors

    def encode(self, texts: Sequence[str], *, prompt: str = "") -> Floats:
        """Return the vectors of texts, cut at `max_tokens`: (n, d) float32, L2-normalised."""
        limit = self.max_tokens - self.n_special
        return self.encode_tokens([ids[:limit] for ids in self.tokenize([prompt + text for text in texts])])

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the vectors of questions: (n, d) float32, L2-normalised."""
        return self.encode(queries, prompt=self.query_prompt)

    def with_updates(self, updates: Updates) -> Encoder:
        """Return an encoder with low-rank updates merged in; it shares the unchanged tensors with this one.

        Raises WeightsError where the updates do not fit.
        """
        shared = [
            tensor
            for name, tensor in (*self.model.named_parameters(), *self.model.named_buffers())
            if name.removesuffix(".weight") not in updates
        ]
        model = copy.deepcopy(self.model, {id(tensor): tensor for tensor in shared})
        merge_updates(model, updates)
        return self.with_model(model.eval().requires_grad_(False))

    def with_model(self, model: nn.Module) -> Encoder:
        """Return an encoder like this one with another model of the same architecture."""
        changed = copy.copy(self)
        changed.model = model
        changed._parts = {}
        return changed

    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool states (n, longest, d) to (n, d) as the base does; not normalised."""
        if self.pooling == "cls":
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def pad(self, sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask, (n, longest) int64: special tokens around each sequence, padding after it."""
        width = max(len(s) for s in sequences) + self.n_special
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.full((len(sequences), width), pad, dtype=torch.long)
        mask = torch.zeros((len(sequences), width), dtype=torch.long)
        for row, sequence in enumerate(sequences):
            full = [*self.prefix, *sequence, *self.suffix]
            ids[row, : len(full)] = torch.tensor(full)
            mask[row, : len(full)] = 1
        return ids, mask

    def lower(self, layers: int) -> nn.Module:
        """Return the embeddings and the first `layers`, which share their tensors with this encoder."""
        if not 0 <= layers <= self.n_layers:
            raise ConfigError(f"layers={layers!r} must lie in 0..{self.n_layers}")
        return self._part(0, layers)

    def upper(self, layers: int) -> nn.Module:
        """Return the layers above the first `layers`; their input is the states of these as `inputs_embeds`.

        Raises ConfigError where this architecture cannot be split there.
        """
        if not 1 <= layers < self.n_layers:
            raise ConfigError(f"layers={layers!r} must lie in 1..{self.n_layers - 1}")
        new = (layers, self.n_layers) not in self._parts
        module = self._part(layers, self.n_layers)
        if new and not self._is_whole(layers):
            del self._parts[layers, self.n_layers]
            raise ConfigError(
                f"{self.name} cannot be taken apart after layer {layers}: use vectors='chunk' with it"
            )
        return module

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the states."""
        return next(self.model.parameters()).dtype

    def _part(self, first: int, last: int) -> nn.Module:
        if (first, last) == (0, self.n_layers):
            return self.model
        if (first, last) not in self._parts:
            tensors = [*self.model.parameters(), *self.model.buffers()]
            part = copy.deepcopy(self.model, {id(tensor): tensor for tensor in tensors})
            for parent in list(part.modules()):
                for name, child in list(parent.named_children()):
                    if isinstance(child, nn.ModuleList) and len(child) == self.n_layers:
                        setattr(parent, name, child[first:last])
            if first:
                part.embeddings = _GivenStates()
            _config(part).num_hidden_layers = last - first
            self._parts[first, last] = part.eval()
        return self._parts[first, last]

    @torch.inference_mode()
    def _is_whole(self, layers: int) -> bool:
        """Whether both parts, one after the other, give the states of the whole model."""
        ids, mask = self.pad([list(range(5, 12)), list(range(5, 9))])
        ids = ids.to(next(self.model.parameters()).device)
        mask = mask.to(ids.device)
        whole = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        states = self.lower(layers)(input_ids=ids, attention_mask=mask).last_hidden_state
        try:
            found = self._parts[layers, self.n_layers](inputs_embeds=states, attention_mask=mask)
        except (TypeError, AttributeError, RuntimeError):
            return False
        real = mask.bool()
        return torch.allclose(found.last_hidden_state[real], whole[real], atol=1e-3, rtol=1e-3)


class _GivenStates(nn.Module):
    """Replaces a model's embeddings, and returns the states that it is called with."""

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> torch.Tensor:
        return inputs_embeds


_PROBE = -7


def _builds(tokenizer: Any) -> bool:
    try:
        return _PROBE in tokenizer.build_inputs_with_special_tokens([_PROBE])
    except Exception:  # not every tokenizer class has it
        return False


def _config(model: nn.Module) -> Any:
    return model.config


def like_lengths(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield batches of row numbers of similar lengths, longest first, so that padding is small.

    Rows of one length keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def pad_states(sequences: Sequence[TokenStates]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return states (n, longest, d) float32, zeros after each sequence, and their mask (n, longest) int64."""
    longest = max(len(s) for s in sequences)
    states = torch.zeros((len(sequences), longest, sequences[0].shape[1]))
    mask = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        states[row, : len(sequence)] = torch.from_numpy(np.asarray(sequence, dtype=np.float32))
        mask[row, : len(sequence)] = 1
    return states, mask
