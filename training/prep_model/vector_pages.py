"""Training data of the chunk vectors: pages cut by the prep model, and the questions whose evidence they hold.

Every document is cut at a size drawn for it, so that the vectors work for any size. Kept of each chunk are the states
of the frozen lower layers and, as its anchor, the frozen base's own vector of header and text. Encoding is the costly
part: a set that was encoded is on disk (0.8 KB a token) and is not encoded again.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from tqdm.auto import tqdm

from prep.document import Document
from prep.errors import DataError
from prep.manifest import json_digest
from prep.model.config import ChunkLimits
from prep.model.outline import majority_role
from prep.model.prep_model import PrepModel
from prep.model.windows import in_groups
from training.data.dataset import LabelledSet, Question, held_out_documents, load_set

__all__ = [
    "EvidenceQuestion",
    "Halves",
    "VectorPage",
    "VectorSet",
    "choose_documents",
    "read_pages",
    "read_sets",
]

Halves: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float16]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSet:
    """A labelled set's share. documents: at most so many of those trained on, spread evenly over their ids.

    title_in_question: for sets whose questions do not say what document they are about. split: whether
    held-out documents are kept apart; False reads all, for sets whose questions are split already.
    """

    name: str
    documents: int = 100_000
    title_in_question: bool = False
    split: bool = True


@dataclass(frozen=True, slots=True)
class EvidenceQuestion:
    """A question and which chunks of a page hold its evidence: chunk number → share of the evidence, summing to 1."""

    question_id: str
    text: str
    shares: dict[int, float]


@dataclass(slots=True)
class VectorPage:
    """A document with its chunks and the questions on it.

    states: (n_tokens, d) float16, the lower layers' states of the chunks with their headers, one after the other; chunk
    c has [edges[c], edges[c + 1]). anchors: (n_chunks, d) float16, the frozen base's vectors of the chunks.
    """

    set_name: str
    document_id: str
    states: Halves
    edges: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    anchors: Halves
    questions: list[EvidenceQuestion] = field(default_factory=list)

    @property
    def n_chunks(self) -> int:
        """How many chunks the page has."""
        return len(self.edges) - 1

    def sequence(self, chunk: int) -> Halves:
        """Return the lower states (tokens, d) of a chunk, as `Encoder.encode_states` takes them."""
        return self.states[self.edges[chunk] : self.edges[chunk + 1]]


def read_pages(
    data: str | Path,
    sets: Sequence[VectorSet],
    model: PrepModel,
    cache: Path,
    *,
    held_out: bool,
    held_out_every: int = 6,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> list[VectorPage]:
    """Return the pages of the sets that have questions: of every n-th document, held out, or of the others.

    model: cuts, and gives lower states and anchors. sizes: target sizes in tokens to draw from,
    by default the model's own. Raises DataError for a missing set.
    """
    cache.mkdir(parents=True, exist_ok=True)
    pages: list[VectorPage] = []
    for one in sets:
        documents, asked = choose_documents(data, one, held_out=held_out, held_out_every=held_out_every)
        pages += [
            page
            for page in _read_set(
                one.name, documents, asked, model, cache, sizes or (model.limits.target_tokens,), seed
            )
            if page.questions
        ]
    return pages


def read_sets(rows: Sequence[Mapping[str, Any]]) -> tuple[VectorSet, ...]:
    """Return the sets that tables of a TOML file name."""
    return tuple(VectorSet(**row) for row in rows)


def choose_documents(
    data: str | Path, one: VectorSet, *, held_out: bool, held_out_every: int
) -> tuple[list[Document], dict[str, list[tuple[Question, str]]]]:
    """Return a set's documents, held out or not, and document id → the questions with evidence there and their texts.

    Raises DataError for a missing set, and for one without such documents.
    """
    labelled = load_set(Path(data) / one.name)
    held = held_out_documents(labelled, held_out_every)
    names = [name for name in sorted(labelled.documents) if not one.split or (name in held) == held_out]
    if not names:
        raise DataError(f"the set {one.name!r} has no document to read")
    n = min(one.documents, len(names))
    chosen = [names[i * len(names) // n] for i in range(n)]
    return [labelled.documents[name] for name in chosen], _questions_of(labelled, one, frozenset(chosen))


def _questions_of(
    labelled: LabelledSet, one: VectorSet, chosen: frozenset[str]
) -> dict[str, list[tuple[Question, str]]]:
    """Return document id → the questions with evidence there and their texts."""
    found: dict[str, list[tuple[Question, str]]] = {}
    for question in labelled.questions:
        for name in dict.fromkeys(span.document_id for span in question.evidence if question.answerable):
            if name in chosen:
                title = labelled.documents[name].title
                text = (
                    f"{title}: {question.question}" if one.title_in_question and title else question.question
                )
                found.setdefault(name, []).append((question, text))
    return found


def _read_set(
    name: str,
    documents: Sequence[Document],
    asked: Mapping[str, Sequence[tuple[Question, str]]],
    model: PrepModel,
    cache: Path,
    sizes: Sequence[int],
    seed: int,
) -> list[VectorPage]:
    drawn = {d.id: random.Random(f"{seed}/{name}/{d.id}").choice(list(sizes)) for d in documents}
    texts = hashlib.sha256("\0".join(f"{d.id}\0{d.title}\0{d.text}" for d in documents).encode()).hexdigest()
    path = cache / f"{name}-{json_digest([model.version, texts, drawn])[:12]}.safetensors"
    if not path.exists():
        _write_cuts(path, documents, drawn, model)
    pages = []
    for document_id, spans, page in _read_cuts(path, name):
        page.questions = [
            EvidenceQuestion(question.id, text, shares)
            for question, text in asked.get(document_id, ())
            if (shares := _shares(question, document_id, spans))
        ]
        pages.append(page)
    return pages


def _shares(question: Question, document_id: str, spans: Sequence[tuple[int, int]]) -> dict[int, float]:
    shares: dict[int, float] = {}
    for evidence in question.evidence:
        if evidence.document_id != document_id:
            continue
        for number, (start, end) in enumerate(spans):
            shared = min(end, evidence.end) - max(start, evidence.start)
            if shared > 0:
                shares[number] = shares.get(number, 0.0) + shared
    total = sum(shares.values())
    return {number: share / total for number, share in shares.items()}


def _write_cuts(
    path: Path, documents: Sequence[Document], drawn: Mapping[str, int], model: PrepModel
) -> None:
    from safetensors.numpy import save_file

    found: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    with tqdm(total=len(documents), desc=f"reading {path.stem}", unit="doc", disable=None) as bar:
        for size in sorted(set(drawn.values())):
            limits = ChunkLimits(target_tokens=size, max_tokens=max(size, model.limits.max_tokens))
            config = replace(model.config, limits=limits, vectors="shared")
            cutter = PrepModel(model.encoder, model.heads, config, model.version)
            of_size = (d for d in documents if drawn[d.id] == size)
            for group in in_groups(of_size, lambda document: len(document.text), 400_000):
                for document, cuts in zip(group, _cut(group, cutter), strict=True):
                    found[document.id] = cuts
                bar.update(len(group))
    ids = [document.id for document in documents]
    tensors = {key: np.concatenate([found[name][key] for name in ids]) for key in found[ids[0]]}
    tensors["counts"] = np.array([len(found[name]["lengths"]) for name in ids])
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"documents": json.dumps(ids)})
    partial.replace(path)


def _cut(documents: Sequence[Document], cutter: PrepModel) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Yield the spans, lengths, states and anchors of the chunks of each document, boilerplate left out."""
    pages = [cutter.read_document(document) for document in documents]
    cutter.add_states(pages)
    drafts = []
    for page in pages:
        plan = cutter.plan_cuts(page) if page.units else None
        cuts = plan.cuts() if plan else []
        drafts.append(
            [
                (page, first, last, plan.header(first))
                for first, last in cuts
                if plan and majority_role(page.units[first:last], plan.roles[first:last]) != "boilerplate"
            ]
        )
    pieces = [piece for draft in drafts for piece in draft]
    sequences = cutter.chunk_states(pieces)
    base = PrepModel(cutter.encoder, cutter.heads, replace(cutter.config, vectors="chunk"), cutter.version)
    anchors = base.chunk_vectors(pieces)
    at = 0
    for draft in drafts:
        own = slice(at, at + len(draft))
        at += len(draft)
        spans = [(page.units[first].start, page.units[last - 1].end) for page, first, last, _ in draft]
        states = [sequence.astype(np.float16) for sequence in sequences[own]]
        yield {
            "spans": np.array(spans, dtype=np.int64).reshape(-1, 2),
            "lengths": np.array([len(one) for one in states], dtype=np.int64),
            "states": np.concatenate([np.zeros((0, cutter.dimension), dtype=np.float16), *states]),
            "anchors": anchors[own].astype(np.float16),
        }


def _read_cuts(path: Path, set_name: str) -> Iterator[tuple[str, list[tuple[int, int]], VectorPage]]:
    """Yield each document's id, the spans of its chunks, and its page."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stream:
        ids = json.loads(stream.metadata()["documents"])
        found = {key: stream.get_tensor(key) for key in ("counts", "spans", "lengths", "states", "anchors")}
    chunk = token = 0
    for name, count in zip(ids, found["counts"], strict=True):
        own = slice(chunk, chunk + int(count))
        chunk += int(count)
        edges = np.cumsum([0, *found["lengths"][own]], dtype=np.int64)
        states = found["states"][token : token + int(edges[-1])]
        token += int(edges[-1])
        spans = [(int(start), int(end)) for start, end in found["spans"][own]]
        yield name, spans, VectorPage(set_name, name, states, edges, found["anchors"][own])
