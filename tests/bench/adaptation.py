"""What training on questions synthesised from a new corpus is worth, measured on people's questions. Not a test.

    python tests/bench/adaptation.py --data DIR --out OUT [--asked 240] [--examples 480] [--minutes 20] [--json FILE]

The corpus is the eight held-out new_wiki articles, without their questions: no supervised stage was trained on them
(on the questions of four of them retrieve 0.6 was reinforced: `training.traces.packed_example_set.unseen_part`).
Questions are made from them, a prep candidate (vectors) and a retrieve candidate are trained on those, and people's
questions on the articles are answered by each combination of shipped and trained models; so are xquad_en's,
which must not fall. Gains are paired by question and resampled by document.

A run that was cut short goes on where it was: OUT holds the workspace, the stores and the rows.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.candidates.prep_candidates import train_prep_candidate
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.models.serving import serving_prep
from prep.ingest import ingest
from prep.model.prep_model import PrepModel
from prep.store.workspace import Workspace
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, load_set
from training.evaluation.answers_suite import evaluate_answers
from training.evaluation.gains import compare_results
from training.evaluation.retrieval_suites import evaluate_retrieval
from training.metrics.results import AnswersResult, RetrievalResult, format_table
from training.metrics.significance import Difference
from training.runs.resumable_rows import KeptRows
from training.traces.mixture import DEVELOPMENT, part_of

OLD = "xquad_en"
ANSWERS = ("f1", "citation_precision", "citation_recall", "abstention_f1")
RETRIEVAL = ("evidence_recall", "evidence_recall_in_budget")


class Adaptation:
    """The measurement under way in one folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.sets = {
            "new": part_of(load_set(options.data / DEVELOPMENT), held_out=True),
            "old": load_set(options.data / OLD),
        }
        self.limits = {"new": options.questions, "old": options.old_questions}

    def run(self) -> dict[str, Any]:
        """Make, train and measure what is not there yet; return all figures."""
        place = Workspace(self.out / "workspace")
        shipped = serving_prep(place)
        ingest(place, list(self.sets["new"].documents.values()), shipped, progress=False)
        settings = TrainingSettings(
            n_examples=self.options.examples,
            n_generated=self.options.asked,
            held_out_every=len(self.sets["new"].documents),
            minutes=self.options.minutes,
            seed=self.options.seed,
        )
        dataset = synthesize_data(place, settings)
        print(json.dumps({"questions": dataset.n_questions, "generated": dataset.generated}), flush=True)
        trained = {
            "prep": train_prep_candidate(place, dataset, settings, "contrastive"),
            "retrieve": train_retrieve_candidate(place, dataset, settings),
        }
        for candidate in trained.values():
            print(candidate.version, f"{candidate.seconds:.0f} s", json.dumps(candidate.metrics), flush=True)
        preps = {
            "shipped": shipped,
            "trained": PrepModel.load(place.model_path("prep", trained["prep"].version)),
        }
        folders = {"shipped": None, "trained": place.model_path("retrieve", trained["retrieve"].version)}
        retrieval = {
            (name, which): evaluate_retrieval(dataset_of, prep, label=f"{name}, prep {which}")
            for name, dataset_of in self.sets.items()
            for which, prep in preps.items()
        }
        answers: dict[tuple[str, str, str], AnswersResult] = {}
        for name in self.sets:
            ways = [("shipped", "shipped"), ("trained", "trained")]
            ways += [("trained", "shipped"), ("shipped", "trained")] if name == "new" else []
            for which_prep, which_model in ways:
                model = RetrieveModel.load(folders[which_model])
                answers[name, which_prep, which_model] = self.answer(
                    name, which_prep, preps[which_prep], which_model, model
                )
        return {
            "settings": asdict(settings),
            "generated": dataset.generated,
            "versions": {kind: candidate.version for kind, candidate in trained.items()},
            "retrieval": self.retrieval_gains(retrieval),
            "answers": self.answer_gains(answers),
        }

    def answer(
        self, name: str, which_prep: str, prep: PrepModel, which_model: str, model: RetrieveModel
    ) -> AnswersResult:
        """Answer a set's questions over a store of its documents made by this prep version."""
        labelled: LabelledSet = self.sets[name]
        store = self.out / "stores" / f"{name}-{prep.version}"
        ingest(store, list(labelled.documents.values()), prep, progress=False)
        rows = KeptRows(
            self.out / "rows" / f"{name}-{prep.version}-{model.version}-{self.limits[name]}.jsonl"
        )
        with Researcher.open(store, prep=prep, model=model, log=False) as researcher:
            result = evaluate_answers(
                labelled,
                researcher,
                limit=self.limits[name],
                label=f"{name}, prep {which_prep}, retrieve {which_model}",
                progress=True,
                kept=rows,
                deadline_s=60.0,
            )
        print(format_table([result]), flush=True)
        return result

    def retrieval_gains(self, results: dict[tuple[str, str], RetrievalResult]) -> dict[str, Any]:
        """Return the gain of the trained prep version over what ships."""
        print(format_table(list(results.values())), flush=True)
        return {
            name: {
                figure: asdict(compare_results(results[name, "shipped"], results[name, "trained"], figure))
                for figure in RETRIEVAL
            }
            for name in self.sets
        }

    @staticmethod
    def answer_gains(results: dict[tuple[str, str, str], AnswersResult]) -> dict[str, Any]:
        """Return the gain of each combination over what ships."""
        print(format_table(list(results.values())), flush=True)
        return {
            f"{name}, prep {prep}, retrieve {model}": {
                figure: asdict(compare_results(results[name, "shipped", "shipped"], result, figure))
                for figure in ANSWERS
            }
            for (name, prep, model), result in results.items()
            if (prep, model) != ("shipped", "shipped")
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled sets")
    parser.add_argument("--out", type=Path, required=True, help="a folder, kept")
    parser.add_argument("--asked", type=int, default=240, help="questions the model writes (240)")
    parser.add_argument("--examples", type=int, default=480, help="questions in all (480)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training each model (20)")
    parser.add_argument(
        "--questions", type=int, default=300, help="of people, answered on the new corpus (300)"
    )
    parser.add_argument("--old-questions", type=int, default=200, help="of xquad_en, answered (200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    figures = Adaptation(options).run()
    for part in ("retrieval", "answers"):
        for name, row in figures[part].items():
            for figure, gain in row.items():
                print(f"{name}: {figure} {Difference(**gain)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
