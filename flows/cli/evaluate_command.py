"""`diptych evaluate`: the serving models on a labelled set, beside a candidate or baselines."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.command import FILE, FOLDER, command, json_option, positive_float
from flows.cli.output import print_json

__all__ = ["evaluate"]

#: `flows.models.measurement.EVALUATIONS`, which is slow to import; a test holds them equal.
EVALUATIONS = ("chunking", "retrieval", "answers")


@command("evaluate", "diptych evaluate answers --data sets/mine --baseline")
@click.argument("evaluation", type=click.Choice(EVALUATIONS))
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    metavar="DIR",
    help="A folder with documents.jsonl and questions.jsonl.",
)
@click.option("--baseline", is_flag=True, help="Measure baseline RAG on the same questions too.")
@click.option(
    "--instruct-baseline",
    is_flag=True,
    help="Measure answers of baseline RAG with SmolLM2-135M-Instruct too (extra: baseline).",
)
@click.option(
    "--candidate",
    metavar="VERSION",
    help="Measure this version too, of retrieve for answers, else of prep.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="N questions only, evenly spread.")
@click.option(
    "--deadline",
    type=positive_float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for an answer.",
)
@click.option(
    "--no-resume", is_flag=True, help="Ask every question again, even where a run on answers was cut short."
)
@click.option("--out", type=FILE, metavar="FILE", help="Write the result as JSON there as well.")
@json_option
def evaluate(
    workspace: Path,
    evaluation: str,
    data: Path,
    baseline: bool,
    instruct_baseline: bool,
    candidate: str | None,
    limit: int | None,
    deadline: float,
    no_resume: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Measure the serving models on a labelled set."""
    from flows.models.measurement import (
        EvaluationSettings,
        advantages,
        interval_of,
        run_evaluation,
        verdict,
        write_results,
    )
    from prep.errors import ConfigError
    from prep.store.workspace import Workspace
    from training.metrics.results import AnswersResult, format_table

    if out and out.is_dir():
        raise ConfigError(f"--out {out} is a folder: name a file for the results")
    results = run_evaluation(
        Workspace(workspace),
        evaluation,
        data,
        EvaluationSettings(
            baseline=baseline,
            instruct_baseline=instruct_baseline,
            candidate=candidate,
            limit=limit,
            deadline_s=deadline,
            resume=not no_resume,
        ),
    )
    if out:
        write_results(results, out)
    if as_json:
        print_json([result.to_dict(rows=False) for result in results])
        return 0
    print(format_table(results))
    for result in results:
        if isinstance(result, AnswersResult) and len(result.by_kind()) > 1:
            print(f"\n{result.label}, {result.dataset}, by kind of question:\n{result.kind_table()}")
    for label, lead in advantages(results).items():
        for metric, difference in lead.items():
            print(f"Ahead of {label.partition(' (')[0]} in {metric}: {interval_of(difference)}.")
    if (sentence := verdict(results)) is not None:
        print(sentence)
    return 0
