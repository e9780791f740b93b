"""Vectors alone, words alone and both, over the same chunks: what the share of words in a score is worth. Not a test.

    python tests/bench/compare_search.py --data DIR/new_wiki --documents 40 --limit 800

Only for training sets: the share is chosen here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prep import lexical
from prep.document import Chunk, Document, Floats
from prep.model import PrepModel
from training.dataset import LabelledSet, load_set
from training.evaluate import evaluate_retrieval, format_table

SHARES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)


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
    parser.add_argument("--documents", type=int, default=400, help="so many of each, evenly spread")
    parser.add_argument("--limit", type=int, default=800, help="so many questions of each")
    arguments = parser.parse_args()
    prep = PrepModel.load()
    for folder in arguments.data:
        whole = load_set(folder)
        every = max(1, len(whole.documents) // arguments.documents)
        kept = dict(list(whole.documents.items())[::every])
        questions = [q for q in whole.questions if all(span.document_id in kept for span in q.evidence)]
        dataset = LabelledSet(kept, whole.formats, questions, whole.name)
        prepared = Prepared(prep, kept.values())
        results = []
        for share in SHARES:
            lexical.LEXICAL_SHARE = share
            results.append(
                evaluate_retrieval(dataset, prepared, limit=arguments.limit, label=f"{share:g} of words")
            )
        print(format_table(results), flush=True)


if __name__ == "__main__":
    main()
