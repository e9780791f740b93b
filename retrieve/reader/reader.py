"""Read a question with passages, jointly: how relevant each is, what is evidence, the answer's place, or refusing.

One pass over all pairs, as one batch. All that it gives are offsets into the passages' texts, so that quotes are
exact by construction. A version on disk is a folder that needs no other: the encoder's configuration and tokenizer,
`reader.safetensors` (`retrieve.reader.packed_weights`: layers and heads in eight bits, embeddings in five),
`reader.json` (limits, calibration), and a manifest with checksums, written last. Versions of before hold layers and
heads in half precision and take their embeddings from the base encoder.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prep.document import Floats
from prep.errors import WeightsError
from prep.manifest import verify_folder, write_manifest
from prep.model.base_encoder import Precision, load_configured
from prep.model.encoder import Encoder, like_lengths
from retrieve.episode.episode import Passage
from retrieve.episode.query_terms import uncovered_terms
from retrieve.reader.answer_types import ANSWER_TYPES, AnswerType
from retrieve.reader.calibration import Calibration
from retrieve.reader.inputs import (
    InputLimits,
    TokenisedPassage,
    is_heading,
    join_pairs,
    tokenise_passages,
    tokenise_questions,
)
from retrieve.reader.network import ReaderNetwork, ReaderScores, trained_parameters
from retrieve.reader.packed_weights import load_packed, save_packed

__all__ = ["READER_WEIGHTS", "AnswerSpan", "EvidenceSentence", "Reader", "Reading"]

READER_WEIGHTS = "reader.safetensors"
_SETTINGS = "reader.json"
_CONFIG = "config.json"
_TRAINED_BITS, _OTHER_BITS = "Q8_0", "Q5_0"
_BATCH_TOKENS = 600  # more are slower on a processor: padding, and what fits its caches
_AT_ONCE = 6  # passages read before the clock is looked at
_MOST_SPAN_TOKENS = 30
_TRIED_ENDS = 12  # of each kind, the best starts and ends are tried with one another
_NO_SIGNAL = -30.0


@dataclass(frozen=True, slots=True)
class EvidenceSentence:
    """A sentence of a passage: its span in the passage's text, and its logit against refusing (0)."""

    passage: int
    start: int
    end: int
    logit: float


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """A stretch of a passage's text that may be the answer, and how likely (its start's and its end's probability)."""

    passage: int
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader makes of a question and passages, in their order where they are numbered.

    relevance: (n,) logits. sentences: all, best first. spans: some, best first. types: the probability of each type of
    answer. signals: what the confidence is calibrated on (`Calibration.SIGNALS`). confidence: that the documents hold
    the answer and the best sentences say it. n_tokens: read.
    """

    relevance: Floats
    sentences: tuple[EvidenceSentence, ...]
    spans: tuple[AnswerSpan, ...]
    types: Mapping[AnswerType, float]
    confidence: float
    signals: tuple[float, ...] = ()
    n_tokens: int = 0

    @property
    def null_probability(self) -> float:
        """The probability that these passages do not hold the answer."""
        return 1.0 - self.confidence

    @property
    def answer_type(self) -> AnswerType:
        """The most probable type of answer."""
        return max(self.types, key=self.types.__getitem__)


class Reader:
    """A trained reader, for any number of threads."""

    def __init__(
        self, encoder: Encoder, network: ReaderNetwork, limits: InputLimits, calibration: Calibration
    ) -> None:
        """encoder: gives the tokenizer; network: its encoder is the trained one."""
        self.limits = limits
        self.calibration = calibration
        self._encoder = encoder
        self._network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: str | Path, *, precision: Precision = "auto") -> Reader:
        """Load a version from a folder, checked. Raises WeightsError, StoreError, ChecksumMismatch, BaseModelError."""
        root = Path(folder)
        manifest = verify_folder(root)
        held = load_packed(root / READER_WEIGHTS)
        stands_alone = (root / _CONFIG).is_file()
        if stands_alone:
            encoder = Encoder(load_configured(root, precision=precision))
        else:
            encoder = Encoder.load(precision=precision)
            if manifest.get("encoder") != encoder.fingerprint:
                raise WeightsError(f"{root} was trained from another encoder than {encoder.name}")
        network = ReaderNetwork(encoder.model, encoder.dimension)
        wanted = dict(network.named_parameters()) if stands_alone else trained_parameters(network)
        if held.keys() != wanted.keys() or any(held[name].shape != wanted[name].shape for name in wanted):
            raise WeightsError(f"the weights in {root} do not fit the encoder {encoder.name}")
        with torch.no_grad():
            for name, parameter in wanted.items():
                parameter.copy_(held[name])
        settings = json.loads((root / _SETTINGS).read_text(encoding="utf-8"))
        limits, calibration = InputLimits(**settings["limits"]), Calibration(**settings["calibration"])
        return cls(encoder, network, limits, calibration)

    @property
    def encoder(self) -> Encoder:
        """The encoder that reads, with its tokenizer; what is trained further starts from it."""
        return self._encoder

    def weights(self) -> dict[str, torch.Tensor]:
        """Return by name what was trained, on the CPU in single precision."""
        return {
            name: one.detach().float().cpu().clone()
            for name, one in trained_parameters(self._network).items()
        }

    def save(self, folder: str | Path, **notes: Any) -> dict[str, Any]:
        """Write this version into `folder` and return its manifest. notes: plain values that go into it."""
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        encoder: Any = self._encoder
        encoder.model.config.save_pretrained(root)
        encoder.tokenizer.save_pretrained(root)
        trained = trained_parameters(self._network)
        tensors = dict(self._network.named_parameters())
        save_packed(
            root / READER_WEIGHTS,
            tensors,
            {name: _TRAINED_BITS if name in trained else _OTHER_BITS for name in tensors},
        )
        settings = {"limits": asdict(self.limits), "calibration": self.calibration.to_json()}
        (root / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return write_manifest(root, {**notes, "kind": "reader"})

    def read(self, question: str, passages: Sequence[Passage], *, deadline: float | None = None) -> Reading:
        """Read the question with every passage. Headings are read, and are no evidence.

        deadline: a `time.monotonic()` value; after the first six, passages are read in order while there is time.
        """
        reading = self._read(question, self.tokenise(passages), deadline)
        said = tuple(
            one
            for one in reading.sentences
            if not is_heading(passages[one.passage].text[one.start : one.end])
        )
        reading = replace(reading, sentences=said)
        signals = _signals(question, passages, reading)
        return replace(reading, signals=signals, confidence=self.calibration.confidence(signals))

    def tokenise(self, passages: Sequence[Passage]) -> list[TokenisedPassage]:
        """Return the passages as they are read: to keep, where they are read with several questions."""
        return tokenise_passages(
            self._encoder, [(one.title, one.headings, one.text) for one in passages], self.limits
        )

    def _read(self, question: str, passages: Sequence[TokenisedPassage], deadline: float | None) -> Reading:
        (asked,) = tokenise_questions(self._encoder, [question], self.limits)
        n = len(passages)
        relevance = np.full(n, -np.inf, dtype=np.float32)
        types = np.zeros((n, len(ANSWER_TYPES)), dtype=np.float32)
        sentences: list[EvidenceSentence] = []
        spans: list[tuple[float, int, int, int]] = []
        edges: list[torch.Tensor] = []
        sizes = [len(asked) + len(one.header) + len(one.text) for one in passages]
        n_tokens = 0
        for rows in self._batches(sizes, deadline):
            n_tokens += sum(sizes[row] for row in rows)
            batch = join_pairs(self._encoder, [(asked, passages[row]) for row in rows])
            with torch.inference_mode():
                scores = self._network(batch)
            edges.append(torch.stack([scores.starts, scores.ends]))
            relevance[rows] = scores.passages.numpy()
            types[rows] = scores.types.numpy()
            for place, row in enumerate(rows):
                logits = scores.sentences[batch.first_sentence[place] : batch.first_sentence[place + 1]]
                sentences += [
                    EvidenceSentence(row, *passages[row].sentences[at], logit)
                    for at, logit in enumerate(logits.tolist())
                ]
                left, right = batch.first_token[place], batch.first_token[place + 1]
                spans += [
                    (score, row, start, end)
                    for score, start, end in _best_spans(scores, left, right, passages[row].offsets)
                ]
        sentences.sort(key=lambda one: (-one.logit, one.passage, one.start))
        found = _spans(spans, edges, passages)
        types_found = _type_shares(relevance, types)
        return Reading(relevance, tuple(sentences), found, types_found, 0.0, n_tokens=n_tokens)

    @staticmethod
    def _batches(sizes: Sequence[int], deadline: float | None) -> Iterator[list[int]]:
        """Yield the numbers of passages to read at once, like by like; in order of rank where there is a deadline."""
        if deadline is None:
            yield from like_lengths(sizes, _BATCH_TOKENS)
            return
        started = time.monotonic()
        for first in range(0, len(sizes), _AT_ONCE):
            now = time.monotonic()
            if first and now + (now - started) * _AT_ONCE / first > deadline:
                return
            for rows in like_lengths(sizes[first : first + _AT_ONCE], _BATCH_TOKENS):
                yield [first + row for row in rows]


def _signals(question: str, passages: Sequence[Passage], reading: Reading) -> tuple[float, ...]:
    """Return the signals of a reading, in the order of `Calibration.SIGNALS`."""
    if not reading.sentences:
        return (_NO_SIGNAL,) * 4 + (0.0, 0.0)
    best = reading.sentences[0]
    others = [one.logit for one in reading.sentences if one.passage != best.passage]
    span = reading.spans[0].probability if reading.spans else 0.0
    passage = passages[best.passage]
    terms = max(1, len(uncovered_terms(question, ())))
    missing = uncovered_terms(question, [passage.title, *passage.headings, passage.text])
    return (
        best.logit,
        float(reading.relevance.max()),
        math.log(max(span, 1e-9)),
        max(others, default=_NO_SIGNAL),
        max(one.score for one in passages),
        1.0 - len(missing) / terms,
    )


def _best_spans(
    scores: ReaderScores, left: int, right: int, offsets: Sequence[tuple[int, int]], n: int = 4
) -> list[tuple[float, int, int]]:
    """Return the best spans of a passage's text tokens left..right: log weight, first and last token in the text.

    A token that is not in the text, a column's name, can be neither.
    """
    size = right - left
    if not size:
        return []
    read_for = torch.tensor([start == end for start, end in offsets])
    starts = scores.starts[left:right].masked_fill(read_for, -math.inf)
    ends = scores.ends[left:right].masked_fill(read_for, -math.inf)
    some = min(size, _TRIED_ENDS)
    first, last = starts.topk(some).indices, ends.topk(some).indices
    both = starts[first].unsqueeze(1) + ends[last].unsqueeze(0)
    length = last.unsqueeze(0) - first.unsqueeze(1)
    both = both.masked_fill((length < 0) | (length >= _MOST_SPAN_TOKENS), -math.inf).flatten()
    chosen = both.topk(min(n, len(both)))
    return [
        (score, int(first[at // some]), int(last[at % some]))
        for score, at in zip(chosen.values.tolist(), chosen.indices.tolist(), strict=True)
        if score > -math.inf
    ]


def _spans(
    found: list[tuple[float, int, int, int]], edges: list[torch.Tensor], passages: Sequence[TokenisedPassage]
) -> tuple[AnswerSpan, ...]:
    """Return spans with probabilities, best first: of starting and ending there, against all tokens and refusing."""
    if not found:
        return ()
    both = torch.cat(edges, dim=1)
    both = torch.cat([both, torch.zeros(2, 1)], dim=1)
    whole = float(both.logsumexp(dim=1).sum())
    found.sort(key=lambda one: (-one[0], one[1:]))
    return tuple(
        AnswerSpan(
            row, passages[row].offsets[start][0], passages[row].offsets[end][1], math.exp(score - whole)
        )
        for score, row, start, end in found
    )


def _type_shares(relevance: Floats, types: Floats) -> dict[AnswerType, float]:
    """Return the probability of each type: that of each passage, weighted by how relevant it is."""
    if not len(relevance):
        return dict.fromkeys(ANSWER_TYPES, 1 / len(ANSWER_TYPES))
    weights = np.exp(relevance - relevance.max())
    each = np.exp(types - types.max(axis=1, keepdims=True))
    shares = (weights / weights.sum()) @ (each / each.sum(axis=1, keepdims=True))
    return {name: float(share) for name, share in zip(ANSWER_TYPES, shares, strict=True)}
