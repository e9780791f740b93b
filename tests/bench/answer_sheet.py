"""Answers to a set's questions on a sheet to be read, and how often people who read it found them right. Not a test.

    python tests/bench/answer_sheet.py ask --data DIR/user_restic --workspace OUT/w --out OUT/sheet.jsonl [--version V]
    python tests/bench/answer_sheet.py score OUT/sheet.jsonl VERDICTS.jsonl VERDICTS.jsonl

`ask` answers every question as `diptych ask` would, with time enough, writes a row for each (question, ideal answer,
what was answered, quotes, evidence), and prints the figures by kind of question. `score` reads verdicts, one file a
reader, rows `{"id": question, "right": true}`, and prints each reader's share of right answers, that of both, and how
often they agree, with intervals by document.

How to read: by the question and the ideal answer alone, without knowing which system answered. An answer is right if
a colleague who asked could act on it: the short answer or the statement says what the ideal answer says in substance,
yes or no with its exceptions, at least two thirds of a list, of steps what has to be done; and nothing of it
contradicts its quotes. A sentence that is about the matter and does not answer is wrong; so is a refusal where the
documents answer, and an answer where they do not, for which refusing is right.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prep.ingest import ingest
from prep.model.prep_model import PrepModel
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from training.data.dataset import load_set, sample, withhold_every
from training.evaluation.answers_suite import judge_report
from training.metrics.results import AnswersResult
from training.metrics.significance import paired_bootstrap


def ask(options: argparse.Namespace) -> None:
    """Ask, write the sheet, print the figures."""
    dataset = load_set(options.data)
    references = _references(options.data)
    questions = withhold_every(sample(dataset.questions, options.limit), options.withhold_every)
    ingest(options.workspace, dataset.documents.values(), prep := PrepModel.load())
    model = RetrieveModel.load(options.version)
    rows, lines = [], []
    with Researcher.open(options.workspace, prep=prep, model=model, log=False) as researcher:
        for question in questions:
            withheld = [question.evidence if question.withheld else ()]
            (report,) = researcher.ask_many(
                [question.question], withheld=withheld, deadline_s=options.deadline
            )
            rows.append(judge_report(question, report, dataset))
            lines.append(
                {
                    "id": question.id,
                    "document_id": rows[-1].document_id,
                    "kind": question.kind,
                    "question": question.question,
                    "answerable": question.expects_answer,
                    "reference": references.get(question.id, ""),
                    "answers": question.answers,
                    "answered": report.answer,
                    "answer_type": report.answer_type,
                    "confidence": report.confidence,
                    "statements": report.statements,
                    "quotes": [asdict(quote) for quote in report.quotes],
                    "supported": rows[-1].supported,
                    "seconds": report.usage.seconds,
                }
            )
            options.out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"{model.version} on {dataset.name}")
    print(AnswersResult(dataset.name, model.version, options.withhold_every, tuple(rows)).kind_table())
    scores = AnswersResult(dataset.name, model.version, options.withhold_every, tuple(rows)).columns()
    print(", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


def score(options: argparse.Namespace) -> None:
    """Print how many of a sheet's answers its readers found right."""
    sheet = {row["id"]: row for row in _read(options.sheet)}
    verdicts = [{row["id"]: bool(row["right"]) for row in _read(path)} for path in options.verdicts]
    ids = [name for name in sheet if all(name in of_reader for of_reader in verdicts)]
    documents = [sheet[name]["document_id"] or name for name in ids]
    print(f"{len(ids)} of {len(sheet)} answers read by {len(verdicts)}")
    for path, of_reader in zip(options.verdicts, verdicts, strict=True):
        _print_share(path.name, [of_reader[name] for name in ids], documents)
    both = [all(of_reader[name] for of_reader in verdicts) for name in ids]
    _print_share("all readers", both, documents)
    agree = [len({of_reader[name] for of_reader in verdicts}) == 1 for name in ids]
    print(f"agree on {sum(agree)}")
    for kind in sorted({sheet[name]["kind"] for name in ids}):
        of_kind = [right for name, right in zip(ids, both, strict=True) if sheet[name]["kind"] == kind]
        print(f"  {kind}: {sum(of_kind)} of {len(of_kind)}")


def _print_share(name: str, right: Sequence[bool], documents: Sequence[str]) -> None:
    found = paired_bootstrap([0.0] * len(right), [float(one) for one in right], groups=documents)
    print(f"{name}: {sum(right)} right, {found.difference:.3f} ({found.low:.3f} to {found.high:.3f})")


def _references(folder: Path) -> dict[str, str]:
    return {row["id"]: row.get("reference", "") for row in _read(folder / "questions.jsonl")}


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("--data", type=Path, required=True)
    asking.add_argument("--workspace", type=Path, required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument(
        "--version", type=Path, help="a retrieve version's folder, by default the shipped one"
    )
    asking.add_argument("--limit", type=int)
    asking.add_argument("--withhold-every", type=int, default=0)
    asking.add_argument("--deadline", type=float, default=60.0)
    asking.set_defaults(run=ask)
    scoring = commands.add_parser("score")
    scoring.add_argument("sheet", type=Path)
    scoring.add_argument("verdicts", type=Path, nargs="+")
    scoring.set_defaults(run=score)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
