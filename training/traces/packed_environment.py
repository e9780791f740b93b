"""Sheets to practise on: passages drawn beforehand, several questions on each, and how their episodes go.

    python -m training.traces.packed_environment --data DATA \
        --out FOLDER [--unseen] [--held-out] [--second-looks | --broad]

Nothing is searched, so that neither a store nor a prep model is needed where episodes are run: sheets are drawn on
one machine (this command) and practised on, on another (`training.rl.reinforce --sheets`). A folder of sheets is a
labelled set of their questions with `sheets.jsonl` beside it. `training.retrieve_model.supervised --leave-out FOLDER`
keeps its questions out of the supervised stage: what a model knows by heart it cannot practise.
"""

from __future__ import annotations

import argparse
import copy
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from prep.errors import ConfigError, DataError
from prep.manifest import json_digest
from prep.model.prep_model import PrepModel
from retrieve.decoding.decoder import Decoder
from retrieve.episode.episode import Passage
from retrieve.episode_runner import EpisodeRunner, Run
from retrieve.model import RetrieveModel
from retrieve.report.build import report_of
from training.data.dataset import LabelledSet, Question, load_set, save_set
from training.data.passage_pool import PassagePool
from training.evaluation.answers_suite import answer_blocks, judge_report
from training.metrics.results import AnswerRow, AnswersResult
from training.rewards import is_right
from training.runs.resumable_rows import KeptRows
from training.traces.mixture import DEVELOPMENT, part_of
from training.traces.packed_examples import Sheet, SheetConfig, draw_second_looks, draw_sheets
from training.traces.traces import TraceConfig

__all__ = ["SheetPractice", "Sheets", "kept_for_practice", "practice_part", "unseen_part"]

SETS = {
    DEVELOPMENT: False,
    "amazon_reviews": True,
    "reddit": True,
}  # set → whether its questions name nothing
# Of questions that ask for more than a short answer.
BROAD_SETS = ("qmsum_train", "contractnli", "clapnq_dev", "medquad")
EVERY = 4  # so many-th question of them, or document of those to read, is kept for practice
READING_SHARE = 0.33  # sheets of a set to read, to those that are searched
_NONE_SHARE = 0.25  # of a sheet's questions, near misses
_AT_ONCE = {"cpu": 1, "cuda": 32}  # sheets, when measured: of one sheet the passages are read once


@dataclass(slots=True)
class Sheets:
    """Sheets of the same number of questions each, and the documents of their passages."""

    dataset: LabelledSet
    sheets: list[Sheet]

    @property
    def n_questions(self) -> int:
        """How many questions are on a sheet."""
        return len(self.sheets[0].questions)

    @classmethod
    def draw(
        cls,
        dataset: LabelledSet,
        prep: PrepModel | PassagePool,
        n_questions: int,
        *,
        n_passages: int = 3,
        reading: bool = False,
        broad: bool = False,
        often: int = 3,
        seed: int = 0,
    ) -> Sheets:
        """Draw sheets of `n_questions` questions of a set. Raises DataError where no passages have so many.

        prep: what cuts the documents into passages, or those that there are. reading: a sheet shows one document,
        for questions that name nothing. broad: they ask for more than a short answer. often: on how many sheets a
        question is.
        """
        pool = _pool(dataset, prep)
        shown = TraceConfig(
            fewest_passages=n_passages,
            most_passages=n_passages,
            withheld_share=0.1,
            reading=reading,
            several=broad,
            seed=seed,
        )
        config = SheetConfig(
            traces=shown,
            most_questions=n_questions,
            none_share=0.0 if reading else _NONE_SHARE,
            often=often,
        )
        drawn = draw_sheets([replace(one, withheld=False) for one in dataset.questions], pool, config)
        sheets = [sheet for sheet in drawn if len(sheet.questions) == n_questions]
        if not sheets:
            raise DataError(f"no passages have {n_questions} questions: take fewer to a sheet")
        return cls(dataset, sheets)

    @classmethod
    def draw_second_looks(
        cls, dataset: LabelledSet, prep: PrepModel | PassagePool, *, n_passages: int = 3, seed: int = 0
    ) -> Sheets:
        """Draw sheets of one question each, whose first results miss what another search finds, or not.

        Raises DataError where there are none.
        """
        pool = _pool(dataset, prep)
        shown = TraceConfig(fewest_passages=n_passages, most_passages=n_passages, seed=seed)
        asked = [replace(one, withheld=False) for one in dataset.questions]
        sheets = list(draw_second_looks(asked, pool, shown))
        if not sheets:
            raise DataError(f"no question of {dataset.name} is found by another search alone")
        return cls(dataset, sheets)

    def joined(self, other: Sheets) -> Sheets:
        """Return the sheets of both, those of either in turn as far as there are. Ids must differ.

        Raises DataError where they have different numbers of questions.
        """
        if self.n_questions != other.n_questions:
            raise DataError(
                f"sheets of {self.n_questions} questions and of {other.n_questions} cannot be practised on together"
            )
        n = max(len(self.sheets), len(other.sheets))
        order = sorted(
            [
                (at * n / len(some), sheet)
                for some in (self.sheets, other.sheets)
                for at, sheet in enumerate(some)
            ],
            key=lambda pair: pair[0],
        )
        return Sheets(self.dataset.joined(other.dataset), [sheet for _, sheet in order])

    def save(self, folder: Path) -> None:
        """Write the sheets with their questions and documents, and no others."""
        questions = {one.id: replace(one, withheld=False) for sheet in self.sheets for one in sheet.questions}
        shown = {one.document_id for sheet in self.sheets for one in (*sheet.passages, *sheet.more)}
        needed = shown | {span.document_id for one in questions.values() for span in one.evidence}
        documents = {name: one for name, one in self.dataset.documents.items() if name in needed}
        save_set(
            replace(self.dataset, documents=documents, questions=list(questions.values()), topics={}), folder
        )
        with (folder / "sheets.jsonl").open("w", encoding="utf-8") as file:
            for sheet in self.sheets:
                asked = [(one.id, one.withheld) for one in sheet.questions]
                row = {"passages": [asdict(passage) for passage in sheet.passages], "asked": asked}
                if sheet.query:
                    row |= {"query": sheet.query, "more": [asdict(passage) for passage in sheet.more]}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Sheets:
        """Read what `save` wrote. Raises DataError."""
        path = folder / "sheets.jsonl"
        if not path.is_file():
            raise DataError(
                f"{folder} holds no sheets.jsonl: python -m training.traces.packed_environment writes it"
            )
        dataset = load_set(folder)
        question = {one.id: one for one in dataset.questions}
        sheets = []
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line:
                continue
            try:
                row = json.loads(line)
                passages, more = (
                    tuple(Passage(**{**one, "headings": tuple(one["headings"])}) for one in row.get(name, ()))
                    for name in ("passages", "more")
                )
                asked = [replace(question[name], withheld=withheld) for name, withheld in row["asked"]]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path}, line {number}: not a sheet ({error!r})") from error
            sheets.append(Sheet(passages, tuple(asked), row.get("query", ""), more))
        if not sheets:
            raise DataError(f"{path} is empty")
        return cls(dataset, sheets)


class SheetPractice:
    """Sheets, asked to a model through the serving code but for the search."""

    def __init__(self, drawn: Sheets, model: RetrieveModel) -> None:
        """Raises ConfigError where a sheet has more passages than the model is shown."""
        shown = model.serving.episode.passages_per_search
        if (most := max(len(sheet.passages) for sheet in drawn.sheets)) > shown:
            raise ConfigError(f"sheets have {most} passages, and {model.version} reads {shown}")
        self.drawn, self.serving = drawn, model.serving
        self.versions = {"retrieve": model.version}
        self.decoder = model.decoder()

    def write_by(self, decoder: Decoder) -> None:
        """Let another decoder write the episodes."""
        self.decoder = decoder

    @property
    def digest(self) -> str:
        """Says which sheets these are."""
        shown = [
            [(one.document_id, one.start, one.end) for one in sheet.passages] for sheet in self.drawn.sheets
        ]
        asked = [[(one.id, one.withheld) for one in sheet.questions] for sheet in self.drawn.sheets]
        again = [
            [sheet.query, [(one.document_id, one.start, one.end) for one in sheet.more]]
            for sheet in self.drawn.sheets
            if sheet.query
        ]
        return json_digest([shown, asked, again] if again else [shown, asked])

    def __len__(self) -> int:
        return len(self.drawn.sheets)

    def episodes(
        self,
        numbers: Sequence[int],
        n: int,
        *,
        searches: int,
        temperature: float,
        generator: torch.Generator,
    ) -> list[tuple[Run, AnswerRow]]:
        """Run n episodes on each sheet, all together, as many of each question. searches: without meaning here."""
        del searches
        each = n // self.drawn.n_questions
        asked = [
            (sheet, question)
            for sheet in (self.drawn.sheets[number] for number in numbers)
            for question in sheet.questions
            for _ in range(each)
        ]
        return self._run(asked, temperature, generator)

    def unsettled(self, n: int, *, temperature: float, seed: int, progress: bool = False) -> list[int]:
        """Return the numbers of the sheets with a question of which not all of n sampled reports are right.

        Where all are, reinforcement has nothing to tell apart. Deterministic by seed.
        """
        generator = torch.Generator().manual_seed(seed)
        found = []
        for number in tqdm(range(len(self)), desc="look for practice", unit="sheet", disable=not progress):
            episodes = self.episodes(
                [number],
                n * self.drawn.n_questions,
                searches=1,
                temperature=temperature,
                generator=generator,
            )
            if not all(is_right(row) for _, row in episodes):
                found.append(number)
        return found

    def of(self, numbers: Sequence[int]) -> SheetPractice:
        """Return some of the sheets to practise on, asked to the same model."""
        other = copy.copy(self)
        other.drawn = replace(self.drawn, sheets=[self.drawn.sheets[number] for number in numbers])
        return other

    def measure(
        self,
        *,
        max_searches: int = 1,
        label: str = "",
        kept: Path | None = None,
        progress: bool = False,
    ) -> AnswersResult:
        """Answer every question of every sheet greedily. max_searches: without meaning here.

        kept: a file for the rows as they come; questions that it holds are not asked again. Raises DataError where a
        question is on several sheets.
        """
        del max_searches
        sheet_of = {question.id: sheet for sheet in self.drawn.sheets for question in sheet.questions}
        asked = [question for sheet in self.drawn.sheets for question in sheet.questions]
        if len(sheet_of) < len(asked):
            raise DataError("a question is on several sheets: draw them with often=1 to measure")
        rows = answer_blocks(
            asked,
            lambda some: [row for _, row in self._run([(sheet_of[one.id], one) for one in some], 0.0, None)],
            size=_AT_ONCE.get(self.decoder.generator.model.device.type, 1) * self.drawn.n_questions,
            label=label or "answers",
            progress=progress,
            kept=None if kept is None else KeptRows(kept),
        )
        return AnswersResult(self.drawn.dataset.name, label or "sheets", 0, rows)

    def _run(
        self, asked: Sequence[tuple[Sheet, Question]], temperature: float, generator: torch.Generator | None
    ) -> list[tuple[Run, AnswerRow]]:
        limits = self.serving.episode
        runner = EpisodeRunner(self.decoder, _nothing_to_search, limits, self.serving.action)
        begun = [sheet.begun(question, limits) for sheet, question in asked]
        runs = runner.go_on(begun, temperature=temperature, generator=generator)
        return [
            (
                run,
                judge_report(
                    question, report_of(question.question, run, models=self.versions), self.drawn.dataset
                ),
            )
            for (_, question), run in zip(asked, runs, strict=True)
        ]


def _pool(dataset: LabelledSet, prep: PrepModel | PassagePool) -> PassagePool:
    return prep if isinstance(prep, PassagePool) else PassagePool.build(dataset.documents.values(), [prep])


def _nothing_to_search(*_: object) -> list[list[Passage]]:
    raise RuntimeError("an episode on a sheet has searched")


def kept_for_practice(name: str, every: int = EVERY) -> bool:
    """Whether a question or document is one of every so many, by its id alone."""
    return zlib.crc32(name.encode()) % every == 0


def practice_part(dataset: LabelledSet, *, reading: bool) -> LabelledSet:
    """Return the set with the questions kept for practice: of reading sets whole documents, the others left out."""
    if not reading:
        return replace(dataset, questions=[one for one in dataset.questions if kept_for_practice(one.id)])
    documents = {name: one for name, one in dataset.documents.items() if kept_for_practice(name)}
    questions = [
        one for one in dataset.questions if one.evidence and one.evidence[0].document_id in documents
    ]
    return replace(dataset, documents=documents, questions=questions)


def unseen_part(dataset: LabelledSet, *, reading: bool, measured: bool = False) -> LabelledSet:
    """Return what of a set is held out of the supervised stage: all of one to read, else every second document.

    measured: the other half of the documents instead.
    """
    held = part_of(dataset, held_out=True)
    if reading:
        return held
    names = sorted(held.documents)[int(measured) :: 2]
    return replace(
        held,
        documents={name: held.documents[name] for name in names},
        questions=[one for one in held.questions if all(span.document_id in names for span in one.evidence)],
    )


def _parts(data: Path, options: argparse.Namespace) -> Iterator[tuple[LabelledSet, bool]]:
    """Yield what sheets are drawn of, and whether its questions name nothing."""
    if options.broad:
        for name in BROAD_SETS:
            yield unseen_part(load_set(data / name), reading=False, measured=options.held_out), False
        return
    for name, reading in SETS.items():
        if (options.held_out or options.second_looks) and name != DEVELOPMENT:
            continue
        chosen = load_set(data / name)
        yield _chosen(chosen, reading=reading, held_out=options.held_out, unseen=options.unseen), reading


def _chosen(dataset: LabelledSet, *, reading: bool, held_out: bool, unseen: bool) -> LabelledSet:
    if unseen:
        return unseen_part(dataset, reading=reading, measured=held_out)
    part = part_of(dataset, held_out=held_out)
    return part if held_out else practice_part(part, reading=reading)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per labelled set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument(
        "--held-out",
        action="store_true",
        help=f"of {DEVELOPMENT}'s held-out documents, a question once at most",
    )
    parser.add_argument(
        "--unseen",
        action="store_true",
        help=f"of held-out documents, of {DEVELOPMENT}'s the half that is not --held-out --unseen",
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--second-looks",
        action="store_true",
        help=f"of {DEVELOPMENT} alone, one question a sheet: first results without its evidence, then another search's",
    )
    kinds.add_argument(
        "--broad",
        action="store_true",
        help=f"of {', '.join(BROAD_SETS)}: questions that ask for more than a short answer; always --unseen",
    )
    parser.add_argument("--most", type=int, help="sheets of one set (default: all, of those to read fewer)")
    parser.add_argument("--questions", type=int, default=4, help="on a sheet")
    parser.add_argument("--passages", type=int, default=3, help="on a sheet; as many as the version is shown")
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    prep = PrepModel.load(arguments.prep)
    drawn: Sheets | None = None
    most: int | None = arguments.most
    for chosen, reading in _parts(arguments.data, arguments):
        often = 1 if arguments.held_out or (arguments.unseen and reading) else 3
        shown = {"n_passages": arguments.passages, "seed": arguments.seed}
        if arguments.second_looks:
            more = Sheets.draw_second_looks(chosen, prep, **shown)
        else:
            broad = arguments.broad
            more = Sheets.draw(
                chosen, prep, arguments.questions, reading=reading, broad=broad, often=often, **shown
            )
        more = replace(more, sheets=more.sheets[:most])
        if most is None and not (arguments.unseen or arguments.broad):
            most = round(READING_SHARE * len(more.sheets))  # of those that come now
        asked = {question.id for sheet in more.sheets for question in sheet.questions}
        print(
            f"{chosen.name}: {len(asked)} of {len(chosen.questions)} questions, {len(more.sheets)} sheets",
            flush=True,
        )
        drawn = more if drawn is None else drawn.joined(more)
    assert drawn is not None
    drawn.save(arguments.out)


if __name__ == "__main__":
    main()
