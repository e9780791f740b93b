"""Two versions of the retrieve model on the same held-out questions, served, and what the second gains.

    python -m training.retrieve_model.compare_retrieve --data DATA --first VERSION --second VERSION --out FOLDER

Rows are kept in `out` as they come, so that a comparison that was stopped goes on, and a version that was measured
there is not measured again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from prep.model.prep_model import PrepModel
from retrieve.model import RetrieveModel
from training.data.dataset import load_set
from training.evaluation.gains import figures_of, gains_of
from training.evaluation.store_environment import StoreEnvironment
from training.metrics.results import AnswersResult
from training.rewards import Prices
from training.traces.mixture import DEVELOPMENT, part_of
from training.traces.packed_example_set import unseen_part

__all__ = ["main"]


def main() -> None:
    """Compare from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled sets")
    parser.add_argument(
        "--set", default=DEVELOPMENT, help="the set; what is held out says training.traces.mixture"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--whole-set", action="store_true", help="all of it is held out: a development set")
    which.add_argument(
        "--unpractised",
        action="store_true",
        help="questions on those held-out documents alone that training.traces.packed_example_set --unseen leaves",
    )
    parser.add_argument("--first", type=Path, required=True, help="a version's folder")
    parser.add_argument("--second", type=Path, required=True, help="another one's")
    parser.add_argument("--offsets", type=float, nargs=2, help="of none, instead of the versions' own")
    parser.add_argument("--out", type=Path, required=True, help="folder for store, rows and result")
    parser.add_argument("--questions", type=int, default=400, help="so many, spread evenly")
    parser.add_argument("--searches", type=int, default=2, help="most in an episode")
    parser.add_argument("--base", help="causal LM of the versions, by path (default: the embedded one)")
    parser.add_argument("--prep", help="a prep model version; the shipped one by default")
    options = parser.parse_args()
    dataset = load_set(options.data / options.set)
    held_out = dataset if options.whole_set else part_of(dataset, held_out=True)
    if options.unpractised:
        left = unseen_part(dataset, reading=False, measured=True)
        held_out = replace(held_out, questions=left.questions)
    prep = PrepModel.load(options.prep)
    results: list[AnswersResult] = []
    for number, folder in enumerate((options.first, options.second)):
        model = RetrieveModel.load(folder, base=options.base)
        if options.offsets:
            model.serving = replace(model.serving, abstention_bias=options.offsets[number])
        name = f"{model.version}-{model.serving.abstention_bias:g}-{model.serving.search_bias:g}-{options.searches}"
        with StoreEnvironment.open(
            held_out, options.out / "store", model, prep, limit=options.questions
        ) as environment:
            measured = f"{name}-{prep.version}-{environment.digest[:8]}"
            results.append(
                environment.measure(
                    max_searches=options.searches,
                    label=model.version,
                    kept=options.out / f"{measured}.jsonl",
                    progress=True,
                )
            )
    first, second = results
    prices = Prices()
    summary = {
        "questions": len(first.rows),
        "first": {"version": first.label, **figures_of(first, prices)},
        "second": {"version": second.label, **figures_of(second, prices)},
        "gains": {name: asdict(gain) for name, gain in gains_of(first, second, prices).items()},
    }
    text = json.dumps(summary, indent=2)
    (options.out / "result.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
