"""The `retrain` flow: one retraining cycle of a workspace, through the gate.

The work is `flows.retraining.cycle`; the next run goes on with one that was killed. The flow holds the one writer's
slot for as long as the cycle takes, so that ingests wait. Importing this module imports Prefect.
"""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow, get_run_logger, task

from flows.deployments.artifacts import publish_page, publish_table
from flows.deployments.tasks import TASK, Receipt, writer_slot
from flows.retraining.cycle import retrain_workspace
from flows.retraining.cycle_config import cycle_settings
from flows.retraining.decision_folder import read_decision
from prep.store.workspace import Workspace

__all__ = ["retrain", "run_cycle"]


@flow(name="retrain", result_serializer="json", persist_result=False)
def retrain(workspace: str = "workspace", config: str | None = None) -> Receipt:
    """Train candidates on the corpus and the experience log, and promote those that pass the gate.

    config: a TOML file with the cycle's settings, by default retrain.toml in the workspace, if there is one. Returns
    the outcome. Raises EmptyStore, DataError, ConfigError.
    """
    with writer_slot(workspace):
        receipt = run_cycle(workspace, config)
    rows = [
        {key: step[key] for key in ("kind", "candidate", "promoted")} | {"why": "; ".join(step["reasons"])}
        for step in receipt["steps"]
    ]
    publish_table("retrain", rows, f"The outcome of cycle {receipt['cycle']}")
    for step in receipt["steps"]:
        if step["decision"] is not None:
            show_decision(workspace, step["decision"])
    return receipt


@task(name="run a cycle", **TASK)
def run_cycle(workspace: str, config: str | None) -> Receipt:
    """Run the cycle, or go on with an unfinished one."""
    place = Workspace(workspace)
    outcome = retrain_workspace(place, cycle_settings(place, config), on_progress=get_run_logger().info)
    return asdict(outcome)


def show_decision(workspace: str, folder: str) -> None:
    """Show a decision of the gate: its figures as a table, its page as a link."""
    path = Workspace(workspace).path / folder
    decision = read_decision(path)
    rows = [{"system": name, **figures} for name, figures in decision["figures"].items()]
    gains = {
        figure: f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
        for figure, gain in decision["gains"].items()
    }
    verdict = "promoted" if decision["promoted"] else "refused"
    title = f"{decision['kind']} {decision['candidate']} {verdict}: {'; '.join(decision['reasons'])}"
    publish_table(f"gate-{decision['kind']}", [*rows, {"system": "gain", **gains}], title)
    publish_page(f"gate-{decision['kind']}-page", path / "index.html", title)
