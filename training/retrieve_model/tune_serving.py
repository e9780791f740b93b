"""Choose how a trained adapter is served: passages of a search, when it searches again, when it abstains.

    python -m training.retrieve_model.tune_serving --data DIR/new_wiki [DIR/drcd_dev ...] --version RUN \
        --out tuning.json

Runs over the held-out documents of sets that may be trained on (`training.traces.mixture.part_of`), each searched by
itself and the questions of all scored together, the evidence of every fifth question withheld. The model must answer
every question, and the margin of its abstention is kept; all biases are then scored without running the model again.
With `--second-search` every question is answered without and with a second search, and the margin of that is kept as
well, to choose when to search again. With `--before-none` every first report is none, to choose whether to search
before none is reported, and the bias afterwards (`retrieve.decoding.second_retrieval`).
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from tqdm.auto import tqdm

from prep.model.prep_model import PrepModel
from retrieve.episode.episode import EpisodeLimits
from retrieve.episode_runner import Run
from retrieve.model import (
    ADAPTER,
    MANIFEST,
    RetrieveModel,
    ServingConfig,
    read_retrieve_manifest,
    save_retrieve_version,
)
from training.data.dataset import LabelledSet, load_set
from training.evaluation.store_environment import StoreEnvironment
from training.rewards import Prices
from training.traces.mixture import part_of

__all__ = [
    "BEFORE_NONE",
    "CHOSEN",
    "NEVER",
    "ForcedAnswer",
    "QuestionTrial",
    "best_biases",
    "forced_settings",
    "score_biases",
    "worth",
]

NEVER, _ALWAYS = -1e4, 1e4  # biases that no margin outweighs
# What leads to a second search: the model's choice, or a report of none.
CHOSEN, BEFORE_NONE = "chosen", "before none"
_GRID = tuple(sorted((step / 4 for step in range(-24, 25)), key=abs))  # nearest to nothing first
_SEARCH_GRID = tuple(offset for offset in _GRID if (2 * offset).is_integer())


@dataclass(frozen=True, slots=True)
class ForcedAnswer:
    """One question that had to be answered. margin: of the abstention, see `retrieve.decoding.decoder.Action`."""

    margin: float
    f1: float
    expects_answer: bool


@dataclass(frozen=True, slots=True)
class QuestionTrial:
    """One question without and, where tried, with a second search. search_margin: of the choice to search."""

    first: ForcedAnswer
    search_margin: float = math.nan
    second: ForcedAnswer | None = None

    def select(self, search_offset: float | None) -> ForcedAnswer:
        """Return the answer at a search bias; None searches once."""
        again = search_offset is not None and self.search_margin + search_offset > 0
        return self.second if again and self.second is not None else self.first


def score_biases(
    offset: float,
    rows: Sequence[QuestionTrial],
    search_offset: float | None = None,
    again_offset: float | None = None,
) -> dict[str, float | None]:
    """Return what offsets would give: F1 on answerable questions, abstention precision, recall and F1, searches.

    search_offset: None for one search. again_offset: `retrieve.model.ServingConfig.abstention_bias_after_search`.
    """
    taken, refused = [], []
    for row in rows:
        one, added = row.select(search_offset), offset
        if again_offset is not None and row.second is not None:
            if one.margin + offset > 0:
                one = row.second
            if one is row.second:
                added = again_offset
        taken.append(one)
        refused.append(one.margin + added > 0)
    answerable = [(row, no) for row, no in zip(taken, refused, strict=True) if row.expects_answer]
    right = sum(no and not row.expects_answer for row, no in zip(taken, refused, strict=True))
    n_unanswerable = len(rows) - len(answerable)
    precision = right / max(1, sum(refused))
    recall = right / max(1, n_unanswerable)
    again = sum(one is row.second for one, row in zip(taken, rows, strict=True))
    return {
        "offset": offset,
        "search_offset": search_offset,
        "again_offset": again_offset,
        "f1": sum(0.0 if no else row.f1 for row, no in answerable) / max(1, len(answerable)),
        "abstention_precision": precision,
        "abstention_recall": recall,
        "abstention_f1": 2 * precision * recall / max(1e-9, precision + recall),
        "searches": 1 + again / max(1, len(rows)),
    }


def best_biases(rows: Sequence[QuestionTrial]) -> dict[str, float | None]:
    """Return the scores of the biases with the greatest sum of answer F1 and abstention F1; ties: nearest 0.

    A second search has its price (`training.rewards.Prices`); None is one search, chosen where no other is better.
    A search before none is reported is tried with the other biases at their best without it.
    """
    tried = any(row.second is not None for row in rows)
    searching: Sequence[float | None] = (None, *_SEARCH_GRID) if tried else (None,)
    judged = [score_biases(offset, rows, again) for again in searching for offset in _GRID]
    best = max(judged, key=worth)  # of equals the first
    if not tried:
        return best
    kept = best["search_offset"]
    searching_again = (score_biases(one, rows, kept, other) for one, other in product(_GRID, _GRID))
    return max((best, *searching_again), key=worth)


def worth(row: Mapping[str, float | None]) -> float:
    """Return the criterion of the choice: answer F1 plus abstention F1, less the price of the searches."""
    f1, abstention = (float(row[name] or 0.0) for name in ("f1", "abstention_f1"))
    searches = row.get("searches") or 1.0  # older files lack it: one search
    return f1 + abstention - Prices().search * (searches - 1)


def answer_all(
    environment: StoreEnvironment, *, searches: int = 1, batch_size: int = 8
) -> list[tuple[Run, ForcedAnswer]]:
    """Return each question answered by a model whose bias never lets it abstain. searches: the most of an episode."""
    rows: list[tuple[Run, ForcedAnswer]] = []
    for at in tqdm(range(0, len(environment.questions), batch_size), desc="tune"):
        for run, row in environment.run(environment.questions[at : at + batch_size], max_searches=searches):
            rows.append((run, ForcedAnswer(run.actions[-1].abstention_margin, row.f1, row.expects_answer)))
    return rows


def forced_settings(serving: ServingConfig, again: str | None) -> list[ServingConfig]:
    """Return settings that never abstain: with one search and, if wanted, with two, by choice or instead of none."""
    once = replace(serving, abstention_bias=NEVER, abstention_bias_after_search=None, search_bias=NEVER)
    twice = {
        None: [],
        CHOSEN: [replace(once, search_bias=_ALWAYS)],
        BEFORE_NONE: [replace(once, abstention_bias=_ALWAYS, abstention_bias_after_search=NEVER)],
    }
    return [once, *twice[again]]


def _try_all(
    held: LabelledSet, store: Path, model: RetrieveModel, prep: PrepModel, questions: int, again: str | None
) -> list[QuestionTrial]:
    """Answer a set's questions without abstaining: with one search and, if wanted, with a second."""
    answered = []
    for serving in forced_settings(model.serving, again):
        model.serving = serving
        with StoreEnvironment.open(held, store, model, prep, limit=questions) as environment:
            answered.append(answer_all(environment, searches=1 if again is None else 2))
    first, second = answered[0], answered[-1] if again else None
    return [
        QuestionTrial(
            one,
            run.actions[0].search_margin if again == CHOSEN else math.nan,
            None if second is None else second[number][1],
        )
        for number, (run, one) in enumerate(first)
    ]


def _scores_at(best: Mapping[str, float | None], rows: Sequence[QuestionTrial]) -> dict[str, float | None]:
    """Return the scores on these rows of biases that were chosen on more."""
    return score_biases(best["offset"] or 0.0, rows, best["search_offset"], best["again_offset"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="labelled sets that may be trained on"
    )
    parser.add_argument(
        "--version",
        type=Path,
        required=True,
        help="folder of a retrieve version, or of a finished training run",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the judgements")
    parser.add_argument("--questions", type=int, default=300, help="of each set, spread evenly (300)")
    parser.add_argument("--passages", type=int, nargs="+", default=[3, 4])
    parser.add_argument(
        "--score-margins",
        type=float,
        nargs="+",
        default=[EpisodeLimits().score_margin],
        help="of the passages, see EpisodeLimits (2: all are shown)",
    )
    second = parser.add_mutually_exclusive_group()
    second.add_argument(
        "--second-search",
        dest="again",
        action="store_const",
        const=CHOSEN,
        help="choose when to search once more, too",
    )
    second.add_argument(
        "--before-none",
        dest="again",
        action="store_const",
        const=BEFORE_NONE,
        help="choose whether to search before none is reported, and how readily to report it then",
    )
    parser.add_argument(
        "--target-tokens", type=int, help="another target size of chunks than the prep model's"
    )
    arguments = parser.parse_args()
    held = [part_of(load_set(folder), held_out=True) for folder in arguments.data]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        prep = PrepModel.load(target_tokens=arguments.target_tokens)
        version = arguments.version
        if (version / MANIFEST).is_file():
            trained = ServingConfig.from_json(read_retrieve_manifest(version)["serving"])
        else:
            version, trained = Path(folder) / "version", ServingConfig()
            save_retrieve_version(version, arguments.version / ADAPTER, serving=trained)
        for n_passages, margin in product(arguments.passages, arguments.score_margins):
            limits = EpisodeLimits(
                passages_per_search=n_passages,
                score_margin=margin,
            )
            model = RetrieveModel.load(version, serving=replace(trained, episode=limits))
            by_set = {
                one.name: _try_all(
                    one, Path(folder) / one.name, model, prep, arguments.questions, arguments.again
                )
                for one in held
            }
            rows = [row for some in by_set.values() for row in some]
            best = best_biases(rows)
            shown = {"passages": n_passages, "score_margin": margin, "best": best}
            shown["at_zero"] = score_biases(0.0, rows, 0.0 if arguments.again == CHOSEN else None)
            shown["by_set"] = {name: _scores_at(best, some) for name, some in by_set.items()}
            print(json.dumps(shown), flush=True)
            results.append(
                {**shown, "rows": {n: [asdict(row) for row in some] for n, some in by_set.items()}}
            )
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
