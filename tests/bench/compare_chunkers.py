"""Measure splitters of other libraries beside the prep model, on one set, in one run. Not a test, not timed.

    python tests/bench/compare_chunkers.py --data DIR/chroma_chunking [--suite retrieval] [--only NAME ...]

Needs the `bench` extra. Every splitter has frozen vectors and is searched by these alone, as it comes; the prep model
is searched by vectors and words, as our store does. --peer-words gives the splitters the same search, --vectors-only
takes the words from ours. "frozen whole documents" is no splitting at all, which is what retrieval figures on short
documents are usually given for. Differences are those to the prep
model, with paired bootstrap intervals over documents where there are 20 or more, over questions otherwise.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from prep import PrepModel
from prep.model.encoder import Encoder
from training.data.dataset import load_set
from training.evaluation.gains import compare_results
from training.evaluation.retrieval_suites import evaluate_chunking, evaluate_retrieval
from training.evaluation.splitters import SPLITTERS, FrozenEncoderSystem, make_splitter
from training.metrics.results import format_table
from training.traces.mixture import part_of

HEADLINE = {
    "chunking": ("recall", "precision_omega", "iou"),
    "retrieval": ("ndcg_at_10", "evidence_recall", "evidence_recall_in_budget"),
}
WHOLE = "frozen whole documents"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--suite", choices=list(HEADLINE), default="chunking")
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--without-prep", action="store_true")
    parser.add_argument("--chunk-tokens", type=int, default=200)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--peer-words", action="store_true", help="splitters are searched by words as well")
    parser.add_argument(
        "--vectors-only", action="store_true", help="the prep model is searched by vectors alone"
    )
    parser.add_argument(
        "--documents",
        default="all",
        choices=["all", "held-out", "others"],
        help="held out: every sixth by id",
    )
    parser.add_argument("--target-tokens", type=int, default=None, help="another target size of ours")
    parser.add_argument("--only", nargs="*", default=[*SPLITTERS, WHOLE], choices=[*SPLITTERS, WHOLE])
    parser.add_argument("--json", type=Path, default=None, help="write every row there")
    arguments = parser.parse_args()

    dataset = load_set(arguments.data)
    if arguments.documents != "all":
        dataset = part_of(dataset, held_out=arguments.documents == "held-out")
    measure: Any = evaluate_chunking if arguments.suite == "chunking" else evaluate_retrieval
    encoder = Encoder.load()
    results = []
    if not arguments.without_prep:
        model = PrepModel.load(arguments.prep, target_tokens=arguments.target_tokens)
        words = not arguments.vectors_only
        results.append(measure(dataset, model, limit=arguments.limit, progress=True, words=words))
        print(format_table(results), flush=True)
    for name in arguments.only:
        whole = name == WHOLE
        chunker = (
            (lambda text: [(0, len(text))]) if whole else make_splitter(name, encoder, arguments.chunk_tokens)
        )
        peer = FrozenEncoderSystem(chunker, encoder, name=name, title_in_vector=whole)
        words = arguments.peer_words
        results.append(measure(dataset, peer, limit=arguments.limit, progress=True, words=words))
        print(format_table(results), flush=True)
    if not arguments.without_prep:
        many = len({row.document_id for row in results[0].rows}) >= 20
        for result in results[1:]:
            for metric in HEADLINE[arguments.suite]:
                found = compare_results(result, results[0], metric, by_document=many)
                print(f"{metric}: prep model minus {result.label}: {found}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([result.to_dict() for result in results]), "utf-8")


if __name__ == "__main__":
    main()
