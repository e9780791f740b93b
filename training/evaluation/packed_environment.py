"""An environment of packed examples: passages drawn beforehand, several questions on each, episodes without a search.

`training.traces.packed_example_set` draws them. The same for questions over a store:
`training.evaluation.store_environment`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from prep.errors import ConfigError, DataError
from prep.manifest import json_digest
from retrieve.decoding.decoder import Decoder
from retrieve.episode.episode import Passage
from retrieve.episode_runner import EpisodeRunner, Run
from retrieve.model import RetrieveModel
from retrieve.report.build import report_of
from training.data.dataset import Question
from training.evaluation.answers_suite import answer_blocks, judge_report
from training.metrics.results import AnswerRow, AnswersResult
from training.rewards import is_right
from training.runs.resumable_rows import KeptRows
from training.traces.packed_example_set import PackedExampleSet
from training.traces.packed_examples import PackedExample

__all__ = ["PackedEnvironment"]

# Packed examples answered together when measured: the passages of one are read once.
_AT_ONCE = {"cpu": 1, "cuda": 32}


class PackedEnvironment:
    """Packed examples, answered by a model through the serving code without the search."""

    def __init__(self, packed: PackedExampleSet, model: RetrieveModel) -> None:
        """Raises ConfigError where an example has more passages than the model is shown."""
        shown = model.serving.episode.passages_per_search
        if (most := max(len(example.passages) for example in packed.examples)) > shown:
            raise ConfigError(f"packed examples have {most} passages, and {model.version} reads {shown}")
        self.packed, self.serving = packed, model.serving
        self.versions = {"retrieve": model.version}
        self.decoder = model.decoder()

    def use_decoder(self, decoder: Decoder) -> None:
        """Generate the episodes with another decoder."""
        self.decoder = decoder

    @property
    def digest(self) -> str:
        """Identifies the packed examples."""
        shown = [
            [(one.document_id, one.start, one.end) for one in example.passages]
            for example in self.packed.examples
        ]
        asked = [[(one.id, one.withheld) for one in example.questions] for example in self.packed.examples]
        again = [
            [example.query, [(one.document_id, one.start, one.end) for one in example.more]]
            for example in self.packed.examples
            if example.query
        ]
        return json_digest([shown, asked, again] if again else [shown, asked])

    def __len__(self) -> int:
        return len(self.packed.examples)

    def episodes(
        self,
        numbers: Sequence[int],
        n: int,
        *,
        searches: int,
        temperature: float,
        generator: torch.Generator,
    ) -> list[tuple[Run, AnswerRow]]:
        """Run n episodes on each of these examples, all together, as many of each question.

        searches: not used, there is no search.
        """
        del searches
        each = n // self.packed.n_questions
        asked = [
            (example, question)
            for example in (self.packed.examples[number] for number in numbers)
            for question in example.questions
            for _ in range(each)
        ]
        return self._run(asked, temperature, generator)

    def unsolved(self, n: int, *, temperature: float, seed: int, progress: bool = False) -> list[int]:
        """Return the numbers of the examples with a question of which not all of n sampled reports are right.

        Where all are right, all have one reward and reinforcement has no gradient. Deterministic by seed.
        """
        generator = torch.Generator().manual_seed(seed)
        found = []
        for number in tqdm(
            range(len(self)), desc="find unsolved questions", unit="example", disable=not progress
        ):
            episodes = self.episodes(
                [number],
                n * self.packed.n_questions,
                searches=1,
                temperature=temperature,
                generator=generator,
            )
            if not all(is_right(row) for _, row in episodes):
                found.append(number)
        return found

    def select(self, numbers: Sequence[int]) -> PackedEnvironment:
        """Return the environment of some of the examples, with the same model."""
        other = copy.copy(self)
        other.packed = replace(self.packed, examples=[self.packed.examples[number] for number in numbers])
        return other

    def measure(
        self,
        *,
        max_searches: int = 1,
        label: str = "",
        kept: Path | None = None,
        progress: bool = False,
    ) -> AnswersResult:
        """Answer every question of every example greedily. max_searches: not used, there is no search.

        kept: a file for the rows as they come; questions that it holds are not asked again. Raises DataError where a
        question is in several examples.
        """
        del max_searches
        example_of = {
            question.id: example for example in self.packed.examples for question in example.questions
        }
        asked = [question for example in self.packed.examples for question in example.questions]
        if len(example_of) < len(asked):
            raise DataError("a question is in several packed examples: draw them with often=1 to measure")
        rows = answer_blocks(
            asked,
            lambda some: [
                row for _, row in self._run([(example_of[one.id], one) for one in some], 0.0, None)
            ],
            size=_AT_ONCE.get(self.decoder.generator.model.device.type, 1) * self.packed.n_questions,
            label=label or "answers",
            progress=progress,
            kept=None if kept is None else KeptRows(kept),
        )
        return AnswersResult(self.packed.dataset.name, label or "packed", 0, rows)

    def _run(
        self,
        asked: Sequence[tuple[PackedExample, Question]],
        temperature: float,
        generator: torch.Generator | None,
    ) -> list[tuple[Run, AnswerRow]]:
        limits = self.serving.episode
        runner = EpisodeRunner(self.decoder, _nothing_to_search, limits, self.serving.action)
        begun = [example.begun(question, limits) for example, question in asked]
        runs = runner.go_on(begun, temperature=temperature, generator=generator)
        return [
            (
                run,
                judge_report(
                    question, report_of(question.question, run, models=self.versions), self.packed.dataset
                ),
            )
            for (_, question), run in zip(asked, runs, strict=True)
        ]


def _nothing_to_search(*_: object) -> list[list[Passage]]:
    raise RuntimeError("an episode of a packed example has searched")
