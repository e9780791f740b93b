"""Measure how topics are told apart, beside splitters of other libraries, in one run. Not a test, not timed.

    python tests/bench/compare_boundaries.py --data DIR/choi [--limit 150] [--prep VERSION] [--probability P]

Sets with topics (qmsum) or with segments between lines of "==========" (choi). Items are lines; a cut inside a line
counts for the nearest line end. Splitters are run at 200 tokens and once more at the mean length of the set's true
segments, which the prep model is not told. Pk and WindowDiff are errors. Differences are those to the prep model's
topics, with paired bootstrap intervals over documents. Splitters need the `bench` extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from prep import PrepModel
from prep.document import Document
from prep.model.encoder import Encoder
from training.data.dataset import load_set
from training.evaluation.splitters import SPLITTERS, make_splitter
from training.metrics.boundary_metrics import BoundaryScores, boundary_scores, nearest_items
from training.metrics.significance import paired_bootstrap

RULE = "=========="


@dataclass(frozen=True)
class Divided:
    """A document, where its lines end, and after which of them a segment does."""

    document: Document
    ends: list[int]
    breaks: set[int]


def read_divided(folder: Path, held_out_every: int | None) -> list[Divided]:
    """Return the documents with more than one segment: all of them, or every n-th."""
    labelled = load_set(folder)
    names = sorted(labelled.documents)
    found = []
    for name in names[:: held_out_every or 1]:
        document, starts = labelled.documents[name], [t.start for t in labelled.topics.get(name, ())]
        if labelled.formats[name] == "segments":
            kept = [part.strip("\n") for part in document.text.split(RULE) if part.strip()]
            starts = list(np.cumsum([0, *(len(part) + 1 for part in kept)]))[:-1]
            document = replace(document, text="\n".join(kept))
        ends, position = [], 0
        for line in document.text.splitlines(keepends=True):
            position += len(line)
            if line.strip():
                ends.append(position)
        breaks = nearest_items([start for start in starts if start > 0], ends)
        if breaks:
            found.append(Divided(document, ends, breaks))
    return found


def measure(
    documents: list[Divided], cut: Callable[[Document], list[int]], name: str
) -> list[BoundaryScores]:
    rows = []
    for one in tqdm(documents, desc=name, unit="doc", disable=None, leave=False):
        found = nearest_items(cut(one.document), one.ends)
        rows.append(boundary_scores(one.breaks, found, len(one.ends)))
    return rows


def show(name: str, rows: list[BoundaryScores], first: list[BoundaryScores] | None) -> None:
    means = [float(mean) for mean in np.mean([astuple(row) for row in rows], axis=0)]
    text = "  ".join(f"{mean:.3f}" for mean in means)
    if first is not None:
        found = paired_bootstrap([row.pk for row in first], [row.pk for row in rows])
        text += f"   Pk {found}"
    print(f"{name:44s} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--probability", type=float, nargs="*", default=[], help="other topic probabilities")
    parser.add_argument("--limit", type=int, default=None, help="documents, spread evenly")
    parser.add_argument("--held-out-every", type=int, default=None, help="only every n-th document by id")
    parser.add_argument("--only", nargs="*", default=list(SPLITTERS), choices=list(SPLITTERS))
    arguments = parser.parse_args()

    documents = read_divided(arguments.data, arguments.held_out_every)
    if arguments.limit is not None and arguments.limit < len(documents):
        documents = [documents[i * len(documents) // arguments.limit] for i in range(arguments.limit)]
    model = PrepModel.load(arguments.prep)
    encoder = Encoder.load()
    tokens = sum(len(ids) for ids in encoder.tokenize([one.document.text for one in documents]))
    mean = round(tokens / sum(len(one.breaks) + 1 for one in documents))
    print(f"{len(documents)} documents, segments of {mean} tokens on average")
    print(f"{'':44s} {'Pk':5s}  {'WD':5s}  {'P':5s}  {'R':5s}  {'F1':5s}")

    ours = measure(documents, lambda d: [end for _, end in model.topics(d)], "topics")
    show(f"prep model, topics ({model.config.topic_probability})", ours, None)
    for probability in arguments.probability:
        config = replace(model.config, topic_probability=probability)
        other = PrepModel(model.encoder, model.heads, config, model.version)
        rows = measure(documents, lambda d, m=other: [end for _, end in m.topics(d)], "topics")
        show(f"prep model, topics ({probability})", rows, ours)
    rows = measure(documents, lambda d: [chunk.end for chunk in model.prepare(d)], "chunks")
    show("prep model, chunks", rows, ours)
    show("one segment", measure(documents, lambda _: [], "none"), ours)
    for name in arguments.only:
        for size in (200, mean):
            chunker = make_splitter(name, encoder, size)
            rows = measure(documents, lambda d, c=chunker: [end for _, end in c(d.text)], name)
            show(f"{name}, {size} tokens", rows, ours)


if __name__ == "__main__":
    main()
