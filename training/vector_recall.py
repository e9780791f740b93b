"""How much of the evidence chunk vectors find, on pages that were cut already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prep.document import Floats
from prep.model import PrepModel
from prep.reading import pool_pieces, sum_units
from training.vector_pages import VectorPage

__all__ = ["Recall", "evaluate_vectors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Mean share of a question's evidence in the best 1 and 5 chunks among all held-out ones of its set."""

    n_questions: int
    n_chunks: int
    at_1: float
    at_5: float


def evaluate_vectors(
    ways: Mapping[str, PrepModel], pages: Sequence[VectorPage]
) -> dict[str, dict[str, Recall]]:
    """Return set → way → how much of the evidence the best chunks hold, each question searched in all of its set.

    A model whose vectors are those of chunks is measured by the pages' anchors, so it must be the one that cut them.
    """
    measures: dict[str, dict[str, Recall]] = {}
    for set_name in dict.fromkeys(page.set_name for page in pages):
        of_set = [page for page in pages if page.set_name == set_name]
        texts = list(dict.fromkeys(asked.text for page in of_set for asked in page.questions))
        for way, model in ways.items():
            if model.config.vectors == "chunk":
                vectors = np.concatenate([page.anchors for page in of_set]).astype(np.float32)
            else:
                vectors = np.concatenate([_pooled(model, page) for page in of_set])
            queries = dict(zip(texts, model.encode_queries(texts), strict=True))
            at_1, at_5, first = [], [], 0
            for page in of_set:
                for asked in page.questions:
                    order = np.argsort(-(vectors @ queries[asked.text]), kind="stable")[:5]
                    found = [asked.shares.get(int(row) - first, 0.0) for row in order]
                    at_1.append(found[0])
                    at_5.append(sum(found))
                first += len(page.chunks)
            measures.setdefault(set_name, {})[way] = Recall(
                n_questions=len(at_1),
                n_chunks=len(vectors),
                at_1=float(np.mean(at_1)),
                at_5=float(np.mean(at_5)),
            )
    return measures


def _pooled(model: PrepModel, page: VectorPage) -> Floats:
    """Return the late-pooled vectors of a page's chunks, (n_chunks, d), as `PrepModel` pools them."""
    n_units = max((window.last for window in page.windows), default=0)
    sums = np.zeros((n_units, model.encoder.dimension), dtype=np.float32)
    for batch in model.vector_encoder.states([window.tokens for window in page.windows], last=True):
        assert batch.last is not None
        for at, row in enumerate(batch.rows):
            window = page.windows[row]
            sums[window.first : window.last] = sum_units(batch.last[at].float().numpy(), window.edges)
    return pool_pieces(sums, page.chunks)
