"""How a version's unsure reports are best compared with their rivals: weights, and how many rivals are worth reading.

    python -m training.retrieve_model.candidate_sets --packed HELD --version V --out SETS
    python -m training.retrieve_model.tune_reranking --sets SETS [--json FILE]

HELD is a folder of `python -m training.traces.packed_example_set --held-out`, or use `build_candidate_sets --data DATA
--held-out`: choose on what was never trained on. The choice among reports is a policy whose reward is known for every
report, so its weights are searched for directly, one at a time until none can be bettered. Shown are, of the settings
with the best mean reward for so many rivals on every second document, the gains on the greedy reports of the other
documents' questions, paired by question and resampled by document, and about how many tokens more a question costs.
Reranking nothing is among what is tried. What serving finds with fewer rivals than were looked for here can differ a
little.
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

__all__ = ["Tried", "climb", "judged", "split"]

_N = (2, 3, 4, 6, 8)
_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
_TRIED: dict[str, tuple[float, ...]] = {
    "sure_probability": (0.5, 1.0),
    "max_logprob_gap": (2.5, 4.0, 8.0),
    "report_weight": _WEIGHTS,
    "channel_weight": _WEIGHTS,
    "alternative_share": (1.0, 0.3, 0.2, 0.15, 0.1),
}


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings, their mean reward, and the mean of the tokens more."""

    config: RerankingConfig
    reward: float
    tokens: float


def split(sets: Iterable[CandidateSet]) -> tuple[list[CandidateSet], list[CandidateSet]]:
    """Return what settings are chosen on and what they are measured on: every second document's questions each."""
    found = list(sets)
    measured = set(sorted({_document(one) for one in found})[1::2])
    halves: tuple[list[CandidateSet], list[CandidateSet]] = ([], [])
    for one in found:
        halves[_document(one) in measured].append(one)
    return halves


def _document(one: CandidateSet) -> str:
    return one.rows[0].document_id


def judged(found: Sequence[CandidateSet], config: RerankingConfig) -> tuple[tuple[AnswerRow, ...], float]:
    """Return the rows of the reports that are given, and the mean of the tokens more."""
    pairs = [one.with_(config) for one in found]
    return tuple(row for row, _ in pairs), fmean(n for _, n in pairs)


def climb(found: Sequence[CandidateSet], start: RerankingConfig) -> Iterator[Tried]:
    """Yield every setting that is tried on the way from one to one that no other value of a single field betters."""
    prices = Prices(token=0.0)

    def tried(config: RerankingConfig) -> Tried:
        rows, tokens = judged(found, config)
        return Tried(config, fmean(reward(row, prices) for row in rows), tokens)

    best = tried(start)
    yield best
    seen = {start}
    bettered = True
    while bettered:
        before = best
        for name, values in _TRIED.items():
            for config in (_with(best.config, name, value) for value in values):
                if config not in seen:
                    seen.add(config)
                    one = tried(config)
                    yield one
                    best = max(best, one, key=lambda one: one.reward)
        bettered = best is not before


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
        "--most-tokens", type=float, default=20.0, help="more to a question, of the settings chosen (20)"
    )
    parser.add_argument(
        "--json", type=Path, help="write the settings chosen there, and what every other came to"
    )
    arguments = parser.parse_args(argv)
    halves = split(one for path in arguments.sets for one in read_candidate_sets(path))
    if not all(halves):
        raise DataError(
            f"{arguments.sets} hold questions on one document at most: two are needed, one to choose on, one to measure"
        )
    prices, name = Prices(token=0.0), "rival sets"
    tried = [next(climb(halves[0], RerankingConfig()))]  # nothing is compared
    for n in tqdm(_N, desc="tune reranking", disable=None):
        tried += climb(halves[0], RerankingConfig(n_candidates=n))
    chosen = max((one for one in tried if one.tokens <= arguments.most_tokens), key=lambda one: one.reward)
    best_of_n = [
        max((one for one in tried if one.config.n_candidates == n), key=lambda one: one.reward) for n in _N
    ]
    found = halves[1]
    greedy = AnswersResult(name, "greedy", 0, tuple(one.rows[0] for one in found))
    print(f"{len(found)} questions: greedy", _written(figures_of(greedy, prices)))
    for said, config in [*(("best", one.config) for one in best_of_n), ("chosen", chosen.config)]:
        rows, n_more = judged(found, config)
        gains = gains_of(greedy, AnswersResult(name, "compared", 0, rows), prices)
        print(f"{said}: {config}, {n_more:.0f} tokens more", flush=True)
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
