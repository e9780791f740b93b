"""Would the answer that most sampled answers agree on be better than the greedy one? Not a test, not timed.

    python tests/bench/answer_consensus.py --sheets HELD [--questions 400] [--draws 16] [--json FILE]

HELD is a folder of `python -m training.sheet_practice --held-out`. Each question is answered greedily, and so many
times at the temperature of training. Shown are the greedy answers, single draws (their mean), the likeliest of all,
the one that agrees most with the draws (minimum Bayes risk by F1, Kumar and Byrne 2004, where refusals agree with
refusals alone), the same with each different draw once, weighed by how likely it is, and the best there is, which takes
the labels to know. Gains are those on greedy, paired by question
and resampled by document.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from retrieve.model import RetrieveModel
from training.gains import figures_of, gains_of
from training.metrics_answers import f1
from training.results import AnswerRow, AnswersResult
from training.rewards import Prices, reward
from training.sheet_practice import SheetPractice, Sheets

PRICES = Prices()


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to a question, and how likely the policy was to write it."""

    row: AnswerRow
    logprob: float


def agreement(one: AnswerRow, other: AnswerRow) -> float:
    """Return in 0..1 how far two answers say the same."""
    if one.abstained or other.abstained:
        return float(one.abstained and other.abstained)
    return f1(one.prediction, [other.prediction])


def likeliest(answers: Sequence[Answered]) -> AnswerRow:
    return max(answers, key=lambda answer: answer.logprob).row


def agreed(answers: Sequence[Answered]) -> AnswerRow:
    """Return the answer that agrees most with all but the first, which is the greedy one; of equals the likelier."""
    draws = answers[1:]
    return max(
        answers,
        key=lambda answer: (sum(agreement(answer.row, other.row) for other in draws), answer.logprob),
    ).row


def weighed(answers: Sequence[Answered]) -> AnswerRow:
    """Return the answer that agrees most with the different ones among all, each weighed by how likely it is."""
    different = {
        (one.row.prediction, one.row.abstained, round(one.logprob, 3)): one for one in answers
    }.values()
    return max(
        different,
        key=lambda answer: sum(
            math.exp(other.logprob) * agreement(answer.row, other.row) for other in different
        ),
    ).row


def best(answers: Sequence[Answered]) -> AnswerRow:
    return max((answer.row for answer in answers), key=lambda row: reward(row, PRICES))


#: How one answer is chosen from the greedy one and the draws.
RULES: dict[str, Callable[[Sequence[Answered]], AnswerRow]] = {
    "greedy": lambda answers: answers[0].row,
    "likeliest": likeliest,
    "agreed": agreed,
    "weighed": weighed,
    "best, by the labels": best,
}
WITHOUT_LABELS = ("likeliest", "agreed", "weighed")  # of them, what could serve instead of the greedy answer


def draw(practice: SheetPractice, n_sheets: int, n_draws: int, seed: int) -> list[list[Answered]]:
    """Return for each question the greedy answer and, after it, the drawn ones."""
    generator = torch.Generator().manual_seed(seed)
    n_questions = practice.drawn.n_questions
    found: list[list[Answered]] = []
    for number in tqdm(range(n_sheets), desc="drawing", unit="sheet", disable=None):
        greedy = practice.episodes([number], n_questions, searches=1, temperature=0.0, generator=generator)
        drawn = practice.episodes(
            [number], n_questions * n_draws, searches=1, temperature=1.0, generator=generator
        )
        for at, first in enumerate(greedy):
            of_question = [first, *drawn[at * n_draws : (at + 1) * n_draws]]
            assert len({row.question_id for _, row in of_question}) == 1
            found.append([Answered(row, run.actions[0].logprob) for run, row in of_question])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sheets", required=True, type=Path)
    parser.add_argument("--version", default=None, help="a retrieve version; the shipped one by default")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None, help="write every figure there")
    parser.add_argument("--rows", type=Path, default=None, help="write every answer there, to try rules on")
    arguments = parser.parse_args()
    drawn = Sheets.load(arguments.sheets)
    practice = SheetPractice(drawn, RetrieveModel.load(arguments.version))
    n_sheets = min(max(arguments.questions // drawn.n_questions, 1), len(drawn.sheets))
    answers = draw(practice, n_sheets, arguments.draws, arguments.seed)
    if arguments.rows is not None:
        with arguments.rows.open("w", encoding="utf-8") as file:
            for of in answers:
                file.write(json.dumps([asdict(one) for one in of], ensure_ascii=False) + "\n")
    results = {
        name: AnswersResult(drawn.dataset.name, name, 0, [rule(of) for of in answers])
        for name, rule in RULES.items()
    }
    single = [
        figures_of(AnswersResult(drawn.dataset.name, "drawn", 0, [of[at].row for of in answers]), PRICES)
        for at in range(1, arguments.draws + 1)
    ]
    figures = {name: figures_of(result, PRICES) for name, result in results.items()}
    figures["single draws"] = {name: sum(one[name] for one in single) / len(single) for name in single[0]}
    gains = {name: gains_of(results["greedy"], results[name], PRICES) for name in WITHOUT_LABELS}
    print(f"{len(answers)} questions, {arguments.draws} draws each, version {practice.versions['retrieve']}")
    for name, shown in figures.items():
        print(f"{name:20}", " ".join(f"{metric} {value:.3f}" for metric, value in shown.items()))
    for name, of in gains.items():
        for metric, gain in of.items():
            print(f"{name} less greedy, {metric}: {gain}")
    if arguments.json is not None:
        kept = {name: {metric: asdict(gain) for metric, gain in of.items()} for name, of in gains.items()}
        arguments.json.write_text(json.dumps({"figures": figures, "gains": kept}, indent=2), "utf-8")


if __name__ == "__main__":
    main()
