"""How a version's unsure reports are best compared with their rivals: weights, and how many rivals are worth reading.

    python -m training.rival_sets --sheets HELD --version V --out SETS
    python -m training.tune_comparing --sets SETS [--json FILE]

HELD is a folder of `python -m training.sheet_practice --held-out`: choose on what was never trained on. Settings are
tried on what was found. Shown are, of the settings with the best mean reward for so many rivals on every second sheet,
the gains on the greedy reports of the other sheets, paired by question and resampled by document, and about how many
tokens more a question costs. Comparing nothing is among what is tried. What serving finds with fewer rivals than were
looked for here can differ a little.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from prep.errors import DataError
from retrieve.comparing import Comparing
from training.gains import figures_of, gains_of
from training.results import AnswerRow, AnswersResult
from training.rewards import Prices, reward
from training.rival_sets import RivalSet, read_rival_sets

__all__ = ["grid", "judged", "split"]

_N = (2, 3, 4, 6, 8)
_SURE = (0.5, 1.0)
_ALSO = (1.0, 0.3, 0.2, 0.15, 0.1)
_WITHIN = (2.5, 4.0, 8.0)
_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)


def split(sets: Iterable[RivalSet]) -> tuple[list[RivalSet], list[RivalSet]]:
    """Return what settings are chosen on and what they are measured on: every second sheet each."""
    halves: tuple[list[RivalSet], list[RivalSet]] = ([], [])
    for number, (_, some) in enumerate(itertools.groupby(sets, key=lambda one: one.told.results)):
        halves[number % 2].extend(some)
    return halves


def judged(found: Sequence[RivalSet], config: Comparing) -> tuple[tuple[AnswerRow, ...], float]:
    """Return the rows of the reports that are given, and the mean of the tokens more."""
    pairs = [one.with_(config) for one in found]
    return tuple(row for row, _ in pairs), fmean(n for _, n in pairs)


def grid() -> Iterator[Comparing]:
    """Yield the settings that are tried, comparing nothing first."""
    yield Comparing()
    tried = itertools.product(_N, _SURE, _WITHIN, _WEIGHTS, _WEIGHTS, _ALSO)
    for n, sure, within, likely, backwards, also in tried:
        yield Comparing(n=n, sure=sure, within=within, likely=likely, backwards=backwards, also=also)


def main(argv: Sequence[str] | None = None) -> None:
    """Choose and measure, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", required=True, type=Path, nargs="+", help="of training.rival_sets")
    parser.add_argument(
        "--most-tokens", type=float, default=20.0, help="more to a question, of the settings chosen (20)"
    )
    parser.add_argument(
        "--json", type=Path, help="write the settings chosen there, and what every other came to"
    )
    arguments = parser.parse_args(argv)
    halves = split(one for path in arguments.sets for one in read_rival_sets(path))
    if not all(halves):
        raise DataError(
            f"{arguments.sets} hold one sheet at most: one to choose on and one to measure on are needed"
        )
    prices, name = Prices(token=0.0), "rival sets"
    tried = []
    for config in grid():
        rows, n_more = judged(halves[0], config)
        tried.append((fmean(reward(row, prices) for row in rows), n_more, config))
    chosen = max((one for one in tried if one[1] <= arguments.most_tokens), key=lambda one: one[0])
    best_of_n = [max((one for one in tried if one[2].n == n), key=lambda one: one[0]) for n in _N]
    found = halves[1]
    greedy = AnswersResult(name, "greedy", 0, tuple(one.rows[0] for one in found))
    print(f"{len(found)} questions: greedy", _written(figures_of(greedy, prices)))
    for said, (_, _, config) in [*(("best", one) for one in best_of_n), ("chosen", chosen)]:
        rows, n_more = judged(found, config)
        gains = gains_of(greedy, AnswersResult(name, "compared", 0, rows), prices)
        print(f"{said}: {config}, {n_more:.0f} tokens more", flush=True)
        for figure, gain in gains.items():
            print(f"    {figure} {gain}", flush=True)
    if arguments.json is not None:
        every = [{"reward": worth, "tokens": n_more, **asdict(config)} for worth, n_more, config in tried]
        content = {"chosen": asdict(chosen[2]), "tokens": chosen[1], "tried": every}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _written(figures: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
