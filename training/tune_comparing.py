"""How a version's unsure reports are best compared with their rivals: weights, and how many rivals are worth reading.

    python -m training.tune_comparing --sheets HELD --version V [--questions 480] [--json FILE]

HELD is a folder of `python -m training.sheet_practice --held-out`: choose on what was never trained on. Each question
is answered once with many rivals, all of them judged; then settings are tried on what was found. Shown are, of the
settings with the best mean reward for so many rivals on every second sheet, the gains on the greedy reports of the
other sheets, paired by question and resampled by document, and about how many tokens more a question costs. Comparing
nothing is among what is tried. What serving finds with fewer rivals than were looked for here can differ a little.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import torch
from tqdm.auto import tqdm

from prep.errors import DataError
from retrieve.backwards import told_backwards
from retrieve.comparing import Compared, Comparing, best_of
from retrieve.episode import Episode
from retrieve.model import RetrieveModel
from retrieve.reporting import report_of
from retrieve.runner import Run
from training.evaluate import judge
from training.gains import figures_of, gains_of
from training.results import AnswerRow, AnswersResult
from training.rewards import Prices, reward
from training.sheet_practice import SheetPractice, Sheets

__all__ = ["Answered", "answered", "grid", "judged"]

_MOST = Comparing(n=8, within=8.0)  # what is looked for
_N = (2, 3, 4, 6, 8)
_SURE = (0.5, 0.7, 1.0)
_WITHIN = (2.5, 4.0, 8.0)
_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question's rival reports, the greedy one first, each with how it is judged.

    n_asked: tokens that the question has, with its closing tag.
    """

    rivals: tuple[Compared, ...]
    rows: tuple[AnswerRow, ...]
    n_asked: int

    def with_(self, config: Comparing) -> tuple[AnswerRow, int]:
        """Return the row of the report that is given, and about how many tokens it takes to find out."""
        first = self.rivals[0]
        if len(self.rivals) == 1 or not config.unsure(first.logprob, first.n_tokens):
            return self.rows[0], 0
        others = [at for at in range(1, len(self.rivals)) if self._near(at, config)]
        likeliest = sorted([0, *others], key=lambda at: -self.rivals[at].logprob)[: config.n]
        kept = [0, *(at for at in likeliest if at != 0)]
        n_written = sum(self.rivals[at].n_tokens for at in kept)
        if len(kept) == 1:
            return self.rows[0], n_written
        n_read = sum(self.rivals[at].n_tokens + 2 + self.n_asked for at in kept)
        return self.rows[kept[best_of([self.rivals[at] for at in kept], config)]], n_written + n_read

    def _near(self, at: int, config: Comparing) -> bool:
        return self.rivals[at].logprob >= self.rivals[0].logprob - config.within


def answered(practice: SheetPractice, number: int) -> Iterator[Answered]:
    """Yield what comes of each question of a sheet. The practised model must compare."""
    sheet, grammar = practice.drawn.sheets[number], practice.decoder.grammar
    n_questions = practice.drawn.n_questions
    runs = practice.episodes([number], n_questions, searches=1, temperature=0.0, generator=torch.Generator())
    for question, (run, row) in zip(sheet.questions, runs, strict=True):
        (action,) = run.actions
        _, asked = told_backwards(run.episode.segments[1][0], action.text)
        rivals = action.rivals or (Compared(action.text, action.logprob, n_tokens=len(action.token_ids)),)
        rows = []
        for rival in rivals:
            if rival.text == action.text:
                rows.append(row)
                continue
            episode = Episode(question.question, run.episode.limits)
            episode.give(sheet.passages)
            episode.act(rival.text)
            report = report_of(question.question, Run(episode), models=practice.versions)
            judged_row = judge(question, report, practice.drawn.dataset)
            rows.append(
                replace(judged_row, prompt_tokens=row.prompt_tokens, completion_tokens=rival.n_tokens)
            )
        yield Answered(rivals, tuple(rows), len(grammar.encode(asked)))


def judged(found: Sequence[Answered], config: Comparing) -> tuple[tuple[AnswerRow, ...], float]:
    """Return the rows of the reports that are given, and the mean of the tokens more."""
    pairs = [one.with_(config) for one in found]
    return tuple(row for row, _ in pairs), fmean(n for _, n in pairs)


def grid() -> Iterator[Comparing]:
    """Yield the settings that are tried, comparing nothing first."""
    yield Comparing()
    for n, sure, within, likely, backwards in itertools.product(_N, _SURE, _WITHIN, _WEIGHTS, _WEIGHTS):
        yield replace(_MOST, n=n, sure=sure, within=within, likely=likely, backwards=backwards)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sheets", required=True, type=Path)
    parser.add_argument("--version", default=None, help="a retrieve version; the shipped one by default")
    parser.add_argument("--questions", type=int, default=480)
    parser.add_argument(
        "--most-tokens", type=float, default=20.0, help="more to a question, of the settings chosen (20)"
    )
    parser.add_argument(
        "--json", type=Path, help="write the settings chosen there, and what every other came to"
    )
    arguments = parser.parse_args()
    model = RetrieveModel.load(arguments.version)
    if not model.serving.episode.question_last:
        raise DataError(f"{model.version} reads the question first: its reports are not compared")
    model.serving = replace(model.serving, comparing=_MOST)
    practice = SheetPractice(Sheets.load(arguments.sheets), model)
    n_sheets = min(max(arguments.questions // practice.drawn.n_questions, 1), len(practice))
    halves: tuple[list[Answered], list[Answered]] = ([], [])  # to choose on, to measure
    for number in tqdm(range(n_sheets), desc="comparing", unit="sheet", disable=None):
        halves[number % 2].extend(answered(practice, number))
    prices, name = Prices(token=0.0), practice.drawn.dataset.name
    tried = []
    for config in grid():
        rows, n_more = judged(halves[0], config)
        tried.append((fmean(reward(row, prices) for row in rows), n_more, config))
    chosen = max((one for one in tried if one[1] <= arguments.most_tokens), key=lambda one: one[0])
    best_of_n = [max((one for one in tried if one[2].n == n), key=lambda one: one[0]) for n in _N]
    found = halves[1]
    greedy = AnswersResult(name, "greedy", 0, tuple(one.rows[0] for one in found))
    print(f"{len(found)} questions, {model.version}: greedy", _written(figures_of(greedy, prices)))
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
