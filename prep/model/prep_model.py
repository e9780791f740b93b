"""The prep model: makes chunks with headings, roles and vectors of a document.

Joins the steps of the other modules: units (`prep.model.units`), token states (`prep.model.encoder`,
`prep.model.windows`), scores (`prep.model.heads`), cuts (`prep.model.segmentation`). `prep.store.generation` stores the
chunks; `training.prep_model` trains heads and vectors.

A chunk gets its vector in one of two ways, named in the version's manifest. "chunk" encodes header and text by
themselves. "shared" takes the lower layers' states of the window, which the heads read too, and runs the upper layers
over each chunk with its header, so that a document costs little more than one pass. "shared" lies between encoding
chunks by themselves and late chunking (Günther et al., https://arxiv.org/abs/2409.04701), where every layer sees the
window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from prep.containers import Containers
from prep.document import Chunk, Document, Floats, Role
from prep.errors import ConfigError, WeightsError
from prep.lora import Updates
from prep.manifest import json_digest
from prep.model.base_encoder import Precision
from prep.model.config import ChunkLimits, PrepConfig, Vectors
from prep.model.encoded_document import (
    ChunkUnits,
    EncodedDocument,
    TokenWindow,
    chunk_states,
    pool_units,
    token_windows,
)
from prep.model.encoder import Encoder
from prep.model.heads import StructureHeads
from prep.model.line_features import BOUNDARY_LEVELS, Predictions, rule_predictions, surface_features
from prep.model.markup import markup
from prep.model.outline import majority_role
from prep.model.prep_version import read_version, shipped_version
from prep.model.segmentation import CHARACTERS_PER_TOKEN, CutPlan, plan_cuts
from prep.model.units import MAX_UNIT_CHARACTERS, read_units
from prep.model.windows import Part, in_groups, split_document

__all__ = ["PrepModel"]

# Of a part; longer documents are prepared in parts.
PART_CHARACTERS = 200_000


@dataclass(slots=True)
class _DraftChunk:
    """A chunk before it has a vector. units: its range [first, last), None where it is a half of some units."""

    start: int
    end: int
    headings: tuple[str, ...]
    role: Role
    header: list[int]
    units: tuple[int, int] | None


class PrepModel:
    """Makes chunks of documents, reading each once, and encodes questions into the space of their vectors."""

    def __init__(
        self,
        encoder: Encoder,
        heads: StructureHeads | None,
        config: PrepConfig,
        version: str,
        *,
        updates: Updates | None = None,
    ) -> None:
        """updates: low-rank updates, trained for the vectors, of the encoder's layers above those that the heads read.

        Raises ConfigError for limits that the encoder cannot read and for a trained model without heads, WeightsError
        for updates that do not fit.
        """
        if config.trained and heads is None:
            raise ConfigError("a trained prep model needs heads")
        self.encoder = encoder
        self.updates = updates
        self.vector_encoder = encoder if updates is None else encoder.with_updates(updates)
        self.heads = None if heads is None else heads.eval().requires_grad_(False)
        self.config = config
        self._version = version
        longest = min(self.config.window_tokens, encoder.max_positions) - encoder.n_special
        room = min(config.limits.max_tokens, encoder.max_positions) - encoder.n_special
        if config.limits.max_tokens > encoder.max_positions:
            raise ConfigError(
                f"max_tokens={config.limits.max_tokens} is above what {encoder.name} reads "
                f"({encoder.max_positions}); lower it"
            )
        self._room = room
        body = room - int(room * config.header_share)
        self._unit_tokens = max(1, min(config.unit_tokens, body, longest // 3))
        self._unit_characters = min(MAX_UNIT_CHARACTERS, CHARACTERS_PER_TOKEN * body)
        self._window_tokens = longest

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        base: str | Path | None = None,
        limits: ChunkLimits | None = None,
        target_tokens: int | None = None,
        vectors: Vectors | None = None,
        precision: Precision = "auto",
    ) -> PrepModel:
        """Load a version: the shipped one, or the folder at `path`. Offline; checksums are verified first.

        base: the encoder the version was trained on, where it is not the embedded one. limits, vectors, target_tokens
        (one of the limits): replace the version's own; the version string then names the change. Raises WeightsError
        for missing or damaged files or another base, BaseModelError for an encoder that cannot be loaded.
        """
        folder = shipped_version() if path is None else Path(path).expanduser()
        saved = read_version(folder)
        encoder = Encoder.load(base, precision=precision)
        if encoder.fingerprint != saved.base["sha256"]:
            raise WeightsError(
                f"{folder.name} was trained on {saved.base['name']} ({saved.base['sha256'][:12]}), not on "
                f"{encoder.name} ({encoder.fingerprint[:12]}); give the right base= or train for this one"
            )
        version, config = saved.version, saved.config
        limits = limits or config.limits
        if target_tokens is not None:
            limits = replace(limits, target_tokens=target_tokens)
        changed = replace(config, limits=limits, vectors=vectors or config.vectors)
        if changed != config:
            version = f"{version}+{json_digest(changed.to_json())[:8]}"
        return cls(encoder, saved.heads, changed, version, updates=saved.updates)

    @classmethod
    def untrained(
        cls,
        *,
        base: str | Path | None = None,
        config: PrepConfig | None = None,
        precision: Precision = "auto",
    ) -> PrepModel:
        """Return a model with scores by rules: the baseline, and a start on another base. Raises BaseModelError."""
        encoder = Encoder.load(base, precision=precision)
        settings = replace(config or PrepConfig(), trained=False)
        digest = json_digest({"config": settings.to_json(), "base": encoder.fingerprint})
        return cls(encoder, None, settings, f"rules-{digest[:12]}")

    @property
    def version(self) -> str:
        """A short name; two models of one name prepare every document alike."""
        return self._version

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        return self.encoder.dimension

    @property
    def limits(self) -> ChunkLimits:
        """The limits of a chunk's size."""
        return self.config.limits

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the vectors of questions: (n, d) float32, L2-normalised."""
        reader = self.vector_encoder if self.config.queries == "trained" else self.encoder
        return reader.encode_queries(list(queries))

    def save_sentence_transformer(self, folder: str | Path) -> None:
        """Write the encoder, its training merged in, as a folder that `SentenceTransformer(folder)` opens.

        In float32; `encode_query` there gives what `encode_queries` gives here. Raises WeightsError where the updates
        do not fit the base.
        """
        from prep.model.sentence_transformer import build_sentence_transformer

        trained_queries = self.config.queries == "trained"
        model = build_sentence_transformer(self.encoder, self.updates, trained_queries=trained_queries)
        model.save(str(folder))

    def prepare(self, document: Document) -> list[Chunk]:
        """Return the chunks of a document, in order. They tile its text; an empty text has none.

        A text of nothing but blanks gives boilerplate chunks. Deterministic on one machine.
        """
        ((_, chunks),) = self.prepare_many([document])
        return chunks

    def prepare_many(
        self,
        documents: Iterable[Document],
        *,
        group_characters: int = PART_CHARACTERS,
        part_characters: int = PART_CHARACTERS,
    ) -> Iterator[tuple[Document, list[Chunk]]]:
        """Yield every document with its chunks, in order; windows and chunks of a group are batched together.

        group_characters: of a group. part_characters: a longer document is prepared in parts, so that memory does not
        grow with it; no chunk crosses the edge of a part.
        """
        parts = (part for document in documents for part in split_document(document, part_characters))
        chunks: list[Chunk] = []
        for group in in_groups(parts, lambda part: part.end - part.start, group_characters):
            for part, found in self._prepare_group(group):
                chunks += found
                if part.is_last:
                    yield part.document, chunks
                    chunks = []

    def topics(self, document: Document) -> list[tuple[int, int]]:
        """Return the topics of a document as spans [start, end) in code points; they tile its text.

        A topic ends where a section ends with at least the settings' topic_probability. The limits of a chunk play no
        part.
        """
        edges = [0]
        for part in split_document(document, PART_CHARACTERS):
            page = self.read_document(part.as_document(), part.own_containers())
            if self.heads is not None:
                self.add_states([page])
            for unit, likely in zip(page.units, self.predict(page).boundary, strict=True):
                if likely[BOUNDARY_LEVELS.index("section")] >= self.config.topic_probability:
                    edges.append(part.start + unit.end)
        end = len(document.text)
        return list(pairwise([*(edge for edge in edges if edge < end), end])) if end else []

    def read_document(self, document: Document, containers: Containers | None = None) -> EncodedDocument:
        """Return the document with its units, tokens, markup and surface features; encoder states are not added.

        containers: those of its text, where it is a part of a longer document.
        """
        known: dict[str, list[int]] = {}

        def tokenize(texts: Sequence[str]) -> list[list[int]]:
            new = [text for text in dict.fromkeys(texts) if text not in known]
            known.update(zip(new, self.encoder.tokenize(new), strict=True))
            return [list(known[text]) for text in texts]

        units = read_units(
            document.text,
            self._unit_tokens,
            lambda texts: [len(ids) for ids in tokenize(texts)],
            self.encoder.token_offsets,
            self._unit_characters,
        )
        tokens = tokenize([document.text[unit.start : unit.end] for unit in units])
        marks = markup(document.text, units, containers)
        surface = surface_features(document.text, units, marks, document.title)
        return EncodedDocument(document, units, tokens, marks, surface)

    def add_states(self, pages: Sequence[EncodedDocument]) -> None:
        """Run the lower layers over the windows of all documents and set their states."""
        shared = self.config.vectors == "shared"
        d = self.encoder.dimension
        windows = self.windows(pages)
        edges = [page.token_edges() if shared else None for page in pages]
        for page, ends in zip(pages, edges, strict=True):
            page.states = np.zeros((len(page.units), 2 * d), dtype=np.float32)
            page.token_states = None if ends is None else np.zeros((int(ends[-1]), d), dtype=np.float32)
        for batch in self.encoder.states(
            [window.tokens for window in windows], layers=self.config.heads.layers
        ):
            lower = batch.states.float().numpy()
            for at, row in enumerate(batch.rows):
                window = windows[row]
                page, ends = pages[window.page], edges[window.page]
                assert page.states is not None
                page.states[window.first : window.last] = pool_units(lower[at], window.edges)
                if page.token_states is not None and ends is not None:
                    owned = lower[at, window.edges[0] : window.edges[-1]]
                    page.token_states[ends[window.first] : ends[window.last]] = owned

    def windows(self, pages: Sequence[EncodedDocument]) -> list[TokenWindow]:
        """Return the encoder windows of the documents; the units they own tile the units of every document."""
        titles = self.encoder.tokenize([page.document.title for page in pages])
        return token_windows(pages, titles, self._window_tokens, self.config.overlap_tokens)

    def predict(self, page: EncodedDocument) -> Predictions:
        """Return boundary, role and level probabilities of every unit.

        Raises ConfigError for a document without states, unless scores are by rules.
        """
        if self.heads is None:
            return rule_predictions(page.document.text, page.units, page.marks, page.document.title)
        if page.states is None:
            raise ConfigError("the document has no states yet: call add_states first")
        if not page.units:
            empty = np.zeros((0, 1), dtype=np.float32)
            return Predictions(empty, empty, empty)
        with torch.inference_mode():
            outputs = self.heads(
                torch.from_numpy(page.states).unsqueeze(0), torch.from_numpy(page.surface).unsqueeze(0)
            )
        boundary, role, level = (torch.softmax(logits[0], dim=-1).numpy() for logits in outputs)
        return Predictions(boundary, role, level)

    def _prepare_group(self, parts: Sequence[Part]) -> Iterator[tuple[Part, list[Chunk]]]:
        pages = [self.read_document(part.as_document(), part.own_containers()) for part in parts]
        for page, part in zip(pages, parts, strict=True):
            page.open_headings = part.open_headings
        if self.heads is not None or self.config.vectors == "shared":
            self.add_states(pages)
        drafts = [self._fit(page, self._drafts(page)) for page in pages]
        vectors = self._vectors(pages, drafts)
        for part, page, pieces in zip(parts, pages, drafts, strict=True):
            text, name = page.document.text, part.document.id
            chunks = []
            for piece, ids in pieces:
                start, end = part.start + piece.start, part.start + piece.end
                chunks.append(
                    Chunk(
                        id=f"{name}#{start}-{end}",
                        document_id=name,
                        start=start,
                        end=end,
                        text=text[piece.start : piece.end],
                        headings=piece.headings,
                        role=piece.role,
                        n_tokens=len(piece.header) + len(ids),
                        vector=next(vectors),
                    )
                )
            yield part, chunks

    def plan_cuts(self, page: EncodedDocument, predictions: Predictions | None = None) -> CutPlan:
        """Return the plan by which a document with units is cut. predictions: by default those of `predict`."""
        return plan_cuts(
            page, predictions or self.predict(page), self.config, self.encoder.tokenize, self._room
        )

    def _drafts(self, page: EncodedDocument) -> list[_DraftChunk]:
        """Cut a document and return the chunks with role and header, without vectors."""
        units = page.units
        if not units:
            return []
        plan = self.plan_cuts(page)
        page.open_headings[:] = plan.open_headings  # for the next part of the document
        pieces = []
        for first, last in plan.cuts():
            path = plan.paths[first]
            role = majority_role(units[first:last], plan.roles[first:last])
            pieces.append(
                _DraftChunk(
                    units[first].start, units[last - 1].end, path, role, plan.headers[path], (first, last)
                )
            )
        return pieces

    def _fit(
        self, page: EncodedDocument, pieces: Sequence[_DraftChunk]
    ) -> list[tuple[_DraftChunk, list[int]]]:
        """Return the chunks with their tokens; a chunk is halved where its text has more tokens than its units had."""
        text = page.document.text
        fitting: list[tuple[_DraftChunk, list[int]]] = []
        todo = list(pieces)
        while todo:
            ids = self.encoder.tokenize([text[piece.start : piece.end] for piece in todo])
            following: list[_DraftChunk] = []
            for piece, tokens in zip(todo, ids, strict=True):
                if len(piece.header) + len(tokens) <= self._room or piece.end - piece.start == 1:
                    fitting.append((piece, tokens))
                    continue
                middle = (piece.start + piece.end) // 2
                following.append(replace(piece, end=middle, units=None))
                following.append(replace(piece, start=middle, units=None))
            todo = following
        return sorted(fitting, key=lambda entry: entry[0].start)

    def _vectors(
        self, pages: Sequence[EncodedDocument], drafts: Sequence[Sequence[tuple[_DraftChunk, list[int]]]]
    ) -> Iterator[Floats]:
        pieces = [(page, *entry) for page, draft in zip(pages, drafts, strict=True) for entry in draft]
        vectors = np.zeros((len(pieces), self.dimension), dtype=np.float32)
        placed = {
            i: (page, *piece.units, piece.header)
            for i, (page, piece, _) in enumerate(pieces)
            if self.config.vectors == "shared" and piece.units is not None
        }
        if placed:
            vectors[list(placed)] = self.chunk_vectors(list(placed.values()))
        alone = [i for i in range(len(pieces)) if i not in placed]
        vectors[alone] = self.vector_encoder.encode_tokens(
            [[*piece.header, *ids] for _, piece, ids in (pieces[i] for i in alone)]
        )
        yield from vectors

    def chunk_vectors(self, pieces: Sequence[ChunkUnits]) -> Floats:
        """Return the vectors of chunks of documents with states: (n, d) float32, L2-normalised."""
        if self.config.vectors == "shared":
            layers = self.config.heads.layers
            return self.vector_encoder.encode_states(self.chunk_states(pieces), layers=layers)
        return self.vector_encoder.encode_tokens(
            [
                [*header, *(token for ids in page.tokens[first:last] for token in ids)]
                for page, first, last, header in pieces
            ]
        )

    def chunk_states(self, pieces: Sequence[ChunkUnits]) -> list[Floats]:
        """Return the lower layers' states of chunks, (tokens, d) each, special tokens included.

        Headers are encoded by themselves. Raises ConfigError for documents without token states.
        """
        return chunk_states(pieces, self.encoder, self.config.heads.layers)
