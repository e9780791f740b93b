"""Choose how a version's uncertain reports are reranked: weights, and how many candidates.

    python -m training.retrieve_model.candidate_sets --packed HELD --version V --out SETS
    python -m training.retrieve_model.tune_reranking --sets SETS [--json FILE]

HELD is a folder of `python -m training.traces.packed_example_set --held-out`, or use `candidate_sets --data DATA
--held-out`: choose on documents that were never trained on. The reward of every candidate is known, so the weights are
found by coordinate search. The settings with the best mean reward on every second document, for each number of
candidates, are measured on the other documents: the gains on the greedy reports, paired by question and resampled by
document, and about how many more tokens a question costs. No reranking is one of the settings tried. Serving with fewer
candidates than were searched for here can differ a little.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm.auto import tqdm

from prep.errors import DataError
from retrieve.decoding.reranking import RerankingConfig
from training.evaluation.gains import figures_of, gains_of
from training.metrics.results import AnswerRow, AnswersResult
from training.retrieve_model.candidate_sets import CandidateSet, read_candidate_sets
from training.rewards import Prices, reward

__all__ = ["ScoredConfig", "coordinate_search", "reranked_rows", "split"]

_N = (2, 3, 4, 6, 8)
_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
_GRID: dict[str, tuple[float, ...]] = {
    "sure_probability": (0.5, 1.0),
    "max_logprob_gap": (2.5, 4.0, 8.0),
    "report_weight": _WEIGHTS,
    "channel_weight": _WEIGHTS,
    "alternative_share": (1.0, 0.3, 0.2, 0.15, 0.1),
}


@dataclass(frozen=True, slots=True)
class ScoredConfig:
    """Settings with their mean reward, and the mean of the additional tokens of a question."""

    config: RerankingConfig
    reward: float
    tokens: float


def split(sets: Iterable[CandidateSet]) -> tuple[list[CandidateSet], list[CandidateSet]]:
    """Return the sets to choose settings on and those to measure them on, split by every second document."""
    found = list(sets)
    measured = set(sorted({_document(one) for one in found})[1::2])
    halves: tuple[list[CandidateSet], list[CandidateSet]] = ([], [])
    for one in found:
        halves[_document(one) in measured].append(one)
    return halves


def _document(one: CandidateSet) -> str:
    return one.rows[0].document_id


def reranked_rows(
    found: Sequence[CandidateSet], config: RerankingConfig
) -> tuple[tuple[AnswerRow, ...], float]:
    """Return the rows of the reports that reranking gives, and the mean of the additional tokens."""
    pairs = [one.reranked(config) for one in found]
    return tuple(row for row, _ in pairs), fmean(n for _, n in pairs)


def coordinate_search(found: Sequence[CandidateSet], start: RerankingConfig) -> Iterator[ScoredConfig]:
    """Yield every setting tried in a search by single fields, from `start` to one that no other value improves."""
    prices = Prices(token=0.0)

    def tried(config: RerankingConfig) -> ScoredConfig:
        rows, tokens = reranked_rows(found, config)
        return ScoredConfig(config, fmean(reward(row, prices) for row in rows), tokens)

    best = tried(start)
    yield best
    seen = {start}
    improved = True
    while improved:
        before = best
        for name, values in _GRID.items():
            for config in (_with(best.config, name, value) for value in values):
                if config not in seen:
                    seen.add(config)
                    one = tried(config)
                    yield one
                    best = max(best, one, key=lambda one: one.reward)
        improved = best is not before


def _with(config: RerankingConfig, name: str, value: float) -> RerankingConfig:
    changed: dict[str, Any] = {name: value}
    return replace(config, **changed)


def main(argv: Sequence[str] | None = None) -> None:
    """Choose and measure, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", required=True, type=Path, nargs="+", help="of training.retrieve_model.candidate_sets"
    )
    parser.add_argument(
        "--most-tokens",
        type=float,
        default=20.0,
        help="of a question, additional, with the settings chosen (20)",
    )
    parser.add_argument(
        "--json", type=Path, help="write the settings chosen there, and the rewards of all others"
    )
    arguments = parser.parse_args(argv)
    halves = split(one for path in arguments.sets for one in read_candidate_sets(path))
    if not all(halves):
        raise DataError(
            f"{arguments.sets} hold questions on one document at most: two are needed, one to choose on, one to measure"
        )
    prices, name = Prices(token=0.0), "candidate sets"
    tried = [next(coordinate_search(halves[0], RerankingConfig()))]  # no reranking
    for n in tqdm(_N, desc="tune reranking", disable=None):
        tried += coordinate_search(halves[0], RerankingConfig(n_candidates=n))
    chosen = max((one for one in tried if one.tokens <= arguments.most_tokens), key=lambda one: one.reward)
    best_of_n = [
        max((one for one in tried if one.config.n_candidates == n), key=lambda one: one.reward) for n in _N
    ]
    found = halves[1]
    greedy = AnswersResult(name, "greedy", 0, tuple(one.rows[0] for one in found))
    print(f"{len(found)} questions: greedy", _written(figures_of(greedy, prices)))
    for said, config in [*(("best", one.config) for one in best_of_n), ("chosen", chosen.config)]:
        rows, n_more = reranked_rows(found, config)
        gains = gains_of(greedy, AnswersResult(name, "reranked", 0, rows), prices)
        print(f"{said}: {config}, {n_more:.0f} more tokens", flush=True)
        for figure, gain in gains.items():
            print(f"    {figure} {gain}", flush=True)
    if arguments.json is not None:
        every = [{"reward": one.reward, "tokens": one.tokens, **asdict(one.config)} for one in tried]
        content = {"chosen": asdict(chosen.config), "tokens": chosen.tokens, "tried": every}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _written(figures: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
