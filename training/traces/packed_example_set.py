"""Packed examples on disk, with the documents of their passages: drawn on one machine, practised on another.

    python -m training.traces.packed_example_set --data DATA --out FOLDER \
        [--unseen] [--held-out] [--second-searches | --broad]

A folder of packed examples is a labelled set of their questions with `packed_examples.jsonl` beside it. Where they are
practised on (`training.rl.reinforce --packed`), neither a store nor a prep model is needed: nothing is searched.
`training.retrieve_model.supervised --leave-out FOLDER` keeps the questions out of the supervised stage: reinforcement
learns nothing from answers that the model knows by heart.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prep.errors import DataError
from prep.model.prep_model import PrepModel
from retrieve.episode.episode import Passage
from training.data.dataset import LabelledSet, load_set, save_set
from training.data.passage_pool import PassagePool
from training.traces.mixture import DEVELOPMENT, part_of
from training.traces.packed_examples import (
    PackedExample,
    PackedExampleConfig,
    draw_packed_examples,
    draw_second_searches,
)
from training.traces.traces import TraceConfig

__all__ = ["BROAD_SETS", "PackedExampleSet", "environment_part", "kept_for_environment", "unseen_part"]

# Set → whether its questions name nothing, so that each is asked on its own document.
SETS = {DEVELOPMENT: False, "amazon_reviews": True, "reddit": True}
# Of questions that ask for more than a short answer.
BROAD_SETS = ("qmsum_train", "contractnli", "clapnq_dev", "medquad")
EVERY = 4  # one question in so many, or document of those to read, is kept for reinforcement
READING_SHARE = 0.33  # packed examples of a set to read, to those that are searched
_NONE_SHARE = 0.25  # near misses among the questions of a packed example
_FILE = "packed_examples.jsonl"
_OLD_FILE = "sheets.jsonl"  # its name before, still read


@dataclass(slots=True)
class PackedExampleSet:
    """Packed examples of the same number of questions each, and the documents of their passages."""

    dataset: LabelledSet
    examples: list[PackedExample]

    @property
    def n_questions(self) -> int:
        """How many questions each example has."""
        return len(self.examples[0].questions)

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
    ) -> PackedExampleSet:
        """Draw examples of `n_questions` questions of a set. Raises DataError where no passages have so many.

        prep: cuts the documents into passages, or the passages themselves. reading: an example shows one document, for
        questions that name nothing. broad: the questions ask for more than a short answer. often: in how many examples
        a question is at most.
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
        config = PackedExampleConfig(
            traces=shown,
            most_questions=n_questions,
            none_share=0.0 if reading else _NONE_SHARE,
            often=often,
        )
        drawn = draw_packed_examples(
            [replace(one, withheld=False) for one in dataset.questions], pool, config
        )
        examples = [example for example in drawn if len(example.questions) == n_questions]
        if not examples:
            raise DataError(f"no passages have {n_questions} questions: take fewer")
        return cls(dataset, examples)

    @classmethod
    def draw_second_searches(
        cls, dataset: LabelledSet, prep: PrepModel | PassagePool, *, n_passages: int = 3, seed: int = 0
    ) -> PackedExampleSet:
        """Draw examples of one question each, whose evidence a second search finds, or not even that.

        Raises DataError where there are none.
        """
        pool = _pool(dataset, prep)
        shown = TraceConfig(fewest_passages=n_passages, most_passages=n_passages, seed=seed)
        asked = [replace(one, withheld=False) for one in dataset.questions]
        examples = list(draw_second_searches(asked, pool, shown))
        if not examples:
            raise DataError(f"no question of {dataset.name} is found by another search alone")
        return cls(dataset, examples)

    def joined(self, other: PackedExampleSet) -> PackedExampleSet:
        """Return the examples of both sets, spread evenly over each other. Ids must differ.

        Raises DataError where they have different numbers of questions.
        """
        if self.n_questions != other.n_questions:
            raise DataError(
                f"packed examples of {self.n_questions} and of {other.n_questions} questions cannot be joined"
            )
        n = max(len(self.examples), len(other.examples))
        order = sorted(
            [
                (at * n / len(some), example)
                for some in (self.examples, other.examples)
                for at, example in enumerate(some)
            ],
            key=lambda pair: pair[0],
        )
        return PackedExampleSet(self.dataset.joined(other.dataset), [example for _, example in order])

    def save(self, folder: Path) -> None:
        """Write the examples with their questions and documents, and no others."""
        questions = {
            one.id: replace(one, withheld=False) for example in self.examples for one in example.questions
        }
        shown = {one.document_id for example in self.examples for one in (*example.passages, *example.more)}
        needed = shown | {span.document_id for one in questions.values() for span in one.evidence}
        documents = {name: one for name, one in self.dataset.documents.items() if name in needed}
        save_set(
            replace(self.dataset, documents=documents, questions=list(questions.values()), topics={}), folder
        )
        with (folder / _FILE).open("w", encoding="utf-8") as file:
            for example in self.examples:
                asked = [(one.id, one.withheld) for one in example.questions]
                row = {"passages": [asdict(passage) for passage in example.passages], "asked": asked}
                if example.query:
                    row |= {"query": example.query, "more": [asdict(passage) for passage in example.more]}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> PackedExampleSet:
        """Read what `save` wrote. Raises DataError."""
        path = next((folder / name for name in (_FILE, _OLD_FILE) if (folder / name).is_file()), None)
        if path is None:
            raise DataError(
                f"{folder} holds no {_FILE}: python -m training.traces.packed_example_set writes it"
            )
        dataset = load_set(folder)
        question = {one.id: one for one in dataset.questions}
        examples = []
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
                raise DataError(f"{path}, line {number}: not a packed example ({error!r})") from error
            examples.append(PackedExample(passages, tuple(asked), row.get("query", ""), more))
        if not examples:
            raise DataError(f"{path} is empty")
        return cls(dataset, examples)


def _pool(dataset: LabelledSet, prep: PrepModel | PassagePool) -> PassagePool:
    return prep if isinstance(prep, PassagePool) else PassagePool.build(dataset.documents.values(), [prep])


def kept_for_environment(name: str, every: int = EVERY) -> bool:
    """Whether a question or document is kept for reinforcement: one in `every`, by its id alone."""
    return zlib.crc32(name.encode()) % every == 0


def environment_part(dataset: LabelledSet, *, reading: bool) -> LabelledSet:
    """Return the set with the questions kept for reinforcement alone; of sets to read, whole documents."""
    if not reading:
        return replace(dataset, questions=[one for one in dataset.questions if kept_for_environment(one.id)])
    documents = {name: one for name, one in dataset.documents.items() if kept_for_environment(name)}
    questions = [
        one for one in dataset.questions if one.evidence and one.evidence[0].document_id in documents
    ]
    return replace(dataset, documents=documents, questions=questions)


def unseen_part(dataset: LabelledSet, *, reading: bool, measured: bool = False) -> LabelledSet:
    """Return the held-out part of a set that is practised on: all of a set to read, else every second document.

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
    """Yield the sets to draw from, and whether the questions of each name nothing."""
    if options.broad:
        for name in BROAD_SETS:
            yield unseen_part(load_set(data / name), reading=False, measured=options.held_out), False
        return
    for name, reading in SETS.items():
        if (options.held_out or options.second_searches) and name != DEVELOPMENT:
            continue
        chosen = load_set(data / name)
        yield _chosen(chosen, reading=reading, held_out=options.held_out, unseen=options.unseen), reading


def _chosen(dataset: LabelledSet, *, reading: bool, held_out: bool, unseen: bool) -> LabelledSet:
    if unseen:
        return unseen_part(dataset, reading=reading, measured=held_out)
    part = part_of(dataset, held_out=held_out)
    return part if held_out else environment_part(part, reading=reading)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per labelled set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed examples")
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
        "--second-searches",
        action="store_true",
        help=f"of {DEVELOPMENT} alone, one question each: first results without its evidence, then a second search's",
    )
    kinds.add_argument(
        "--broad",
        action="store_true",
        help=f"of {', '.join(BROAD_SETS)}: questions that ask for more than a short answer; always --unseen",
    )
    parser.add_argument("--most", type=int, help="examples of one set (default: all, of those to read fewer)")
    parser.add_argument("--questions", type=int, default=4, help="of an example")
    parser.add_argument(
        "--passages", type=int, default=3, help="of an example; as many as the version is shown"
    )
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    prep = PrepModel.load(arguments.prep)
    drawn: PackedExampleSet | None = None
    most: int | None = arguments.most
    for chosen, reading in _parts(arguments.data, arguments):
        often = 1 if arguments.held_out or (arguments.unseen and reading) else 3
        shown = {"n_passages": arguments.passages, "seed": arguments.seed}
        if arguments.second_searches:
            more = PackedExampleSet.draw_second_searches(chosen, prep, **shown)
        else:
            broad = arguments.broad
            more = PackedExampleSet.draw(
                chosen, prep, arguments.questions, reading=reading, broad=broad, often=often, **shown
            )
        more = replace(more, examples=more.examples[:most])
        if most is None and not (arguments.unseen or arguments.broad):
            most = round(READING_SHARE * len(more.examples))  # of those that come now
        asked = {question.id for example in more.examples for question in example.questions}
        print(
            f"{chosen.name}: {len(asked)} of {len(chosen.questions)} questions, {len(more.examples)} packed examples",
            flush=True,
        )
        drawn = more if drawn is None else drawn.joined(more)
    assert drawn is not None
    drawn.save(arguments.out)


if __name__ == "__main__":
    main()
