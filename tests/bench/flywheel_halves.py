"""What the reader learns of people's feedback on documents it has never seen, for one half of them after the other.

    python tests/bench/flywheel_halves.py --data DIR/docs_prometheus --questions FILE --workspace OUT
                                          [--beside DIR/xquad_en] [--flip 1.0] [--minutes 5] [--json FILE]

The documents that the questions of FILE are on are dealt into two halves. In a workspace of each half's own, with all
documents, the questions on that half are asked: three in four by users, who say whether an answer helped and otherwise
copy out the sentence that does answer; every fourth is frozen for the gate. A cycle trains the reader. The questions on
the other half, which nobody asked, are answered before and after, and so are some of another set (--beside).

--flip: so large a share of what users say is the opposite of what they found, with another answer as the right one;
the gate should refuse what is learned of it. A run that was cut short goes on where it was: what is done is in
OUT/halves.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from simulated_users import Users

from flows.candidates.training_settings import TrainingSettings
from flows.models.measurement import interval_of
from flows.models.serving import serving_prep, serving_retrieve_path
from flows.retraining.cycle import retrain_workspace
from flows.retraining.cycle_config import CycleSettings
from flows.retraining.gate_trial import TrialSettings
from prep.ingest import ingest
from prep.manifest import read_json, write_json
from prep.store.workspace import Workspace
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, Question, load_set, sample, save_set, withhold_every
from training.data.gate_set import GateSetConfig
from training.evaluation.answers_suite import judge_report
from training.evaluation.promotion_gate import GateConfig
from training.metrics.results import AnswerRow
from training.metrics.significance import paired_bootstrap
from training.reader.real_questions import real_set

_ALONE = 10**6  # of the corpus no documents are frozen: what the gate asks is given
_MOST_COPIED = 300  # characters of a sentence that a user copies out


def deal(labelled: LabelledSet, seed: int) -> tuple[list[Question], list[Question]]:
    """Return the questions on two halves of the documents, with about as many on each."""
    of: dict[str, list[Question]] = {}
    for question in labelled.questions:
        if question.evidence:
            of.setdefault(question.evidence[0].document_id, []).append(question)
    names = sorted(of)
    random.Random(seed).shuffle(names)
    halves: tuple[list[Question], list[Question]] = ([], [])
    for name in names:
        min(halves, key=len).extend(of[name])
    return halves


class Halves:
    """The experiment under way."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.root = Path(options.workspace)
        self.root.mkdir(parents=True, exist_ok=True)
        self.notes = self.root / "halves.json"
        self.done: dict[str, Any] = read_json(self.notes) if self.notes.exists() else {}
        rng = random.Random(options.seed)
        self.labelled = real_set(options.data, options.questions, n_documents=options.documents, rng=rng)
        self.halves = deal(self.labelled, options.seed)
        self.beside = load_set(options.beside) if options.beside else None

    def run(self) -> dict[str, Any]:
        """Do what is not done yet, and return what each step came to."""
        whole = Workspace(self.root / "whole")
        documents = list(self.labelled.documents.values())
        self.step("ingest", lambda: ingest(whole, documents, serving_prep(whole)).summary())
        for number, learned in enumerate(self.halves):
            place = Workspace(self.root / f"half-{number}")
            if not place.path.exists():
                shutil.copytree(whole.path, place.path)
            measured = sample(self.halves[1 - number], self.options.measured)
            self.step(f"half {number} before", lambda p=place, m=measured: self.measure(p, m))
            self.step(f"half {number} questions", lambda p=place, q=learned: self.ask(p, q))
            self.step(f"half {number} cycle", lambda p=place, q=learned: self.cycle(p, q))
            self.step(f"half {number} after", lambda p=place, m=measured: self.measure(p, m))
        return self.done

    def step(self, name: str, work: Callable[[], Any]) -> None:
        if name not in self.done:
            print(f"== {name}", flush=True)
            self.done[name] = json.loads(json.dumps(work()))
            os.replace(write_json(self.notes, self.done), self.notes)

    def ask(self, place: Workspace, questions: Sequence[Question]) -> dict[str, int]:
        """Ask three in four, and give feedback on each."""
        asked = [question for number, question in enumerate(questions) if number % 4]
        copied = [replace(one, answers=(self.sentence(one), *one.answers)) for one in asked]
        users = Users(self.labelled, self.options.flip, self.options.seed)
        others = [question.answers[0] for question in copied]
        with Researcher.open(place.path) as researcher:
            for question in copied:
                users.say(researcher, question, researcher.ask(question.question, deadline_s=60.0), others)
        return users.said

    def sentence(self, question: Question) -> str:
        """Return what a user copies out who has found the place."""
        span = question.evidence[0]
        text = self.labelled.documents[span.document_id].text[span.start : span.end]
        return text[:_MOST_COPIED].rpartition(" ")[0] if len(text) > _MOST_COPIED else text

    def cycle(self, place: Workspace, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """Retrain the reader; the gate asks the questions that nobody asked."""
        frozen = replace(self.labelled, questions=[q for number, q in enumerate(questions) if not number % 4])
        save_set(frozen, folder := self.root / f"{place.path.name}-gate")
        settings = CycleSettings(
            kinds=("retrieve",),
            retrieve_stage="reader",
            training=TrainingSettings(
                n_examples=self.options.synthetic, n_generated=0, minutes=self.options.minutes
            ),
            gate_set=GateSetConfig(held_out_every=_ALONE, labelled_questions=(str(folder),)),
            trials=TrialSettings(n_answers=len(frozen.questions)),
            gate=GateConfig(min_questions=min(40, len(frozen.questions))),
        )
        outcome = retrain_workspace(place, settings, on_progress=lambda line: print(line, flush=True))
        about = {
            "questions": outcome.n_questions,
            "feedback examples": outcome.feedback_examples,
            "left out": outcome.left_out,
        }
        return [about, *(asdict(step) for step in outcome.steps)]

    def measure(self, place: Workspace, questions: Sequence[Question]) -> dict[str, list[list[Any]]]:
        """Return of each question its document, whether a quote supports the answer, and its F1; the same beside."""
        found = {"other half": self.answer(place, questions, self.labelled)}
        if self.beside is not None:
            alone = Workspace(self.root / "beside")
            ingest(alone, self.beside.documents.values(), serving_prep(alone))
            chosen = withhold_every(sample(self.beside.questions, self.options.measured), 5)
            found["beside"] = self.answer(alone, chosen, self.beside, models_of=place)
        return found

    def answer(
        self,
        place: Workspace,
        questions: Sequence[Question],
        labelled: LabelledSet,
        models_of: Workspace | None = None,
    ) -> list[list[Any]]:
        """Answer questions in a workspace, with the retrieve model of another where one is named."""
        model = RetrieveModel.load(serving_retrieve_path(models_of or place))
        with Researcher.open(place.path, model=model, log=False) as researcher:
            rows: list[AnswerRow] = []
            for question in questions:
                withheld = [question.evidence if question.withheld else ()]
                (report,) = researcher.ask_many([question.question], withheld=withheld, deadline_s=60.0)
                rows.append(judge_report(question, report, labelled))
        return [[row.document_id, float(row.supported), row.f1, row.expects_answer] for row in rows]

    def gains(self) -> list[str]:
        """Return in words what was gained on each half and on both, resampled by document."""
        lines = []
        for name, column in (("supported", 1), ("F1", 2)):
            for where in ("other half", "beside"):
                both: list[tuple[list[Any], list[Any]]] = []
                for number in range(2):
                    before, after = (
                        self.done[f"half {number} {when}"].get(where, []) for when in ("before", "after")
                    )
                    pairs = [(one, other) for one, other in zip(before, after, strict=True) if one[3]]
                    both += pairs
                    if pairs:
                        lines.append(f"{where} {number}, {name}: {_gain(pairs, column)}")
                if both:
                    lines.append(f"{where}, both, {name}: {_gain(both, column)}")
        return lines


def _gain(pairs: Sequence[tuple[list[Any], list[Any]]], column: int) -> str:
    before, after = ([pair[side][column] for pair in pairs] for side in range(2))
    gain = paired_bootstrap(before, after, groups=[pair[0][0] for pair in pairs])
    n = len(pairs)
    return f"{sum(before) / n:.3f} -> {sum(after) / n:.3f}, {interval_of(gain)}, {n} questions"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the documents")
    parser.add_argument("--questions", type=Path, required=True, help="a file of questions on them")
    parser.add_argument("--workspace", required=True, help="a folder for the workspaces, kept")
    parser.add_argument("--documents", type=int, default=10**6, help="at most, besides those asked about")
    parser.add_argument("--beside", type=Path, help="another labelled set, which should not get worse")
    parser.add_argument("--measured", type=int, default=120, help="questions measured on, at most (120)")
    parser.add_argument("--synthetic", type=int, default=60, help="cloze questions beside the feedback (60)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, at most (5)")
    parser.add_argument("--flip", type=float, default=0.0, help="share of feedback turned round (0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write everything there as well")
    options = parser.parse_args()
    halves = Halves(options)
    done = halves.run()
    for number in range(2):
        about, *steps = done[f"half {number} cycle"]
        print(f"half {number}: {json.dumps(about)}; {json.dumps(done[f'half {number} questions'])}")
        for step in steps:
            print(f"  {step['kind']} {'promoted' if step['promoted'] else 'refused'}: {step['reasons'][0]}")
    print("\n".join(halves.gains()))
    if options.json is not None:
        options.json.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
