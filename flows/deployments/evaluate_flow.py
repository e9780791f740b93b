"""The `evaluate` flow: the serving models on one labelled set, as a table, as JSON and as a page.

The work is `flows.models.measurement`. Importing this module imports Prefect.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task

from flows.deployments.artifacts import publish_page, publish_table
from flows.deployments.tasks import TASK, Receipt
from flows.models.measurement import EvaluationSettings, metrics_of, run_evaluation, verdict, write_results
from flows.pages.run_page import write_page
from prep.store.workspace import Workspace
from training.metrics.results import format_table

__all__ = ["evaluate", "measure"]


@flow(name="evaluate", result_serializer="json", persist_result=False)
def evaluate(
    workspace: str = "workspace",
    suite: str = "answers",
    data: str = "data",
    baseline: bool = False,
    instruct_baseline: bool = False,
    candidate: str | None = None,
    limit: int | None = None,
    deadline_s: float = 5.0,
) -> Receipt:
    """Measure the serving models of `workspace` on the labelled set in the folder `data`.

    suite: chunking, retrieval or answers. candidate: a version to measure beside them, of retrieve for answers, of prep
    for the others. baseline: measure baseline RAG too. instruct_baseline: with an instruction-tuned model, for answers.
    Returns the figures and the paths of the JSON and the page. Raises ConfigError, DataError, EmptyStore.
    """
    settings = EvaluationSettings(
        baseline=baseline,
        instruct_baseline=instruct_baseline,
        candidate=candidate,
        limit=limit,
        deadline_s=deadline_s,
    )
    receipt = measure(workspace, suite, data, settings)
    publish_table(f"{suite}-figures", receipt["figures"], f"The {suite} suite on {data}")
    publish_page(f"{suite}-page", receipt["page"], f"The {suite} suite on {data}")
    return receipt


@task(name="measure", **TASK)
def measure(workspace: str, suite: str, data: str, settings: EvaluationSettings) -> Receipt:
    """Run the suite and write its results below the workspace's reports."""
    place = Workspace(workspace)
    results = run_evaluation(place, suite, data, settings)
    get_run_logger().info("%s", format_table(results))
    folder = place.path / "reports" / f"{suite}-{Path(data).resolve().name}"
    page = write_page(
        folder / "index.html", title=f"{suite} on {Path(data).name}", metrics=metrics_of(results)
    )
    return {
        "metrics": metrics_of(results),
        "verdict": verdict(results),
        "results": str(write_results(results, folder / "results.json")),
        "page": str(page),
        "figures": [
            {"system": result.label, "set": result.dataset, **result.columns()} for result in results
        ],
    }
