"""Prompts of the instruct baseline, compared on training questions. Not a test.

    python tests/bench/instruct_prompts.py --data DIR/new_wiki [--limit 30] [--passages 5 3] [--json FILE]

Each prompt is asked the same questions, every fifth with its evidence withheld, with as many passages as named, with
and without refusing questions whose nearest chunk is less similar than `BaselineConfig.min_score` allows. Decoding is
greedy; nothing is drawn at random.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prep.model.encoder import Encoder
from training.data.dataset import load_set
from training.evaluation.answers_suite import evaluate_answers
from training.evaluation.baseline_prompts import INSTRUCT_PROMPTS
from training.evaluation.baseline_rag import (
    BaselineConfig,
    BaselineRAG,
    Completer,
    Completion,
    GreedyCompleter,
)
from training.evaluation.instruct_baseline import chat_format
from training.evaluation.smollm2 import SMOLLM2, load_smollm2
from training.metrics.results import format_table


class RememberingCompleter:
    """Completes each prompt once, and keeps what was said."""

    def __init__(self, completer: Completer) -> None:
        self.completer = completer
        self.said: dict[str, Completion] = {}

    def complete(self, prompts: Sequence[str]) -> list[Completion]:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.said]
        if new:
            self.said.update(zip(new, self.completer.complete(new), strict=True))
        return [self.said[prompt] for prompt in prompts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a labelled set for training")
    parser.add_argument("--limit", type=int, default=30, help="so many questions, evenly spread")
    parser.add_argument("--passages", type=int, nargs="+", default=[BaselineConfig().k])
    parser.add_argument("--prompts", nargs="+", choices=INSTRUCT_PROMPTS, default=list(INSTRUCT_PROMPTS))
    parser.add_argument("--json", type=Path, help="write prompts and replies there")
    arguments = parser.parse_args()

    labelled = load_set(arguments.data)
    model, tokenizer = load_smollm2()
    completer = RememberingCompleter(GreedyCompleter(model, tokenizer))
    rag = BaselineRAG(labelled.documents.values(), completer, Encoder.load(), progress=True)
    results = []
    for name in arguments.prompts:
        for k in arguments.passages:
            for min_score in (-1.0, BaselineConfig().min_score):
                rag.settings = replace(rag.settings, k=k, min_score=min_score)
                rag.format = chat_format(tokenizer, name, language_model=SMOLLM2)
                label = f"{name}, {k} passages, min_score {min_score:g}"
                results.append(
                    evaluate_answers(labelled, rag, limit=arguments.limit, label=label, progress=True)
                )
                print(format_table(results), flush=True)
    print("\nby F1 + abstention F1:")
    sums = [
        (scores.f1 + scores.abstention_f1, result.label)
        for result in results
        for scores in [result.overall()]
    ]
    for total, label in sorted(sums, reverse=True):
        print(f"{total:.3f}  {label}")
    if arguments.json:
        said = [{"prompt": prompt, "reply": reply.text} for prompt, reply in completer.said.items()]
        rows = [result.to_dict() for result in results]
        content = json.dumps({"said": said, "results": rows}, indent=1, ensure_ascii=False)
        arguments.json.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
