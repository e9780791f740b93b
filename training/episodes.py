"""Questions to practise on: a store of their documents, episodes on it by the serving code, and how they went.

The episode, the search, the grammar and the judging are those of serving and of evaluation; nothing is done here a
second time. On sheets (`training.sheets`) the passages shown are drawn instead of searched, so that several questions
are asked on the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from prep.errors import DataError
from prep.ingest import ingest
from prep.model import PrepModel
from retrieve.decoding import Decoder
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from retrieve.runner import EpisodeRunner, Run
from training.dataset import LabelledSet, Question, sample, withhold_every
from training.evaluate import evaluate_answers, judge
from training.kept_rows import KeptRows
from training.pool import PassagePool
from training.results import AnswerRow, AnswersResult
from training.sheets import Sheet, SheetConfig, draw_sheets
from training.traces import TraceConfig

__all__ = ["Practice", "SheetPractice"]

_NONE_SHARE = 0.25  # of a sheet's questions, near misses
_OFTEN = 3  # sheets a question is on, at most


@dataclass(slots=True)
class Practice:
    """Questions over a store that holds their documents, asked to a model through the serving code."""

    dataset: LabelledSet
    questions: list[Question]
    withheld_every: int
    researcher: Researcher

    @classmethod
    @contextmanager
    def open(
        cls,
        dataset: LabelledSet,
        workspace: Path,
        model: RetrieveModel,
        prep: PrepModel,
        *,
        withheld_every: int = 5,
        limit: int | None = None,
    ) -> Iterator[Practice]:
        """Prepare the documents in `workspace`, where they are not there yet, and open it.

        withheld_every: of every n-th question the evidence is kept away. limit: so many questions, spread evenly.
        """
        ingest(workspace, dataset.documents.values(), prep)
        questions = withhold_every(sample(dataset.questions, limit), withheld_every)
        with Researcher.open(workspace, prep=prep, model=model, log=False) as researcher:
            yield cls(dataset, questions, withheld_every, researcher)

    @property
    def decoder(self) -> Decoder:
        """What writes the episodes."""
        return self.researcher.runner.decoder

    def __len__(self) -> int:
        return len(self.questions)

    def episodes(
        self, number: int, n: int, *, searches: int, temperature: float, generator: torch.Generator
    ) -> list[tuple[Run, AnswerRow]]:
        """Run n episodes of one question, together. searches: most in an episode."""
        asked = [self.questions[number]] * n
        return self.run(asked, max_searches=searches, temperature=temperature, generator=generator)

    def run(
        self,
        questions: Sequence[Question],
        *,
        max_searches: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> list[tuple[Run, AnswerRow]]:
        """Run an episode for each question, together, and judge it."""
        runs = self.researcher.runner.run(
            [question.question for question in questions],
            withheld=[question.evidence if question.withheld else () for question in questions],
            max_searches=max_searches,
            temperature=temperature,
            generator=generator,
        )
        return [
            (run, judge(question, self.researcher.report(question.question, run), self.dataset))
            for question, run in zip(questions, runs, strict=True)
        ]

    def measure(
        self, *, max_searches: int, label: str = "", kept: Path | None = None, progress: bool = False
    ) -> AnswersResult:
        """Answer every question greedily, as evaluation does, but without a deadline.

        kept: a file for the rows as they come; those it holds are not asked again, so it must be of the same weights.
        """
        return evaluate_answers(
            replace(self.dataset, questions=self.questions),
            self.researcher,
            withhold_every=self.withheld_every,
            label=label,
            progress=progress,
            kept=None if kept is None else KeptRows(kept),
            max_searches=max_searches,
            deadline_s=math.inf,
        )


@dataclass(slots=True)
class SheetPractice:
    """Sheets of `n_questions` questions each, asked to a model through the serving code but for the search."""

    practice: Practice
    sheets: list[Sheet]
    n_questions: int

    @classmethod
    def draw(cls, practice: Practice, prep: PrepModel, n_questions: int, *, seed: int = 0) -> SheetPractice:
        """Draw the sheets of a practice's questions. Raises DataError where none holds so many."""
        pool = PassagePool.build(practice.dataset.documents.values(), [prep])
        k = practice.researcher.runner.episode_limits.passages_per_search
        shown = TraceConfig(
            question_last=True, fewest_passages=k, most_passages=k, withheld_share=0.1, seed=seed
        )
        config = SheetConfig(traces=shown, most_questions=n_questions, none_share=_NONE_SHARE, often=_OFTEN)
        questions = [replace(question, withheld=False) for question in practice.questions]
        drawn = draw_sheets(questions, pool, config)
        sheets = [sheet for sheet in drawn if len(sheet.questions) >= n_questions]
        if not sheets:
            raise DataError(f"no passages have {n_questions} questions: take fewer to a sheet")
        return cls(practice, sheets, n_questions)

    @property
    def decoder(self) -> Decoder:
        """What writes the episodes."""
        return self.practice.decoder

    def __len__(self) -> int:
        return len(self.sheets)

    def episodes(
        self, number: int, n: int, *, searches: int, temperature: float, generator: torch.Generator
    ) -> list[tuple[Run, AnswerRow]]:
        """Run n episodes on one sheet, together, as many of each question. searches: without meaning here."""
        del searches
        sheet = self.sheets[number]
        questions = [
            question for question in sheet.questions[: self.n_questions] for _ in range(n // self.n_questions)
        ]
        serving = self.practice.researcher.runner
        runner = EpisodeRunner(
            serving.decoder,
            lambda queries, withheld, wanted: [list(sheet.passages) for _ in queries],
            serving.episode_limits,
            serving.action_limits,
        )
        runs = runner.run(
            [question.question for question in questions],
            max_searches=1,
            temperature=temperature,
            generator=generator,
        )
        return [
            (
                run,
                judge(
                    question, self.practice.researcher.report(question.question, run), self.practice.dataset
                ),
            )
            for question, run in zip(questions, runs, strict=True)
        ]
