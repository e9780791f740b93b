"""An environment of questions over a store of their documents.

The episode, the search and the grammar are those of serving, the judging is that of evaluation. The same on passages
that were drawn beforehand, without a store: `training.evaluation.packed_environment`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from prep.ingest import ingest
from prep.manifest import json_digest
from prep.model.prep_model import PrepModel
from retrieve.decoding.decoder import Decoder
from retrieve.episode_runner import Run
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, Question, sample, withhold_every
from training.evaluation.answers_suite import evaluate_answers, judge_report
from training.metrics.results import AnswerRow, AnswersResult
from training.runs.resumable_rows import KeptRows

__all__ = ["StoreEnvironment"]


@dataclass(slots=True)
class StoreEnvironment:
    """Questions over a store that holds their documents, answered by a model through the serving code."""

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
    ) -> Iterator[StoreEnvironment]:
        """Prepare the documents in `workspace`, where they are not there yet, and open it.

        withheld_every: of every n-th question the evidence is kept away. limit: so many questions, spread evenly.
        """
        ingest(workspace, dataset.documents.values(), prep, remove_missing=True)
        questions = withhold_every(sample(dataset.questions, limit), withheld_every)
        with Researcher.open(workspace, prep=prep, model=model, log=False) as researcher:
            yield cls(dataset, questions, withheld_every, researcher)

    @property
    def decoder(self) -> Decoder:
        """The decoder that generates the episodes."""
        return self.researcher.runner.decoder

    def use_decoder(self, decoder: Decoder) -> None:
        """Generate the episodes with another decoder."""
        self.researcher.runner.decoder = decoder

    @property
    def digest(self) -> str:
        """Identifies the questions, and which of them are withheld."""
        return json_digest([(question.id, question.withheld) for question in self.questions])

    def __len__(self) -> int:
        return len(self.questions)

    def episodes(
        self,
        numbers: Sequence[int],
        n: int,
        *,
        searches: int,
        temperature: float,
        generator: torch.Generator,
    ) -> list[tuple[Run, AnswerRow]]:
        """Run n episodes of each question, together. searches: most in an episode."""
        asked = [self.questions[number] for number in numbers for _ in range(n)]
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
            (run, judge_report(question, self.researcher.report(question.question, run), self.dataset))
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
