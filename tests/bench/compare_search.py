"""Vectors alone, words alone, both in fixed shares and as trained, over the same chunks. Not a test.

    python tests/bench/compare_search.py --data DIR/new_wiki --held-out

"cosine + words" is what search was before its weights were trained: 0.8 of the cosine, 0.2 of the best BM25 score.
Differences are those of the trained ranking to it, paired by question, resampled by document.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prep.document import Chunk, Document, Floats
from prep.model.prep_model import PrepModel
from prep.store.ranking import Ranking, RankingWeights
from training.data.dataset import LabelledSet, load_set
from training.evaluation.gains import compare_results
from training.evaluation.retrieval_suites import evaluate_retrieval
from training.metrics.results import format_table
from training.traces.mixture import part_of

FIXED = RankingWeights(cosine=0.8, bm25=0.2)
WORDS = RankingWeights(cosine=0.0, bm25=1.0)


class Prepared:
    """A prep model that prepares the same documents once."""

    def __init__(self, prep: PrepModel, documents: Iterable[Document]) -> None:
        self._prep = prep
        self._chunks = list(prep.prepare_many(documents))
        self.version = prep.version

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]:
        return iter(self._chunks)

    def encode_queries(self, queries: Sequence[str], /) -> Floats:
        return self._prep.encode_queries(queries)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="labelled sets, one folder each")
    parser.add_argument("--held-out", action="store_true", help="only what training leaves out of each set")
    parser.add_argument("--limit", type=int, help="so many questions of each")
    parser.add_argument(
        "--passages", type=int, nargs="+", default=[1, 3], help="so many chunks count for evidence (1 and 3)"
    )
    parser.add_argument("--ranking", type=Path, help="weights to measure; default: the shipped ones")
    arguments = parser.parse_args()
    shipped = Ranking.shipped()
    if arguments.ranking is not None:
        shipped = Ranking.from_json(json.loads(arguments.ranking.read_text(encoding="utf-8")))
    prep = PrepModel.load()
    for folder in arguments.data:
        dataset = load_set(folder)
        if arguments.held_out:
            dataset = part_of(dataset, held_out=True)
        prepared = Prepared(prep, dataset.documents.values())
        for k in arguments.passages:
            measure(dataset, prepared, shipped, k, arguments.limit)


def measure(dataset: LabelledSet, prepared: Prepared, trained: Ranking, k: int, limit: int | None) -> None:
    """Print every ranking's figures, with k chunks counted for evidence, and the differences."""
    rankings = {
        "words": Ranking(WORDS, WORDS),
        "cosine + words": Ranking(FIXED, FIXED),
        "trained": trained,
    }
    results = [
        evaluate_retrieval(dataset, prepared, evidence_k=k, words=False, limit=limit, label="vectors"),
        *(
            evaluate_retrieval(dataset, prepared, evidence_k=k, ranking=ranking, limit=limit, label=label)
            for label, ranking in rankings.items()
        ),
    ]
    print(format_table(results), flush=True)
    for metric in ("evidence_recall", "evidence_recall_in_budget", "ndcg_at_10"):
        print(
            f"{metric}, trained less cosine + words: {compare_results(results[-2], results[-1], metric)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
