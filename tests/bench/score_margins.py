"""How many of the passages found are worth showing: those that score little less than the best. Not a test, not timed.

    python tests/bench/score_margins.py --data DIR [DIR ...] --out OUT [--passages 3 5] [--limit 1200]

For each margin (`retrieve.episode.EpisodeLimits.score_margin`): how many passages are shown for a question, how many
characters they have, and how often one of them holds evidence. Of sets that may be trained on, only questions about
held-out documents are asked, all documents being searched. Nothing is drawn at random.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

from tqdm.auto import tqdm

from prep.ingest import ingest
from prep.model import PrepModel
from retrieve.episode import Episode, EpisodeLimits
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from training.dataset import load_set, sample
from training.mixture import PARTS, part_of

MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path, nargs="+")
    parser.add_argument("--out", required=True, type=Path, help="folder for the stores")
    parser.add_argument("--passages", type=int, nargs="+", default=[3, 5], help="at most (3 5)")
    parser.add_argument("--limit", type=int, default=1200, help="questions of each set, spread evenly (1200)")
    arguments = parser.parse_args()
    prep, model = PrepModel.load(), RetrieveModel.load(device="cpu")
    trained_on = {part.name for part in PARTS}
    for folder in arguments.data:
        labelled = load_set(folder)
        store = arguments.out / f"{labelled.name}-{prep.version}"
        ingest(store, list(labelled.documents.values()), prep)
        asked = part_of(labelled, held_out=True) if labelled.name in trained_on else labelled
        questions = sample([one for one in asked.questions if one.evidence], arguments.limit)
        with Researcher.open(store, prep=prep, model=model, log=False) as researcher:
            found = [
                researcher.runner.search([one.question], [()], max(arguments.passages))[0]
                for one in tqdm(questions, desc=labelled.name, unit="question", disable=None)
            ]
        for n in arguments.passages:
            for margin in MARGINS:
                limits = EpisodeLimits(passages_per_search=n, score_margin=margin)
                shown = [
                    Episode(one.question, limits).unseen(some)
                    for one, some in zip(questions, found, strict=True)
                ]
                held = [
                    any(span.overlaps(one) for one in some for span in question.evidence)
                    for question, some in zip(questions, shown, strict=True)
                ]
                print(
                    f"{labelled.name}: at most {n}, margin {margin}: {mean(map(len, shown)):.2f} passages, "
                    f"{mean(sum(len(one.text) for one in some) for some in shown):.0f} characters, "
                    f"evidence in {mean(held):.3f} of {len(questions)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
