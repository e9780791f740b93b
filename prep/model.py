"""The prep model: a document in, chunks with headings, roles and vectors out.

Puts together what the other modules do one at a time: units (`prep.structure`), token states (`prep.encoder`,
`prep.windows`), scores (`prep.heads`), cuts (`prep.segment`). Storing chunks is left to `prep.generation`,
training the heads to `training`.

Two ways to a chunk's vector: "chunk" encodes header and text once more, "late" pools the states of the window
pass (late chunking, Günther et al., https://arxiv.org/abs/2409.04701). A version says which in its manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from prep.document import ROLES, Chunk, Document, Floats, Role
from prep.encoder import Encoder, Precision
from prep.errors import ConfigError, WeightsError
from prep.heads import HeadsConfig, StructureHeads
from prep.manifest import file_digest
from prep.segment import ChunkLimits, LengthPrior, segment
from prep.structure import (
    MAX_HEADING_CHARACTERS,
    MAX_UNIT_CHARACTERS,
    Markup,
    Predictions,
    Unit,
    heading_text,
    markup,
    read_units,
    rule_predictions,
    surface_features,
)
from prep.windows import plan_windows

__all__ = ["BreakWeights", "PageReading", "PrepConfig", "PrepModel", "Vectors", "save_version"]

Vectors: TypeAlias = Literal["chunk", "late"]

HEADER_JOIN = " › "
# No chunk holds more characters than this per token of its limit, whatever the tokenizer makes of them.
CHARACTERS_PER_TOKEN = 16
# Boilerplate is kept out of the index: what is taken for it wrongly cannot be found, so it must be sure.
SURE_BOILERPLATE = 0.7
MANIFEST = "manifest.json"
WEIGHTS = "heads.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakWeights:
    """What a break is worth by what ends there, and what it costs to cut where one should not.

    none, sentence, paragraph, section: worth of a break there, weighed by their probabilities. heading: cost
    of a break between a heading and what follows. keep: cost of cutting a fence, list item or table row that
    fits a chunk. boilerplate: worth of a break where a long run of boilerplate begins or ends.
    """

    none: float = -6.0
    sentence: float = -0.8
    paragraph: float = 0.5
    section: float = 2.0
    heading: float = 3.0
    keep: float = 100.0
    boilerplate: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepConfig:
    """How documents are read and cut; stored in a version's manifest.

    window_tokens counts special tokens and the title before it; unit_tokens is the longest candidate unit.
    header_share: a header takes at most this share of a chunk's limit. trained: False means rule scores.
    """

    limits: ChunkLimits = field(default_factory=lambda: ChunkLimits(target_tokens=80, max_tokens=200))
    prior: LengthPrior = field(default_factory=lambda: LengthPrior(short=1.0, long=2.0))
    weights: BreakWeights = field(default_factory=BreakWeights)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    vectors: Vectors = "chunk"
    trained: bool = True
    window_tokens: int = 256
    overlap_tokens: int = 32
    unit_tokens: int = 96
    header_share: float = 0.25

    def __post_init__(self) -> None:
        if self.vectors not in ("chunk", "late"):
            raise ConfigError(f"vectors={self.vectors!r} must be 'chunk' or 'late'")
        if not 0 <= self.header_share <= 0.5:
            raise ConfigError(f"header_share={self.header_share!r} must lie in 0..0.5")
        if self.window_tokens < 32 or not 0 <= self.overlap_tokens <= self.window_tokens // 4:
            raise ConfigError(
                f"window_tokens={self.window_tokens!r}, overlap_tokens={self.overlap_tokens!r}: windows need "
                "32 tokens and share at most a quarter"
            )
        if self.unit_tokens < 4:
            raise ConfigError(f"unit_tokens={self.unit_tokens!r} must be at least 4")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**asdict(self), "heads": self.heads.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PrepConfig:
        """Read what `to_json` wrote; an unknown key is a ConfigError."""
        try:
            return cls(
                **{
                    **values,
                    "limits": ChunkLimits(**values["limits"]),
                    "prior": LengthPrior(**values["prior"]),
                    "weights": BreakWeights(**values["weights"]),
                    "heads": HeadsConfig.from_json(values["heads"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"prep settings are incomplete or unknown: {error}") from error


@dataclass(slots=True)
class PageReading:
    """A document on its way through the model: units and their tokens, markup, and what the passes found.

    states: (n_units, 2 * d) mean and first lower-layer state of each unit. sums: (n_units, d) summed
    last-layer states, only where vectors are pooled late.
    """

    document: Document
    units: list[Unit]
    tokens: list[list[int]]
    marks: Markup
    surface: Floats
    states: Floats | None = None
    sums: Floats | None = None


@dataclass(slots=True)
class _Piece:
    """A chunk before it has a vector: units [first, last), or characters [start, end) of one."""

    start: int
    end: int
    headings: tuple[str, ...]
    role: Role
    header: list[int]
    sum: Floats | None


class PrepModel:
    """Reads documents once and gives their chunks; also encodes questions into the same space."""

    def __init__(
        self, encoder: Encoder, heads: StructureHeads | None, config: PrepConfig, version: str
    ) -> None:
        if config.trained and heads is None:
            raise ConfigError("a trained prep model needs heads")
        self.encoder = encoder
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
        self._header_tokens = int(room * config.header_share)
        self._unit_tokens = max(1, min(config.unit_tokens, room - self._header_tokens, longest // 3))
        self._unit_characters = min(MAX_UNIT_CHARACTERS, CHARACTERS_PER_TOKEN * (room - self._header_tokens))
        self._window_tokens = longest

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        base: str | Path | None = None,
        limits: ChunkLimits | None = None,
        vectors: Vectors | None = None,
        precision: Precision = "auto",
    ) -> PrepModel:
        """Load a version: the shipped one, or the folder at `path`. Offline; checksums are verified first.

        base: the encoder the version was trained on, where it is not the embedded one. limits, vectors:
        override the version's own; the version string then names the change. Raises WeightsError for missing
        or damaged files or another base, BaseModelError for an encoder that cannot be loaded.
        """
        folder = _shipped() if path is None else Path(path).expanduser()
        manifest = _read_manifest(folder)
        encoder = Encoder.load(base, precision=precision)
        expected = manifest["base"]
        if encoder.fingerprint != expected["sha256"]:
            raise WeightsError(
                f"{folder.name} was trained on {expected['name']} ({expected['sha256'][:12]}), not on "
                f"{encoder.name} ({encoder.fingerprint[:12]}); give the right base= or train for this one"
            )
        try:
            config = PrepConfig.from_json(manifest["config"])
        except ConfigError as error:
            raise WeightsError(f"{folder / MANIFEST} has settings that cannot be read: {error}") from error
        heads = _load_heads(folder, config.heads) if config.trained else None
        version = str(manifest["version"])
        changed = replace(config, limits=limits or config.limits, vectors=vectors or config.vectors)
        if changed != config:
            version = f"{version}+{_digest(changed.to_json())[:8]}"
        return cls(encoder, heads, changed, version)

    @classmethod
    def untrained(
        cls,
        *,
        base: str | Path | None = None,
        config: PrepConfig | None = None,
        precision: Precision = "auto",
    ) -> PrepModel:
        """Return a model whose scores come from rules alone: the baseline, and a start on another base."""
        encoder = Encoder.load(base, precision=precision)
        settings = replace(config or PrepConfig(), trained=False)
        digest = _digest({"config": settings.to_json(), "base": encoder.fingerprint})
        return cls(encoder, None, settings, f"rules-{digest[:12]}")

    @property
    def version(self) -> str:
        """A short name that changes whenever the model would prepare a document differently."""
        return self._version

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.encoder.dimension

    @property
    def limits(self) -> ChunkLimits:
        """How large chunks are."""
        return self.config.limits

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the vectors of questions: float32 (n, d), L2-normalised; the base's own."""
        return self.encoder.encode_queries(list(queries))

    def prepare(self, document: Document) -> list[Chunk]:
        """Return the chunks of a document, in order. They tile its text; an empty text has none.

        A text of blanks alone gives boilerplate chunks. Deterministic on one machine.
        """
        ((_, chunks),) = self.prepare_many([document])
        return chunks

    def prepare_many(
        self, documents: Iterable[Document], *, group_characters: int = 400_000
    ) -> Iterator[tuple[Document, list[Chunk]]]:
        """Prepare documents in groups, so that windows and chunks of many are batched; order is kept."""
        group: list[Document] = []
        size = 0
        for document in documents:
            group.append(document)
            size += len(document.text)
            if size >= group_characters:
                yield from self._prepare_group(group)
                group, size = [], 0
        if group:
            yield from self._prepare_group(group)

    def read_page(self, document: Document) -> PageReading:
        """Cut a document into units and describe them; no state of the encoder yet."""
        units = read_units(
            document.text,
            self._unit_tokens,
            lambda texts: [len(ids) for ids in self.encoder.tokenize(texts)],
            self.encoder.token_offsets,
            self._unit_characters,
        )
        tokens = self.encoder.tokenize([document.text[unit.start : unit.end] for unit in units])
        marks = markup(document.text, units)
        surface = surface_features(document.text, units, marks, document.title)
        return PageReading(document, units, tokens, marks, surface)

    def add_states(self, pages: Sequence[PageReading]) -> None:
        """Run the encoder over the windows of all pages and fill in their unit states."""
        late = self.config.vectors == "late"
        d = self.encoder.dimension
        jobs: list[tuple[PageReading, int, int, int]] = []  # page, first owned unit, last, tokens before them
        sequences: list[list[int]] = []
        titles = self.encoder.tokenize([page.document.title for page in pages])
        for page, title in zip(pages, titles, strict=True):
            page.states = np.zeros((len(page.units), 2 * d), dtype=np.float32)
            page.sums = np.zeros((len(page.units), d), dtype=np.float32) if late else None
            prefix = title[: self._window_tokens // 8]
            budget = self._window_tokens - len(prefix)
            for ids in page.tokens:
                del ids[budget:]  # only a tokenizer that counts pieces of a cut word otherwise gets here
            counts = [len(ids) for ids in page.tokens]
            for window in plan_windows(counts, budget, min(self.config.overlap_tokens, budget // 2)):
                if window.own_end == window.own_start:
                    continue
                sequence = list(prefix)
                for unit in range(window.start, window.end):
                    sequence.extend(page.tokens[unit])
                before = len(prefix) + sum(counts[window.start : window.own_start])
                jobs.append((page, window.own_start, window.own_end, before))
                sequences.append(sequence)
        layers = self.config.heads.layers
        for batch in self.encoder.states(sequences, lower_layers=layers, last=late):
            assert batch.lower is not None
            lower = batch.lower.float().numpy()
            last = None if batch.last is None else batch.last.float().numpy()
            for at, row in enumerate(batch.rows):
                page, own_start, own_end, before = jobs[row]
                assert page.states is not None
                counts = [len(page.tokens[unit]) for unit in range(own_start, own_end)]
                edges = np.cumsum([before, *counts])
                page.states[own_start:own_end] = _pool_units(lower[at], edges)
                if last is not None and page.sums is not None:
                    page.sums[own_start:own_end] = _sum_units(last[at], edges)

    def predict(self, page: PageReading) -> Predictions:
        """Return boundary, role and level probabilities of every unit of a page that has its states."""
        if self.heads is None:
            return rule_predictions(page.document.text, page.units, page.marks, page.document.title)
        if page.states is None:
            raise ConfigError("the page has no states yet: call add_states first")
        if not page.units:
            empty = np.zeros((0, 1), dtype=np.float32)
            return Predictions(empty, empty, empty)
        with torch.inference_mode():
            outputs = self.heads(
                torch.from_numpy(page.states).unsqueeze(0), torch.from_numpy(page.surface).unsqueeze(0)
            )
        boundary, role, level = (torch.softmax(logits[0], dim=-1).numpy() for logits in outputs)
        return Predictions(boundary, role, level)

    def _prepare_group(self, documents: Sequence[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        pages = [self.read_page(document) for document in documents]
        if self.heads is not None or self.config.vectors == "late":
            self.add_states(pages)
        drafts = [self._fit(page, self._pieces(page)) for page in pages]
        vectors = self._vectors(pages, drafts)
        for page, pieces in zip(pages, drafts, strict=True):
            document = page.document
            chunks = []
            for piece, ids in pieces:
                chunks.append(
                    Chunk(
                        id=f"{document.id}#{piece.start}-{piece.end}",
                        document_id=document.id,
                        start=piece.start,
                        end=piece.end,
                        text=document.text[piece.start : piece.end],
                        headings=piece.headings,
                        role=piece.role,
                        n_tokens=len(piece.header) + len(ids),
                        vector=next(vectors),
                    )
                )
            yield document, chunks

    def _pieces(self, page: PageReading) -> list[_Piece]:
        """Choose the cuts of one page and say what each piece is."""
        units, text = page.units, page.document.text
        if not units:
            return []
        predictions = self.predict(page)
        roles = _line_roles(units, predictions, page.marks, text)
        paths = _heading_paths(units, roles, predictions, page)
        counts = [
            max(len(ids), 1, -(-(unit.end - unit.start) // CHARACTERS_PER_TOKEN))
            for unit, ids in zip(units, page.tokens, strict=True)
        ]
        headers = self._headers(page.document.title, [path for path, _ in paths])
        header_tokens = [len(headers[path]) for path, _ in paths]
        limits = replace(
            self.config.limits,
            max_tokens=self._room,
            target_tokens=min(self.config.limits.target_tokens, self._room),
        )
        scores = self._break_scores(page, predictions, roles, counts, header_tokens)
        pieces = []
        for first, last in segment(counts, header_tokens, scores, limits, self.config.prior):
            path, _ = paths[first]
            total = None if page.sums is None else page.sums[first:last].sum(0)
            role = _majority(units[first:last], roles[first:last])
            pieces.append(_Piece(units[first].start, units[last - 1].end, path, role, headers[path], total))
        return pieces

    def _break_scores(
        self,
        page: PageReading,
        predictions: Predictions,
        roles: Sequence[Role],
        counts: Sequence[int],
        header_tokens: Sequence[int],
    ) -> list[float]:
        weights = self.config.weights
        worth = np.array([weights.none, weights.sentence, weights.paragraph, weights.section])
        scores = predictions.boundary.astype(np.float64) @ worth
        for i, unit in enumerate(page.units):
            if unit.forced:
                scores[i] = min(scores[i], weights.none)
            if unit.last and roles[i] in ("heading", "title"):
                scores[i] -= weights.heading
        run = 0
        for i in range(1, len(roles) + 1):
            edge = i == len(roles) or (roles[i] == "boilerplate") != (roles[i - 1] == "boilerplate")
            if edge:
                if roles[i - 1] == "boilerplate" and sum(counts[run:i]) >= 24:
                    scores[i - 1] += weights.boilerplate
                    if run:
                        scores[run - 1] += weights.boilerplate
                run = i
        ends = np.concatenate([[0], np.cumsum(counts)])
        held = np.zeros(len(scores), dtype=bool)
        for first, last in page.marks.keep:
            if header_tokens[first] + ends[last] - ends[first] <= self._room:
                held[first : last - 1] = True
        scores[held] -= weights.keep
        return [float(score) for score in scores]

    def _headers(self, title: str, paths: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[int]]:
        """Token ids of each header, cut to its share: the title's beginning and the last headings stay."""
        unique = list(dict.fromkeys(paths))
        texts = [HEADER_JOIN.join(part for part in (title.strip(), *path) if part) for path in unique]
        ids = self.encoder.tokenize(texts)
        room = self._header_tokens
        cut = [h if len(h) <= room else [*h[: room // 2], *h[len(h) - (room - room // 2) :]] for h in ids]
        return dict(zip(unique, cut, strict=True))

    def _fit(self, page: PageReading, pieces: Sequence[_Piece]) -> list[tuple[_Piece, list[int]]]:
        """Tokenize every piece as it stands, and halve the rare one that is longer than its units were."""
        text = page.document.text
        fitting: list[tuple[_Piece, list[int]]] = []
        todo = list(pieces)
        while todo:
            ids = self.encoder.tokenize([text[piece.start : piece.end] for piece in todo])
            following: list[_Piece] = []
            for piece, tokens in zip(todo, ids, strict=True):
                if len(piece.header) + len(tokens) <= self._room or piece.end - piece.start == 1:
                    fitting.append((piece, tokens))
                    continue
                middle = (piece.start + piece.end) // 2
                following.append(replace(piece, end=middle))
                following.append(replace(piece, start=middle))
            todo = following
        return sorted(fitting, key=lambda entry: entry[0].start)

    def _vectors(
        self, pages: Sequence[PageReading], drafts: Sequence[Sequence[tuple[_Piece, list[int]]]]
    ) -> Iterator[Floats]:
        pieces = [entry for draft in drafts for entry in draft]
        if self.config.vectors == "late":
            sums = np.stack([p.sum for p, _ in pieces if p.sum is not None]) if pieces else np.zeros((0, 1))
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            vectors = (sums / np.maximum(norms, 1e-12)).astype(np.float32)
            empty = [i for i in range(len(pieces)) if norms[i, 0] < 1e-6]  # not one token to pool
            if empty:
                vectors[empty] = self.encoder.encode_tokens([pieces[i][0].header for i in empty])
            yield from vectors
            return
        yield from self.encoder.encode_tokens([[*piece.header, *ids] for piece, ids in pieces])


def save_version(
    folder: str | Path,
    heads: StructureHeads | None,
    config: PrepConfig,
    encoder: Encoder,
    *,
    name: str = "prep",
    card: str = "",
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> str:
    """Write a version into `folder` (weights, card, then the manifest) and return its version string."""
    from safetensors.torch import save_file

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    if heads is not None:
        tensors = {key: value.detach().cpu().contiguous() for key, value in heads.state_dict().items()}
        save_file(tensors, target / WEIGHTS)
        files[WEIGHTS] = file_digest(target / WEIGHTS)
    if card:
        (target / "README.md").write_text(card, encoding="utf-8")
    base = {"name": encoder.name, "sha256": encoder.fingerprint}
    digest = _digest({"files": files, "config": config.to_json(), "base": base})
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
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return version


def _shipped() -> Path:
    root = Path(__file__).resolve().parent / "weights"
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
        heads.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:  # safetensors and torch raise their own kinds for wrong shapes or names
        raise WeightsError(f"{folder / WEIGHTS} does not fit its settings: {error}") from error
    return heads


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _sum_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Sum states (tokens, d) between neighbouring edges; zeros where a unit has no token."""
    cumulated = np.concatenate(
        [np.zeros((1, states.shape[1])), np.cumsum(states[edges[0] : edges[-1]], axis=0, dtype=np.float64)]
    )
    relative = edges - edges[0]
    sums: Floats = (cumulated[relative[1:]] - cumulated[relative[:-1]]).astype(np.float32)
    return sums


def _pool_units(states: Floats, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
    """Mean and first state of every unit, side by side; zeros where a unit has no token."""
    counts = np.diff(edges)[:, None]
    means = _sum_units(states, edges) / np.maximum(counts, 1)
    firsts = np.zeros_like(means)
    told = counts[:, 0] > 0
    firsts[told] = states[edges[:-1][told]]
    pooled: Floats = np.concatenate([means, firsts], axis=1).astype(np.float32)
    return pooled


def _line_roles(units: Sequence[Unit], predictions: Predictions, marks: Markup, text: str) -> list[Role]:
    """One role a line: the mean over its units, overruled by explicit marks; never a heading of great
    length.
    """
    n_lines = units[-1].line + 1
    weights = np.array([unit.end - unit.start for unit in units], dtype=np.float64)
    line_of = np.array([unit.line for unit in units])
    totals = np.zeros((n_lines, len(ROLES)))
    np.add.at(totals, line_of, predictions.role * weights[:, None])
    widths = np.bincount(line_of, weights=weights, minlength=n_lines)
    allowed = totals.copy()
    allowed[widths > MAX_HEADING_CHARACTERS * 1.5] *= [r not in ("title", "heading") for r in ROLES]
    junk = ROLES.index("boilerplate")
    allowed[totals[:, junk] < SURE_BOILERPLATE * totals.sum(1), junk] = 0.0
    lines: list[Role] = [ROLES[int(best)] for best in allowed.argmax(1)]
    blank = not text.strip()
    for i in range(n_lines):
        if blank:
            lines[i] = "boilerplate"
        elif i < len(marks.fenced) and marks.fenced[i]:
            lines[i] = "code"
        elif i < len(marks.heading) and (marks.heading[i] or marks.underline[i]):
            lines[i] = lines[i] if lines[i] in ("title", "heading") else "heading"
    return [lines[unit.line] for unit in units]


def _heading_paths(
    units: Sequence[Unit], roles: Sequence[Role], predictions: Predictions, page: PageReading
) -> list[tuple[tuple[str, ...], bool]]:
    """Enclosing headings at every unit, and whether the unit is a heading itself.

    A chunk takes the path of its first unit; where it begins with headings, they are part of the path.
    """
    text, title = page.document.text, _key(page.document.title)
    paths: list[tuple[tuple[str, ...], bool]] = []
    stack: list[tuple[float, str]] = []
    i = 0
    while i < len(units):
        if roles[i] not in ("heading", "title"):
            paths.append((tuple(name for _, name in stack), False))
            i += 1
            continue
        run = i
        while run < len(units) and roles[run] in ("heading", "title"):
            end = run
            while end + 1 < len(units) and units[end + 1].line == units[run].line:
                end += 1
            line = units[run].line
            explicit = page.marks.heading[line] if line < len(page.marks.heading) else 0
            underline = line < len(page.marks.underline) and page.marks.underline[line]
            name = heading_text(text[units[run].start : units[end].end])
            if not underline and any(c.isalnum() for c in name):
                learned = float(predictions.level[run : end + 1].mean(0).argmax()) + 1
                level = 0.0 if roles[run] == "title" else float(explicit or _numbering(name) or learned)
                while stack and stack[-1][0] >= level:
                    stack.pop()
                if _key(name) != title:
                    stack.append((level, name[:MAX_HEADING_CHARACTERS]))
            run = end + 1
        path = tuple(name for _, name in stack)
        paths.extend([(path, True)] * (run - i))
        i = run
    return paths


_NUMBERING = re.compile(r"(\d{1,3}(?:\.\d{1,3})+)[.):]?\s")


def _numbering(name: str) -> int:
    found = _NUMBERING.match(name)
    return found.group(1).count(".") + 1 if found else 0


def _key(name: str) -> str:
    return " ".join(re.sub(r"\W+", " ", name).lower().split())


def _majority(units: Sequence[Unit], roles: Sequence[Role]) -> Role:
    sizes = dict.fromkeys(ROLES, 0)
    for unit, role in zip(units, roles, strict=True):
        sizes[role] += unit.end - unit.start
    # What is said outweighs what it is called: headings count only where there is nothing else.
    content = {role: size for role, size in sizes.items() if size and role not in ("title", "heading")}
    chosen = content or {role: size for role, size in sizes.items() if size}
    return max(chosen, key=lambda role: (chosen[role], -ROLES.index(role)))
