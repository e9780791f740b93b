"""What reports on broad questions quote, beside the usual workflow, at the same number of characters. Not a test.

    python tests/bench/broad_reports.py --data DIR/qmsum_val --out OUT [--limit 60] [--version VERSION] [--json FILE]

Both systems answer the same questions. Evidence recall is the share of a question's pieces of evidence that a quote
touches, character recall the share of their characters that is quoted. Both are shown as the reports are, and with each
report's quotes cut behind the smaller of the two systems' mean numbers of quoted characters. Intervals are paired by
question and resampled by document. Nothing is drawn at random.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

from prep.document import Span
from prep.ingest import ingest
from prep.model.encoder import Encoder
from prep.model.prep_model import PrepModel
from retrieve.lm.base import load_base
from retrieve.model import RetrieveModel
from retrieve.report.report import Report
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, Question, load_set, sample
from training.evaluation.baseline_rag import BaselineRAG, GreedyCompleter
from training.metrics.answer_metrics import citation_recall
from training.metrics.chunking_metrics import evidence_recall
from training.metrics.significance import paired_bootstrap


def quoted(report: Report, most: float) -> list[Span]:
    """Return the quotes' spans in the order of the report, cut behind `most` characters in all."""
    spans: list[Span] = []
    left = int(min(most, sum(quote.end - quote.start for quote in report.quotes)))
    for quote in report.quotes:
        if left > 0:
            end = min(quote.end, quote.start + left)
            spans.append(Span(quote.document_id, quote.start, end))
            left -= end - quote.start
    return spans


def figures(questions: Sequence[Question], reports: Sequence[Report], most: float) -> list[dict[str, float]]:
    """Return each question's figures."""
    rows = []
    for question, report in zip(questions, reports, strict=True):
        spans = quoted(report, most)
        pairs = list(combinations(report.findings, 2))
        rows.append(
            {
                "evidence_recall": citation_recall(spans, question.evidence, alternatives=False),
                "character_recall": evidence_recall(question.evidence, spans, alternatives=False),
                "characters": sum(span.end - span.start for span in spans),
                "findings": len(report.findings),
                "repeats": sum(_repeats(a.quotes, b.quotes) for a, b in pairs),
                "abstained": float(report.abstained),
                "seconds": report.usage.seconds,
            }
        )
    return rows


def _repeats(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether two findings share a quote."""
    places = [{(quote.document_id, quote.start, quote.end) for quote in some} for some in (first, second)]
    return bool(places[0] & places[1])


def ours(labelled: LabelledSet, questions: Sequence[Question], arguments: argparse.Namespace) -> list[Report]:
    """Answer with the prep and the retrieve version."""
    prep, model = PrepModel.load(arguments.prep), RetrieveModel.load(arguments.version)
    store = arguments.out / f"store-{prep.version}"
    ingest(store, list(labelled.documents.values()), prep)
    with Researcher.open(store, prep=prep, model=model, log=False) as researcher:
        return researcher.ask_many([one.question for one in questions], deadline_s=60.0, progress=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a labelled set")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the store, kept")
    parser.add_argument("--limit", type=int, help="so many questions, evenly spread")
    parser.add_argument("--version", type=Path, help="a retrieve version; the shipped one by default")
    parser.add_argument("--prep", default=None, help="a prep version; the shipped one by default")
    parser.add_argument("--only", action="store_true", help="without the usual workflow")
    parser.add_argument("--json", type=Path, help="write figures and reports there")
    arguments = parser.parse_args()

    labelled = load_set(arguments.data)
    questions = sample([one for one in labelled.questions if one.evidence], arguments.limit)
    reports = {"ours": ours(labelled, questions, arguments)}
    if not arguments.only:
        model, tokenizer = load_base()
        workflow = BaselineRAG(
            labelled.documents.values(), GreedyCompleter(model, tokenizer), Encoder.load(), progress=True
        )
        reports["workflow"] = workflow.ask_many([one.question for one in questions], progress=True)
    whole = {name: figures(questions, some, float("inf")) for name, some in reports.items()}
    most = min(mean(row["characters"] for row in rows) for rows in whole.values())
    cut = {f"{name}, cut": figures(questions, some, most) for name, some in reports.items()}
    print(f"{len(questions)} questions; cut behind {most:.0f} characters")
    summary = {}
    for name, rows in (whole | cut).items():
        summary[name] = {figure: mean(row[figure] for row in rows) for figure in rows[0]}
        print(f"{name:15}", "  ".join(f"{figure} {value:.3f}" for figure, value in summary[name].items()))
    if not arguments.only:
        documents = [one.evidence[0].document_id for one in questions]
        for figure in ("evidence_recall", "character_recall"):
            first, second = ([row[figure] for row in cut[f"{name}, cut"]] for name in ("workflow", "ours"))
            gain = paired_bootstrap(first, second, groups=documents)
            summary[f"gain in {figure}"] = asdict(gain)
            print(f"{figure}: ours less the workflow's {gain}")
    if arguments.json:
        told = {name: [report.to_dict() for report in some] for name, some in reports.items()}
        content = {"most": most, "figures": summary, "reports": told}
        arguments.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
