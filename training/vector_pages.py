"""What the chunk vectors are trained on: pages cut by the prep model, and the questions whose evidence they hold.

Every document is cut at a size drawn for it, so that pooled vectors work for any; the frozen base's own vectors of
the chunks, header included, are kept beside them as the anchor and as the measure. Reading is the costly part: a set
that was read is on disk and is not read again.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from prep.document import Document, Floats
from prep.errors import DataError
from prep.manifest import json_digest
from prep.model import PrepModel
from prep.reading import PageWindow
from prep.segment import ChunkLimits
from training.dataset import LabelledSet, Question, load_set
from training.mixture import held_out_documents

__all__ = ["Asked", "VectorPage", "VectorSet", "choose_documents", "read_pages", "read_sets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSet:
    """A labelled set's share. documents: at most so many of those trained on, spread evenly over their ids.

    title_in_question: for sets whose questions do not say what document they are about.
    """

    name: str
    documents: int = 100_000
    title_in_question: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and which chunks of a page hold its evidence: chunk number → share of the evidence, summing to 1."""

    question_id: str
    text: str
    shares: dict[int, float]


@dataclass(slots=True)
class VectorPage:
    """A document as it is read: its windows, its chunks as unit ranges [first, last), and the questions on it.

    anchors: (n_chunks, d) float16, the frozen base's vectors of the chunks with their headers.
    """

    set_name: str
    document_id: str
    windows: list[PageWindow]
    chunks: list[tuple[int, int]]
    anchors: np.ndarray[tuple[int, ...], np.dtype[np.float16]]
    questions: list[Asked] = field(default_factory=list)


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

    model: cuts and gives the anchors; its vectors must be those of chunks. sizes: target sizes in tokens to draw from,
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
    names = [name for name in sorted(labelled.documents) if (name in held) == held_out]
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
    cuts = _read_cuts(path)
    pages = []
    for document in tqdm(documents, desc=f"tokens of {name}", unit="doc", disable=None, leave=False):
        spans, anchors = cuts[document.id]
        reading = model.read_page(document)
        first = {unit.start: number for number, unit in enumerate(reading.units)}
        last = {unit.end: number + 1 for number, unit in enumerate(reading.units)}
        whole = [row for row, (start, end) in enumerate(spans) if start in first and end in last]
        page = VectorPage(
            set_name=name,
            document_id=document.id,
            windows=model.windows([reading]),
            chunks=[(first[spans[row][0]], last[spans[row][1]]) for row in whole],
            anchors=anchors[whole],
        )
        kept = [spans[row] for row in whole]
        page.questions = [
            Asked(question.id, text, shares)
            for question, text in asked.get(document.id, ())
            if (shares := _shares(question, document.id, kept))
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

    spans: dict[str, list[tuple[int, int]]] = {}
    vectors: dict[str, list[Floats]] = {}
    with tqdm(total=len(documents), desc=f"reading {path.stem}", unit="doc", disable=None) as bar:
        for size in sorted(set(drawn.values())):
            limits = ChunkLimits(target_tokens=size, max_tokens=max(size, model.limits.max_tokens))
            config = replace(model.config, limits=limits, vectors="chunk")
            cutter = PrepModel(model.encoder, model.heads, config, model.version)
            for document, chunks in cutter.prepare_many(d for d in documents if drawn[d.id] == size):
                kept = [chunk for chunk in chunks if chunk.role != "boilerplate"]
                spans[document.id] = [(chunk.start, chunk.end) for chunk in kept]
                vectors[document.id] = [chunk.vector for chunk in kept]
                bar.update()
    ids = [document.id for document in documents]
    tensors = {
        "counts": np.array([len(spans[name]) for name in ids]),
        "spans": np.array([span for name in ids for span in spans[name]]).reshape(-1, 2),
        "vectors": np.stack([v for name in ids for v in vectors[name]]).astype(np.float16),
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"documents": json.dumps(ids)})
    partial.replace(path)


def _read_cuts(
    path: Path,
) -> dict[str, tuple[list[tuple[int, int]], np.ndarray[tuple[int, ...], np.dtype[np.float16]]]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stream:
        ids = json.loads(stream.metadata()["documents"])
        counts, spans, vectors = (stream.get_tensor(key) for key in ("counts", "spans", "vectors"))
    edges = np.concatenate([[0], np.cumsum(counts)])
    return {
        name: ([(int(a), int(b)) for a, b in spans[left:right]], vectors[left:right])
        for name, left, right in zip(ids, edges[:-1], edges[1:], strict=True)
    }
