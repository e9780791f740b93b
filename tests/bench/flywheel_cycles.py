"""Two retraining cycles on a stream of questions that drifts to new topics. Not a test, not timed.

    python tests/bench/flywheel_cycles.py --data DIR/new_wiki --workspace OUT --documents held-out
                                          [--new-topics DIR/contractnli] [--own-words 20]
                                          [--dialect 10 [--new-dialect [--old-plain]]]
                                          [--flip 0.3] [--poison 6 [--accounts 0.3]] [--json FILE]

The set's documents are dealt into old and new topics, or another set's are the new ones. The old ones are ingested and
asked about, a cycle runs; then the new ones come, the questions are mostly about them, and a second cycle runs. Users
are simulated from the labels: they say whether an answer helped, and half of them what it should have been. Of each
document half of the questions are asked by users. A quarter measures what serves, for old and new topics apart, with
all documents ingested, before and after each cycle. A quarter is frozen for the gate, as labelled questions of the
users' own: those on old topics from the first cycle on, those on new ones from the second, of both as many.

--own-words: people call things by names that no document says, as every house does: of the telling words that are
asked about a document so many are replaced by made-up ones, always the same. What these mean only use can teach.
--dialect: people write as no text that the models know: so many of the words that most of their questions use are
exchanged for made-up ones everywhere, such as "what", "the" and "how". Names and telling words stay. --new-dialect:
those who ask about the new topics have made-up ones of their own for the same words; --old-plain: only they have any.
--flip: so large a share of what users say is the opposite of what they found, with another answer as the right one.
--poison: so many copies of documents come in with the first cycle whose answers are exchanged for others; of the
questions on these, accounts ask a share (--accounts) that praise what quotes the copies, and correct what does not to
what they say. With either the gate should refuse both candidates, or the figures should not fall.
--documents held-out: of new_wiki, the articles that no supervised stage was trained on; others: all those that were.
With --documents others --new-topics DIR/new_wiki --new-documents held-out the stream drifts from these to those.

Whatever models serve in the workspace are trained (the shipped ones where there are none). A run that was cut short
goes on where it was: what is done is in OUT/flywheel.json. The gate sees little on few questions and refuses more: with
more time, raise --answers, --questions and --minutes first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from simulated_users import Users, by_document, dialect, own_words, poisoned

from flows.candidates.training_settings import TrainingSettings
from flows.models.measurement import EvaluationSettings, interval_of, run_evaluation
from flows.models.serving import serving_prep
from flows.retraining.cycle import retrain_workspace
from flows.retraining.cycle_config import CycleSettings
from flows.retraining.gate_trial import TrialSettings
from prep.document import Document
from prep.ingest import ingest
from prep.manifest import read_json, write_json
from prep.store.current import MODEL_KINDS
from prep.store.workspace import Workspace
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, Question, load_set, sample, save_set
from training.evaluation.promotion_gate import GateConfig
from training.metrics.significance import Difference, paired_bootstrap
from training.traces.mixture import part_of

#: The figures shown, by their name in the suites.
FIGURES = {
    "evidence recall@5": "evidence",
    "F1": "F1",
    "cite P": "cite P",
    "cite R": "cite R",
    "abstain F1": "abstain F1",
}
BLOCK = 64
PARTS = ("all", "held-out", "others")
ALONE = 10**6  # of the corpus no documents are frozen: what the gate asks is given

#: Cycles that end while one waits; for those in use see `CycleSettings`.
BRIEF = CycleSettings(
    training=TrainingSettings(n_examples=240, n_generated=0, minutes=3.0), trials=TrialSettings(n_answers=50)
)


@dataclass(frozen=True)
class Stream:
    """The set, dealt: for each topic its documents, and questions to ask, to measure with and for the gate."""

    documents: dict[str, list[Document]]
    asked: dict[str, list[Question]]
    measured: dict[str, list[Question]]
    gate: dict[str, LabelledSet]


def deal(labelled: LabelledSet, seed: int, new: Collection[str] = ()) -> Stream:
    """Deal documents to old and new topics; of each one's questions two in four go to users, one to the gate.

    new: ids of the documents that are the new ones. Without them half are old, or as many as the gate wants its
    questions to be on, where there are few.
    """
    names = sorted({span.document_id for question in labelled.questions for span in question.evidence})
    if new:
        topics = {"old": [n for n in names if n not in new], "new": [n for n in names if n in new]}
    else:
        random.Random(seed).shuffle(names)
        n_old = max(-(-len(names) // 2), min(GateConfig().min_documents, len(names) - 1))
        topics = {"old": sorted(names[:n_old]), "new": sorted(names[n_old:])}
    of = by_document(labelled)
    return Stream(
        documents={topic: [labelled.documents[name] for name in some] for topic, some in topics.items()},
        asked={topic: [q for name in some for q in of[name][::2]] for topic, some in topics.items()},
        measured={topic: [q for name in some for q in of[name][1::4]] for topic, some in topics.items()},
        gate={
            topic: LabelledSet(
                {name: labelled.documents[name] for name in some},
                dict.fromkeys(some, "text"),
                [q for name in some for q in of[name][3::4]],
                f"gate-{topic}",
            )
            for topic, some in topics.items()
        },
    )


def _chosen(folder: str, documents: str) -> LabelledSet:
    """Return a labelled set, or what is held out of it, or the others."""
    whole = load_set(folder)
    return whole if documents == "all" else part_of(whole, held_out=documents == "held-out")


class Flywheel:
    """The stream under way in one workspace."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.place = Workspace(options.workspace)
        self.place.path.mkdir(parents=True, exist_ok=True)
        self.notes = self.place.path / "flywheel.json"
        self.done: dict[str, Any] = read_json(self.notes) if self.notes.exists() else {}
        self.labelled, new = _chosen(options.data, options.documents), frozenset[str]()
        if options.new_topics:
            others = _chosen(options.new_topics, options.new_documents)
            self.labelled, new = self.labelled.joined(others), frozenset(others.documents)
        apart = new if options.new_dialect else ()
        named = own_words(self.labelled, options.own_words)
        self.labelled = dialect(named, options.dialect, apart, others_plain=options.old_plain)
        self.stream = deal(self.labelled, options.seed, new)
        self.poison = poisoned(
            self.stream.documents["old"],
            self.stream.asked["old"],
            options.poison,
            options.accounts,
            options.seed,
        )
        self.beside = self.place.path.parent / f"{self.place.path.name}-gate"
        n_of_each = min(len(frozen.questions) for frozen in self.stream.gate.values())
        for topic, frozen in self.stream.gate.items():
            alike = replace(frozen, questions=sample(frozen.questions, n_of_each))
            save_set(alike, self.beside / f"gate-{topic}")
        settings = CycleSettings.from_toml(options.config) if options.config else BRIEF
        self.settings = replace(
            settings,
            kinds=tuple(options.kinds or settings.kinds),
            training=replace(
                settings.training,
                n_examples=options.examples or settings.training.n_examples,
                n_generated=settings.training.n_generated if options.asked is None else options.asked,
                minutes=options.minutes or settings.training.minutes,
            ),
            trials=replace(settings.trials, n_answers=options.answers or settings.trials.n_answers),
        )

    def run(self) -> dict[str, Any]:
        """Do what is not done yet, and return the figures and decisions by stage."""
        old, new = self.stream.documents["old"], self.stream.documents["new"]
        half = self.options.questions // 2
        copies = self.poison.copies
        self.stage("ingest old topics", lambda: self.ingest([*old, *copies]))
        self.figures("before")
        self.stage("questions of cycle 1", lambda: self.ask("old", 0, self.options.questions))
        self.stage("cycle 1", lambda: self.cycle("old"))
        self.figures("after cycle 1", since="before", cycle="cycle 1")
        self.stage("ingest new topics", lambda: self.ingest([*old, *copies, *new]))
        self.stage(
            "questions of cycle 2",
            lambda: [
                self.ask("old", self.options.questions, half // 2),
                self.ask("new", 0, self.options.questions - half // 2),
            ],
        )
        self.stage("cycle 2", lambda: self.cycle("old", "new"))
        self.figures("after cycle 2", since="after cycle 1", cycle="cycle 2")
        return self.done

    def stage(self, name: str, work: Callable[[], Any]) -> None:
        if name not in self.done:
            print(f"== {name}", flush=True)
            self.done[name] = json.loads(json.dumps(work()))  # as a later run reads it
            os.replace(write_json(self.notes, self.done), self.notes)
        print(f"{name}: {json.dumps(self.done[name], ensure_ascii=False)}", flush=True)

    def figures(self, when: str, since: str = "", cycle: str = "") -> None:
        """Measure what serves, or take over what was measured before a cycle that promoted nothing."""

        def work() -> Any:
            if cycle and not any(step["promoted"] for step in self.done[cycle][1:]):
                shutil.copyfile(self.values_path(since), self.values_path(when))
                return self.done[f"figures {since}"]
            return self.measure(when)

        self.stage(f"figures {when}", work)

    def values_path(self, when: str) -> Path:
        """Return where `measure` keeps what each question gave."""
        return self.beside / f"figures {when}.json"

    def ingest(self, documents: Sequence[Document]) -> str:
        return ingest(self.place, documents, serving_prep(self.place), progress=False).summary()

    def ask(self, topic: str, first: int, n: int) -> dict[str, int]:
        """Ask n of a topic's questions, those from `first` on, and give feedback on each."""
        users = Users(self.labelled, self.options.flip, self.options.seed + first, self.poison)
        stream = list(self.stream.asked[topic])
        random.Random(f"{self.options.seed}/{topic}").shuffle(stream)
        chosen = stream[first : first + n] or stream[-n:]
        others = [question.answers[0] for question in stream if question.answers]
        with Researcher.open(self.place.path) as researcher:
            for at in range(0, len(chosen), BLOCK):
                block = chosen[at : at + BLOCK]
                reports = researcher.ask_many([question.question for question in block], deadline_s=60.0)
                for question, report in zip(block, reports, strict=True):
                    users.say(researcher, question, report, others)
        return users.said

    def cycle(self, *topics: str) -> list[dict[str, Any]]:
        """Retrain; the gate asks the questions that are frozen of these topics."""
        gate = tuple(str(self.beside / f"gate-{topic}") for topic in topics)
        gate_set = replace(self.settings.gate_set, held_out_every=ALONE, labelled_questions=gate)
        settings = replace(self.settings, gate_set=gate_set)
        outcome = retrain_workspace(
            self.place, settings, on_progress=lambda sentence: print(sentence, flush=True)
        )
        about = {
            "questions": outcome.n_questions,
            "feedback examples": outcome.feedback_examples,
            "left out": outcome.left_out,
        }
        return [about, *(asdict(step) for step in outcome.steps)]

    def measure(self, when: str) -> dict[str, dict[str, float]]:
        """Return the figures of what serves on questions that nobody asks, for each topic, all documents ingested.

        Evidence is searched for on all of them. What each question gives is kept for `gains`.
        """
        found, each = {}, {}
        for topic, questions in self.stream.measured.items():
            folder = self.beside / topic
            save_set(replace(self.labelled, questions=questions), folder)
            settings = EvaluationSettings(deadline_s=60.0, progress=False)
            (evidence,) = run_evaluation(self.place, "retrieval", folder, settings)
            save_set(replace(self.labelled, questions=sample(questions, self.options.measured)), folder)
            (answers,) = run_evaluation(self.place, "answers", folder, settings)
            columns = evidence.columns() | answers.columns()
            found[topic] = {short: round(columns[name], 4) for name, short in FIGURES.items()}
            each[topic] = {
                "evidence": [[row.document_id, row.evidence_recall] for row in evidence.rows],
                "F1": [[row.document_id, row.f1] for row in answers.rows if row.expects_answer],
            }
        path = self.values_path(when)
        os.replace(write_json(path, each), path)
        return found

    def gains(self, first: str, second: str) -> dict[str, dict[str, Difference]]:
        """Return for each topic what was measured later gains on what was earlier, resampled by document."""
        before, after = (read_json(self.values_path(when)) for when in (first, second))
        return {
            topic: {
                name: paired_bootstrap(
                    [value for _, value in before[topic][name]],
                    [value for _, value in rows],
                    groups=[document for document, _ in rows],
                )
                for name, rows in of_topic.items()
            }
            for topic, of_topic in after.items()
        }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says, or end with an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a labelled set with several questions a document")
    parser.add_argument("--new-topics", help="another labelled set, whose documents are the new topics")
    for option in ("--documents", "--new-documents"):
        parser.add_argument(
            option, default="all", choices=PARTS, help="held out: every sixth by id; others: the rest (all)"
        )
    parser.add_argument("--workspace", required=True, help="a folder for the workspace, kept")
    parser.add_argument("--config", help="the cycles' settings as TOML; [gate_set] is set here")
    parser.add_argument("--questions", type=int, default=120, help="asked before each cycle (120)")
    parser.add_argument("--measured", type=int, default=40, help="measured on, of each topic, at most (40)")
    parser.add_argument("--kinds", nargs="+", choices=MODEL_KINDS, help="the models trained (both)")
    parser.add_argument("--examples", type=int, help="made of the documents for each cycle (240)")
    parser.add_argument("--asked", type=int, help="of them, questions that the model writes (0)")
    parser.add_argument("--minutes", type=float, help="of training, at most, for each candidate (3)")
    parser.add_argument("--answers", type=int, help="of each model in the gate, at most (50)")
    parser.add_argument(
        "--own-words", type=int, default=0, help="of each document, that people have other names for (0)"
    )
    parser.add_argument(
        "--dialect", type=int, default=0, help="of the words used most, that people say otherwise (0)"
    )
    parser.add_argument(
        "--new-dialect",
        action="store_true",
        help="on --new-topics these are other words again (needs --dialect, too)",
    )
    parser.add_argument(
        "--old-plain",
        action="store_true",
        help="on old topics people ask in plain words (needs --new-dialect, too)",
    )
    parser.add_argument("--flip", type=float, default=0.0, help="share of feedback turned round (0)")
    parser.add_argument("--poison", type=int, default=0, help="poisoned documents (0)")
    parser.add_argument(
        "--accounts", type=float, default=0.3, help="share of questions on them that accounts ask (0.3)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write everything there as well")
    options = parser.parse_args(argv)
    if options.new_dialect and not (options.dialect and options.new_topics):
        parser.error("--new-dialect needs --dialect and --new-topics: it is how people ask about those")
    if options.old_plain and not options.new_dialect:
        parser.error("--old-plain needs --new-dialect: without it nobody says the words otherwise")
    return options


def run(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run from the command line, and return what each stage came to."""
    options = parse(argv)
    flywheel = Flywheel(options)
    done = flywheel.run()
    times = ("before", "after cycle 1", "after cycle 2")
    shown = [f"{topic} {name}" for topic in ("old", "new") for name in FIGURES.values()]
    print(f"\n{'':24}" + "".join(f"{name:>16}" for name in shown))
    for when in times:
        of = done[f"figures {when}"]
        row = [of[topic][name] for topic in ("old", "new") for name in FIGURES.values()]
        print(f"{f'figures {when}':24}" + "".join(f"{value:16.3f}" for value in row))
    for stage in ("cycle 1", "cycle 2"):
        for step in done[stage][1:]:
            print(
                f"{stage}: {step['kind']} {'promoted' if step['promoted'] else 'refused'}: {step['reasons'][0]}"
            )
    for when in times[1:]:
        for topic, of_topic in flywheel.gains(times[0], when).items():
            for name, gain in of_topic.items():
                print(f"figures {when}, {topic} {name}: {interval_of(gain)}, {gain.n} questions")
    if options.json is not None:
        options.json.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return done


if __name__ == "__main__":
    run()
