"""Training data of the prep model's heads: damaged pages of known structure, encoded once by the frozen base.

Documents are split into those trained on and those held out, cut to pages, rendered and damaged by a seeded draw
(`training.pages.structured_documents`, `training.pages.damage`), and read; unit states, surface features and labels
are kept in shards on disk, and a shard that is there is not made again.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prep.document import Document, Floats
from prep.errors import DataError
from prep.model.line_features import Predictions, rule_predictions
from prep.model.prep_model import PrepModel
from training.pages.damage import damage_page, random_damages
from training.pages.render import Labels, Page, Style, label_units, random_style, render
from training.pages.structured_documents import (
    StructuredDocument,
    cut_stretch,
    join_documents,
    read_structured,
)
from training.prep_model.structure_config import StructureConfig

__all__ = ["StructureExample", "build_examples", "make_pages", "split_documents"]


@dataclass(slots=True)
class StructureExample:
    """One page as the heads see it. states: (n, 2d) float16; surface: (n, s); rules: the baseline's
    predictions.
    """

    document_id: str
    damages: tuple[str, ...]
    states: np.ndarray[Any, np.dtype[np.float16]]
    surface: Floats
    labels: Labels
    rules: Predictions | None = None


def split_documents(
    data: str | Path, config: StructureConfig
) -> tuple[dict[str, list[StructuredDocument]], dict[str, list[StructuredDocument]]]:
    """Read the sets and hold out every n-th document of each. Returns (train, held out), by set."""
    train: dict[str, list[StructuredDocument]] = {}
    held: dict[str, list[StructuredDocument]] = {}
    limits = {**dict.fromkeys(config.joined, 1_000_000), **config.sets}
    for name, limit in limits.items():
        folder = Path(data) / name
        if not folder.is_dir():
            raise DataError(f"there is no set {name!r} in {data}")
        documents = sorted(read_structured(folder), key=lambda document: document.id)
        train[name] = [d for i, d in enumerate(documents) if i % config.held_out_every][:limit]
        held[name] = [d for i, d in enumerate(documents) if i % config.held_out_every == 0][
            : max(limit // config.held_out_every, 1)
        ]
    return train, held


def make_pages(
    documents: Mapping[str, Sequence[StructuredDocument]],
    config: StructureConfig,
    *,
    seed: int,
    share: float = 1.0,
) -> Iterator[Page]:
    """Yield damaged pages: `config.pages` of each document, and joined ones (`share` of their number)."""
    for name in sorted(documents):
        for document in documents[name] if name in config.sets else ():
            for copy in range(config.pages):
                rng = random.Random(f"{seed}/{name}/{document.id}/{copy}")
                yield _page(cut_stretch(document, config.page_characters, rng), rng)
    for name in sorted(config.joined):
        if not documents.get(name):
            continue
        for number in range(max(1, round(config.joined[name] * share))):
            rng = random.Random(f"{seed}/joined/{name}/{number}")
            joined = join_documents(documents[name], rng, n_stretches=rng.randint(4, 9))
            if joined.blocks:
                yield _page(joined, rng, prose=True)


_PROSE_DAMAGES: tuple[tuple[str, ...], ...] = (
    ("one_line",),
    ("rewrap", "lose_blank_lines"),
    ("lose_blank_lines",),
    ("sentence_lines", "lose_blank_lines"),
)


def _page(document: StructuredDocument, rng: random.Random, *, prose: bool = False) -> Page:
    style = random_style(rng)
    names = random_damages(rng)
    if prose:  # topics must differ in their content, not in their layout
        names = rng.choice(_PROSE_DAMAGES)
        if rng.random() < 0.3:
            names = (*names, "spaced_tokens")
        style = Style(markup="plain")
    page = damage_page(render(document, style), names, rng)
    return replace(
        page, title=page.title if rng.random() < 0.8 else "", damages=("joined", *names) if prose else names
    )


def build_examples(
    pages: Sequence[Page], reader: PrepModel, folder: Path, config: StructureConfig, *, rules: bool = False
) -> list[StructureExample]:
    """Read pages through the frozen base. Shards already in `folder` are loaded, not made again."""
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    examples: list[StructureExample] = []
    starts = range(0, len(pages), config.shard_pages)
    for start in tqdm(starts, desc=f"reading {folder.name}", unit="shard", disable=None):
        path = folder / f"shard-{start:06d}.safetensors"
        if not path.is_file():
            _write_shard(path, pages[start : start + config.shard_pages], reader)
        examples.extend(_read_shard(path, rules))
    return examples


def _write_shard(path: Path, pages: Sequence[Page], reader: PrepModel) -> None:
    from safetensors.numpy import save_file

    readings = [reader.read_document(Document(p.document_id, p.title, p.text)) for p in pages]
    reader.add_states(readings)
    labels = [label_units(page, reading.units) for page, reading in zip(pages, readings, strict=True)]
    ruled = [rule_predictions(r.document.text, r.units, r.marks, r.document.title) for r in readings]
    states = [r.states for r in readings if r.states is not None]
    tensors = {
        "states": np.concatenate(states).astype(np.float16),
        "surface": np.concatenate([r.surface for r in readings]),
        "boundary": np.concatenate([one.boundary for one in labels]),
        "role": np.concatenate([one.role for one in labels]),
        "level": np.concatenate([one.level for one in labels]),
        "rule_boundary": np.concatenate([one.boundary for one in ruled]).astype(np.float16),
        "rule_role": np.concatenate([one.role for one in ruled]).astype(np.float16),
        "rule_level": np.concatenate([one.level for one in ruled]).astype(np.float16),
        "edges": np.cumsum([0, *(len(r.units) for r in readings)]),
    }
    about = [{"document_id": page.document_id, "damages": list(page.damages)} for page in pages]
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"pages": json.dumps(about)})
    os.replace(partial, path)


def _read_shard(path: Path, rules: bool) -> Iterator[StructureExample]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as stream:
        about = json.loads(stream.metadata()["pages"])
        data = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    edges = data["edges"]
    for row, left, right in zip(about, edges[:-1], edges[1:], strict=True):
        if left == right:
            continue
        part = {key: value[left:right] for key, value in data.items() if key != "edges"}
        baseline = (
            Predictions(
                part["rule_boundary"].astype(np.float32),
                part["rule_role"].astype(np.float32),
                part["rule_level"].astype(np.float32),
            )
            if rules
            else None
        )
        yield StructureExample(
            str(row["document_id"]),
            tuple(row["damages"]),
            part["states"],
            part["surface"],
            Labels(part["boundary"], part["role"], part["level"]),
            baseline,
        )
