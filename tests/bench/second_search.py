"""What a second search finds that the first did not. Not a test, not timed.

    python tests/bench/second_search.py --data DIR --out OUT [--version VERSION] [--limit 200] [--json FILE]

Each question is answered with one search at most, and again with as many as are served. Evidence recall is the share
of a question's pieces of evidence that a passage shown touches. Sets: the held-out questions of hotpot and musique,
whose answers need several documents, each by itself and both together, and those of new_wiki whose first results miss
the evidence. Intervals are paired and resampled by question. Nothing is drawn at random. Retrieve 0.1 and 0.2 were
trained on most of these questions of hotpot and musique, when others were held out: their figures there are no measure.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from prep.document import Span
from prep.ingest import ingest
from prep.model import PrepModel
from retrieve.model import RetrieveModel
from retrieve.report import Report
from retrieve.researcher import Researcher
from training.dataset import LabelledSet, Question, load_set, sample
from training.metrics_answers import citation_recall, f1
from training.mixture import DEVELOPMENT, part_of
from training.significance import Difference, paired_bootstrap

HOPS = ("hotpot_train100", "musique_train100")


def evidence_shown(question: Question, report: Report) -> float:
    """Return the share of the question's pieces of evidence that the report's sources touch."""
    shown = [Span(source.document_id, source.start, source.end) for source in report.sources]
    return citation_recall(shown, question.evidence, alternatives=False)


#: Name → what it is of a question's report.
FIGURES: dict[str, Callable[[Question, Report], float]] = {
    "evidence_recall": evidence_shown,
    "f1": lambda question, report: f1(report.answer or "", question.answers),
}


def poorly_found(questions: Sequence[Question], researcher: Researcher) -> list[Question]:
    """Return the questions whose first results, as many as are shown, miss the evidence."""
    k = researcher.runner.episode_limits.passages_per_search
    found = researcher.runner.search([one.question for one in questions], [()] * len(questions), k)
    return [
        question
        for question, passages in zip(questions, found, strict=True)
        if not any(span.overlaps(passage) for passage in passages[:k] for span in question.evidence)
    ]


def measure(
    labelled: LabelledSet, prep: PrepModel, model: RetrieveModel, arguments: argparse.Namespace
) -> Iterator[tuple[str, Any]]:
    """Yield a set's figures by name."""
    store = arguments.out / f"{labelled.name}-{prep.version}"
    ingest(store, list(labelled.documents.values()), prep)
    with Researcher.open(store, prep=prep, model=model, log=False) as researcher:
        questions = list(labelled.questions)
        if labelled.name == DEVELOPMENT:
            questions = poorly_found(questions, researcher)
        questions = sample(questions, arguments.limit)
        asked = [question.question for question in questions]
        one, more = (
            researcher.ask_many(asked, max_searches=n, deadline_s=60.0, progress=True) for n in (1, 3)
        )
    yield "n", len(questions)
    yield "searches", mean(len(report.searches) for report in more)
    for name, figure in FIGURES.items():
        values = [
            [figure(question, report) for question, report in zip(questions, reports, strict=True)]
            for reports in (one, more)
        ]
        yield name, _gained(*values)
    yield "reports", [report.to_dict() for report in more]


def together(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of the questions of several sets as those of one."""
    n = sum(one["n"] for one in results)
    summed: dict[str, Any] = {"n": n, "searches": sum(one["n"] * one["searches"] for one in results) / n}
    for figure in FIGURES:
        one, more = (
            [value for some in results for value in some[figure][which]] for which in ("one", "more")
        )
        summed[figure] = _gained(one, more)
    return summed


def _gained(one: list[float], more: list[float]) -> dict[str, Any]:
    """Return a figure of each question, with one search and with more, and what more gain."""
    return {"one": one, "more": more, "gain": asdict(paired_bootstrap(one, more))}


def say(name: str, figures: dict[str, Any]) -> None:
    """Print a set's figures."""
    print(f"{name}: {figures['n']} questions, {figures['searches']:.2f} searches where more are allowed")
    for figure in FIGURES:
        both = figures[figure]
        gain = Difference(**both["gain"])
        print(
            f"  {figure}: one search {mean(both['one']):.3f}, more {mean(both['more']):.3f}, {gain}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled sets")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the stores, kept")
    parser.add_argument("--limit", type=int, default=200, help="questions of a set, evenly spread (200)")
    parser.add_argument("--version", type=Path, help="a retrieve version; the shipped one by default")
    parser.add_argument("--prep", default=None, help="a prep version; the shipped one by default")
    parser.add_argument("--json", type=Path, help="write figures and reports there")
    arguments = parser.parse_args()

    prep, model = PrepModel.load(arguments.prep), RetrieveModel.load(arguments.version)
    results = {}
    for name in (*HOPS, DEVELOPMENT):
        held = part_of(load_set(arguments.data / name), held_out=True)
        results[name] = dict(measure(held, prep, model, arguments))
        say(name, results[name])
    both = " and ".join(HOPS)
    results[both] = together([results[name] for name in HOPS])
    say(both, results[both])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
