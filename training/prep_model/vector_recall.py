"""Recall of evidence by chunk vectors, on pages that were cut already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prep.model.prep_model import PrepModel
from training.metrics.significance import Difference, paired_bootstrap
from training.prep_model.vector_pages import VectorPage

__all__ = ["Recall", "RecallRows", "evaluate_vectors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Mean share of a question's evidence in the best 1 and 5 chunks among all held-out ones of its set."""

    n_questions: int
    n_chunks: int
    at_1: float
    at_5: float


@dataclass(frozen=True, slots=True)
class RecallRows:
    """A way's figures question by question, and the document of each."""

    documents: list[str]
    at_1: list[float]
    at_5: list[float]
    n_chunks: int

    def mean(self) -> Recall:
        """Return the means."""
        return Recall(
            n_questions=len(self.at_1),
            n_chunks=self.n_chunks,
            at_1=float(np.mean(self.at_1)),
            at_5=float(np.mean(self.at_5)),
        )

    def gain_over(self, other: RecallRows, *, seed: int = 0) -> dict[str, Difference]:
        """Return how much more is found than another way finds for the same questions, paired, by document."""
        pairs = {"at_1": (other.at_1, self.at_1), "at_5": (other.at_5, self.at_5)}
        return {
            name: paired_bootstrap(before, after, groups=self.documents, seed=seed)
            for name, (before, after) in pairs.items()
        }


def evaluate_vectors(
    ways: Mapping[str, PrepModel], pages: Sequence[VectorPage]
) -> dict[str, dict[str, RecallRows]]:
    """Return set → way → how much of the evidence the best chunks hold, each question searched in all of its set.

    A model whose vectors are those of chunks is measured by the pages' anchors, so it must be the one that cut them.
    """
    measures: dict[str, dict[str, RecallRows]] = {}
    for set_name in dict.fromkeys(page.set_name for page in pages):
        of_set = [page for page in pages if page.set_name == set_name]
        texts = list(dict.fromkeys(asked.text for page in of_set for asked in page.questions))
        for way, model in ways.items():
            if model.config.vectors == "chunk":
                vectors = np.concatenate([page.anchors for page in of_set]).astype(np.float32)
            else:
                sequences = [page.sequence(chunk) for page in of_set for chunk in range(page.n_chunks)]
                vectors = model.vector_encoder.encode_states(sequences, layers=model.config.heads.layers)
            queries = dict(zip(texts, model.encode_queries(texts), strict=True))
            rows, first = RecallRows([], [], [], len(vectors)), 0
            for page in of_set:
                for asked in page.questions:
                    order = np.argsort(-(vectors @ queries[asked.text]), kind="stable")[:5]
                    found = [asked.shares.get(int(row) - first, 0.0) for row in order]
                    rows.documents.append(page.document_id)
                    rows.at_1.append(found[0])
                    rows.at_5.append(sum(found))
                first += page.n_chunks
            measures.setdefault(set_name, {})[way] = rows
    return measures
