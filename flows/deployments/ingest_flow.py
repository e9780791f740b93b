"""The `ingest` flow: read, prepare, write a new generation, swap; then read the new generation back.

The work is `prep.ingest.ingest`. The flow adds the queue for the one writer, retries while the workspace is
locked, and what a run shows: a table of counts, a table of rejected files, progress. Importing this module
imports Prefect; ingesting from Python or with `diptych ingest` does not.
"""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow, get_run_logger, task

from flows.deployments.artifacts import Progress, publish_table
from flows.deployments.task_runner import DistributedPrep, TaskRunnerSettings, task_runner
from flows.deployments.tasks import TASK, Receipt, writer_slot
from flows.models.serving import serving_prep
from prep.files.ignore_rules import FileRules
from prep.ingest import IngestSettings, Preparer
from prep.ingest_report import first_names
from prep.store.workspace import Workspace

__all__ = ["build_distributed", "build_generation", "check_generation", "ingest"]

# A folder of scans can reject thousands of files: the table shows the first, the manifest has them all.
MAX_REJECTED_SHOWN = 100

# Large enough for workers of several machines to have parts at once; a batch is held in memory.
DISTRIBUTED_BATCH = IngestSettings(batch_documents=512, batch_characters=16_000_000)


@flow(name="ingest", result_serializer="json", persist_result=False, validate_parameters=True)
def ingest(
    paths: list[str],
    workspace: str = "workspace",
    sync: bool = False,
    exclude: list[str] | None = None,
    include: list[str] | None = None,
) -> Receipt:
    """Add what the documents in `paths` changed to a new current generation and return its counts.

    paths: files, folders or glob patterns. sync: documents that are not in `paths` leave the workspace. exclude,
    include: patterns for the files of folders (`prep.files.ignore_rules.FileRules`). Raises the errors of
    `prep.ingest.ingest`, ConfigError and DependencyError where the task runner that the environment names cannot be
    used.
    """
    runner = TaskRunnerSettings.from_environment()
    build = (
        build_distributed.with_options(task_runner=task_runner(runner))
        if runner.is_distributed
        else build_generation
    )
    with writer_slot(workspace):
        receipt = build(workspace, paths, sync, FileRules(exclude=exclude or (), include=include or ()))
    check_generation(workspace, receipt["generation"])
    rejected = receipt["rejected"]
    counts = {name: value for name, value in receipt.items() if name != "rejected"}
    publish_table(
        "ingest", [counts | {"n_rejected": len(rejected)}], "What the last ingest put into the store"
    )
    if rejected:
        publish_table("rejected", rejected[:MAX_REJECTED_SHOWN], "Files that could not be read, and why")
    return receipt


@task(name="read, prepare, write and swap", **TASK)
def build_generation(workspace: str, paths: list[str], sync: bool, rules: FileRules) -> Receipt:
    """Ingest `paths` into `workspace` with the prep model that serves there."""
    place = Workspace(workspace)
    with place.lock():  # so that nothing is promoted between loading the serving model and preparing with it
        return _build(place, paths, sync, rules, serving_prep(place), IngestSettings())


@flow(name="ingest-distributed", result_serializer="json", persist_result=False)
def build_distributed(workspace: str, paths: list[str], sync: bool, rules: FileRules) -> Receipt:
    """Do the same with documents prepared by tasks, on the workers of the flow's task runner."""
    place = Workspace(workspace)
    with place.lock():
        prep = DistributedPrep(place)
        receipt = _build(place, paths, sync, rules, prep, DISTRIBUTED_BATCH)
    return receipt | {"n_processes": len(prep.processes)}


def _build(
    place: Workspace,
    paths: list[str],
    sync: bool,
    rules: FileRules,
    prep: Preparer,
    settings: IngestSettings,
) -> Receipt:
    from prep.ingest import ingest as ingest_documents

    logger = get_run_logger()
    logger.info("preparing with prep %s", prep.version)
    report = ingest_documents(
        place,
        paths,
        prep,
        remove_missing=sync,
        rules=rules,
        on_removal=lambda leaving: logger.info("%d documents leave: %s", len(leaving), first_names(leaving)),
        on_progress=Progress("ingest-progress", "Files read and prepared"),
        settings=settings,
    )
    logger.info("%s", report.summary())
    return asdict(report)


@task(name="check the new generation", **TASK)
def check_generation(workspace: str, generation: str) -> Receipt:
    """Open `generation` as a reader does, checksums included, and return its counts."""
    with Workspace(workspace).open_generation(generation) as opened:
        return {"generation": opened.id, "prep": opened.prep_version, **opened.counts}
