"""Choose how a trained adapter is served: how many passages it reads, and when it refuses.

    python -m training.tune_serving --data DIR/new_wiki --version RUN --out tuning.json

Runs over the held-out documents of a set that may be trained on (`training.mixture.part_of`), every
fifth question's evidence withheld. The model answers every question, told never to refuse, and the margin of its
refusal is kept; every offset is then judged without running the model again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from prep.model import PrepModel
from retrieve.episode import EpisodeLimits
from retrieve.model import (
    ADAPTER,
    MANIFEST,
    RetrieveModel,
    ServingConfig,
    read_retrieve_manifest,
    save_retrieve_version,
)
from training.dataset import load_set
from training.episodes import Practice
from training.mixture import part_of

__all__ = ["Judged", "best_offset", "judge"]

_NEVER = -1e4  # an offset that no margin outweighs


@dataclass(frozen=True, slots=True)
class Judged:
    """One question answered by force. `margin`: the refusal's logit less the best other's."""

    margin: float
    f1: float
    expects_answer: bool


def judge(offset: float, rows: Sequence[Judged]) -> dict[str, float]:
    """Return what an offset would give: F1 on answerable questions, abstention precision, recall and F1."""
    refused = [row.margin + offset > 0 for row in rows]
    answerable = [(row, no) for row, no in zip(rows, refused, strict=True) if row.expects_answer]
    right = sum(no and not row.expects_answer for row, no in zip(rows, refused, strict=True))
    n_unanswerable = len(rows) - len(answerable)
    precision = right / max(1, sum(refused))
    recall = right / max(1, n_unanswerable)
    return {
        "offset": offset,
        "f1": sum(0.0 if no else row.f1 for row, no in answerable) / max(1, len(answerable)),
        "abstention_precision": precision,
        "abstention_recall": recall,
        "abstention_f1": 2 * precision * recall / max(1e-9, precision + recall),
    }


def best_offset(rows: Sequence[Judged]) -> dict[str, float]:
    """Return the judgement of the offset with the greatest sum of answer F1 and abstention F1; ties: nearest 0."""
    grid = [step / 4 for step in range(-24, 25)]
    return max(
        (judge(offset, rows) for offset in grid),
        key=lambda row: (row["f1"] + row["abstention_f1"], -abs(row["offset"])),
    )


def answer_all(practice: Practice, *, searches: int = 1, batch_size: int = 8) -> list[Judged]:
    """Return each question answered by a model whose offset must never let it refuse. searches: most in an episode."""
    rows: list[Judged] = []
    for at in tqdm(range(0, len(practice.questions), batch_size), desc="tune"):
        for run, row in practice.run(practice.questions[at : at + batch_size], max_searches=searches):
            rows.append(Judged(run.actions[-1].none_margin, row.f1, row.expects_answer))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a labelled set that may be trained on")
    parser.add_argument(
        "--version",
        type=Path,
        required=True,
        help="folder of a retrieve version, or of a finished training run",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the judgements")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--passages", type=int, nargs="+", default=[3, 4])
    parser.add_argument("--searches", type=int, default=1, help="most in an episode (1)")
    parser.add_argument(
        "--question-last", action="store_true", help="a run whose traces have the question last"
    )
    parser.add_argument(
        "--target-tokens", type=int, help="another target size of chunks than the prep model's"
    )
    arguments = parser.parse_args()
    held = part_of(load_set(arguments.data), held_out=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        prep = PrepModel.load(target_tokens=arguments.target_tokens)
        version, trained_last = arguments.version, False
        if (version / MANIFEST).is_file():
            trained = ServingConfig.from_json(read_retrieve_manifest(version)["serving"])
            trained_last = trained.episode.question_last
        else:
            version = Path(folder) / "version"
            save_retrieve_version(version, arguments.version / ADAPTER, serving=ServingConfig())
        for n_passages in arguments.passages:
            limits = EpisodeLimits(
                passages_per_search=n_passages, question_last=arguments.question_last or trained_last
            )
            serving = ServingConfig(none_offset=_NEVER, episode=limits)
            model = RetrieveModel.load(version, serving=serving)
            store = Path(folder) / "store"
            with Practice.open(held, store, model, prep, limit=arguments.questions) as practice:
                rows = answer_all(practice, searches=arguments.searches)
            shown = {"passages": n_passages, "question_last": limits.question_last}
            results.append({**shown, "best": best_offset(rows), "at_zero": judge(0.0, rows)})
            print(json.dumps(results[-1]), flush=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
